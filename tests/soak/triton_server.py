"""A real Triton server for tests: the one in nvidia-pytriton's wheel, which knows the Python backend only.

Triton takes a folder with a model.py for a backend written in Python, so a backend 'onnxruntime' of twenty lines lets
it read repositories as csflow writes them. It wants NumPy below 2: an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("nvidia-pytriton==0.7.0", "onnxruntime==1.31.1", "numpy<2")
START_S = 120
BACKEND = """
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [port.name for port in self.session.get_inputs()]
        self.outputs = [port.name for port in self.session.get_outputs()]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        made = self.session.run(self.outputs, given)
        tensors = [triton.Tensor(name, np.ascontiguousarray(v)) for name, v in zip(self.outputs, made)]
        return triton.InferenceResponse(tensors)
"""


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    http: str
    """HOST:PORT."""
    grpc: str

    def load(self, model: str) -> None:
        """Let the server read a model again."""
        request = urllib.request.Request(f"http://{self.http}/v2/repository/models/{model}/load", b"{}", method="POST")
        with urllib.request.urlopen(request, timeout=START_S):
            pass


def environment(folder: Path) -> Path:
    """A virtual environment with the server, made in `folder` where it is not there yet."""
    done = folder / ".made"
    if not done.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--allow-existing", str(folder)], check=True)
        python = str(folder / "bin" / "python")
        subprocess.run([*uv, "pip", "install", "-q", "--python", python, *PACKAGES], check=True)
        done.touch()
    return folder


@contextmanager
def running(env: Path, repository: Path, work: Path, *models: str) -> Iterator[Server]:
    """A server of `repository` that has loaded these models; its log is work/triton.log."""
    (packages,) = env.glob("lib/python3.*/site-packages")
    home = packages / "pytriton" / "tritonserver"
    backends = _backends(home, work / "backends", packages.parent.name.removeprefix("python"))
    http, grpc = _free(2)
    command = [str(home / "bin" / "tritonserver"), "--model-repository", str(repository)]
    command += ["--backend-directory", str(backends), "--model-control-mode", "explicit", "--allow-metrics", "false"]
    command += ["--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1"]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), *(f"--load-model={model}" for model in models)]
    variables = {
        **os.environ,
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PYTHONPATH": str(packages),
        "PATH": f"{env / 'bin'}:{os.environ['PATH']}",
    }
    with ExitStack() as stack:
        log = stack.enter_context((work / "triton.log").open("wb"))
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        server = Server(process, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}")
        _wait(server, work / "triton.log")
        yield server


def _backends(home: Path, folder: Path, python: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home / "backends" / "python", folder / "python")
    stub = home / "python_backend_stubs" / python / "triton_python_backend_stub"
    # Linked, for it finds its libraries by where it lies.
    (folder / "python" / stub.name).symlink_to(stub)
    (folder / "onnxruntime").mkdir()
    (folder / "onnxruntime" / "model.py").write_text(BACKEND)
    return folder


def _free(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def _wait(server: Server, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{server.http}/v2/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"Triton is not ready: {log.read_text(errors='replace')[-2000:]}")
