"""`csflow fleet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.runtime.cli.command import Command, echo_json, pixels_option, require, tell

if TYPE_CHECKING:
    from csflow.export.fleet.pools import Pool
    from csflow.export.fleet.products import Fleet, Product

__all__ = ["fleet"]

EXAMPLES = (
    "csflow fleet train products.toml",
    "csflow fleet calibrate products.toml --only flange --only cover",
    "csflow fleet train products.toml --address 10.0.0.1:6379",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("what", type=click.Choice(["train", "calibrate", "export", "verify"]))
@click.argument("products", type=click.Path(path_type=Path), metavar="PRODUCTS.TOML")
@pixels_option
@click.option("--only", multiple=True, metavar="NAME", help="Only this product; may be repeated.")
@click.option("--fresh", is_flag=True, help="Do again what was done, and discard unfinished trainings.")
@click.option(
    "--tries",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="How often a product is begun whose process is killed, or that fails for a reason that may pass.",
)
@click.option("--cores", type=click.IntRange(1), metavar="N", help="Cores of this machine to use.  [default: all]")
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster that runs; its machines see the same folders.")
@click.option("--one-by-one", is_flag=True, help="One product after the other, as without Ray.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object.")
@click.pass_context
def fleet(
    ctx: click.Context,
    what: str,
    products: Path,
    only: tuple[str, ...],
    fresh: bool,
    tries: int,
    cores: int | None,
    address: str | None,
    one_by_one: bool,
    as_json: bool,
) -> None:
    """Train, calibrate, export or verify every product of PRODUCTS.TOML, side by side on Ray where it is installed.

    What is done already, with the same settings and pictures, is skipped: a run that was interrupted goes on. A product
    that fails stops no other. The table at the end is a page, too, with every product's sheet, in PRODUCTS.fleet/
    beside the file; logs lie there as well. The exit code is 1 where a product failed.
    """
    if one_by_one and (address or cores):
        raise click.UsageError("--one-by-one takes neither --address nor --cores")
    if address and cores:
        raise click.UsageError("--cores is for this machine: a cluster at --address has its own")
    require("export", "torch", "torchvision", "timm", "safetensors", "sklearn", "scipy", "jinja2", "tqdm")
    from csflow.export.fleet.fleet import run_fleet
    from csflow.export.fleet.products import read_products
    from csflow.export.fleet.sharing import shared_by
    from csflow.export.fleet.table import fleet_page, rows_of, table_lines, to_json
    from csflow.export.fleet.task import VERBS, Task
    from csflow.runtime.atomic import alone_in, write_atomic
    from csflow.runtime.errors import ConfigError

    known = read_products(products)
    chosen = _chosen(known, only)
    shared = shared_by(chosen, known.work)
    tasks = [Task(what, product, known.work, fresh, shared.get(product.name)) for product in chosen]
    shares = {name: folder for name, (folder, _) in shared.items()} if what == "train" else {}
    refusal = ConfigError(f"another csflow fleet works in {known.work}: wait for it, or end it")
    with alone_in(known.work, refusal):
        pool = _pool(known, chosen, address, cores, one_by_one)
        try:
            endings = run_fleet(tasks, pool, tries, tell, shares)
        finally:
            pool.close()
        problems = {ending.product.name: ending.outcome.problem for ending in endings}
        rows = rows_of(known, problems)
        page = known.work / "fleet.html"
        write_atomic(page, fleet_page(known, rows, f"{products.stem}: {VERBS[what]}").encode())
    if as_json:
        echo_json(to_json(rows))
    else:
        click.echo("\n".join([*table_lines(rows), f"every product's sheet: {page}"]))
    if any(problems.values()):
        ctx.exit(1)


def _chosen(fleet: Fleet, only: tuple[str, ...]) -> tuple[Product, ...]:
    names = [product.name for product in fleet.products]
    if unknown := [name for name in only if name not in names]:
        raise click.UsageError(f"--only {unknown[0]}: the file has {', '.join(names[:20])}")
    return tuple(product for product in fleet.products if not only or product.name in only)


def _pool(
    fleet: Fleet, products: tuple[Product, ...], address: str | None, cores: int | None, one_by_one: bool
) -> Pool:
    from importlib.util import find_spec

    from csflow.export.fleet.pools import OneByOne
    from csflow.export.fleet.ray_pool import RayPool
    from csflow.export.fleet.work import perform

    if address or not (one_by_one or find_spec("ray") is None):
        return RayPool(perform, products, address, cores)
    if not one_by_one:
        from csflow.runtime.machine.install import pip_install

        tell(f"one product after the other: Ray would train several side by side ({pip_install('fleet')})")
    return OneByOne(perform, fleet.work / "worker.log")
