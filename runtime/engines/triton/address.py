"""Where a model of a Triton server is found: 'grpc://line-server:8001/part7'."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from csflow.runtime.errors import ConfigError

__all__ = ["EXAMPLE", "Address"]

EXAMPLE = "grpc://HOST:8001/MODEL"
PORTS = {"http": 8000, "https": 8000, "grpc": 8001, "grpcs": 8001}
"""Triton's own ports, by the protocols that csflow speaks; those that end in s are encrypted."""
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Address:
    """One model of one server."""

    protocol: str
    """'http', 'https', 'grpc' or 'grpcs'."""
    host: str
    port: int
    model: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read PROTOCOL://HOST[:PORT]/MODEL; raises ConfigError."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise _wrong(text) from None
        model = parts.path.removeprefix("/")
        unfit = parts.query or parts.fragment or parts.username is not None or not MODEL.fullmatch(model)
        if parts.scheme not in PORTS or not parts.hostname or unfit:
            raise _wrong(text)
        return cls(parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port, model)

    def __str__(self) -> str:
        return f"{self.protocol}://{self.place}/{self.model}"

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def encrypted(self) -> bool:
        """Whether the connection is."""
        return self.protocol.endswith("s")

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, as far as the name tells."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _wrong(text: str) -> ConfigError:
    return ConfigError(
        f"no address of a Triton model: {text!r}; expected one such as {EXAMPLE}, with grpc, grpcs, http or https, "
        "and the name of the model on the server"
    )
