"""A server of the KServe protocol over gRPC and HTTP with one model, as far as `TritonEngine` asks; to be spoilt."""

from __future__ import annotations

import contextlib
import json
import mmap
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.engines.triton.engine import PRECISION, WEIGHTS
from csflow.runtime.types import Frame

MODEL = "part7"
OUTPUTS = ("score", "anomaly_map")
TYPES = {"uint8": "UINT8", "float32": "FP32", "float64": "FP64"}


@dataclass
class Served:
    """What the server says of its model and answers; tests change it while it runs."""

    bundle: Bundle
    parameters: dict[str, str] = field(default_factory=dict)
    versions: list[str] = field(default_factory=lambda: ["3"])
    batch: int = 4
    side: int = 0
    shared: bool = True
    """Whether it opens shared memory."""
    broken: str = ""
    """The words of its refusal of every inference."""
    spoil: dict[str, NDArray[Any] | None] = field(default_factory=dict)
    """Outputs that come instead of the right ones; None is left out."""
    requests: list[int] = field(default_factory=list)
    """Frames of each request."""

    def __post_init__(self) -> None:
        self.side = self.side or self.bundle.manifest.preprocessing.image_size
        self.parameters = self.parameters or {WEIGHTS: self.bundle.weights_sha256, PRECISION: "fp32"}

    def shapes(self) -> dict[str, list[int]]:
        cells = self.side // 32
        return {"frame": [self.side, self.side, 3], "score": [1], "anomaly_map": [cells, cells]}

    def answer(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        self.requests.append(len(images))
        predictions = FakeEngine(self.bundle).infer([Frame(image, index=0) for image in images])
        right = {
            "score": np.array([[p.score] for p in predictions], np.float32),
            "anomaly_map": np.stack([p.anomaly_map for p in predictions]),
        }
        return {name: values for name, values in {**right, **self.spoil}.items() if values is not None}

    def metadata(self) -> dict[str, Any]:
        types = {"frame": "UINT8", "score": "FP32", "anomaly_map": "FP32"}
        ports = {n: {"name": n, "datatype": types[n], "shape": [-1, *shape]} for n, shape in self.shapes().items()}
        outputs = [ports[name] for name in OUTPUTS]
        return {
            "name": MODEL,
            "versions": self.versions,
            "platform": "",
            "inputs": [ports["frame"]],
            "outputs": outputs,
        }

    def config(self) -> dict[str, Any]:
        parameters = {key: {"string_value": value} for key, value in self.parameters.items()}
        return {"name": MODEL, "max_batch_size": self.batch, "parameters": parameters}

    def refusal(self, model: str, version: str) -> str:
        """Why an inference is refused; empty where it is not."""
        if self.broken or (model == MODEL and version in ("", *self.versions)):
            return self.broken
        return f"Request for unknown model: '{model}' version {version} is not found"


@contextmanager
def over_grpc(served: Served) -> Iterator[str]:
    """The address of the model, as long as the server runs."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    regions: dict[str, mmap.mmap] = {}

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's names
            return service_pb2.ServerMetadataResponse(name="fake", version="1.0")

        def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            if request.name != MODEL:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
            return service_pb2.ModelMetadataResponse(**served.metadata())

        def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
            return service_pb2.ModelConfigResponse(config=served.config())

        def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
            if not served.shared:
                context.abort(grpc.StatusCode.INTERNAL, "Unable to open shared memory region")
            with Path("/dev/shm", request.key.strip("/")).open("r+b") as file:
                regions[request.name] = mmap.mmap(file.fileno(), request.byte_size)
            return service_pb2.SystemSharedMemoryRegisterResponse()

        def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
            regions.pop(request.name).close()
            return service_pb2.SystemSharedMemoryUnregisterResponse()

        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
            if refusal := served.refusal(request.model_name, request.model_version):
                context.abort(grpc.StatusCode.UNAVAILABLE, refusal)
            (given,) = request.inputs
            where = given.parameters
            if region := where["shared_memory_region"].string_param if "shared_memory_region" in where else "":
                raw = regions[region][: where["shared_memory_byte_size"].int64_param]
            else:
                raw = request.raw_input_contents[0]
            values = served.answer(np.frombuffer(raw, np.uint8).reshape(given.shape))
            response = service_pb2.ModelInferResponse(model_name=MODEL, model_version=served.versions[-1])
            for wanted in request.outputs:
                if wanted.name not in values:
                    continue
                made = values[wanted.name]
                output = response.outputs.add(name=wanted.name, datatype=TYPES[made.dtype.name], shape=made.shape)
                where = wanted.parameters
                if "shared_memory_region" in where:
                    offset = where["shared_memory_offset"].int64_param
                    region = where["shared_memory_region"].string_param
                    regions[region][offset : offset + made.nbytes] = made.tobytes()
                    output.parameters["shared_memory_region"].string_param = region
                else:
                    response.raw_output_contents.append(made.tobytes())
            return response

    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/{MODEL}"
    finally:
        server.stop(None).wait()


@contextmanager
def over_http(served: Served) -> Iterator[str]:
    """The address of the model, as long as the server runs; it opens no shared memory."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": served}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{MODEL}"
    finally:
        server.shutdown()
        server.cut()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._connections: list[socket.socket] = []
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def cut(self) -> None:
        """End the connections that clients keep open, as a server that dies does."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Nothing to standard error."""

    def do_GET(self) -> None:
        served = self.served
        if self.path == "/v2":
            self._send(200, {"name": "fake", "version": "1.0"})
        elif not self.path.startswith(f"/v2/models/{MODEL}"):
            self._send(404, {"error": f"Request for unknown model: {self.path} is not found"})
        else:
            self._send(200, served.config() if self.path.endswith("/config") else served.metadata())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.split("/")
        if "systemsharedmemory" in parts:
            self._send(400, {"error": "Unable to open shared memory region"})
            return
        version = parts[5] if parts[4] == "versions" else ""
        if refusal := self.served.refusal(parts[3], version):
            self._send(400, {"error": refusal})
            return
        length = int(self.headers["Inference-Header-Content-Length"])
        (given,) = json.loads(body[:length])["inputs"]
        values = self.served.answer(np.frombuffer(body[length:], np.uint8).reshape(given["shape"]))
        outputs = [
            {
                "name": name,
                "datatype": TYPES[made.dtype.name],
                "shape": list(made.shape),
                "parameters": {"binary_data_size": made.nbytes},
            }
            for name, made in values.items()
        ]
        self._send(200, {"model_name": MODEL, "outputs": outputs}, b"".join(made.tobytes() for made in values.values()))

    def _send(self, code: int, answer: dict[str, Any], raw: bytes = b"") -> None:
        head = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(head) + len(raw)))
        if raw:
            self.send_header("Inference-Header-Content-Length", str(len(head)))
        self.end_headers()
        self.wfile.write(head + raw)
