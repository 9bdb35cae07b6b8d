"""A Triton server as an engine: frames go to it, scores and maps come back; the verdict stays here.

The server's model must be made from this very bundle, which its configuration says (`csflow export --triton`), and it
scores the golden frames as every engine does before it decides. Each request names the version that did, so that a
model replaced on the server fails instead of deciding unchecked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.name import PRECISIONS, EngineName
from csflow.runtime.engines.triton.address import Address
from csflow.runtime.engines.triton.connection import Connection, Model
from csflow.runtime.engines.triton.memory import InRequest, SharedMemory
from csflow.runtime.errors import BackendUnavailable, ConfigError, EngineMismatch, InferenceError
from csflow.runtime.types import Frame, Prediction

__all__ = ["PRECISION", "WEIGHTS", "TritonEngine"]

WEIGHTS = "csflow_weights_sha256"
"""The parameter of a model's configuration that says from which weights it was made."""
PRECISION = "csflow_precision"
"""The parameter that says what it computes in."""
OUTPUTS = ("score", "anomaly_map")


class TritonEngine:
    """The ensemble of a bundle on a server; up to its largest batch of frames travel in one request."""

    def __init__(self, bundle: Bundle, address: str, timeout: float = 10.0, shared: bool | None = None) -> None:
        """Connect, and hold what the server says against the bundle.

        Args:
            address: PROTOCOL://HOST[:PORT]/MODEL with grpc, grpcs, http or https.
            timeout: the longest that one answer may take, in seconds.
            shared: whether frames and answers travel in shared memory; None tries it where the server is local.

        Raises:
            ConfigError: no such address, or a timeout that cannot be.
            BackendUnavailable: the server does not answer, has no such model, or opens no shared memory.
            EngineMismatch: its model is none of csflow's, or of another bundle.
        """
        place = Address.parse(address)
        if not 0.001 <= timeout <= 3600.0:
            raise ConfigError(f"timeout={timeout:g} of the engine triton: expected 0.001 to 3600 seconds")
        self._address = place
        self._connection = Connection(place, timeout)
        try:
            self._model = _agreed(self._connection, place, bundle)
            self._memory, self._how = self._means(shared, bundle.manifest.preprocessing.image_size)
        except InferenceError as error:
            self._connection.close()
            raise BackendUnavailable(
                f"{error}; is a Triton server there, is this its {place.protocol} port, and has it loaded the model?"
            ) from None
        except BaseException:
            self._connection.close()
            raise
        self.name = str(EngineName("triton", self._model.parameters[PRECISION]))
        self.batch = self._model.batch
        """Frames of one request."""
        self._closed = False

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name} at {self._address} version {self._model.version}, {self._model.server}, {self._how}"

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict for frames of (S, S, 3) uint8 RGB; raises InferenceError where the server fails or after `close`."""
        if self._closed:
            raise InferenceError("the engine is closed")
        return [p for i in range(0, len(frames), self.batch) for p in self._request(frames[i : i + self.batch])]

    def close(self) -> None:
        """Let connections and shared memory go. May be called twice."""
        if not self._closed:
            self._closed = True
            self._memory.close()
            self._connection.close()

    def __enter__(self) -> TritonEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _means(self, shared: bool | None, side: int) -> tuple[InRequest | SharedMemory, str]:
        if shared is False or (shared is None and not self._address.local):
            return InRequest(), "frames in the request"
        outputs = {name: self._model.shapes[name] for name in OUTPUTS}
        try:
            return SharedMemory(self._connection, self._model.batch, (side, side, 3), outputs), "shared memory"
        except InferenceError:
            if shared:
                raise
            return InRequest(), "frames in the request (the server opens no shared memory of this machine)"

    def _request(self, frames: Sequence[Frame]) -> list[Prediction]:
        images = np.stack([frame.image for frame in frames])
        scores, maps = self._connection.infer(images, OUTPUTS, self._model.version, self._memory, self._memory)
        scores = self._checked("score", scores, len(frames)).reshape(len(frames))
        maps = self._checked("anomaly_map", maps, len(frames))
        return [Prediction(float(score), anomaly_map) for score, anomaly_map in zip(scores, maps, strict=True)]

    def _checked(self, name: str, values: NDArray[np.float32] | None, count: int) -> NDArray[np.float32]:
        expected = (count, *self._model.shapes[name])
        if values is None or values.shape != expected or values.dtype != np.float32:
            got = "nothing" if values is None else f"{values.dtype} {values.shape}"
            raise InferenceError(f"Triton at {self._address}: {name} came as {got}, expected float32 {expected}")
        return values


def _agreed(connection: Connection, address: Address, bundle: Bundle) -> Model:
    """What the server says of its model, where that is this bundle's."""
    model = connection.model()
    told = model.parameters.get(WEIGHTS)
    again = f"csflow export --bundle {bundle.path} --triton REPOSITORY makes one, and the server must load it"
    if told is None or model.parameters.get(PRECISION) not in PRECISIONS:
        raise EngineMismatch(f"{address} is no model that csflow exported; {again}")
    if told != bundle.weights_sha256:
        raise EngineMismatch(f"{address} was made from other weights ({told[:12]}) than bundle {bundle.path}; {again}")
    side = bundle.manifest.preprocessing.image_size
    shapes = {"frame": (side, side, 3), "score": (1,)}
    types = {"frame": "UINT8", "score": "FP32", "anomaly_map": "FP32"}
    unlike = {name: shape for name, shape in shapes.items() if model.shapes.get(name) != shape}
    if unlike or len(model.shapes.get("anomaly_map", ())) != 2 or model.types != types or not model.version:
        raise EngineMismatch(f"{address} has other inputs or outputs than csflow's: {model.types}, {model.shapes}")
    return model
