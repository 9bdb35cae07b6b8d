"""Where a model of a Triton server is found."""

from __future__ import annotations

import pytest

from csflow.runtime.engines.triton.address import EXAMPLE, Address
from csflow.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "protocol", "place", "model", "local"),
    [
        ("grpc://line:9001/part7", "grpc", "line:9001", "part7", False),
        ("grpc://line/part7", "grpc", "line:8001", "part7", False),
        ("https://10.0.0.7/a-b.c_d", "https", "10.0.0.7:8000", "a-b.c_d", False),
        ("http://localhost/p", "http", "localhost:8000", "p", True),
        ("grpcs://127.0.0.9:1/p", "grpcs", "127.0.0.9:1", "p", True),
        ("grpc://[::1]:8001/p", "grpc", "[::1]:8001", "p", True),
    ],
)
def test_parts(text: str, protocol: str, place: str, model: str, local: bool) -> None:
    address = Address.parse(text)

    assert (address.protocol, address.place, address.model, address.local) == (protocol, place, model, local)
    assert address.encrypted == protocol.endswith("s")
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "part7",
            "grpc://line",
            "grpc://line/",
            "grpc:///p",
            "ftp://line/p",
            "grpc://line:x/p",
            "grpc://line:99999/p",
        ),
        *("grpc://me:secret@line/p", "grpc://line/p/q", "grpc://line/..", "grpc://line/p?x=1", "grpc://line/p q"),
    ],
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no address of a Triton model") as refused:
        Address.parse(text)
    assert EXAMPLE in str(refused.value)
