"""A gateway from registers to OPC UA: a client with a certificate that calls methods, loses calls and doubles them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import logging
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from csflow.runtime.faults import Verdict
from csflow.runtime.plc.adapters.opcua.model import NAMESPACE
from csflow.runtime.plc.adapters.opcua.server import OpcUaServer
from csflow.runtime.plc.adapters.serving import cancel_others
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Control, Orders, Status
from csflow.runtime.plc.settings import OpcUa

from .call_link import CallLink, Look

SEEN = ("State", "Status", "Recipe", "ErrorCode", "WarningCode", "BootId")
VERDICTS = {verdict.code: verdict for verdict in Verdict}
CLIENT = "urn:csflow:test"
TIMEOUT_S = 60.0
LEAVE_S = 5.0
CUT = 0.004
"""Probability a job that the connection breaks while it is in work: its answer is lost."""
DOUBLED = 0.02
"""Probability a job that it is called twice."""


class OpcUaLink(CallLink):
    """An asyncua client in a thread of its own; connects when it must. ENABLE=0 with a part in work calls Abort."""

    def __init__(self, url: str, files: tuple[str, str, str], trouble: random.Random | None) -> None:
        """Take what decides which calls are doubled or cut off; none where there is None."""
        super().__init__()
        self._url, self._files, self._trouble = url, files, trouble
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-opcua", daemon=True)
        self._thread.start()
        self._client: Any = None
        self._one_connects = asyncio.Lock()
        self._nodes: list[Any] = []
        self._leaving: list[asyncio.Task[None]] = []
        self._calls: dict[str, Future[list[Any]]] = {}
        """What has no answer yet, by method."""
        self._twice: Future[list[Any]] | None = None
        self.extra = 0
        """Jobs that were called twice and answered twice: there must be none."""

    @property
    def busy(self) -> bool:
        return bool(self._calls)

    def look(self) -> Look:
        seen = dict(zip(SEEN, self._done(self._seen()), strict=True))
        self._collect()
        if self.asked and seen["Status"] & Status.TRIGGER_ACK:
            self._accepted()
        ready = bool(seen["Status"] & Status.READY)
        return Look(seen["State"], ready, seen["Recipe"], seen["ErrorCode"], seen["WarningCode"], seen["BootId"])

    def _accepted(self) -> None:
        self.acked = bool(self.before.control & Control.TRIGGER)

    def live(self, orders: Orders) -> None:
        pass  # the server itself is the controller, and keeps ENABLE

    def trigger(self, orders: Orders) -> None:
        from asyncua import ua

        kinds = (ua.VariantType.UInt32, ua.VariantType.String, ua.VariantType.UInt16)
        given = [ua.Variant(v, k) for v, k in zip((orders.trigger_id, orders.part_id, 0), kinds, strict=True)]
        self._begin("StartSingleJob", *given)
        if self._happens(DOUBLED):
            self._twice = self._send("StartSingleJob", *given)
        if self._happens(CUT):
            self._loop.call_soon_threadsafe(self._cut)

    def _happens(self, probability: float) -> bool:
        return self._trouble is not None and self._trouble.random() < probability

    def prepare(self, recipe: int) -> None:
        from asyncua import ua

        self._begin("PrepareRecipe", ua.Variant(recipe, ua.VariantType.UInt16))

    def end(self) -> None:
        self.asked = 0
        self._begin("Abort")

    def _begin(self, name: str, *arguments: Any) -> None:
        self._calls[name] = self._send(name, *arguments)

    def _send(self, name: str, *arguments: Any) -> Future[list[Any]]:
        return asyncio.run_coroutine_threadsafe(self._call(name, *arguments), self._loop)

    async def _call(self, name: str, *arguments: Any) -> list[Any]:
        client = await self._connected()
        index = self._nodes[0].nodeid.NamespaceIndex
        given = await client.nodes.objects.get_child(f"{index}:csflow")
        found = await given.call_method(f"{index}:{name}", *arguments)
        return found if isinstance(found, list) else [found]

    def _collect(self) -> None:
        """Take the answers that have come."""
        for name, answer in list(self._calls.items()):
            if answer.done() and not (name == "StartSingleJob" and self._twice and not self._twice.done()):
                del self._calls[name]
                self._take(name, answer)

    def _take(self, name: str, answer: Future[list[Any]]) -> None:
        found = _given(answer)
        if name == "PrepareRecipe":
            self.prepared(self.preparing, found[-1] if found else -1)
        elif name == "StartSingleJob":
            second = _given(self._twice) if self._twice else None
            self._twice = None
            good = [one for one in (found, second) if one and one[-1] == 0]
            self.extra += len(good) > 1
            if self.asked and good:
                self._accepted()
                self.show(good[0][1], good[0][3], VERDICTS.get(good[0][0], Verdict.NONE))
            self.asked = 0

    async def _seen(self) -> list[Any]:
        client = await self._connected()
        return await client.read_values(self._nodes)  # type: ignore[no-any-return]

    async def _connected(self) -> Any:
        from asyncua import Client, ua
        from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

        async with self._one_connects:
            if self._client is None:
                client = Client(self._url, timeout=TIMEOUT_S)
                client.application_uri = CLIENT
                files = dict(zip(("certificate", "private_key", "server_certificate"), self._files, strict=True))
                mode = ua.MessageSecurityMode.SignAndEncrypt
                await client.set_security(SecurityPolicyBasic256Sha256, **files, mode=mode)
                try:
                    await client.connect()
                    index = await client.get_namespace_index(NAMESPACE)
                except BaseException:
                    _abort(client)
                    raise
                self._nodes = [client.get_node(ua.NodeId(f"csflow.{name}", index)) for name in SEEN]
                self._client = client
            return self._client

    def _cut(self) -> None:
        client, self._client = self._client, None
        if client is not None and _abort(client):
            self._leaving.append(asyncio.ensure_future(_left(client)))

    def _done(self, work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        from asyncua import ua

        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)
        except (ua.UaError, OSError, FutureTimeout, asyncio.TimeoutError) as error:
            self._loop.call_soon_threadsafe(self._cut)
            raise ConnectionError(f"the station cannot be reached ({error})") from None

    def close(self) -> None:
        """Leave; a part in work goes on without its answer."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(FutureTimeout):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    async def _end(self) -> None:
        first, self._client = self._client, None
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_left(first), LEAVE_S)
        await cancel_others()
        for client in (first, self._client):  # a call may have connected meanwhile
            if client is not None:
                _abort(client)


def _abort(client: Any) -> bool:
    """Break the connection; whether there was one."""
    protocol = client.uaclient.protocol
    if protocol is None or protocol.transport is None:
        return False
    protocol.transport.abort()
    return True


async def _left(client: Any) -> None:
    if client is not None:
        with contextlib.suppress(Exception):  # what asyncua raises when the other side is gone already
            await client.disconnect()


def _given(answer: Future[list[Any]]) -> list[Any] | None:
    """What a call gave; None where it was refused or its answer was lost."""
    return None if answer.cancelled() or answer.exception() is not None else answer.result()


@functools.cache
def keys() -> Path:
    """A folder with key and certificate of a client, trusted, and of a server, which is made at its first start."""
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "trusted").mkdir()
    use = [ExtendedKeyUsageOID.CLIENT_AUTH]
    files = folder / "client.pem", folder / "trusted" / "client.der"
    asyncio.run(setup_self_signed_certificate(*files, CLIENT, "localhost", use, {"organizationName": "plc"}))
    return folder


class ServedOpcUa:
    """The OPC UA server on a free port of loopback."""

    trouble: random.Random | None = random.Random(1)

    def __init__(self, exchange: Exchange) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._folder = keys()
        self._server = OpcUaServer(
            OpcUa(f"127.0.0.1:{port}", str(self._folder), ("client.der",)), exchange, controls=True
        )
        self._links: list[OpcUaLink] = []

    def link(self) -> OpcUaLink:
        """A link for a new controller."""
        files = self._folder / "trusted" / "client.der", self._folder / "client.pem", self._folder / "own.der"
        names = (str(files[0]), str(files[1]), str(files[2]))
        self._links.append(OpcUaLink(self._server.name.removeprefix("opcua "), names, self.trouble))
        return self._links[-1]

    def close(self) -> None:
        """Serve no more. Fails where a job that was called twice was answered twice."""
        self._server.close()
        assert sum(link.extra for link in self._links) == 0, "a second result for one job"


class CalmOpcUa(ServedOpcUa):
    """The same, and no call is doubled or loses its answer."""

    trouble = None
