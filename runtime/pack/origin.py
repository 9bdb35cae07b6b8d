"""origin.json in a bundle that came in a pack: which file, and who signed it. Results repeat it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from csflow.runtime import schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.files import read_json_file
from csflow.runtime.errors import BundleCorrupted

__all__ = ["ORIGIN", "Origin", "read_origin", "write_origin"]

ORIGIN = "origin.json"
REMEDY = "unpack the bundle again"


@dataclass(frozen=True)
class Origin:
    """Where a bundle came from."""

    weights_sha256: str
    """Identity of the model that was packed: one that is trained in its place did not come from there."""
    pack_sha256: str
    """Of the whole file."""
    signer: str
    """The name of the key in this machine's trust list; empty where nobody signed."""


def read_origin(bundle: Bundle) -> Origin | None:
    """What 'csflow unpack' left; None where the bundle was made here.

    Raises BundleCorrupted where the file makes no sense, BundleError where it may not be read.
    """
    if not os.path.lexists(bundle.path / ORIGIN):
        return None
    try:
        body = schema.parse_json(read_json_file(bundle.path, ORIGIN, REMEDY))
        origin = schema.from_mapping(Origin, body, ORIGIN)
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / ORIGIN}: {error}: {REMEDY}") from None
    return origin if origin.weights_sha256 == bundle.weights_sha256 else None


def write_origin(bundle: Bundle, origin: Origin) -> None:
    """Write it as a whole. Raises OSError as the file system does."""
    write_atomic(bundle.path / ORIGIN, schema.dump_json(schema.to_mapping(origin)))
