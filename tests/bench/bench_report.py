"""What `make bench` prints as it is measured: a part that fails, or is stopped, takes no finished one with it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from bench_rows import CameraRow, Row

__all__ = ["Report"]

ROWS = "| what | median ms | p95 ms | p99 ms | ratio |\n|---|---|---|---|---|"
CAMERA_ROWS = (
    "| engine | cameras | frames a call | frames/s | ratio | latency p50 ms | p95 ms | p99 ms |\n"
    "|---|---|---|---|---|---|---|---|"
)


class Report:
    """Finished parts on stdout: text at once, JSON when it is left, also by an error; what is going on on stderr."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._found: dict[str, Any] = {}

    def going_on(self, what: str) -> None:
        """Say what is being measured, and since when."""
        click.echo(f"{time.strftime('%H:%M:%S')} {what}", err=True)

    def fact(self, name: str, value: Any, text: str = "") -> None:
        """Keep a value under its name, which goes before it in the text unless `text` says it otherwise."""
        self._add(name, value, text or f"{name}: {value}")

    def table(self, name: str, rows: Sequence[Row] | Sequence[CameraRow]) -> None:
        """Keep the rows of a part."""
        head = CAMERA_ROWS if isinstance(rows[0], CameraRow) else ROWS
        self._add(name, [asdict(row) for row in rows], "\n".join(("", head, *(row.text() for row in rows), "")))

    def _add(self, name: str, value: Any, text: str) -> None:
        self._found[name] = value
        if not self._as_json:
            # Through a pipe, too, it is out before the next part begins.
            print(text, flush=True)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._as_json:
            click.echo(json.dumps(self._found, indent=2))
