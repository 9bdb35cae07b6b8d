"""manifest.json: what a bundle is, and the hash of every file in it.

format 1   one detector, CS-Flow, with the graphs backbone and flow; read for ever, and kept where such a bundle is
           updated
format 2   names its method and its graphs in running order; what holds its default is not written, so that a field
           that is added later changes no bundle that does not use it
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from csflow.runtime import schema
from csflow.runtime.bundle.alignment import REFERENCE_SIDE, Alignment
from csflow.runtime.errors import BundleCorrupted, BundleError, BundleVersionError

__all__ = [
    "CALIBRATION",
    "CS_FLOW",
    "CS_FLOW_GRAPHS",
    "FORMAT",
    "FORMAT_VERSION",
    "IGNORED_RGB",
    "MANIFEST",
    "MAX_IGNORED",
    "Definitions",
    "FileEntry",
    "Manifest",
    "Preprocessing",
    "canonical",
    "file_name_problem",
]

FORMAT = "csflow-bundle"
FORMAT_VERSION = 2
CS_FLOW = "cs-flow"
CS_FLOW_GRAPHS = ("backbone", "flow")
MAX_GRAPHS = 8
MAX_DEFINITION = 200
MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
MAX_SIDE_PX = 65535
MAX_IGNORED = 4096
MAX_LEVEL = 65535
MAX_LOOKS = 8
MAX_EXPOSURE = 254
MAX_NEAR = 256
IGNORED_RGB = (124, 116, 104)
"""The mean colour of ImageNet: after normalisation by the backbone it is about zero."""
_METHOD = re.compile(r"[a-z][a-z0-9-]{0,30}")
_GRAPH = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the uint8 input of the backbone graph."""

    image_size: int
    """Side S of the square model input, in pixels."""
    roi: tuple[int, int, int, int] | None = None
    """Region of interest (x, y, width, height) in pixels of the camera image; None is the whole image."""
    resize: str = "pillow-bilinear"
    """Pillow's antialiased bilinear filter on uint8, columns first, then rows; the only one defined."""
    colour: str = "RGB"
    """Channel order of the input; the only one defined."""
    ignore: tuple[tuple[int, int, int, int], ...] = ()
    """Rectangles (x, y, width, height) in pixels of the camera image that are painted over with `IGNORED_RGB` before
    anything else, in training as at the line: the model never sees what lies there."""
    window: tuple[int, int] | None = None
    """Levels (low, high) of pictures of more than 8 bits that become 0 and 255, before anything else
    (`csflow.runtime.picture.window`); None takes pictures of 8 bits alone. Format 2 only."""
    align: Alignment | None = None
    """What a picture is moved onto after all else (`csflow.runtime.picture.align`); None leaves it where it lies.
    Format 2 only."""
    tiles: tuple[int, int] | None = None
    """(side, overlap) in pixels of the camera image: the region is cut into such squares, each of which goes through
    the model (`csflow.runtime.bundle.tiles`); the highest of their scores is the picture's. None takes the region as
    one. Format 2 only."""
    looks: int = 0
    """Of how many tiles, those with the highest scores, what is highest may get a tile about it, whose score counts too
    (`TileGrid.looks`); 0 without tiles. Format 2 only."""
    near: int = 8
    """What lies within this part of a tile's side of its middle is not looked at again. Format 2 only."""
    exposure: int | None = None
    """Level that the median of every picture is brought to, after the window and the crop
    (`csflow.runtime.picture.exposure`); None leaves pictures as bright as they are. Format 2 only."""

    def __post_init__(self) -> None:
        if not 32 <= self.image_size <= 8192 or self.image_size % 32:
            raise ValueError("image_size must be a multiple of 32 from 32 to 8192")
        if self.resize != "pillow-bilinear" or self.colour != "RGB":
            raise ValueError("only resize 'pillow-bilinear' and colour 'RGB' are defined")
        roi = self.roi or (0, 0, 1, 1)
        for name, box in (("roi", roi), *(("ignore", box) for box in self.ignore)):
            if min(box) < 0 or min(box[2:]) < 1 or max(box) > MAX_SIDE_PX:
                raise ValueError(
                    f"{name} must be (x, y, width, height), x, y >= 0, width, height >= 1, all <= {MAX_SIDE_PX}"
                )
        if self.window is not None and not 0 <= self.window[0] < self.window[1] <= MAX_LEVEL:
            raise ValueError(f"window must be (low, high), 0 <= low < high <= {MAX_LEVEL}")
        side, overlap = self.tiles or (1, 0)
        if not (1 <= side <= MAX_SIDE_PX and 0 <= 2 * overlap <= side):
            raise ValueError(f"tiles must be (side, overlap), 1 <= side <= {MAX_SIDE_PX}, 0 <= overlap <= side / 2")
        if not 0 <= self.looks <= (MAX_LOOKS if self.tiles else 0):
            raise ValueError(f"looks must be 0 to {MAX_LOOKS}, and 0 without tiles")
        if not 1 <= self.near <= MAX_NEAR or (self.near != Preprocessing.near and not self.looks):
            raise ValueError(f"near must be 1 to {MAX_NEAR}, and {Preprocessing.near} without looks")
        if len(self.ignore) > MAX_IGNORED:
            raise ValueError(f"ignore holds {len(self.ignore)} rectangles, at most {MAX_IGNORED} are allowed")
        if self.align is not None and (self.ignore or self.tiles or self.image_size < REFERENCE_SIDE):
            raise ValueError(f"align needs an image_size of at least {REFERENCE_SIDE}, no ignored areas and no tiles")
        if self.exposure is not None and (not 1 <= self.exposure <= MAX_EXPOSURE or self.ignore or self.tiles):
            raise ValueError(f"exposure must be 1 to {MAX_EXPOSURE}, without ignored areas and tiles")


@dataclass(frozen=True)
class Definitions:
    """Which formulas the numbers of this bundle follow, in words for people: no program reads more out of them."""

    score: str = "mean-half-z2"
    """CS-Flow: mean of z²/2 over all latents of all scales (reference evaluate.py since 2022-08-08)."""
    anomaly_map: str = "scale0-mean-z2"
    """CS-Flow: 'scale0-mean-z2', channel mean of z² at the finest scale (reference localization since 2022-05-31), one
    value per 32 pixels; or 'product-mean-z2', product over the scales of that mean, each enlarged bilinearly to the
    model's input size (anomalib's default)."""

    def __post_init__(self) -> None:
        for text in (self.score, self.anomaly_map):
            if not 1 <= len(text) <= MAX_DEFINITION or not (text.isascii() and text.isprintable()):
                raise ValueError(f"score and anomaly_map must be 1 to {MAX_DEFINITION} printable ASCII characters")


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle."""

    sha256: str
    size: int
    """Bytes."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256) or not 0 <= self.size < 1 << 63:
            raise ValueError("expected 64 hexadecimal digits and a size from 0 to 2**63 - 1")


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    preprocessing: Preprocessing
    definitions: Definitions
    model: dict[str, Any]
    """Configuration of backbone and flow, read by `csflow.toolkit.config`; opaque to the runtime."""
    provenance: dict[str, Any]
    """Where data and weights came from: csflow version, UTC time, backbone weights' SHA-256."""
    files: dict[str, FileEntry]
    """Every hashed file, by its path inside the bundle."""
    method: str = CS_FLOW
    """What detects: 'cs-flow' or another name in `csflow.toolkit.methods`; a name alone to the runtime."""
    graphs: tuple[str, ...] = CS_FLOW_GRAPHS
    """The graphs in running order. The first takes `frame`, the last gives `score` and `anomaly_map`; tensors are
    joined by their names. Weights, graphs and plans are files of these names."""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise ValueError("method must be 1 to 31 of a-z, 0-9 and -, beginning with a letter")
        if not 1 <= len(self.graphs) <= MAX_GRAPHS or len(set(self.graphs)) != len(self.graphs):
            raise ValueError(f"graphs must be 1 to {MAX_GRAPHS} different names")
        if not all(map(_GRAPH.fullmatch, self.graphs)):
            raise ValueError("the name of a graph must be 1 to 32 of a-z, 0-9 and _, beginning with a letter")
        if self.format_version == 1 and (self.method, self.graphs) != (CS_FLOW, CS_FLOW_GRAPHS):
            raise ValueError("format 1 knows no other method than cs-flow")
        how = self.preprocessing
        newer = (how.window, how.align, how.tiles, how.exposure)
        if self.format_version == 1 and any(value is not None for value in newer):
            raise ValueError("format 1 knows no window, no alignment, no tiles and no exposure")
        for name in self.files:
            if problem := file_name_problem(name):
                raise ValueError(problem)
            if parent := next((p for p in _parents(name) if p in self.files), None):
                raise ValueError(f"{parent!r} cannot be a file and the folder of {name!r}")

    def body(self) -> dict[str, Any]:
        """The manifest as JSON values, without its own hash.

        Raises ValueError where `model` or `provenance` hold what could not be read back (NaN, infinity).
        """
        body: dict[str, Any] = schema.parse_json(schema.dump_json(dataclasses.asdict(self)))
        if self.format_version == 1:
            del body["method"], body["graphs"]
            for name in ("window", "align", "tiles", "looks", "near", "exposure"):
                del body["preprocessing"][name]
            if not self.preprocessing.ignore:
                del body["preprocessing"]["ignore"]  # its first readers did not know it
        else:
            for part in (self.preprocessing, self.definitions):
                name = type(part).__name__.lower()
                body[name] = {key: value for key, value in body[name].items() if not _is_default(part, key)}
        return body

    def to_bytes(self) -> bytes:
        """JSON with a hash over itself, so that an edited manifest is noticed. Raises ValueError as `body` does."""
        body = self.body()
        return schema.dump_json({**body, "manifest_sha256": _self_hash(body)})

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read and check manifest.json.

        Raises:
            BundleError: not a csflow manifest at all.
            BundleVersionError: written in a newer format.
            BundleCorrupted: truncated, edited, or not of the schema.
        """
        try:
            body = schema.parse_json(data)
        except schema.SchemaError as error:
            raise BundleCorrupted(f"{where}: {error}; copy the bundle again") from None
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise BundleError(f"{where} is not the manifest of a csflow bundle")
        _check_version(body, where)
        claimed = body.pop("manifest_sha256", None)
        if claimed != _self_hash(body):
            raise BundleCorrupted(
                f"{where} was edited or damaged: its own hash does not fit; copy or make the bundle again"
            )
        try:
            manifest = schema.from_mapping(cls, body)
        except schema.SchemaError as error:
            raise BundleCorrupted(f"{where}: {error}; make the bundle anew with this csflow") from None
        if manifest.format_version > 1 and manifest.body() != body:
            # Its identity would depend on who reads it.
            raise BundleCorrupted(f"{where} spells out defaults or lacks keys; make the bundle anew with this csflow")
        return manifest


def file_name_problem(name: str) -> str | None:
    """Why `name` may not be a hashed file of a bundle, or None.

    Allowed: relative, at most 200 plain characters, no hidden parts, no .., and neither manifest.json nor
    calibration.json, which carry no hash.
    """
    if len(name) > 200 or not _NAME.fullmatch(name) or name in (MANIFEST, CALIBRATION):
        return f"{name[:80]!r} is no allowed file name inside a bundle"
    return None


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _is_default(part: Preprocessing | Definitions, name: str) -> bool:
    default = next(field.default for field in dataclasses.fields(part) if field.name == name)
    return default is not dataclasses.MISSING and getattr(part, name) == default


def _check_version(body: dict[str, Any], where: str) -> None:
    version = body.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleCorrupted(f"{where}: format_version must be a positive whole number")
    if version > FORMAT_VERSION:
        raise BundleVersionError(
            f"{where} has bundle format {version}; this csflow reads up to {FORMAT_VERSION}: update csflow"
        )
    if version == 1 and not {"method", "graphs"}.isdisjoint(body):
        raise BundleCorrupted(f"{where}: method and graphs are keys of format 2; make the bundle anew with this csflow")


def canonical(body: Any) -> str:
    """The one spelling of JSON values that is hashed: sorted keys, no blanks, ASCII, numbers as Python writes them.

    Raises ValueError for NaN and infinity.
    """
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _self_hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(body).encode()).hexdigest()
