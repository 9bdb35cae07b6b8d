"""Reading TOML, which Python has from 3.11 on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install

__all__ = ["read_toml"]


def read_toml(path: Path, extra: str) -> dict[str, Any]:
    """The tables of a file; a key twice is an error of TOML itself.

    Args:
        extra: of csflow's, that brings the library to Python 3.10.

    Raises ConfigError where the file cannot be read or is no TOML, BackendUnavailable without the library.
    """
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        library = importlib.import_module(name)
    except ImportError:
        raise BackendUnavailable(f"{path.name} needs {name}: {pip_install(extra)}") from None
    try:
        tables: dict[str, Any] = library.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return tables
