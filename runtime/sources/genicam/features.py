"""Features of a GenICam camera: set by name, read back, and what the camera says about them where it refuses.

A node is what `genicam.genapi` gives: it has `value`, `to_string` and `from_string`, a number also `min`, `max`, `inc`
and `unit`, an enumeration `symbolics`; a command has `execute` and `is_done`.
"""

from __future__ import annotations

import difflib
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from csflow.runtime.errors import ConfigError, SourceError

__all__ = ["apply_features", "limits_of"]

TOLERANCE = 0.005
"""Share by which a number with a decimal point may read back differently: cameras count exposure in lines or ticks."""
COMMAND_S = 10.0
DO_IT = ("", "1", "true")
"""What may stand behind a command: it takes no value, and files of features say 1 for one that is to be executed."""
OWN = ("AcquisitionStart", "AcquisitionStop", "AcquisitionAbort", "TLParamsLocked")
"""What csflow does itself, each at its time."""
Nodes = Any


def apply_features(
    nodes: Nodes, wanted: Sequence[tuple[str, str]], name: str, strict: bool, warn: Callable[[str], None]
) -> dict[str, str]:
    """Set features in their order and read each back, those that are set once again at the end.

    Args:
        nodes: the camera's node map.
        wanted: name and text of each; a command has no text.
        name: of the camera, for messages.
        strict: whether a value that reads back differently is an error; else `warn` is told.

    Returns:
        What was read back, by name.

    Raises:
        ConfigError: the camera has no such feature, csflow sets it by itself, or a command is given a value.
        SourceError: it refuses a value, or keeps another one.
    """
    found: dict[str, str] = {}
    for feature, text in wanted:
        node = _node(nodes, feature, name)
        if feature in OWN:
            raise ConfigError(f"{name}: csflow starts, stops and locks the camera by itself: leave out {feature}")
        if hasattr(node, "execute"):
            if text.lower() not in DO_IT:
                raise ConfigError(f"{name}: {feature} is a command and takes no value, not {text!r}: write {feature}=")
            _execute(node, feature, name)
            continue
        _set(node, feature, text, name)
        found[feature] = _checked(node, feature, text, name, strict, warn)
    # A later feature may have changed an earlier one; behind a selector that moved on stands another value.
    if max(Counter(feature for feature, _ in wanted).values(), default=1) == 1:
        for feature, text in wanted:
            if feature in found:
                found[feature] = _checked(nodes.get_node(feature), feature, text, name, strict, warn)
    return found


def limits_of(node: Any) -> str:
    """What a node takes, in words; empty where it does not say."""
    if (names := _told(node, "symbolics")) is not None:
        return f"one of {', '.join(names)}"
    low, high, step = (_told(node, word) for word in ("min", "max", "inc"))
    if low is None or high is None:
        return ""
    unit = _told(node, "unit") or ""
    return f"{low:g} to {high:g}{' ' + unit if unit else ''}" + (f" in steps of {step:g}" if step else "")


def _node(nodes: Nodes, feature: str, name: str) -> Any:
    # It raises where there is none, or gives None.
    try:
        node = nodes.get_node(feature)
    except Exception:  # noqa: BLE001 - the binding's errors have no common base that is public
        node = None
    if node is None:
        close = difflib.get_close_matches(feature, [word for word in dir(nodes) if word[:1].isupper()], n=1)
        hint = f"did you mean {close[0]}?" if close else "its names are in the camera's manual"
        raise ConfigError(f"{name} has no feature {feature!r}; {hint}")
    return node


def _execute(node: Any, feature: str, name: str) -> None:
    try:
        node.execute()
        end_s = time.monotonic() + COMMAND_S
        while not node.is_done():
            if time.monotonic() > end_s:
                raise SourceError(f"{name} has not finished {feature} within {COMMAND_S:g} s")
            time.sleep(0.001)
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise SourceError(f"{name} does not execute {feature}: {_first(error)}") from None


def _set(node: Any, feature: str, text: str, name: str) -> None:
    try:
        node.from_string(text)
    except Exception as error:  # noqa: BLE001 - as above
        limits = limits_of(node)
        if "Access" in type(error).__name__:
            hint = "it cannot be written now: another feature may have to be set before it, such as ExposureAuto=Off"
        else:
            hint = f"it takes {limits}" if limits else _first(error)
        raise SourceError(f"{name} does not take {feature}={text}: {hint}") from None


def _checked(node: Any, feature: str, text: str, name: str, strict: bool, warn: Callable[[str], None]) -> str:
    got = str(node.to_string())
    if not _same(got, text, node):
        limits = limits_of(node)
        message = f"{name} has {feature}={got} instead of {text}" + (f" (it takes {limits})" if limits else "")
        if strict:
            raise SourceError(f"{message}: ask for a value it keeps, or add strict=0")
        warn(message)
    return got


def _same(got: str, wanted: str, node: Any) -> bool:
    if got == wanted:
        return True
    if isinstance(_told(node, "value"), bool):
        return got.lower() in ("1", "true") if wanted.lower() in ("1", "true") else got.lower() in ("0", "false")
    try:
        if isinstance(_told(node, "value"), int):
            return int(got, 0) == int(wanted, 0)
        return math.isclose(float(got), float(wanted), rel_tol=TOLERANCE, abs_tol=1e-9)
    except ValueError:
        return False


def _told(node: Any, word: str) -> Any:
    # What a node does not have, or what cannot be read now, raises.
    try:
        return getattr(node, word)
    except Exception:  # noqa: BLE001 - as above
        return None


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
