"""A second bundle that sees every part of a running line, says what it would have said, and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from csflow.runtime.detector import Detector
from csflow.runtime.errors import InferenceError, SinkError
from csflow.runtime.picture.region import Region
from csflow.runtime.schema import json_line
from csflow.runtime.sinks.files.lines import LineFile
from csflow.runtime.sinks.overlay import OverlaySink
from csflow.runtime.sinks.record import result_record
from csflow.runtime.types import Frame, Result

__all__ = ["ShadowSink"]


class ShadowSink:
    """Appends to shadow.jsonl, and keeps the pictures of the parts on which the two differ in pictures/.

    A line is a record as of `csflow run --results`, of the second bundle, with `line_verdict` and `line_score`, which
    were acted on.
    """

    def __init__(self, bundle: Path | str, engine: str, folder: Path) -> None:
        """Open the bundle, also where the decision gate has not passed its engine: the records say so.

        Args:
            engine: back end and precision, those of the line.
            folder: made where it is missing.

        Raises SinkError where the folder cannot be written, and what `Detector.open` raises.
        """
        self._detector = Detector.open(bundle, engine, unverified=True)
        try:
            region = Region.of(self._detector.bundle.manifest.preprocessing)
            self._pictures = OverlaySink(folder / "pictures", region)
            self._lines = LineFile(folder / "shadow.jsonl")
        except BaseException:
            self._detector.close()
            raise

    def write(self, result: Result, frame: Frame | None) -> None:
        """Judge the picture too; nothing where none was delivered. Raises SinkError where that fails."""
        if frame is None:
            return
        try:
            seen = self._detector.detect(frame)
        except InferenceError as error:
            raise SinkError(f"shadow: {error}") from None
        same = {name: getattr(result, name) for name in ("source", "camera", "trigger", "part", "captured_unix_ns")}
        seen = replace(seen, **same)
        acted_on = result_record(result)
        line = {"line_verdict": acted_on["verdict"], "line_score": acted_on["score"]}
        self._lines.append(json_line({**result_record(seen), **line}))
        if seen.verdict is not result.verdict:
            self._pictures.write(seen, frame)

    def close(self) -> None:
        """Close files and engine. May be called twice."""
        self._lines.close()
        self._pictures.close()
        self._detector.close()

    def __enter__(self) -> ShadowSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
