"""200,000 handshakes over real servers in one run, everything that can go wrong included: part of `make soak`.

Each adapter is rehearsed in a process of its own, all of them at once. What the whole run has counted stands on a line
every ten seconds; the first escape, duplicate or missing answer ends it with 1.

    python -m tests.soak.handshakes
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import click

from csflow.runtime.plc.simulator.rehearsal import Account, Plan, rehearse
from tests.runtime.plc.simulator.served import OVER

SHARES = {"modbus": 0.4, "lines": 0.35, "s7": 0.2, "opcua": 0.05}
"""By what a handshake costs: OPC UA signs and encrypts each call, and its server takes seconds to open."""
RECIPE_EVERY = 200


@dataclass
class Board:
    """What every process has told last, and when the run began."""

    wanted: Mapping[str, int]
    accounts: dict[str, Account] = field(default_factory=dict)
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def good(self) -> bool:
        return all(account.good for account in self.accounts.values())

    @property
    def whole(self) -> bool:
        """Whether each adapter has played its share."""
        return all(
            name in self.accounts and self.accounts[name].decisions.total() >= count
            for name, count in self.wanted.items()
        )

    def line(self) -> str:
        """The tally so far."""
        passed_s = time.monotonic() - self.begun_s
        done = {name: account.decisions.total() for name, account in self.accounts.items()}
        total, wanted = sum(done.values()), sum(self.wanted.values())
        names = ("escapes", "duplicates", "unanswered", "restarts", "changes")
        counts = ", ".join(f"{name} {sum(getattr(a, name) for a in self.accounts.values())}" for name in names)
        parts = " ".join(f"{name} {done.get(name, 0):,}" for name in self.wanted)
        rate = total / passed_s if passed_s > 0 else 0.0
        return f"{passed_s:6.0f} s  {total:,} of {wanted:,} handshakes, {rate:.1f}/s ({parts}); {counts}"

    def lines(self) -> list[str]:
        """What each adapter has come to, and the whole."""
        return [*(f"{name:8}{line}" for name, one in self.accounts.items() for line in one.lines()), self.line()]


def shares(handshakes: int, over: tuple[str, ...]) -> dict[str, int]:
    """How many each adapter plays."""
    if over:
        return {name: math.ceil(handshakes / len(over)) for name in over}
    return {name: math.ceil(handshakes * share) for name, share in SHARES.items()}


def play(name: str, handshakes: int, seed: int, told: Any) -> None:
    """One adapter, in a process of its own: puts (name, account, error) into a queue now and then, and at the end."""
    logging.getLogger("csflow").setLevel(logging.CRITICAL)
    plan = replace(Plan(), recipe_every=RECIPE_EVERY)
    try:
        account = rehearse(handshakes, OVER[name], seed, plan, lambda so_far: told.put((name, so_far, "")))
        told.put((name, account, ""))
    except BaseException as error:
        told.put((name, Account(), f"{type(error).__name__}: {error}"))
        raise


@click.command()
@click.option("--handshakes", type=click.IntRange(1), default=200_000, show_default=True)
@click.option("--over", type=click.Choice(list(OVER)), multiple=True, help="All real ones by default.")
@click.option("--seed", type=int, default=3, show_default=True)
def main(handshakes: int, over: tuple[str, ...], seed: int) -> None:
    """Rehearse the handshake over every adapter at once."""
    board = Board(shares(handshakes, over))
    spawn = multiprocessing.get_context("spawn")
    told = spawn.SimpleQueue()
    processes = [spawn.Process(target=play, args=(n, c, seed, told), daemon=True) for n, c in board.wanted.items()]
    for process in processes:
        process.start()
    while not board.whole:
        name, account, error = told.get()
        if error:
            raise click.ClickException(f"{name}: {error}")
        board.accounts[name] = account
        print(board.line(), flush=True)
        if not board.good:
            break
    print("\n".join(board.lines()), flush=True)
    for process in processes:
        if not board.good:
            process.terminate()
        process.join()
    sys.exit(0 if board.good else 1)


if __name__ == "__main__":
    main()
