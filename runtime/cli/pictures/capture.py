"""`csflow capture`: pictures for a data set, taken as the line will take them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Command, require, tell
from csflow.runtime.cli.run_options import camera_options
from csflow.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.runtime.drawing.preview import PreviewServer
    from csflow.runtime.line.capture import Captured
    from csflow.runtime.source import FrameSource
    from csflow.runtime.trigger import Trigger

__all__ = ["capture"]

EXAMPLES = (
    "csflow capture --camera 0 images/ --key",
    "csflow capture --camera 0 images/ --preview",
    "csflow capture --camera 0 images/ --every 25 --pictures 300",
    "csflow capture --camera aravis:NAME images/ --into calibration/good --trigger gpio:/dev/gpiochip0:17",
    "csflow capture --camera rtsp://host/line images/ --into test/dent --change 4",
    "csflow capture --camera 'synthetic://?defects=0&seed=7' images/ --pictures 300",
)
PAGE = "127.0.0.1:0"


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("folder", metavar="IMAGES", type=click.Path(path_type=Path))
@click.option(
    "--camera", default="0", show_default=True, metavar="URI", help="What to look at, as 'csflow run --camera' has it."
)
@click.option(
    "--into",
    "place",
    default="train/good",
    show_default=True,
    metavar="FOLDER",
    help="Folder in IMAGES: train/good, calibration/good, test/good or test/DEFECT.",
)
@click.option("--key", is_flag=True, help="Take a picture at each press of Enter; Ctrl-D ends.")
@click.option(
    "--trigger", metavar="SOURCE", help="Take a picture at each trigger: stdin, http://127.0.0.1:8500 or gpio:..."
)
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Each N-th frame.")
@click.option(
    "--change",
    type=click.FloatRange(min=0, max=255),
    metavar="LEVELS",
    help="Only frames that differ from the last picture by so many grey levels of 255 on average, such as 3.",
)
@click.option(
    "--preview",
    is_flag=True,
    help="A page with the live picture and the count; its button takes pictures, unless --every or --change do.",
)
@click.option("--serve", default=PAGE, show_default=True, metavar="HOST:PORT", help="Address of the page; 0: any port.")
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", help="Stop after N pictures.")
@camera_options
def capture(
    folder: Path, camera: str, key: bool, trigger: str | None, preview: bool, serve: str, **options: Any
) -> None:
    """Take pictures for a data set, as the line will take them.

    Camera, settings, decoder and waiting are those of 'csflow run', so that a model learns what it will see. The whole
    picture is kept, losslessly; what the model looks at is chosen later ('csflow roi'). Each PNG says how it was taken.
    A frame that is equal to the picture before is not kept.
    """
    from csflow.runtime.cli.run import Stop, signals
    from csflow.runtime.line import capture as line
    from csflow.runtime.line.cameras import CameraPolicy

    if (key or trigger) and (options["every"] > 1 or options["change"] is not None):
        raise click.UsageError(
            "--every and --change choose among frames as they come: leave them with --key or --trigger"
        )
    if (key or trigger) and options["strip"] is not None:
        raise click.UsageError("--strip takes a camera's pictures as they come: leave --key and --trigger")
    if preview and (key or trigger):
        raise click.UsageError("--preview has a button of its own: leave --key and --trigger out")
    if serve != PAGE and not preview:
        raise click.UsageError("--serve is about the page of --preview: give that too")
    chosen = preview and options["every"] == 1 and options["change"] is None
    policy = CameraPolicy(*(options.pop(name) for name in ("timeout", "reconnect", "warm_up", "strip")))
    wish = line.Capture(camera, folder, camera_policy=policy, **options)
    where = folder.joinpath(*line.place_of(wish.place))

    def opened(source: FrameSource) -> None:
        tell(f"source   {source.name}\npictures {where}" + ("\nEnter takes a picture, Ctrl-D ends" if key else ""))

    def saved(path: Path, done: Captured) -> None:
        tell(f"{done.pictures:6d}  {path.name}")

    def failed(words: str) -> None:
        tell(f"   bad  {words}")

    with _asker(key, trigger) as asker, _page(preview, serve, str(where), chosen) as page:
        done = line.capture(wish, asker, opened, saved, failed, lambda: signals(Stop()), page, chosen)
    click.echo(f"{done.pictures} pictures in {where}{_others(done)}")


@contextlib.contextmanager
def _page(wanted: bool, serve: str, place: str, button: bool) -> Iterator[PreviewServer | None]:
    if not wanted:
        yield None
        return
    require("serve", "starlette", "uvicorn")
    from csflow.runtime.drawing.preview import PreviewServer
    from csflow.runtime.page.access import Address

    server = PreviewServer(Address.parse(serve), place, button)
    tell(f"preview  {server.url}")
    try:
        yield server
    finally:
        server.close()


def _asker(key: bool, trigger: str | None) -> contextlib.AbstractContextManager[Trigger | None]:
    from csflow.runtime.trigger import open_trigger, trigger_kind

    if key and trigger:
        raise click.UsageError("--key and --trigger both ask for pictures: take one of them")
    if trigger and trigger_kind(trigger) == "pipe":
        raise click.UsageError(
            "--trigger pipe: is a supervisor's, who needs a model: take stdin, http://... or gpio:..."
        )
    if trigger:
        return open_trigger(trigger)
    if not key:
        return contextlib.nullcontext()
    from csflow.runtime.triggers.lines import LineTrigger

    if sys.stdin is None:
        raise ConfigError("standard input is closed: --key needs a terminal")
    return LineTrigger(sys.stdin.fileno(), "Enter", blank=True)


def _others(done: Captured) -> str:
    counts = {"passed over": done.passed_over, "equal to the one before": done.same, "bad": done.bad}
    return "".join(f", {count} frames {what}" for what, count in counts.items() if count)
