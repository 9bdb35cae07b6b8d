"""`csflow inspect`: what a bundle, an ONNX graph or a TensorRT plan holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click

from csflow.runtime.cli.command import Command, echo_json
from csflow.runtime.errors import BundleCorrupted

__all__ = ["inspect"]

EXAMPLES = (
    "csflow inspect model.csflow",
    "csflow inspect model.csflow/graphs/fp32/flow.onnx --json",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-verify", is_flag=True, help="Do not hash a bundle's files; their sizes are checked all the same.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def inspect(path: Path, no_verify: bool, as_json: bool) -> None:
    """Say what PATH holds: a bundle, an .onnx file, or a TensorRT plan.

    Plans are read without TensorRT and without a GPU. Graphs need the extra export. A bundle whose files are not
    what was written is shown and ends with exit code 3.
    """
    from csflow.export.facts.inspection import inspect_path

    found = inspect_path(path, not no_verify)
    if as_json:
        echo_json({"kind": found.kind, **asdict(cast(Any, found.facts))})
    else:
        click.echo("\n".join(found.lines))
    if found.damaged:
        names = ", ".join(found.damaged)
        raise BundleCorrupted(f"{path} is damaged, its hashes do not fit: {names}; copy the bundle again")
