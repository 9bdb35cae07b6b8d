"""The options of `csflow export` that concern the decision gate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["gate_options"]


_OPTIONS = (
    click.option("--int8", is_flag=True, help="Make the flow in INT8 too; kept if it passes the gate and is faster."),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Good and defective pictures for the gate, good ones for the INT8 ranges; layouts as for csflow train.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="At most N pictures for the gate, always the same."
    ),
    click.option("--no-verify", "skip", is_flag=True, help="Skip the gate; csflow run then refuses the graphs."),
)


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one argument, `gate`: a `GateChoice`."""

    @functools.wraps(command)
    def with_choice(*args: Any, int8: bool, images: Path | None, limit: int | None, skip: bool, **kwargs: Any) -> Any:
        if skip and (int8 or images):
            raise click.UsageError("--no-verify makes no use of --int8 and --images: INT8 is kept only if it passes.")
        if limit is not None and images is None:
            raise click.UsageError("--limit is for the pictures of --images.")
        from csflow.export.gate.choice import GateChoice

        return command(*args, gate=GateChoice(int8, images, limit, skip), **kwargs)

    for option in reversed(_OPTIONS):
        with_choice = option(with_choice)
    return with_choice
