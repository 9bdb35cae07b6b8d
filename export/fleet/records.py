"""What is known of each product of a fleet: one JSON file a product, and its sheet beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from csflow.export.fleet.products import Product
from csflow.runtime.atomic import write_atomic
from csflow.runtime.schema import SchemaError, dump_json, from_mapping, parse_json, to_mapping

__all__ = ["Record", "Records", "digest_of", "pictures_digest"]


@dataclass(frozen=True)
class Record:
    """What was done for a product, from what, and what came out."""

    keys: dict[str, str] = field(default_factory=dict)
    """By verb: SHA-256 of the settings and pictures with which it was done."""
    begun: str = ""
    """Key of the training that was begun last: one that was interrupted is taken up where nothing changed."""
    weights_sha256: str = ""
    """Identity of the model that the training made."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By verb, the last time that it was done."""
    chosen: str = ""
    """The method, with its options, that was chosen among candidates; empty where one was named."""
    auroc: float | None = None
    """Image AUROC of the trained model in torch; None where there are no good or no defective test pictures."""
    good: tuple[float, float] | None = None
    """Mean and standard deviation of the scores of good pictures."""
    good_of: str = ""
    """Whose scores these are: 'held out', 'left out in turn' or 'fitted' (`csflow.toolkit.data.provenance`)."""
    passed: tuple[str, ...] = ()
    """Engines that passed the gate, with the pictures of the product."""

    def with_done(self, verb: str, key: str, seconds: float) -> Record:
        """With one more thing done."""
        return replace(self, keys={**self.keys, verb: key}, seconds={**self.seconds, verb: seconds})


@dataclass(frozen=True)
class Records:
    """The folder of a fleet's records."""

    work: Path

    def read(self, product: Product) -> Record:
        """The record; an empty one where there is none, or it is damaged: then all is done again."""
        try:
            return from_mapping(Record, parse_json(self._file(product).read_bytes()))
        except (OSError, SchemaError):
            return Record()

    def write(self, product: Product, record: Record) -> None:
        """Replace the record as a whole. Raises OSError as the file system does."""
        write_atomic(self._file(product), dump_json(to_mapping(record)))

    def sheet(self, product: Product) -> Path:
        """Where the JPEG of its pictures and heat maps lies."""
        return self.work / "sheets" / f"{product.name}.jpg"

    def log(self, product: Product) -> Path:
        """Where its work tells what it does."""
        return self.work / "logs" / f"{product.name}.log"

    def _file(self, product: Product) -> Path:
        return self.work / "records" / f"{product.name}.json"


def digest_of(*parts: object) -> str:
    """SHA-256 of values that JSON can hold."""
    return hashlib.sha256(dump_json(list(parts))).hexdigest()


def pictures_digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over name, size and time of change of each file: contents are not read, as there may be terabytes.

    Raises OSError where one is gone.
    """
    found = [(path.relative_to(root).as_posix(), path.stat()) for path in paths]
    return digest_of([[name, at.st_size, at.st_mtime_ns] for name, at in found])
