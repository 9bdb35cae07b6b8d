"""A station that runs behind the OPC UA server, three clients with certificates, and what they do."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from csflow.runtime.plc.adapters.opcua.model import NAMESPACE
from csflow.runtime.plc.adapters.opcua.server import OpcUaServer
from csflow.runtime.plc.settings import OpcUa, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.station import Station

CLIENT = "urn:csflow:test"
NAMES = ("commander", "reader", "stranger")


def settings_for(folder: Path, clients: Path) -> OpcUa:
    """A free port, and two of the clients trusted."""
    trusted = folder / "pki" / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    for name in NAMES[:2]:
        (trusted / f"{name}.der").write_bytes((clients / f"{name}.der").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return OpcUa(f"127.0.0.1:{port}", str(folder / "pki"), ("commander.der",))


class Cell:
    """A station that runs, with the server in control and an oracle behind it."""

    def __init__(self, folder: Path, clients: Path) -> None:
        self.good = True
        self.clients = clients
        section = settings_for(folder, clients)
        self.pki = Path(section.pki)
        # A starved machine is no controller that is gone.
        station = StationSettings(1, "opcua", state=str(folder / "state"), plc_timeout_ms=0)
        recipes = {"1": Recipe("a.csflow", "0", deadline_ms=300), "2": Recipe("b.csflow", "0")}
        self.station = Station(Settings(station, recipes, opcua=section), self._start)
        self.server = OpcUaServer(section, self.station.exchange, controls=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.station.run, args=(self._stop,))
        self._thread.start()

    def _start(self, recipe: Recipe, wake: Callable[[], None], hold: bool) -> OracleWorker:
        return OracleWorker(recipe, wake, lambda: self.good, random.Random(1), Misdeeds(), hold)

    @property
    def url(self) -> str:
        return self.server.name.removeprefix("opcua ")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.close()
        self.server.close()
        self.station.close()

    def talk(
        self, name: str, what: Callable[[Client], Awaitable[Any]], policy: Any = SecurityPolicyBasic256Sha256
    ) -> Any:
        """What a client with this certificate gets."""

        async def go() -> Any:
            client = Client(self.url, timeout=20)
            client.application_uri = CLIENT
            if policy is not None:
                pair = self.clients / f"{name}.der", self.clients / f"{name}.pem"
                await client.set_security(policy, *map(str, pair), mode=ua.MessageSecurityMode.SignAndEncrypt)
            async with client:
                return await what(client)

        return asyncio.run(go())


async def station_of(client: Client) -> Any:
    index = await client.get_namespace_index(NAMESPACE)
    return client.get_node(ua.NodeId("csflow", index))


async def read(client: Client, name: str) -> Any:
    index = await client.get_namespace_index(NAMESPACE)
    return await client.get_node(ua.NodeId(f"csflow.{name}", index)).read_value()


async def call(client: Client, name: str, *arguments: Any) -> Any:
    index = await client.get_namespace_index(NAMESPACE)
    return await (await station_of(client)).call_method(ua.QualifiedName(name, index), *arguments)


def job(number: int) -> tuple[Any, ...]:
    kinds = (ua.VariantType.UInt32, ua.VariantType.String, ua.VariantType.UInt16)
    return tuple(ua.Variant(v, k) for v, k in zip((number, f"K-{number}", 1000), kinds, strict=True))
