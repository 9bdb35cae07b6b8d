#!/usr/bin/env bash
# asyncua's history in memory answers for another time; in SQLite one value on a whole second makes it unreadable.
#
# Version:  asyncua 2.1.0, server and client, aiosqlite 0.22.1, Python 3.11
# Expected: A raw read with an end time and a number of values, and no start time, goes backwards from the end (OPC UA
#           part 11, ReadRawModifiedDetails). Both stores give what was written, whatever its time stamp.
# Seen:     Of values written at 12:01 to 12:10, "the last three until 12:05" come from memory as those of 12:10, 12:09
#           and 12:08: the end time is ignored, status Good; SQLite gives 12:05, 12:04, 12:03. From SQLite every read
#           that meets a value whose SourceTimestamp has no fraction of a second is BadInternalError, and gives nothing of
#           the values around it either: sqlite3's own converter of time stamps takes the offset "+00:00" for a part of
#           the seconds. A microsecond later all is well.
# Costs:    What was the exposure when part 4711 was rejected? From memory the answer is that of now, and is right while
#           one tries it out, as "until now" is. PLCs stamp whole seconds: the history of months is then lost to reading
#           when it is needed, and no write complained; stamps of the server's own clock pass every test.
# Instead:  In memory: give both times, the later one as start. SQLite: never write a stamp of a whole second.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check asyncua==2.1.0 aiosqlite==0.22.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import asyncio
import logging
import socket
import sys
from datetime import datetime, timedelta, timezone

import asyncua
from asyncua import ua
from asyncua.server.history_sql import HistorySQLite

logging.disable(logging.CRITICAL)
QUESTIONS = {
    "the last three until 12:05": (None, 5, 3),
    "three from 12:05 back to 12:01": (5, 1, 3),
    "from 12:03 to 12:05": (3, 5, 0),
    "from 12:06 to 12:08": (6, 8, 0),
}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def at(minute, whole=None):
    """12:`minute` and a microsecond, or to the second where `whole` is that minute."""
    if minute is None:
        return None
    return datetime(2026, 1, 1, 12, minute, 0, minute != whole, timezone.utc)


async def read(node, start, end, count):
    try:
        values = await node.read_raw_history(start, end, count)
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    return [int(value.Value.Value) for value in values]


async def answers(store, whole=None):
    """What a client reads of the values 1 to 10, as of 12:01 to 12:10."""
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    server = asyncua.Server()
    await server.init()
    server.set_endpoint(url)
    if store == "SQLite":
        history = HistorySQLite(f"{whole}.db")
        await history.init()
        server.iserver.history_manager.set_storage(history)
    node = await server.nodes.objects.add_variable(1, "temperature", 0.0)
    async with server:
        await server.historize_node_data_change(node, period=None, count=0)
        for minute in range(1, 11):
            stamp = at(minute, whole)
            value = ua.DataValue(ua.Variant(float(minute)), SourceTimestamp=stamp, ServerTimestamp=stamp)
            await node.write_value(value)
        async with asyncua.Client(url) as client:
            watched = client.get_node(node.nodeid)
            for _ in range(600):
                if await read(watched, at(10), at(10) + timedelta(seconds=1), 0) == [10]:
                    break
                await asyncio.sleep(0.1)
            margin = timedelta(seconds=1)
            found = {}
            for question, (start, end, count) in QUESTIONS.items():
                if start is not None:
                    backwards = start > end
                    start = at(start) + (margin if backwards else -margin)
                    end = at(end) + (-margin if backwards else margin)
                    found[question] = await read(watched, start, end, count)
                else:
                    found[question] = await read(watched, None, at(end) + margin, count)
            return found


cases = {
    "memory": asyncio.run(answers("memory")),
    "SQLite": asyncio.run(answers("SQLite")),
    "memory, 12:04 to the second": asyncio.run(answers("memory", whole=4)),
    "SQLite, 12:04 to the second": asyncio.run(answers("SQLite", whole=4)),
}
for case, found in cases.items():
    for question, values in found.items():
        print(f"{case}: {question}: {values}")
until, back, between, others = QUESTIONS
right = {back: [5, 4, 3], between: [3, 4, 5], others: [6, 7, 8]}
seen = {
    "memory: until 12:05 gives the newest": cases["memory"][until] == [10, 9, 8],
    "SQLite: it gives 5, 4, 3": cases["SQLite"][until] == [5, 4, 3],
    "with both times both are right": all(
        cases[store][question] == values for store in ("memory", "SQLite") for question, values in right.items()
    ),
    "SQLite: reads that meet the whole second fail": all(
        cases["SQLite, 12:04 to the second"][question] == "BadInternalError" for question in (until, back, between)
    ),
    "SQLite: others, and memory, do not": cases["SQLite, 12:04 to the second"][others] == [6, 7, 8]
    and cases["memory, 12:04 to the second"][between] == [3, 4, 5],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
