"""How frames and answers travel: in the request, or in memory that the server opens too."""

from __future__ import annotations

import contextlib
import importlib
import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.engines.triton.connection import Connection
from csflow.runtime.errors import InferenceError

__all__ = ["InRequest", "SharedMemory"]


class InRequest:
    """Frames and answers in the request and the response themselves, as raw bytes."""

    def place(self, wanted: Any, images: NDArray[np.uint8]) -> None:
        """As `Inputs.place`."""
        wanted.set_data_from_numpy(images)

    def expect(self, wanted: Any, name: str, count: int) -> None:
        """Answers come in the response unasked."""

    def values(self, answer: Any, name: str, count: int) -> NDArray[Any] | None:  # noqa: ARG002 - as Outputs.values
        """As `Outputs.values`."""
        found: NDArray[Any] | None = answer.as_numpy(name)
        return found

    def close(self) -> None:
        """Nothing to release."""


class SharedMemory:
    """One region of this machine's shared memory: the frames, then each output's values."""

    def __init__(
        self, connection: Connection, batch: int, frame: tuple[int, ...], outputs: dict[str, tuple[int, ...]]
    ) -> None:
        """Make the region and let the server open it.

        Args:
            batch: frames of one request, at most.
            frame: shape of one, uint8.
            outputs: shape of each output for one frame, float32.

        Raises:
            InferenceError: the server cannot open it, for it runs elsewhere or in a container of its own.
        """
        library: Any = importlib.import_module("tritonclient.utils.shared_memory")
        self._library, self._connection = library, connection
        self._frame_bytes = int(np.prod(frame))
        self._shapes, self._offsets, size = outputs, {}, batch * self._frame_bytes
        for name, shape in outputs.items():
            # Values of four bytes begin at a multiple of four.
            self._offsets[name] = size = -(-size // 4) * 4
            size += batch * 4 * int(np.prod(shape))
        self._name = f"csflow_{secrets.token_hex(8)}"
        try:
            self._region: Any = library.create_shared_memory_region(self._name, f"/{self._name}", size)
        except library.SharedMemoryException as error:
            raise InferenceError(f"no shared memory of {size / 1e6:.1f} MB here: {error}") from None
        try:
            connection.register(self._name, f"/{self._name}", size)
        except BaseException:
            library.destroy_shared_memory_region(self._region)
            raise

    def place(self, wanted: Any, images: NDArray[np.uint8]) -> None:
        """As `Inputs.place`."""
        self._library.set_shared_memory_region(self._region, [images])
        wanted.set_shared_memory(self._name, images.nbytes)

    def expect(self, wanted: Any, name: str, count: int) -> None:
        """As `Outputs.expect`."""
        size = 4 * count * int(np.prod(self._shapes[name]))
        wanted.set_shared_memory(self._name, size, self._offsets[name])

    def values(self, answer: Any, name: str, count: int) -> NDArray[Any] | None:
        """As `Outputs.values`; copied, for the next answer overwrites them."""
        if answer.get_output(name) is None:
            return None
        shape = (count, *self._shapes[name])
        found = self._library.get_contents_as_numpy(self._region, np.float32, shape, self._offsets[name])
        copied: NDArray[Any] = found.copy()
        return copied

    def close(self) -> None:
        """Give the region back. May be called twice."""
        if self._region is None:
            return
        region, self._region = self._region, None
        with contextlib.suppress(InferenceError):
            self._connection.unregister(self._name)
        self._library.destroy_shared_memory_region(region)
