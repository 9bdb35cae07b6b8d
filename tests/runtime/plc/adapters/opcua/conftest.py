"""One station behind the OPC UA server for all tests here: opening one takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cell import Cell


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates of three clients."""
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from .cell import CLIENT, NAMES

    folder = tmp_path_factory.mktemp("clients")

    async def make() -> None:
        for name in NAMES:
            use = [ExtendedKeyUsageOID.CLIENT_AUTH]
            await setup_self_signed_certificate(
                folder / f"{name}.pem", folder / f"{name}.der", CLIENT, "localhost", use, {"organizationName": name}
            )

    asyncio.run(make())
    return folder


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory, clients: Path) -> Iterator[Cell]:
    from .cell import Cell

    made = Cell(tmp_path_factory.mktemp("cell"), clients)
    yield made
    made.close()
