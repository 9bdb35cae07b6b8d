"""What can be said about station.toml without a controller, a camera or an engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.verification import load_verification
from csflow.runtime.errors import BundleError, ConfigError, CSFlowError
from csflow.runtime.plc.adapters.adapter import Adapters
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.settings import Recipe, Settings
from csflow.runtime.source import source_kind

__all__ = ["Check", "examine"]


class Check(NamedTuple):
    """One thing that was looked at."""

    what: str
    problem: str
    """Empty where it is good."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problem

    @property
    def line(self) -> str:
        """For people."""
        return f"ok       {self.what}" if self.good else f"PROBLEM  {self.what}: {self.problem}"


def examine(settings: Settings, parse: Callable[[Recipe], None]) -> list[Check]:
    """Look at every recipe's bundle, whole, and open and close every adapter once. Raises nothing for what is wrong.

    Args:
        settings: station.toml.
        parse: raises ConfigError where the worker of a recipe would not take its options.
    """
    return [*_recipes(settings, parse), _adapters(settings), _control(settings), _state(settings)]


def _recipes(settings: Settings, parse: Callable[[Recipe], None]) -> Iterator[Check]:
    hang_ms = settings.station.hang_ms
    for key in settings.recipes:
        recipe = settings.recipe(int(key))
        assert recipe is not None
        yield _check(f"recipe {key}: {recipe.bundle}", functools.partial(_examine_bundle, recipe))
        yield _check(f"recipe {key}: camera and options", functools.partial(_examine_worker, recipe, hang_ms, parse))


def _examine_worker(recipe: Recipe, hang_ms: int, parse: Callable[[Recipe], None]) -> None:
    if recipe.deadline_ms >= hang_ms:
        raise ConfigError(
            f"deadline_ms {recipe.deadline_ms} is not shorter than station.hang_ms {hang_ms}: "
            "a worker would be ended while it still may answer; raise hang_ms"
        )
    source_kind(recipe.camera)
    parse(recipe)


def _examine_bundle(recipe: Recipe) -> None:
    bundle = Bundle.open(Path(recipe.bundle))
    bundle.verify()
    if load_calibration(bundle) is None:
        raise BundleError("it has no thresholds: csflow calibrate")
    if load_verification(bundle) is None and "--unverified" not in recipe.options:
        raise BundleError("no engine has passed the decision gate: csflow verify")


def _adapters(settings: Settings) -> Check:
    def opened() -> None:
        Adapters(settings, Exchange()).close()

    return _check("adapters", opened)


def _control(settings: Settings) -> Check:
    problem = "" if settings.station.control else "no adapter commands: name one in station.control"
    return Check(f"control: {settings.station.control or 'nobody'}", problem)


def _state(settings: Settings) -> Check:
    folder = settings.folder / settings.station.state

    def written() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()

    return _check(f"state: {folder}", written)


def _check(what: str, look: Callable[[], None]) -> Check:
    try:
        look()
    except (CSFlowError, OSError) as error:
        return Check(what, " ".join(str(error).split()))
    return Check(what, "")
