"""Everything here needs an NVIDIA GPU and skips, with the reason, where there is none."""

from __future__ import annotations

import pytest

from csflow.runtime.engines.cuda import open_driver
from csflow.runtime.engines.cuda.api import CudaDriver
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine import probes


@pytest.fixture(scope="session")
def gpu() -> None:
    """Skips without a GPU."""
    answer = probes.cuda()
    if not answer.get("devices"):
        pytest.skip(f"no NVIDIA GPU: {answer.get('problem', 'CUDA lists none')}")


@pytest.fixture(params=["cuda-bindings", "pycuda"])
def driver(request: pytest.FixtureRequest, gpu: None) -> CudaDriver:  # noqa: ARG001 - skips first
    """Each CUDA library that is installed."""
    try:
        return open_driver(request.param)
    except BackendUnavailable as error:
        pytest.skip(str(error))
