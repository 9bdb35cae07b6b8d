"""Who among many connections gives way: those that never say who they are cost nobody else a place."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from csflow.runtime.plc.adapters.opcua.trust import Trust

__all__ = ["MOST_STRANGERS", "lengthen_queue", "thin"]

MOST_STRANGERS = 64
"""Connections of one address that have not shown a certificate yet; of more some are dropped."""
QUEUE = 1024
"""Connections that may wait to be accepted; asyncua's are 100."""
RECEIVED = slice(128, 136)
"""tcpi_bytes_received in Linux' struct tcp_info (linux/tcp.h, since 4.1)."""


def lengthen_queue(sockets: Sequence[Any]) -> None:
    """Let more connections wait at listening sockets.

    Where the queue is full the system completes a connection seconds after the other side holds it for complete: then
    a crowd that came first comes after a client that came last, and seems to be the newer one.
    """
    for one in sockets:
        with socket.socket(fileno=os.dup(one.fileno())) as same:
            same.listen(QUEUE)


def thin(clients: Sequence[Any], trust: Trust) -> None:
    """Of each address drop connections beyond `MOST_STRANGERS` that are not known yet.

    First those that have not said anything, the oldest first; then the oldest of the others. A connection is known from
    the signed message on that opens its channel with a trusted certificate.
    """
    strangers: dict[str, list[Any]] = {}
    for client in clients:
        if not _known(client, trust):
            strangers.setdefault(str(client.peer_name[0]), []).append(client)
    for some in strangers.values():
        if (excess := len(some) - MOST_STRANGERS) > 0:
            for client in sorted(some, key=_speaks)[:excess]:
                client.transport.abort()


def _known(client: Any, trust: Trust) -> bool:
    session = client.processor.session
    if session is not None and session.is_activated():
        return True
    channel = client.processor._connection
    return channel.is_open() and bool(trust.name(getattr(channel.security_policy, "peer_certificate", None)))


def _speaks(client: Any) -> bool:
    """Whether anything has come from it; True where the system does not tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return True
    told = client.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, option, RECEIVED.stop)
    return len(told) < RECEIVED.stop or any(told[RECEIVED])
