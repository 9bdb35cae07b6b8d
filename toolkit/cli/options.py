"""Options that several commands have, and the type of several numbers."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["Numbers", "exposure_option"]

exposure_option = click.option(
    "--exposure",
    type=click.IntRange(min=1),
    metavar="LEVEL",
    help="Bring the median level of every picture to this one, in training as at the line: for parts photographed at "
    "several exposures.  [default: as bright as they are]",
)


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers separated by commas, of one type."""

    def __init__(self, kind: type, count: int | None = None) -> None:
        self.kind = kind
        self.count = count
        self.name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas", param, ctx)
        if self.count is not None and len(numbers) != self.count:
            self.fail(f"expected {self.count} numbers, got {len(numbers)}", param, ctx)
        return numbers
