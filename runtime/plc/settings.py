"""station.toml: recipes, who has control, and what the adapters listen on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from csflow.runtime.errors import ConfigError
from csflow.runtime.machine.toml import read_toml
from csflow.runtime.schema import SchemaError, dump_json, from_mapping, to_mapping

__all__ = [
    "ADAPTERS",
    "S7",
    "Digital",
    "Lines",
    "Modbus",
    "Mqtt",
    "OpcUa",
    "Recipe",
    "Settings",
    "Station",
    "read_settings",
]

POLICIES = ("reject", "accept")
OWN = ("--bundle", "--camera", "--trigger", "--deadline-ms", "--quiet", "-q", "--frames")
"""Options of `csflow run` that the station sets, or that would end its worker."""
LONGEST_MS = 0xFFFF
ADAPTERS = {
    "modbus": ("csflow.runtime.plc.adapters.modbus", "ModbusServer"),
    "lines": ("csflow.runtime.plc.adapters.lines", "LineServer"),
    "s7": ("csflow.runtime.plc.adapters.s7", "S7Client"),
    "opcua": ("csflow.runtime.plc.adapters.opcua.server", "OpcUaServer"),
    "digital": ("csflow.runtime.plc.adapters.digital", "DigitalPort"),
    "mqtt": ("csflow.runtime.plc.adapters.mqtt", "MqttPublisher"),
}
"""Section of station.toml: (module, what opens it)."""


@dataclass(frozen=True)
class Recipe:
    """A product: how its parts are looked at, and what is done in doubt."""

    bundle: str
    """Folder of the bundle, with its region of interest; relative to station.toml."""
    camera: str
    """As `csflow run --camera`, with settings: '0?size=1280x720&exposure=100'."""
    name: str = ""
    deadline_ms: int = 1000
    """From trigger to result where the controller gives no other, 1 to 65535."""
    uncertain: str = "reject"
    """A score between the thresholds: 'reject' tells UNCERTAIN, which no controller accepts; 'accept' tells OK."""
    options: tuple[str, ...] = ()
    """More options of `csflow run`, such as '--backend', 'openvino?threads=2'."""
    number: int = 0
    """1 to 65535; its key in the file."""

    def __post_init__(self) -> None:
        if not 1 <= self.deadline_ms <= LONGEST_MS:
            raise ValueError(f"deadline_ms {self.deadline_ms}: expected 1 to {LONGEST_MS}")
        if self.uncertain not in POLICIES:
            raise ValueError(f"uncertain {self.uncertain!r}: expected {' or '.join(POLICIES)}")
        if own := [option for option in self.options if option.partition("=")[0] in OWN]:
            raise ValueError(f"options: {own[0]} is not for a recipe: the station itself sets {', '.join(OWN)}")

    def crc(self, *contents: str) -> int:
        """A number, not 0, that changes with these settings and with `contents`, the hashes of the bundle."""
        return zlib.crc32(dump_json([to_mapping(self), *contents])) or 1


@dataclass(frozen=True)
class Station:
    """The station itself."""

    recipe: int
    """In force at the first start; later the one that was in force last."""
    control: str = ""
    """Name of the adapter that commands; all others show only. Empty: none commands."""
    automatic: bool = True
    """Go on by itself after a start and after Reset; else the controller commands SelectAutomatic."""
    state: str = "state"
    """Folder for what survives a restart; relative to station.toml."""
    plc_timeout_ms: int = 1000
    """So long without a sign of the controller in command, and control is taken from it; 0: for ever."""
    start_timeout_s: int = 900
    """Longest time in seconds for a worker to open its engine, pass the golden frames and open the camera."""
    hang_ms: int = 10000
    """A worker that does not answer for so long is ended; must be longer than any inspection."""

    def __post_init__(self) -> None:
        if self.hang_ms < 100 or self.plc_timeout_ms < 0 or self.start_timeout_s < 1:
            raise ValueError("expected hang_ms of at least 100, plc_timeout_ms of at least 0, start_timeout_s of 1")


@dataclass(frozen=True)
class Modbus:
    """The Modbus TCP server."""

    listen: str = "127.0.0.1:502"
    clients: tuple[str, ...] = ("127.0.0.1",)
    """Addresses and networks ('192.168.0.0/24') that may connect."""
    low_word_first: bool = False


@dataclass(frozen=True)
class Lines:
    """The TCP line protocol."""

    listen: str = "127.0.0.1:8500"
    clients: tuple[str, ...] = ("127.0.0.1",)
    """Addresses and networks that may connect."""


@dataclass(frozen=True)
class S7:
    """A data block of a Siemens controller."""

    address: str
    """Of the controller, with its port: '192.168.0.10:102'."""
    db: int
    """Number of the data block, of at least 320 bytes."""
    rack: int = 0
    slot: int = 1
    """1 for S7-1200 and S7-1500, 2 for S7-300."""
    period_ms: int = 5
    """Between two reads."""

    def __post_init__(self) -> None:
        if not (1 <= self.db <= 0xFFFF and 1 <= self.period_ms <= 1000):
            raise ValueError("expected db from 1 to 65535 and period_ms from 1 to 1000")
        if not (0 <= self.rack <= 7 and 0 <= self.slot <= 31):
            raise ValueError("expected rack from 0 to 7 and slot from 0 to 31")


@dataclass(frozen=True)
class OpcUa:
    """The OPC UA server."""

    listen: str = "127.0.0.1:4840"
    pki: str = "pki"
    """Folder with own.der and own.pem, both made at need, and trusted/ with certificates of clients; relative to
    station.toml."""
    commanders: tuple[str, ...] = ()
    """Files in trusted/ whose clients may call methods, where OPC UA has control; all others read."""


@dataclass(frozen=True)
class Digital:
    """Lines of a GPIO chip, each by its number or its name."""

    ok: str
    nok: str
    chip: str = "/dev/gpiochip0"
    ready: str = ""
    busy: str = ""
    trigger: str = ""
    """An input, with options: 'PART_PRESENT?edge=falling&debounce_ms=5'."""
    pulse_ms: int = 100
    """With control: how long a result stands, 1 to 60000."""

    def __post_init__(self) -> None:
        if not 1 <= self.pulse_ms <= 60_000:
            raise ValueError(f"pulse_ms {self.pulse_ms}: expected 1 to 60000")

    @property
    def trigger_uri(self) -> str:
        """The input as `open_trigger` takes it."""
        return f"gpio:{self.chip}:{self.trigger}"


@dataclass(frozen=True)
class Mqtt:
    """An MQTT broker that is told state and results."""

    url: str
    """mqtt://user:password@host:1883/prefix, or '$NAME' for one that stands in the environment."""


@dataclass(frozen=True)
class Settings:
    """All of station.toml."""

    station: Station
    recipes: dict[str, Recipe]
    modbus: Modbus | None = None
    lines: Lines | None = None
    s7: S7 | None = None
    opcua: OpcUa | None = None
    digital: Digital | None = None
    mqtt: Mqtt | None = None
    folder: Path = field(default=Path(), init=False)
    """Where station.toml lies."""

    def __post_init__(self) -> None:
        for key in self.recipes:
            if not (key.isascii() and key.isdecimal() and 1 <= int(key) <= 0xFFFF and str(int(key)) == key):
                raise ValueError(f"recipe {key!r}: expected a number from 1 to 65535")
        if str(self.station.recipe) not in self.recipes:
            raise ValueError(f"station.recipe {self.station.recipe}: there is no [recipes.{self.station.recipe}]")
        present = [name for name in ADAPTERS if getattr(self, name) is not None]
        if self.station.control not in ("", *present):
            raise ValueError(f"station.control {self.station.control!r}: expected one of {present or 'the adapters'}")

    def recipe(self, number: int) -> Recipe | None:
        """The recipe of this number, with its paths absolute; None where there is none."""
        recipe = self.recipes.get(str(number))
        if recipe is None:
            return None
        return replace(recipe, number=number, bundle=str(self.folder / recipe.bundle))


def read_settings(path: Path) -> Settings:
    """What the file says. Raises ConfigError, with the place and what was expected, and BackendUnavailable."""
    try:
        settings = from_mapping(Settings, read_toml(path, "plc"), str(path))
    except SchemaError as error:
        raise ConfigError(str(error)) from None
    folder = path.parent.absolute()
    if settings.opcua is not None:
        settings = replace(settings, opcua=replace(settings.opcua, pki=str(folder / settings.opcua.pki)))
    object.__setattr__(settings, "folder", folder)
    return settings
