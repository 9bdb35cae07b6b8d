"""A folder of labelled pictures in the training layout, and the words that put them there.

    train/good/ calibration/good/ test/good/   good parts, where the operator sends them
    test/<defect>/                             defective parts
    labels.jsonl                               a line for each word, in order; nothing is ever taken out of it

`csflow train`, `csflow calibrate` and `csflow evaluate` read the pictures as any others.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from csflow.runtime import schema
from csflow.runtime.atomic import sync_directory, write_atomic
from csflow.runtime.errors import DataError, SinkError
from csflow.runtime.labels.label import GOOD, Label, LabelCounts
from csflow.runtime.machine.names import shown

__all__ = ["LABELS", "PLACES", "LabelFolder"]

LABELS = "labels.jsonl"
PLACES = ("train", "calibration", "test")
"""Where good parts may go; defective ones are for testing."""
MAX_BYTES = 256 << 20
MAX_LINE = 1 << 16


class LabelFolder:
    """Takes pictures with the operator's word on them. One process writes a line at a time; several may."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def add(
        self,
        data: bytes,
        name: str,
        verdict: str,
        truth: str,
        reason: str,
        by: str,
        place: str = "test",
        result: dict[str, Any] | None = None,
    ) -> Label:
        """Keep the file of a picture and the word on it; a picture that was labelled before moves where it belongs now.

        Args:
            data: the picture's file, kept byte for byte.
            name: the picture's file name, of which stem and suffix are kept.
            verdict: what csflow said: OK, NOK or UNCERTAIN.
            truth: 'good' or the type of the defect, as `truth_of` gives it.
            place: one of PLACES, for a good part.
            result: the record of the result, where there is one.

        Raises:
            ValueError: a word that cannot be.
            DataError: labels.jsonl is not one of csflow's.
            SinkError: the folder cannot be written.
        """
        if place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}")
        digest = hashlib.sha256(data).hexdigest()
        split = place if truth == GOOD else "test"
        path = f"{split}/{truth}/{_file_name(name, digest)}"
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        label = Label(path, digest, verdict, truth, reason, by, now, result or {})
        line = schema.json_line(schema.to_mapping(label)).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a label takes at most {MAX_LINE} bytes")
        earlier = {old.picture for old in self.read() if old.sha256 == digest} - {path}
        try:
            # Picture first: a line never names one that is not there. Earlier places last: it is always somewhere.
            write_atomic(self.root / path, data)
            self._append(line)
            for old in earlier:
                (self.root / old).unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(f"cannot write into {self.root}: {error.strerror}; name another folder") from None
        return label

    def make(self) -> None:
        """Make the folder where it is not there. Raises SinkError where it cannot be made or written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SinkError(f"cannot write into {self.root}: {error.strerror}; name another folder") from None

    def read(self) -> list[Label]:
        """Every word, in order; none where there is no labels.jsonl. Raises DataError where it is not csflow's.

        A line that a power cut left unfinished is no word: nobody was told that it was kept.
        """
        path = self.root / LABELS
        try:
            if not path.is_file():
                return []
            if path.stat().st_size > MAX_BYTES:
                raise DataError(f"{path} is larger than {MAX_BYTES} bytes: begin another folder")
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        whole = ((number, line) for number, line in enumerate(lines, 1) if not schema.is_cut(line))
        return [_parsed(line, f"{path}, line {number}") for number, line in whole]

    def counts(self) -> LabelCounts:
        """How often the operator agreed. Raises DataError as `read`."""
        return LabelCounts.of(self.read())

    def _append(self, line: bytes) -> None:
        handle = os.open(self.root / LABELS, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # what a power cut left of another
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)  # a disk that became full
                raise OSError(28, "No space left on device")
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_directory(self.root)


def _parsed(line: bytes, where: str) -> Label:
    try:
        label = schema.from_mapping(Label, schema.parse_json(line))
    except schema.SchemaError as error:
        raise DataError(f"{where}: {error}; correct or remove the line") from None
    if label.picture.startswith("/") or ".." in label.picture.split("/"):
        raise DataError(f"{where}: the picture lies outside of the folder; correct or remove the line")
    return label


def _file_name(name: str, digest: str) -> str:
    """The given name, plain, with the start of the hash: cameras and lots use the same names again."""
    path = Path(shown(name))
    stem = re.sub(r"[^A-Za-z0-9_+-]+", "-", path.stem).strip("-")[-60:] or "picture"
    return f"{stem}-{digest[:12]}{path.suffix.lower()}"
