"""The OPC UA server: what a trusted client reads and calls, and everything that is refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="the extra opcua is not installed")

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256

from csflow.runtime.errors import ConfigError
from csflow.runtime.faults import Reason
from csflow.runtime.plc.adapters.adapter import Adapter
from csflow.runtime.plc.adapters.opcua.model import NAMESPACE, values
from csflow.runtime.plc.adapters.opcua.server import OpcUaServer
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report, Status
from csflow.runtime.plc.settings import OpcUa

from .cell import CLIENT, Cell, call, job, read


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
def test_a_crowd_that_never_says_who_it_is_takes_nobodys_place(cell: Cell) -> None:
    host, _, port = cell.url.removeprefix("opc.tcp://").removesuffix("/csflow").rpartition(":")
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(200)]
        cell.good = True
        assert cell.talk("commander", lambda client: call(client, "StartSingleJob", *job(500)))[0] == 0x5AA5
        crowd[0].settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert crowd[0].recv(1) == b"", "the oldest is dropped"


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
    assert values(Report(triggers=(1 << 32) + 5))["Triggers"] == ("UInt32", 5), "counters wrap, and no client is lost"
