"""The OPC UA server: Basic256Sha256 and Aes256Sha256RsaPss, signed and encrypted, and nothing else. Extra: opcua.

None of asyncua's defaults is left: no endpoint without encryption, no anonymous administrator, no user names. A client
is its certificate; who is trusted may read, who is a commander may also call methods, nobody may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from csflow.runtime.errors import BackendUnavailable, ConfigError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.plc.adapters.dialogue import Dialogue
from csflow.runtime.plc.adapters.opcua.calls import Calls
from csflow.runtime.plc.adapters.opcua.crowd import lengthen_queue, thin
from csflow.runtime.plc.adapters.opcua.model import NAMESPACE, add_station, values
from csflow.runtime.plc.adapters.opcua.trust import APPLICATION, Trust, own_certificate
from csflow.runtime.plc.adapters.opcua.vision.methods import methods
from csflow.runtime.plc.adapters.opcua.vision.results import Results
from csflow.runtime.plc.adapters.opcua.vision.system import VisionSystem
from csflow.runtime.plc.adapters.opcua.vision.tables import TYPES
from csflow.runtime.plc.adapters.opcua.vision.types import add_types
from csflow.runtime.plc.adapters.serving import address, cancel_others
from csflow.runtime.plc.exchange import Exchange
from csflow.runtime.plc.process_image import Report
from csflow.runtime.plc.settings import OpcUa

__all__ = ["OpcUaServer"]

START_S = 120.0
END_S = 10.0
MOST_CONNECTIONS = 2048
"""More are refused whoever they are: so many that strangers can be thinned out before."""
STRANGE_S = 60.0
"""How long a connection may take to show one."""
MOST_MESSAGE = 1 << 20
KEEP_S = 0.1
PERIOD_S = 0.005
"""Variables change at most so often."""
MOST_REPORTS = 1024
"""Reports that wait to be told as events; of more the oldest are lost."""
READING = (
    "CreateSession",
    "CloseSession",
    "ActivateSession",
    "Read",
    "Browse",
    "BrowseNext",
    "GetEndpoints",
    "FindServers",
    "TranslateBrowsePathsToNodeIds",
    "CreateSubscription",
    "ModifySubscription",
    "DeleteSubscriptions",
    "CreateMonitoredItems",
    "ModifyMonitoredItems",
    "DeleteMonitoredItems",
    "SetMonitoringMode",
    "SetPublishingMode",
    "Publish",
    "Republish",
    "RegisterNodes",
    "UnregisterNodes",
    "CloseSecureChannel",
)

log = logging.getLogger("csflow.plc")


class OpcUaServer:
    """See the module. Runs in a thread with an event loop of its own."""

    def __init__(self, settings: OpcUa, exchange: Exchange, controls: bool) -> None:
        """Begin to listen; it takes some seconds.

        Raises:
            ConfigError: the address is wrong or taken, or a certificate is none.
            BackendUnavailable: asyncua is missing.
        """
        _require_library()
        host, port = address(settings.listen, "opcua.listen")
        try:
            # A server takes seconds to open: an address that is taken is told before.
            socket.create_server((host, port)).close()
        except OSError as error:
            raise _taken(settings.listen, error) from None
        self.name = f"opcua opc.tcp://{host}:{port}/csflow"
        self._exchange = exchange
        self._pki = Path(settings.pki)
        own_certificate(self._pki / "own.der", self._pki / "own.pem", host)
        self._trust = Trust(self._pki / "trusted", settings.commanders)
        self._dialogue = Dialogue(exchange, self.name) if controls else None
        self._threads = ThreadPoolExecutor(2, "csflow-plc-opcua-call")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="csflow-plc-opcua", daemon=True)
        self._thread.start()
        self._changed = asyncio.Event()
        self._reports: deque[tuple[Report, int, str, bool]] = deque(maxlen=MOST_REPORTS)
        self._calls = Calls(self._dialogue, self._wait)
        try:
            self._await(self._open(f"opc.tcp://{host}:{port}/csflow"), START_S)
        except OSError as error:
            self._end()
            raise _taken(settings.listen, error) from None
        except BaseException:
            self._end()
            raise
        self._forget = exchange.watch(self._see)

    def _await(self, work: Any, timeout_s: float) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _open(self, url: str) -> None:
        from asyncua import Server, ua

        server = self._server = Server(user_manager=_users(self._trust))
        await server.init()
        server.allow_remote_admin(False)
        server.iserver.max_connections = MOST_CONNECTIONS
        server.iserver.max_pending_activation_seconds = STRANGE_S
        server.limits.max_message_size = MOST_MESSAGE
        server.limits.max_chunk_count = MOST_MESSAGE // server.limits.max_recv_buffer + 1
        server.set_endpoint(url)
        server.set_server_name("csflow")
        await server.set_application_uri(APPLICATION)
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
        ]
        server.set_security_policy(policies, permission_ruleset=_rules())
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        await server.load_certificate(str(self._pki / "own.der"))
        await server.load_private_key(str(self._pki / "own.pem"))
        await server.register_namespace(NAMESPACE)
        results = Results(self._calls.job_of)
        types = await add_types(server, methods(self._calls, self._exchange, results))
        station, self._nodes = await add_station(server, self._calls, types.id(TYPES["VisionSystemType"][0]))
        self._vision = VisionSystem(types, station, self._calls, results)
        await self._vision.add()
        await server.start()
        lengthen_queue(server.bserver._server.sockets)
        self._task = asyncio.ensure_future(self._follow())

    async def _wait(self, call: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._threads, call)

    def _seen(self, report: Report) -> tuple[Report, int, str, bool]:
        calls = self._calls
        return report, self._exchange.taken.trigger_id, calls.cause or calls.ended_by, calls.continuous

    def _see(self, report: Report) -> None:
        self._reports.append(self._seen(report))
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed.set)

    async def _follow(self) -> None:
        """Write what has changed; a report that is replaced at once is told as events, and not shown."""
        from asyncua import ua

        shown = values(Report())
        while True:
            self._changed.clear()
            found = values(self._exchange.report)
            for name, (kind, value) in found.items():
                if shown[name][1] != value:
                    await self._nodes[name].write_value(ua.Variant(value, ua.VariantType[kind]))
            shown = found
            while self._reports:
                await self._vision.show(*self._reports.popleft())
            await self._vision.show(*self._seen(self._exchange.report))
            thin(self._server.bserver.clients, self._trust)
            if self._dialogue is not None:
                # Each job is whole in one call: the server itself is the controller, whatever becomes of its clients.
                self._dialogue.keep()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), KEEP_S)
            await asyncio.sleep(PERIOD_S)

    @property
    def alive(self) -> bool:
        """Whether it serves and follows."""
        return self._thread.is_alive() and not self._task.done()

    def close(self) -> None:
        """Serve nobody any more. May be called twice."""
        if self._loop.is_closed():
            return
        self._forget()
        if self._dialogue is not None:
            self._dialogue.leave()
        self._task.cancel()
        with contextlib.suppress(FutureTimeout):
            self._await(self._server.stop(), END_S)
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(FutureTimeout):
            self._await(cancel_others(), END_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_S)
        self._loop.close()


def _taken(listen: str, error: OSError) -> ConfigError:
    why = error.strerror or str(error)
    return ConfigError(f"opcua.listen {listen}: cannot listen there ({why}): choose another")


def _require_library() -> None:
    try:
        import asyncua  # noqa: F401
        import cryptography  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            f"[opcua] needs asyncua, which does not load ({error}); install it with: {pip_install('opcua')}"
        ) from None


def _users(trust: Trust) -> Any:
    from asyncua.crypto.permission_rules import User, UserRole
    from asyncua.server.user_managers import UserManager

    class Users(UserManager):  # type: ignore[misc]
        """Knows clients by the certificate of their channel; asyncua's roles Admin and User carry who may call."""

        def get_user(
            self,
            iserver: Any,  # noqa: ARG002 - asyncua's signature
            username: str | None = None,  # noqa: ARG002
            password: str | None = None,  # noqa: ARG002
            certificate: Any = None,
        ) -> User | None:
            name = trust.name(certificate)
            if not name:
                log.warning("opcua: a client whose certificate is not trusted was refused")
                return None
            return User(UserRole.Admin if trust.commands(name) else UserRole.User, name)

    return Users()


def _rules() -> Any:
    from asyncua import ua
    from asyncua.crypto.permission_rules import SimpleRoleRuleset, UserRole

    def numbers(names: tuple[str, ...]) -> set[Any]:
        return {ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary")) for name in names}

    class Rules(SimpleRoleRuleset):  # type: ignore[misc]
        """Reading for all who are known, calling for commanders, and nothing that changes nodes for anybody."""

        def __init__(self) -> None:
            super().__init__()
            reading = numbers(READING)
            calling = reading | numbers(("Call",))
            self._permission_dict = {UserRole.Admin: calling, UserRole.User: reading, UserRole.Anonymous: set()}

    return Rules()
