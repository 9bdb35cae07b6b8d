"""`csflow plc-simulate`: the controller's side of a station, without a controller."""

from __future__ import annotations

from dataclasses import replace

import click

from csflow.runtime.cli.command import Command, tell
from csflow.runtime.errors import CSFlowError

__all__ = ["plc_simulate"]

EXAMPLES = ("csflow plc-simulate",)

LINKS = ("null", "modbus")


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--over", type=click.Choice(LINKS), default="modbus", show_default=True, help="Which adapter carries it.")
@click.option(
    "--handshakes", type=click.IntRange(1, 10_000_000), default=1000, show_default=True, metavar="N", help="Parts."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of everything random.")
@click.option(
    "--recipe-every", type=click.IntRange(0), default=0, metavar="N", help="Change the recipe after each N parts."
)
@click.option(
    "--calm",
    is_flag=True,
    help="Nothing goes wrong, and the worker answers at once: the latency is that of the handshake.",
)
def plc_simulate(over: str, handshakes: int, seed: int, recipe_every: int, calm: bool) -> None:
    """Rehearse the handshake: a real station and its adapter on loopback, a simulated controller, line and worker.

    Telegrams are lost, doubled, torn and kept by a gateway, workers hang and die, station and controller start anew
    with parts on the line. Ends with 1 if a defective part passed, or a trigger had no or more than one result.
    """
    from csflow.runtime.plc.simulator.rehearsal import CALM, Account, Plan, rehearse
    from csflow.runtime.plc.simulator.served import SERVED

    plan = replace(CALM if calm else Plan(), recipe_every=recipe_every)

    def so_far(account: Account) -> None:
        done = account.decisions.total()
        tell(f"{done} of {handshakes}: escapes {account.escapes}, duplicates {account.duplicates}")

    account = rehearse(handshakes, SERVED[over], seed, plan, so_far)
    click.echo("\n".join(account.lines()))
    if not account.good:
        raise CSFlowError("the rehearsal failed: keep its seed and report it")
