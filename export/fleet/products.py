"""products.toml: every product with its pictures, its method and its options."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from csflow.runtime.errors import ConfigError
from csflow.runtime.machine.toml import read_toml
from csflow.runtime.schema import SchemaError, from_mapping, to_mapping
from csflow.toolkit.choosing.settings import TrainSettings
from csflow.toolkit.cli.presets import PRESETS, preset_settings

__all__ = ["Entry", "Fleet", "Product", "Settings", "read_products"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
LARGEST = 0xFFFF


@dataclass(frozen=True, kw_only=True)
class Settings(TrainSettings):
    """How products are made. [defaults] says any of it for all of them, a product for itself.

    What has a name of an option of `csflow train`, `calibrate` or `export` means the same; files are relative to
    products.toml.
    """

    preset: str = "paper"
    """Settings that belong together, each of which any of the others overrules."""
    false_reject_rate: float = 0.01
    confidence: float = 0.95
    warn_rate: float | None = None
    keep_outliers: bool = False
    backend: str = "auto"
    """Engine that the line uses: it scores for the thresholds and is the one that is proved."""
    fp16: bool = False
    cores: int = 1
    """Processor cores that one product takes, and threads that its arithmetic uses."""
    gpus: float | None = None
    """GPUs that one product takes; below 1, several share one. None: one, where the machines have any."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r}: expected one of {', '.join(PRESETS)}")
        if self.cores < 1:
            raise ValueError(f"cores {self.cores}: expected at least 1")
        if self.gpus is not None and self.gpus < 0.0:
            raise ValueError(f"gpus {self.gpus:g}: expected at least 0")
        rates = (self.false_reject_rate, self.confidence, 0.5 if self.warn_rate is None else self.warn_rate)
        if not all(0.0 < rate < 1.0 for rate in rates):
            raise ValueError("expected false_reject_rate, confidence and warn_rate between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Entry(Settings):
    """A product as the file has it."""

    images: str
    """Folder of its pictures, as `csflow train` takes it; relative to products.toml."""
    bundle: str = ""
    """Where its bundle goes; relative to products.toml; bundles/NAME.csflow unless it is named."""
    number: int = 0
    """Of the recipe in station.toml, 1 to 65535; 0: it has none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.number <= LARGEST:
            raise ValueError(f"number {self.number}: expected 1 to {LARGEST}")


@dataclass(frozen=True)
class Product:
    """A product with its name and its place."""

    name: str
    entry: Entry
    folder: Path
    """That of products.toml."""

    @property
    def images(self) -> Path:
        """Folder of its pictures."""
        return self.folder / self.entry.images

    @property
    def bundle(self) -> Path:
        """Where its bundle is or will be."""
        return self.folder / (self.entry.bundle or f"bundles/{self.name}.csflow")

    @property
    def settings(self) -> TrainSettings:
        """Those of its training, with the places of its files."""
        region, weights = self.entry.region, self.entry.backbone_weights
        if weights.endswith((".safetensors", ".pth")):
            weights = str(self.folder / weights)
        return replace(self.entry, region=region and str(self.folder / region), backbone_weights=weights)


@dataclass(frozen=True)
class Fleet:
    """All of products.toml."""

    products: tuple[Product, ...]
    """In the order of the file."""
    work: Path
    """The folder beside the file: records, sheets, logs, features that products share, the page."""


@dataclass(frozen=True)
class _File:
    products: dict[str, Entry]
    defaults: dict[str, Any] = field(default_factory=dict)


def read_products(path: Path) -> Fleet:
    """What the file says.

    Raises ConfigError, with the place and what was expected, for unknown keys, wrong values, no product, and numbers or
    bundles that two products share; BackendUnavailable where Python 3.10 lacks tomli.
    """
    tables = read_toml(path, "fleet")
    try:
        known = from_mapping(_File, _with_defaults(tables, str(path)), str(path))
    except SchemaError as error:
        raise ConfigError(str(error)) from None
    folder = path.parent.absolute()
    products = tuple(Product(name, entry, folder) for name, entry in known.products.items())
    if not products:
        raise ConfigError(f"{path}: no product; give each a section [products.NAME] with its images")
    _refuse_doubles(path, products)
    return Fleet(products, folder / f"{path.stem}.fleet")


def _with_defaults(tables: dict[str, Any], where: str) -> dict[str, Any]:
    defaults = tables.get("defaults", {})
    given = to_mapping(from_mapping(Settings, defaults, f"{where}.defaults"))
    said = {name: given[name] for name in defaults}
    products = tables.get("products")
    if not isinstance(products, dict) or not all(isinstance(product, dict) for product in products.values()):
        return tables
    return {**tables, "products": {name: _with_preset({**said, **product}) for name, product in products.items()}}


def _with_preset(said: dict[str, Any]) -> dict[str, Any]:
    preset = said.get("preset")
    return {**preset_settings(preset), **said} if isinstance(preset, str) and preset in PRESETS else said


def _refuse_doubles(path: Path, products: tuple[Product, ...]) -> None:
    for product in products:
        if not NAME.fullmatch(product.name):
            raise ConfigError(f"{path}: product {product.name!r}: expected letters, digits and _.+-, at most 64")
    numbers = [(str(product.entry.number), product.name) for product in products if product.entry.number]
    # Names differ by case alone where a file system may not.
    names = [(product.name.casefold(), product.name) for product in products]
    bundles = [(str(product.bundle.resolve()).casefold(), product.name) for product in products]
    for what, values in (("the number", numbers), ("the name", names), ("the bundle", bundles)):
        for value, count in Counter(value for value, _ in values).items():
            if count > 1:
                sharing = " and ".join(name for found, name in values if found == value)
                raise ConfigError(f"{path}: {sharing} share {what} {value}: each product needs its own")
