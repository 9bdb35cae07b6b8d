"""Frames a second of two processes: each with an engine of its own, and both asking one Triton server.

    python tests/bench/bench_triton.py part7.csflow triton:grpc://localhost:8001/part7

Both kinds are measured in turn, several times, on golden frames of the bundle; the median of each and their ratio are
printed as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from typing import Any

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.engines.opening import load_engine

CLIENTS = 2


def client(bundle: str, backend: str, seconds: float, start: Any, counted: Any) -> None:
    """Answer golden frames for some seconds after the others are ready too; puts the number a second."""
    opened = Bundle.open(bundle)
    frame = load_golden(opened).pictures[0][0]
    with load_engine(opened, backend) as engine:
        engine.infer([frame])
        start.wait()
        begun, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds:
            engine.infer([frame])
            count += 1
    counted.put(count / passed)


def together(bundle: str, backend: str, seconds: float) -> float:
    """Frames a second of all clients together."""
    spawn = multiprocessing.get_context("spawn")
    start, counted = spawn.Barrier(CLIENTS), spawn.Queue()
    clients = [spawn.Process(target=client, args=(bundle, backend, seconds, start, counted)) for _ in range(CLIENTS)]
    for process in clients:
        process.start()
    rates = [counted.get(timeout=seconds + 120) for _ in clients]
    for process in clients:
        process.join()
    return float(sum(rates))


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("server", metavar="triton:ADDRESS")
    parser.add_argument("--local", default="openvino-fp32?threads=1")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rates: dict[str, list[float]] = {args.local: [], args.server: []}
    for _ in range(args.rounds):
        for backend, found in rates.items():
            found.append(together(args.bundle, backend, args.seconds))
    local, server = (statistics.median(found) for found in rates.values())
    print(json.dumps({"clients": CLIENTS, "local_fps": local, "server_fps": server, "ratio": server / local}))


if __name__ == "__main__":
    main()
