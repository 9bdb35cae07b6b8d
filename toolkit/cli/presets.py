"""`csflow train --preset`: settings that belong together, each of which an option of its own overrules."""

from __future__ import annotations

from typing import Any

import click

from csflow.toolkit.cli.method_options import flow_names

__all__ = ["PRESETS", "is_said", "preset_option", "preset_settings", "without_preset"]

DEFAULT = click.core.ParameterSource.DEFAULT
DEFAULT_MAP = click.core.ParameterSource.DEFAULT_MAP
_LITE = {"backbone": "tf_efficientnet_lite2", "image_size": 384}
_SHORT = {"hidden": 128, "epochs": 10, "schedule": "cosine", "learning_rate": 3e-3}
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {**_LITE, "method": "mahalanobis"},
    "balanced": {**_LITE, "method": "cs-flow", "hold_out": 0.1, **_SHORT},
    "paper": {},
}
"""Options by name: a first try within minutes, CS-Flow for a processor, the settings of the paper."""


def _take(ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    ctx.default_map = {**(ctx.default_map or {}), **PRESETS[value]}
    return value


def preset_option(command: Any) -> Any:
    """The --preset option; it changes the defaults of the others, and the body does not receive it."""
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="paper",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=_take,
        help="'fast' is a first try on any machine: tf_efficientnet_lite2 at 384 px and mahalanobis, one pass over the "
        "pictures; 'balanced' CS-Flow on the same with hidden 128, 10 epochs of a rate that falls along a cosine, and "
        "a tenth of the good pictures held out; 'paper' the defaults below. Other options overrule it.",
    )(command)


def preset_settings(name: str) -> dict[str, Any]:
    """What the preset says, options of CS-Flow behind its name: for who has settings, and no options."""
    values, flow = PRESETS[name], flow_names()
    options = "&".join(f"{option}={value}" for option, value in values.items() if option in flow)
    others = {option: value for option, value in values.items() if option not in flow}
    return {**others, "method": f"{values['method']}?{options}"} if options else others


def without_preset(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """`given` without what only the preset said: for another method than the preset's."""
    return {n: v for n, v in given.items() if ctx.get_parameter_source(n) is not DEFAULT_MAP}


def is_said(ctx: click.Context, name: str) -> bool:
    """Whether the user names this option, where neither its default nor a preset counts."""
    return ctx.get_parameter_source(name) not in (DEFAULT, DEFAULT_MAP)
