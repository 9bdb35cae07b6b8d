"""`csflow roi`: choose and see what of the picture the model looks at."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.runtime.cli.command import Command, pixels_option, require, tell
from csflow.runtime.errors import ConfigError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from csflow.runtime.picture.region import Region

__all__ = ["roi"]

EXAMPLES = (
    "csflow roi part.png --roi 100,50,640,480 -o seen.png --save region.json",
    "csflow roi 0 -o seen.png",
    "csflow roi part.png --draw --save region.json",
    "csflow roi part.png --ignore 10,10,90,20,50,80 --save region.json",
)
PAGE = "127.0.0.1:0"
LAST_ANSWER_S = 0.3
BINS = 32
BARS = " .:-=+*#%@"


def _window(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5})", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no window: expected LOW,HIGH in levels, for example 100,4000")
    return int(match[1]), int(match[2])


def _ignored(texts: tuple[str, ...], image: NDArray[Any]) -> tuple[tuple[int, int, int, int], ...]:
    """X,Y,W,H each, or the corners X,Y,X,Y,X,Y... of a polygon."""
    from csflow.runtime.drawing.polygon import polygon_boxes

    polygons = [text for text in texts if text.count(",") >= 5]
    boxes = tuple(_box(text) for text in texts if text not in polygons)
    size = (image.shape[1], image.shape[0])
    return (*boxes, *(polygon_boxes([_corners(text) for text in polygons], size) if polygons else ()))


def _corners(text: str) -> list[tuple[int, int]]:
    if re.fullmatch(r"\d{1,5},\d{1,5}(,\d{1,5},\d{1,5})+", text) is None:
        raise click.BadParameter(f"{text!r} is no polygon: expected X,Y,X,Y,X,Y and so on, a pair for each corner")
    numbers = [int(number) for number in text.split(",")]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _box(text: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no box: expected X,Y,WIDTH,HEIGHT in pixels, for example 100,50,640,480")
    x, y, width, height = (int(number) for number in match.groups())
    return x, y, width, height


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("picture", metavar="PICTURE_OR_CAMERA")
@pixels_option
@click.option("--roi", "box", metavar="X,Y,W,H", help="Region of interest: the model gets nothing else.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="X,Y,W,H",
    help="Area that does not count, or the corners X,Y,X,Y,X,Y,... of one; may be repeated.",
)
@click.option(
    "--mask", metavar="FILE", help="Picture of the camera's size: black is ignored, anything brighter is looked at."
)
@click.option(
    "--window",
    callback=_window,
    metavar="LOW,HIGH",
    help="Levels of a picture of more than 8 bits that become black and white; without it some are proposed.",
)
@click.option("--draw", is_flag=True, help="Draw region and ignored areas with mouse or finger, in a browser.")
@click.option(
    "--serve",
    default=PAGE,
    show_default=True,
    metavar="HOST:PORT",
    help="Where --draw has its page; 0: any port.",
)
@click.option("--bundle", metavar="DIR", help="Show the region of this bundle instead.")
@click.option("-o", "--output", metavar="FILE", help="Save a picture of what is seen.")
@click.option("--save", metavar="FILE", help="Save the region for 'csflow train --region FILE'.")
def roi(
    picture: str,
    box: str | None,
    ignore: tuple[str, ...],
    mask: str | None,
    window: tuple[int, int] | None,
    draw: bool,
    serve: str,
    bundle: str | None,
    output: str | None,
    save: str | None,
) -> None:
    """Choose what of the picture the model looks at, and see it.

    PICTURE_OR_CAMERA is a picture, or a camera as `csflow run --camera` takes it. Boxes are in pixels of that
    picture. The region belongs to the trained model: to change it, train again with it.
    """
    from csflow.runtime.picture.region import Region, region_picture, save_region
    from csflow.runtime.picture.window import eight_bits

    if serve != PAGE and not draw:
        raise click.UsageError("--serve is about the page of --draw: give that too")
    taken, decoder = _image(picture)
    if bundle is not None:
        if box or ignore or mask or save or window or draw:
            raise click.UsageError(
                "a bundle keeps the region it was trained with: to change it, train again without it"
            )
        region = _region_of(bundle)
    else:
        try:
            boxes = (*_ignored(ignore, taken), *(_masked(mask, taken) if mask else ()))
            region = Region(_box(box) if box else None, boxes, window or _proposed(taken))
        except ValueError as error:
            raise ConfigError(str(error)) from None
    image = eight_bits(taken, region.window)
    if draw:
        save = save or "region.json"
        region = _drawn(image, region, serve, save)
    shown = region_picture(image, region)
    if output is not None:
        _save_picture(shown, Path(output), decoder)
    if save is not None:
        if not draw:
            save_region(region, save)
        click.echo(_saved(save), err=True)
    click.echo(_text(region, taken))


def _saved(path: str) -> str:
    return f"saved {path}; next: csflow train IMAGES --region {path}"


def _drawn(image: NDArray[np.uint8], region: Region, serve: str, path: str) -> Region:
    """What somebody draws and saves on a page; Ctrl-C ends without."""
    require("serve", "starlette", "uvicorn")
    from csflow.runtime.drawing.server import DrawingServer
    from csflow.runtime.page.access import Address
    from csflow.runtime.picture.region import save_region

    def save(drawn: Region) -> str:
        save_region(drawn, path)
        return _saved(path)

    server = DrawingServer(Address.parse(serve), image, region, save)
    try:
        tell(f"draw on {server.url}\nthe page saves {path} and ends this command; Ctrl-C ends it without")
        while not server.done.wait(0.2):
            pass
        # The page is to get its answer before the server is gone.
        time.sleep(LAST_ANSWER_S)
    finally:
        server.close()
    assert server.drawn is not None
    return server.drawn


def _image(picture: str) -> tuple[NDArray[Any], str]:
    """A picture, and what made its pixels where a camera gave it."""
    from csflow.runtime.picture.origin import decoder_of
    from csflow.runtime.source import open_source, source_kind

    end_s = time.monotonic() + 5.0
    with open_source(picture) as source:
        while time.monotonic() < end_s:
            if (frame := source.read(0.5)) is not None:
                return frame.image, "" if source_kind(picture) == "files" else decoder_of(source)
    raise SourceError(f"{picture} gave no picture within 5 s")


def _region_of(bundle: str) -> Region:
    from csflow.runtime.bundle.directory import Bundle
    from csflow.runtime.picture.region import Region

    how = Bundle.open(bundle).manifest.preprocessing
    return Region(how.roi, how.ignore, how.window)


def _proposed(image: NDArray[Any]) -> tuple[int, int] | None:
    from csflow.runtime.picture.window import suggested

    return suggested(image) if image.dtype.itemsize > 1 else None


def _masked(path: str, image: NDArray[Any]) -> tuple[tuple[int, int, int, int], ...]:
    from csflow.runtime.picture.images import read_image
    from csflow.runtime.picture.region import rectangles_of

    mask = read_image(Path(path))
    if mask.shape[:2] != image.shape[:2]:
        raise ConfigError(
            f"the mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels, the picture "
            f"{image.shape[1]}x{image.shape[0]}: make it of the picture's size"
        )
    return rectangles_of((mask == 0).all(axis=2))


def _save_picture(shown: NDArray[np.uint8], path: Path, decoder: str) -> None:
    from PIL import Image

    from csflow.runtime.picture.origin import png_info

    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg", ".bmp"):
        raise ConfigError(f"cannot save {path}: name it .png, .jpg or .bmp")
    partial = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        if decoder and suffix == ".png":
            Image.fromarray(shown).save(partial, pnginfo=png_info(decoder))
        else:
            Image.fromarray(shown).save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _text(region: Region, image: NDArray[Any]) -> str:
    height, width = image.shape[:2]
    x, y, w, h = region.roi or (0, 0, width, height)
    lines = [f"picture  {width}x{height} px", f"region   x={x} y={y} {w}x{h} px"]
    ignored = sum(bw * bh for _, _, bw, bh in region.ignore)
    if region.ignore:
        lines.append(
            f"ignored  {len(region.ignore)} rectangles, {ignored} px ({ignored / (width * height):.1%} of the picture)"
        )
    if region.window is not None:
        lines += _levels(region.window, image)
    return "\n".join(lines)


def _levels(window: tuple[int, int], image: NDArray[Any]) -> list[str]:
    """The picture's levels as a histogram of the window and what lies outside."""
    import numpy as np

    from csflow.runtime.picture.window import clipped

    low, high = window
    below, above = clipped(image, window)
    counts = np.histogram(image, bins=BINS, range=(low, high))[0]
    bars = "".join(BARS[int(count * (len(BARS) - 1) // max(counts.max(), 1))] for count in counts)
    return [
        f"levels   {image.min()} to {image.max()} of 16 bits",
        f"window   {low},{high}: {below:.2%} below |{bars}| {above:.2%} above",
    ]
