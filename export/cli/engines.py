"""The options of `csflow export` that say which TensorRT plans are built, and how."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["engine_options"]

OPTIONS = (
    click.option(
        "--target",
        type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]),
        default="auto",
        show_default=True,
        help="TensorRT that builds the FP16 engines: full, on the GPU that runs them, or for RTX, which needs no GPU.",
    ),
    click.option("--no-engines", is_flag=True, help="Write graphs only."),
    click.option(
        "--batch",
        default="1",
        show_default=True,
        metavar="N|MIN,OPT,MAX",
        help="Frames at a time: always N, or a range and the number that the engine is tuned for.",
    ),
    click.option("--workspace", metavar="SIZE", help="Most scratch memory of one layer, for example 2G."),
    click.option(
        "--optimization-level",
        type=click.IntRange(0, 5),
        help="0 builds fastest, 5 searches longest for fast kernels (TensorRT's default: 3).",
    ),
    click.option(
        "--compute-capability",
        metavar="LIST",
        help="GPUs of engines for RTX: 75, 80, 86, 89, 120, 121, with commas; default: all but 75.",
    ),
    click.option(
        "--hardware-compatible",
        type=click.Choice(["ampere-plus", "same-compute-capability"]),
        help="Engines of full TensorRT that run on more than the GPU that built them; slower.",
    ),
    click.option(
        "--version-compatible", is_flag=True, help="Engines that newer versions of full TensorRT load; slower."
    ),
    click.option(
        "--dla", type=click.IntRange(0), metavar="CORE", help="Run the backbone on this DLA of a Jetson Orin."
    ),
)


def engine_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options; the body receives them as `engines`, an `EngineChoice`."""

    @functools.wraps(function)
    def command(target: str, no_engines: bool, **values: Any) -> None:
        from csflow.export.plans.build.options import EngineChoice, build_options

        names = ("batch", "workspace", "optimization_level", "compute_capability", "hardware_compatible")
        chosen = {name: values.pop(name) for name in (*names, "version_compatible", "dla")}
        function(engines=EngineChoice(target, no_engines, build_options(**chosen)), **values)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(OPTIONS), command)
