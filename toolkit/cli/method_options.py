"""Options of `csflow train` that are fields of a configuration: name, type and help come from the dataclass."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, TypeVar

import click

from csflow.toolkit.cli.options import Numbers

__all__ = ["flow_names", "flow_options"]

F = TypeVar("F", bound=Callable[..., Any])


def flow_options(command: F) -> F:
    """An option for each field of CS-Flow's configurations that a user sets; None where it is not given."""
    from csflow.toolkit.cli.field_docs import default_text, field_docs, first_sentence
    from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
    from csflow.toolkit.options import option_fields

    for cls in (TrainConfig, FlowConfig):
        docs, hints = field_docs(cls), typing.get_type_hints(cls)
        for field in reversed(option_fields(cls)):
            flag = f"--{field.name.replace('_', '-')}"
            name = f"{flag}/--no-{flag[2:]}" if hints[field.name] is bool else flag
            told = f"{first_sentence(docs[field.name])}  [CS-Flow; default: {default_text(field.default)}]"
            command = click.option(name, field.name, type=_type(hints[field.name]), default=None, help=told)(command)
    return command


def flow_names() -> tuple[str, ...]:
    """The parameters of `flow_options`."""
    from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
    from csflow.toolkit.options import option_fields

    return tuple(field.name for cls in (TrainConfig, FlowConfig) for field in option_fields(cls))


def _type(hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        kind, *others = typing.get_args(hint)
        return Numbers(kind, None if others == [Ellipsis] else 1 + len(others))
    return hint
