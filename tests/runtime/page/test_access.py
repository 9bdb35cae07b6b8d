"""Who may see the page, and who may label."""

from __future__ import annotations

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.page.access import Access, Address, Role

from .results import OPERATOR, TOKEN


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("8080", "127.0.0.1", 8080, True),
        ("localhost:80", "localhost", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("127.1.2.3:1", "127.1.2.3", 1, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("[::]:8080", "::", 8080, False),
        ("192.168.1.7:8080", "192.168.1.7", 8080, False),
        ("line1.example:8080", "line1.example", 8080, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "host:99999", ":80", "a b:80", "http://x:80", "::1:80"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("token", [None, "short", "with space and more", "ümlaut-and-more-letters"])
def test_other_machines_need_a_token_worth_the_name(token: str | None) -> None:
    with pytest.raises(ConfigError, match="token"):
        Access(Address.parse("0.0.0.0:8080"), token)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1:8080", True), ("localhost:1", True), ("[::1]:8080", True), ("evil.example", False), ("", False)],
)
def test_without_a_token_only_loopback_names_are_answered(host: str, allowed: bool) -> None:
    assert Access(Address.parse("8080"), None).role({"host": host}) == (Role.VIEWER if allowed else Role.NOBODY)


@pytest.mark.parametrize(
    ("headers", "query", "allowed"),
    [
        ({}, f"token={TOKEN}", True),
        ({"authorization": f"Bearer {TOKEN}"}, "", True),
        ({"cookie": f"other=1; csflow_8080={TOKEN}"}, "", True),
        ({}, "", False),
        ({}, "token=", False),
        ({}, f"token={TOKEN}x", False),
        ({"authorization": f"Basic {TOKEN}"}, "", False),
        ({"authorization": "Bearer \xff"}, "", False),
        ({"cookie": f"csflow_8081={TOKEN}"}, "", False),
        ({"cookie": "csflow_8080="}, "", False),
        ({"host": "localhost"}, "", False),
    ],
)
def test_with_a_token_the_token_alone_decides(headers: dict[str, str], query: str, allowed: bool) -> None:
    role = Access(Address.parse("0.0.0.0:8080"), TOKEN).role(headers, query)
    assert role is (Role.VIEWER if allowed else Role.NOBODY)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_operator_s_token_opens_the_page_too_and_no_other_makes_an_operator(token: str | None) -> None:
    access = Access(Address.parse("127.0.0.1:8080"), token, OPERATOR)
    here = {"host": "127.0.0.1:8080"}
    assert access.role(here, f"token={OPERATOR}") is Role.OPERATOR
    assert access.role({**here, "cookie": f"csflow_8080={OPERATOR}"}) is Role.OPERATOR
    assert access.role({**here, "cookie": f"csflow_8080={TOKEN}", "authorization": f"Bearer {OPERATOR}"}) == 2
    assert access.role(here, f"token={OPERATOR}x") is (Role.VIEWER if token is None else Role.NOBODY)
    if token is None:
        assert access.role({"host": "evil.example"}, f"token={OPERATOR}") is Role.NOBODY
    else:
        assert access.role(here, f"token={TOKEN}") is Role.VIEWER


def test_one_token_for_both_roles_is_refused() -> None:
    with pytest.raises(ConfigError, match="must differ"):
        Access(Address.parse("8080"), TOKEN, TOKEN)
    with pytest.raises(ConfigError, match="CSFLOW_OPERATOR_TOKEN must have"):
        Access(Address.parse("8080"), None, "short")
