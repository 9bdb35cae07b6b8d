"""Who may see the page, everyone on this machine or whoever has its token; and who may label, with another token."""

from __future__ import annotations

import enum
import hmac
import ipaddress
import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from csflow.runtime.errors import ConfigError

__all__ = ["ROLE", "Access", "Address", "Role"]

SHORTEST_TOKEN = 16
ROLE = "csflow.role"
"""Where the scope of an admitted request says who asks."""


class Role(enum.IntEnum):
    """What a request may do; each may what those before it may."""

    NOBODY = 0
    VIEWER = 1
    """See the page and the metrics."""
    OPERATOR = 2
    """Say that a verdict was right or wrong."""


@dataclass(frozen=True)
class Address:
    """HOST:PORT to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read '127.0.0.1:8080', '[::1]:8080', 'localhost:8080' or a bare port. Raises ConfigError."""
        match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):)?([0-9]{1,5})", text)
        if match is None or int(match[2]) > 65535:
            raise ConfigError(f"{text!r} is no address to serve on: expected HOST:PORT, for example 127.0.0.1:8080")
        return cls((match[1] or "127.0.0.1").strip("[]"), int(match[2]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def url(self, port: int) -> str:
        """The address for a browser, with the port that was given by the system for port 0."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}/"


class Access:
    """Judges requests: with a token by the token alone, without one by the name they were sent to.

    The operator's token opens the page too. Without one nobody is an operator, on this machine neither.
    """

    def __init__(self, address: Address, token: str | None, operator_token: str | None = None) -> None:
        """Raises ConfigError for an address that others can reach without a token of at least 16 characters."""
        if token is None and not address.loopback:
            raise ConfigError(
                f"{address.host} can be reached from other machines: set a token of at least {SHORTEST_TOKEN} "
                "characters in CSFLOW_SERVE_TOKEN, or serve on 127.0.0.1"
            )
        for given, name in ((token, "CSFLOW_SERVE_TOKEN"), (operator_token, "CSFLOW_OPERATOR_TOKEN")):
            if given is not None and (len(given) < SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", given)):
                raise ConfigError(
                    f"the token in {name} must have at least {SHORTEST_TOKEN} characters, letters, digits and . _ ~ - "
                    "only"
                )
        if token is not None and token == operator_token:
            raise ConfigError("CSFLOW_SERVE_TOKEN and CSFLOW_OPERATOR_TOKEN must differ: who sees may not yet label")
        self._token = token
        self._operator_token = operator_token
        # Browsers send cookies to every port of a host: two runs on one machine must not share theirs.
        self.cookie = f"csflow_{address.port}"

    @property
    def token_needed(self) -> bool:
        """Whether the page is shown to nobody without a token."""
        return self._token is not None

    @property
    def has_operator(self) -> bool:
        """Whether anybody can be an operator."""
        return self._operator_token is not None

    def role(self, headers: dict[str, str], query: str = "") -> Role:
        """What a request with these headers (names in lower case) and query may do.

        Without a token for the page the request must have been sent to a loopback name: a page elsewhere that lets its
        own name point to 127.0.0.1 (DNS rebinding) gets nothing.
        """
        if self._token is None and not _is_loopback_name(headers.get("host", "")):
            return Role.NOBODY
        least = Role.VIEWER if self._token is None else Role.NOBODY
        return max([least, *map(self.role_of, self._given(headers, query))])

    def role_of(self, given: str) -> Role:
        """What whoever has this token may do; compares in constant time."""
        if _same(given, self._operator_token):
            return Role.OPERATOR
        return Role.VIEWER if _same(given, self._token) else Role.NOBODY

    def _given(self, headers: dict[str, str], query: str) -> list[str]:
        given = parse_qs(query).get("token", [])
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(bearer.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            cookie = None
        return [*given, *([cookie.value] if cookie else [])]


def _same(given: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given.encode(), token.encode())


def _is_loopback_name(host: str) -> bool:
    name = re.sub(r":[0-9]+$", "", host).strip("[]")
    return Address(name, 0).loopback
