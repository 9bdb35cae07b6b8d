"""One model of a Triton server over HTTP or gRPC, with NVIDIA's client; every failure is an InferenceError."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.engines.triton.address import Address
from csflow.runtime.errors import InferenceError

__all__ = ["Connection", "Inputs", "Model", "Outputs"]

Given = TypeVar("Given")


@dataclass(frozen=True)
class Model:
    """What the server says of a model."""

    version: str
    """The newest that it serves."""
    batch: int
    """Frames of one request, at most."""
    shapes: dict[str, tuple[int, ...]]
    """Of one frame's inputs and outputs, by name."""
    types: dict[str, str]
    """KServe's names of their types: 'UINT8', 'FP32'."""
    parameters: dict[str, str]
    """Of its configuration."""
    server: str
    """'triton 2.51.0'."""


class Inputs(Protocol):
    """How the frames reach the server."""

    def place(self, wanted: Any, images: NDArray[np.uint8]) -> None:
        """Put `images` (N, S, S, 3) into the request's input `wanted`."""


class Outputs(Protocol):
    """How the answer comes back."""

    def expect(self, wanted: Any, name: str, count: int) -> None:
        """Say of the request's output `wanted` where its values for `count` frames shall go."""

    def values(self, answer: Any, name: str, count: int) -> NDArray[Any] | None:
        """The values of output `name` for `count` frames; None where there are none."""


class Connection:
    """A client of the server; connections are made when they are needed, and again when they were lost."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        """Nothing is sent yet. Raises ImportError where tritonclient is not installed.

        Args:
            timeout_s: the longest that one answer may take.
        """
        self._address, self._timeout_s = address, timeout_s
        self._http = address.protocol.startswith("http")
        self._library: Any = importlib.import_module("tritonclient.http" if self._http else "tritonclient.grpc")
        # HTTP has its limit in the client.
        self._limit = {} if self._http else {"client_timeout": timeout_s}
        self._clients = threading.local()
        self._opened: list[Any] = []

    def model(self) -> Model:
        """What the server says of the model; raises InferenceError where it does not answer or has no such model."""
        return self._ask(self._described)

    def register(self, name: str, key: str, size: int) -> None:
        """Let the server open shared memory; raises InferenceError where it cannot."""
        self._ask(lambda client: client.register_system_shared_memory(name, key, size, **self._limit))

    def unregister(self, name: str) -> None:
        """Let the server close shared memory; raises InferenceError where it cannot."""
        self._ask(lambda client: client.unregister_system_shared_memory(name, **self._limit))

    def infer(
        self, images: NDArray[np.uint8], names: Sequence[str], version: str, inputs: Inputs, outputs: Outputs
    ) -> list[NDArray[Any] | None]:
        """The outputs of these names for frames (N, S, S, 3), each in the shape that the server gives.

        Raises InferenceError.
        """
        given = self._library.InferInput("frame", list(images.shape), "UINT8")
        wanted = [self._library.InferRequestedOutput(name) for name in names]

        def ask(client: Any) -> Any:
            inputs.place(given, images)
            for name, output in zip(names, wanted, strict=True):
                outputs.expect(output, name, len(images))
            return client.infer(self._address.model, [given], model_version=version, outputs=wanted, **self._limit)

        answer = self._ask(ask)
        return [outputs.values(answer, name, len(images)) for name in names]

    def close(self) -> None:
        """Let the connections go. May be called twice."""
        opened, self._opened = self._opened, []
        for client in opened:
            client.close()

    def _ask(self, question: Callable[[Any], Given]) -> Given:
        try:
            return question(self._client())
        except InferenceError:
            raise
        except Exception as error:  # noqa: BLE001 - the client lets errors of gevent, sockets, SSL and JSON through
            self._drop()
            raise InferenceError(f"Triton at {self._address}: {_words(error)}") from None

    def _client(self) -> Any:
        # A client over HTTP belongs to the thread that made it: gevent cannot wait in another.
        if getattr(self._clients, "mine", None) is None:
            encrypted = {"ssl": True} if self._address.encrypted else {}
            limits = {"connection_timeout": self._timeout_s, "network_timeout": self._timeout_s} if self._http else {}
            client = self._library.InferenceServerClient(self._address.place, **encrypted, **limits)
            self._clients.mine = client
            self._opened.append(client)
        return self._clients.mine

    def _drop(self) -> None:
        """After a failure over HTTP: what is left of its answer would be taken for the next one's."""
        client = getattr(self._clients, "mine", None)
        if self._http and client is not None:
            self._clients.mine = None
            if client in self._opened:
                self._opened.remove(client)
            client.close()

    def _described(self, client: Any) -> Model:
        as_json = {} if self._http else {"as_json": True}
        metadata = client.get_model_metadata(self._address.model, **as_json, **self._limit)
        config = client.get_model_config(self._address.model, **as_json, **self._limit)
        server = client.get_server_metadata(**as_json, **self._limit)
        config = config.get("config", config)
        ports = [*metadata.get("inputs", ()), *metadata.get("outputs", ())]
        return Model(
            version=max(map(str, metadata.get("versions", ())), key=int, default=""),
            batch=max(int(config.get("max_batch_size", 0)), 1),
            shapes={port["name"]: tuple(int(side) for side in port["shape"][1:]) for port in ports},
            types={port["name"]: str(port["datatype"]) for port in ports},
            parameters={key: str(value.get("string_value", "")) for key, value in config.get("parameters", {}).items()},
            server=f"{server.get('name', 'server')} {server.get('version', '')}".rstrip(),
        )


def _words(error: Exception) -> str:
    message = getattr(error, "message", None)
    text = message() if callable(message) else str(error)
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
