"""Modbus TCP server (MODBUS Application Protocol 1.1b3, Messaging on TCP/IP 1.0b): the process image as registers.

    input registers 0 to 127      what csflow says                        function 4
    holding registers 0 to 31     what the controller wants               functions 3, 6, 16, 23
    holding registers 100 to 227  what csflow says, for masters without function 4

A request is served from one report, so that one that reads all it needs at once is never torn. The protocol knows no
user and no secret: who may connect is a list of addresses, and only the station's controlling adapter takes writes.
"""

from __future__ import annotations

import struct

from csflow.runtime.plc.adapters.serving import Connection, Server
from csflow.runtime.plc.exchange import Exchange, Published
from csflow.runtime.plc.process_image import ORDER_REGISTERS, REPORT_REGISTERS, Orders, pack, unpack
from csflow.runtime.plc.settings import Modbus

__all__ = ["ModbusServer"]

MIRROR = 100
"""First holding register of the copy of the report."""
READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY, READ_WRITE = 3, 4, 6, 16, 23
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY = 1, 2, 3, 6
MOST_READ, MOST_WRITTEN, MOST_READ_WRITTEN = 125, 123, 121
"""Registers in one request, by the standard."""
HEADER = struct.Struct(">HHHB")
LONGEST_PDU = 253


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ModbusServer(Server):
    """See the module. Unit ids are ignored and sent back."""

    def __init__(self, settings: Modbus, exchange: Exchange, controls: bool) -> None:
        """Begin to listen; with `controls` the first client that writes has control. Raises as `Server` does."""
        self._exchange = exchange
        self._controls = controls
        self._low_word_first = settings.low_word_first
        self._packed: tuple[Published | None, bytes] = (None, b"")
        super().__init__("modbus", settings.listen, settings.clients)

    def holds(self, connection: Connection) -> bool:
        """Whether a client of this address has control."""
        return self._exchange.holder == _who(connection)

    async def serve(self, connection: Connection) -> None:
        """Answer requests in turn until the client leaves or sends what is no Modbus."""
        while True:
            head = await connection.reader.readexactly(HEADER.size)
            transaction, protocol, length, unit = HEADER.unpack(head)
            if protocol != 0 or not 2 <= length <= LONGEST_PDU + 1:
                return
            request = await connection.reader.readexactly(length - 1)
            await connection.pace()
            self._exchange.show(_who(connection))
            answer = self._answer(request, _who(connection))
            connection.writer.write(HEADER.pack(transaction, 0, len(answer) + 1, unit) + answer)
            # A client that does not read its answers gets no further ones.
            await connection.writer.drain()

    def _answer(self, request: bytes, who: str) -> bytes:
        function = request[0]
        try:
            return bytes([function]) + self._result(function, request[1:], who)
        except _Refused as refused:
            return bytes([function | 0x80, refused.code])
        except struct.error:
            return bytes([function | 0x80, ILLEGAL_VALUE])

    def _result(self, function: int, data: bytes, who: str) -> bytes:
        if function in (READ_HOLDING, READ_INPUT):
            first, count = struct.unpack(">HH", data)
            return _counted(self._read(function == READ_INPUT, first, _within(count, MOST_READ)))
        if function == WRITE_ONE:
            self._write(struct.unpack_from(">H", data)[0], _exactly(data, 4)[2:], who)
            return data
        if function == WRITE_MANY:
            first, count, size = struct.unpack_from(">HHB", data)
            self._write(first, _values(data[5:], count, size, MOST_WRITTEN), who)
            return data[:4]
        if function == READ_WRITE:
            first, count, target, written, size = struct.unpack_from(">HHHHB", data)
            values = _values(data[9:], written, size, MOST_READ_WRITTEN)
            self._read(False, first, _within(count, MOST_READ))
            self._write(target, values, who)
            return _counted(self._read(False, first, count))
        raise _Refused(ILLEGAL_FUNCTION)

    def _read(self, inputs: bool, first: int, count: int) -> bytes:
        if not inputs and first + count <= ORDER_REGISTERS:
            block = pack(self._exchange.orders, self._low_word_first)
            return block[2 * first : 2 * (first + count)]
        start = first if inputs else first - MIRROR
        if not (start >= 0 and start + count <= REPORT_REGISTERS):
            raise _Refused(ILLEGAL_ADDRESS)
        return self._report()[2 * start : 2 * (start + count)]

    def _report(self) -> bytes:
        published = self._exchange.published
        if self._packed[0] is not published:
            self._packed = (published, pack(published.report, self._low_word_first))
        return self._packed[1]

    def _write(self, first: int, values: bytes, who: str) -> None:
        if first + len(values) // 2 > ORDER_REGISTERS or not self._controls:
            raise _Refused(ILLEGAL_ADDRESS)

        def change(orders: Orders) -> Orders:
            block = bytearray(pack(orders, self._low_word_first))
            block[2 * first : 2 * first + len(values)] = values
            return unpack(Orders, bytes(block), self._low_word_first)

        if not self._exchange.order(who, change):
            raise _Refused(BUSY)


def _who(connection: Connection) -> str:
    return f"modbus {connection.peer}"


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise _Refused(ILLEGAL_VALUE)
    return data


def _within(count: int, most: int) -> int:
    if not 1 <= count <= most:
        raise _Refused(ILLEGAL_VALUE)
    return count


def _values(data: bytes, count: int, size: int, most: int) -> bytes:
    if size != 2 * _within(count, most):
        raise _Refused(ILLEGAL_VALUE)
    return _exactly(data, size)


def _counted(data: bytes) -> bytes:
    return bytes([len(data)]) + data
