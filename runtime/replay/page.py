"""The parts on which two judgements differ, as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from csflow.runtime.atomic import atomic_file
from csflow.runtime.picture.overlay import result_sheet, shrunk
from csflow.runtime.picture.region import Region
from csflow.runtime.replay.again import Again

__all__ = ["write_page"]

MOST = 500
"""Pictures on a page: 30 MB or so."""
LONGEST_PX = 480
STYLE = (
    "body{font:16px system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}"
    "figure{margin:0 0 1.5rem;max-width:60rem}img{max-width:100%;height:auto;display:block}"
    "figcaption{margin-bottom:.4rem;overflow-wrap:anywhere}b{white-space:nowrap}"
)


def write_page(path: Path, title: str, parts: Iterable[Again], region: Region) -> int:
    """Write the page as the parts come; returns how many differ, of which at most 500 are shown.

    Args:
        region: the bundle's, in pixels of the pictures.

    Raises OSError as the file system does; the page is there whole or not at all.
    """
    count = 0
    with atomic_file(path) as file:
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        view = '<meta name="viewport" content="width=device-width">'
        file.write(f"{head}{view}<style>{STYLE}</style><h1>{html.escape(title)}</h1>".encode())
        for one in parts:
            if one.differs:
                count += 1
                if count <= MOST:
                    file.write(_figure(one, region).encode())
        more = f"; the first {MOST} are shown" if count > MOST else ""
        file.write(f"<p>{count} parts differ{more}.</p></html>\n".encode())
    return count


def _figure(one: Again, region: Region) -> str:
    record = one.part.record
    was, now = _words(str(record["verdict"]), record.get("score")), _words(one.verdict, one.result and one.result.score)
    name = html.escape(str(record.get("part") or record["source"]))
    problem = f" ({html.escape(one.problem)})" if one.problem else ""
    caption = f"<figcaption>{name}: <b>was {was}</b>, <b>is {now}</b>{problem}</figcaption>"
    return f"<figure>{caption}{_picture(one, region)}</figure>"


def _words(verdict: str, score: object) -> str:
    return f"{html.escape(verdict)} {score:.4g}" if isinstance(score, float | int) else html.escape(verdict)


def _picture(one: Again, region: Region) -> str:
    if one.result is None or one.frame is None:
        return ""
    buffer = io.BytesIO()
    image, region = shrunk(one.frame.image, region, LONGEST_PX)
    Image.fromarray(result_sheet(image, one.result, region)).save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="picture, heat map and verdict" src="data:image/jpeg;base64,{data}">'
