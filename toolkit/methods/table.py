"""All methods there are: a new one is a module and a line here."""

from __future__ import annotations

from csflow.runtime.errors import BundleVersionError, ConfigError
from csflow.toolkit.methods.combined import Combined
from csflow.toolkit.methods.flow.method import CSFlow
from csflow.toolkit.methods.glad.method import Glad
from csflow.toolkit.methods.mahalanobis import Mahalanobis
from csflow.toolkit.methods.method import Judge, Method
from csflow.toolkit.methods.nearest import Nearest
from csflow.toolkit.methods.padim import PaDiM
from csflow.toolkit.methods.patches.method import Patches

__all__ = ["METHODS", "chosen_method", "method_named"]

_ALL: tuple[Method, ...] = (CSFlow(), Mahalanobis(), Nearest(), PaDiM(), Glad(), Patches())
METHODS = {method.name: method for method in _ALL}
"""Those that are trained."""
_JUDGES: dict[str, Judge] = {**METHODS, Combined.name: Combined(METHODS)}


def method_named(name: str) -> Judge:
    """The method of a bundle. Raises BundleVersionError where this csflow has none of that name."""
    if name not in _JUDGES:
        raise BundleVersionError(f"the bundle's method {name!r} is not known to this csflow: update csflow")
    return _JUDGES[name]


def chosen_method(name: str) -> Method:
    """The method that a user names. Raises ConfigError where there is none."""
    if name not in METHODS:
        raise ConfigError(f"no method {name!r}; choose one of: {', '.join(METHODS)}")
    return METHODS[name]
