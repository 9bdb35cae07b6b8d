"""CUDA behind one small interface, so that an engine runs on cuda-bindings, on pycuda, or on a fake in tests."""

from __future__ import annotations

import os

from csflow.runtime.engines.cuda.api import CudaDriver
from csflow.runtime.errors import BackendUnavailable, ConfigError

__all__ = ["CHOICES", "VARIABLE", "open_driver"]

CHOICES = ("auto", "cuda-bindings", "pycuda")
VARIABLE = "CSFLOW_CUDA"
"""Environment variable that chooses one of `CHOICES`."""


def open_driver(choice: str | None = None) -> CudaDriver:
    """A started driver: cuda-bindings where it is installed, else pycuda.

    Args:
        choice: one of `CHOICES`; None asks the environment variable CSFLOW_CUDA.

    Raises:
        ConfigError: no such choice.
        BackendUnavailable: neither library is installed, or there is no driver or no GPU.
    """
    choice = choice or os.environ.get(VARIABLE) or "auto"
    if choice not in CHOICES:
        raise ConfigError(f"{VARIABLE}={choice!r}: choose one of {', '.join(CHOICES)}")
    driver = _library(choice)
    if driver.start() < 1:
        raise BackendUnavailable(f"{driver.name} lists no GPU: 'csflow doctor' says what is missing")
    return driver


def _library(choice: str) -> CudaDriver:
    from csflow.runtime.engines.cuda.bindings_driver import BindingsDriver
    from csflow.runtime.engines.cuda.pycuda_driver import PycudaDriver

    if choice == "pycuda":
        return PycudaDriver()
    try:
        return BindingsDriver()
    except BackendUnavailable as error:
        if choice == "cuda-bindings":
            raise
        try:
            return PycudaDriver()
        except BackendUnavailable as other:
            raise BackendUnavailable(f"{error}, or {other}") from None
