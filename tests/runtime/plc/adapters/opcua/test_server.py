"""The OPC UA server: what a trusted client reads and calls, and everything that is refused."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="the extra opcua is not installed")

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.opcua.model import NAMESPACE, values
from csflow.runtime.plc.adapters.opcua.server import OpcUaServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Orders, Report, Status
from csflow.runtime.plc.settings import OpcUa, Recipe, Settings
from csflow.runtime.plc.settings import Station as StationSettings
from csflow.runtime.plc.simulator.oracle import Misdeeds, OracleWorker
from csflow.runtime.plc.station import Station

CLIENT = "urn:csflow:test"
NAMES = ("commander", "reader", "stranger")


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates of three clients."""
    folder = tmp_path_factory.mktemp("clients")

    async def make() -> None:
        for name in NAMES:
            use = [ExtendedKeyUsageOID.CLIENT_AUTH]
            await setup_self_signed_certificate(
                folder / f"{name}.pem", folder / f"{name}.der", CLIENT, "localhost", use, {"organizationName": name}
            )

    asyncio.run(make())
    return folder


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
        station = StationSettings(1, "opcua", state=str(folder / "state"))
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


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory, clients: Path) -> Iterator[Cell]:
    made = Cell(tmp_path_factory.mktemp("cell"), clients)
    yield made
    made.close()


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


def test_it_is_an_adapter(cell: Cell) -> None:
    assert isinstance(cell.server, Adapter)
    assert cell.url.startswith("opc.tcp://127.0.0.1:")


@pytest.mark.parametrize("policy", [SecurityPolicyBasic256Sha256, SecurityPolicyAes256Sha256RsaPss])
def test_a_commander_inspects_parts(cell: Cell, policy: Any) -> None:
    first = 10 if policy is SecurityPolicyBasic256Sha256 else 20

    async def jobs(client: Client) -> list[list[Any]]:
        found = []
        for number in range(first, first + 4):
            cell.good = number % 2 == 0
            found.append(await call(client, "StartSingleJob", *job(number)))
        return found

    results = cell.talk("commander", jobs, policy)
    boot = cell.station.exchange.report.boot_id
    assert [one[0] for one in results] == [0x5AA5, 0xA53C] * 2
    assert [one[1] for one in results] == list(range(first, first + 4))
    assert {one[3] for one in results} == {boot}
    assert {one[-1] for one in results} == {0}
    assert results[0][6:8] == [1.0, 2.0]


def test_a_refused_trigger_is_no_verdict(cell: Cell) -> None:
    async def twice(client: Client) -> Any:
        await call(client, "StartSingleJob", *job(99))
        return await call(client, "StartSingleJob", *job(99))

    refused = cell.talk("commander", twice)
    assert (refused[0], refused[1], refused[-1]) == (0, 0, Reason.DUPLICATE_ID)


def test_recipes_are_prepared_by_number(cell: Cell) -> None:
    async def prepare(client: Client) -> list[Any]:
        return [await call(client, "PrepareRecipe", ua.Variant(n, ua.VariantType.UInt16)) for n in (9, 2, 1)]

    assert cell.talk("commander", prepare) == [Reason.UNKNOWN_RECIPE, 0, 0]


def test_a_reader_reads_and_is_told_of_changes(cell: Cell) -> None:
    async def look(client: Client) -> tuple[Any, ...]:
        heard: list[Any] = []

        class Handler:
            def datachange_notification(self, _node: Any, value: Any, _data: Any) -> None:
                heard.append(value)

        index = await client.get_namespace_index(NAMESPACE)
        subscription = await client.create_subscription(20, Handler())
        await subscription.subscribe_data_change(client.get_node(ua.NodeId("csflow.Heartbeat", index)))
        end = time.monotonic() + 20
        while len(set(heard)) < 3 and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await subscription.delete()
        return await read(client, "StateName"), await read(client, "BootId"), len(set(heard))

    state, boot, beats = cell.talk("reader", look)
    assert cell.station.exchange.report.status & Status.READY, "it waits for nobody to enable it"
    assert (state, boot) == ("READY", cell.station.exchange.report.boot_id)
    assert beats >= 3


@pytest.mark.fault("P8")
@pytest.mark.parametrize("name", ["StartSingleJob", "Reset", "Halt"])
def test_a_reader_calls_nothing(cell: Cell, name: str) -> None:
    arguments = job(1000) if name == "StartSingleJob" else ()
    before = cell.station.exchange.report.triggers
    with pytest.raises(ua.UaStatusCodeError):
        cell.talk("reader", lambda client: call(client, name, *arguments))
    assert cell.station.exchange.report.triggers == before


@pytest.mark.fault("P8")
@pytest.mark.parametrize("name", ["reader", "commander"])
def test_nobody_writes_or_changes_nodes(cell: Cell, name: str) -> None:
    async def write(client: Client) -> None:
        index = await client.get_namespace_index(NAMESPACE)
        node = client.get_node(ua.NodeId("csflow.Verdict", index))
        await node.write_value(ua.Variant(0x5AA5, ua.VariantType.UInt16))

    async def add(client: Client) -> None:
        await client.nodes.objects.add_object(ua.NodeId("mine", 2), ua.QualifiedName("mine", 2))

    for attempt in (write, add):
        with pytest.raises(ua.UaStatusCodeError):
            cell.talk(name, attempt)


@pytest.mark.fault("P8")
def test_a_stranger_is_refused_and_logged(cell: Cell, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises((ua.UaStatusCodeError, ConnectionError, TimeoutError)):
        cell.talk("stranger", lambda client: read(client, "Verdict"))
    assert "whose certificate is not trusted was refused" in caplog.text


@pytest.mark.fault("P8")
def test_without_encryption_nobody_comes_in(cell: Cell) -> None:
    with pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
        cell.talk("", lambda client: read(client, "Verdict"), policy=None)


@pytest.mark.fault("P8")
def test_the_administrator_with_an_empty_password_is_nobody(cell: Cell) -> None:
    async def go() -> None:
        client = Client(cell.url, timeout=20)
        client.application_uri = CLIENT
        client.set_user("admin")
        client.set_password("")
        pair = cell.clients / "reader.der", cell.clients / "reader.pem"
        await client.set_security(
            SecurityPolicyBasic256Sha256, *map(str, pair), mode=ua.MessageSecurityMode.SignAndEncrypt
        )
        async with client:
            await read(client, "Verdict")

    with pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
        asyncio.run(go())


def test_every_endpoint_is_signed_and_encrypted(cell: Cell) -> None:
    async def ask(client: Client) -> list[Any]:
        return await client.get_endpoints()

    endpoints = cell.talk("reader", ask)
    assert {one.SecurityMode for one in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
    assert {one.SecurityPolicyUri.rpartition("#")[2] for one in endpoints} == {"Basic256Sha256", "Aes256_Sha256_RsaPss"}
    tokens = {token.TokenType for one in endpoints for token in one.UserIdentityTokens}
    assert tokens == {ua.UserTokenType.Anonymous}


def test_without_control_methods_say_so(tmp_path: Path, clients: Path) -> None:
    cell = Cell.__new__(Cell)
    cell.clients = clients
    exchange = Exchange()
    cell.server = OpcUaServer(settings_for(tmp_path, clients), exchange, controls=False)
    result = cell.talk("commander", lambda client: call(client, "StartSingleJob", *job(1)))
    assert (result[0], result[-1]) == (0, Reason.NOT_OWNER)
    assert (exchange.orders, exchange.holder) == (Orders(), "")
    cell.server.close()


def test_a_port_that_is_taken(cell: Cell, tmp_path: Path) -> None:
    listen = cell.url.removeprefix("opc.tcp://").removesuffix("/csflow")
    with pytest.raises(ConfigError, match="choose another"):
        OpcUaServer(OpcUa(listen, str(tmp_path / "pki")), Exchange(), controls=False)


def test_the_variables_are_the_report() -> None:
    found = values(Report(state=6, boot_id=7))
    assert found["BootId"] == ("UInt32", 7)
    assert found["StateName"] == ("String", "READY")
    assert found["Verdict"] == ("UInt16", 0)
    assert found["RatioX1000"] == ("UInt16", 65535)
