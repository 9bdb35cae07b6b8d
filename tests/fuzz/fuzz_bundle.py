"""Damage a bundle in thousands of ways; it must work or be refused with a CSFlowError, soon, every time.

    python tests/fuzz/fuzz_bundle.py --iterations 100000 --seed 1

Prints 'N mutations, 0 crashes' and ends with 0; else prints each crash with the seed that repeats it, and
ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from csflow.runtime import schema
from csflow.runtime.bundle.calibration import Calibration, load_calibration
from csflow.runtime.bundle.directory import CALIBRATION, MANIFEST, Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.errors import CSFlowError

LIMIT_S = 5.0
FRAGMENTS = (
    *(b'{"a":', b"[", b"]", b"}", b",", b":", b'"', b"null", b"true", b"NaN", b"-Infinity"),
    *(
        b"1e999",
        b"-0",
        b"1e-400",
        b"9" * 5000,
        b'"\\ud800"',
        b'"\\u0000"',
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(b'"../../etc/passwd"', b"\\", b"\n"),
)


def make(path: Path) -> None:
    """A calibrated bundle with two golden frames at `path`."""
    files = {
        "weights/flow.safetensors": b"weights" * 50,
        "golden/0.png": b"png",
        "golden/scores.json": b"[0.5]",
    }
    how = Preprocessing(64, (1, 2, 30, 40))
    made = Bundle.create(path, Manifest(how, Definitions(), {"blocks": 4}, {"by": "fuzz"}, {}), files)
    scores = tuple(i / 8 for i in range(40))
    identity = made.weights_sha256
    thresholds = Calibration(4.5, 4.0, 0.05, 0.95, 0.1, 0.1, scores, identity, "fake", "2026-01-01T00:00:00Z")
    made.write_calibration(schema.dump_json(schema.to_mapping(thresholds)))


def flip(data: bytes, draw: random.Random) -> bytes:
    """Flip one to eight bits."""
    damaged = bytearray(data or b"\0")
    for _ in range(draw.randint(1, 8)):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, draw: random.Random) -> bytes:
    """Cut the end off."""
    return data[: draw.randrange(len(data) + 1)]


def insert(data: bytes, draw: random.Random) -> bytes:
    """Insert a fragment of JSON, or of what is none."""
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice(FRAGMENTS) * draw.randint(1, 3) + data[at:]


def splice(data: bytes, draw: random.Random) -> bytes:
    """Repeat or drop a stretch of bytes."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:] if draw.random() < 0.5 else data[:a] + data[b:]


def nest(data: bytes, draw: random.Random) -> bytes:
    """Wrap in many levels of arrays or objects."""
    depth = draw.choice((10, 63, 64, 65, 1000, 100_000))
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * depth + data + closing * draw.choice((0, depth))


def values(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below `node`."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [(node, key) for key in keys] + [pair for key in keys for pair in values(node[key])]


def rewrite(data: bytes, draw: random.Random) -> bytes:
    """Replace, delete or swap a value of the JSON; mostly seal it again, for the schema to notice."""
    try:
        body = json.loads(data)
        (a, i), (b, j) = draw.choice(values(body)), draw.choice(values(body))
    except (ValueError, IndexError, RecursionError):
        return flip(data, draw)
    odd: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        1.5,
        10**18,
        -(10**18),
        1e308,
        "",
        "x",
        "../x",
        "0" * 64,
        [],
        {},
        [[]],
        {"a": 1},
        "\ud800",
    )
    choice = draw.randrange(4)
    if choice == 0:
        a[i] = draw.choice(odd)
    elif choice == 1:
        del a[i]
    elif choice == 2 and isinstance(a, dict):
        a[str(draw.choice((*odd, "\ud800")))] = a.pop(i)
    else:
        a[i], b[j] = json.loads(json.dumps((b[j], a[i])))
    if isinstance(body, dict) and body.pop("manifest_sha256", None) and draw.random() < 0.9:
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
        body["manifest_sha256"] = sha256(canonical.encode()).hexdigest()
    return json.dumps(body).encode()


EDITS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip,
    truncate,
    insert,
    splice,
    nest,
    rewrite,
    rewrite,
)


def displace(path: Path, others: list[Path], draw: random.Random) -> None:
    """Delete a file, or put another, a folder, a link or a pipe in its place."""
    other = draw.choice(others)
    content = other.read_bytes()
    path.unlink()
    action = draw.randrange(6)
    if action == 1:
        path.mkdir()
    elif action == 2:
        path.symlink_to(draw.choice((other, Path("/dev/zero"), path, Path("nowhere"))))
    elif action == 3:
        os.mkfifo(path)
    elif action >= 4:
        path.write_bytes(content)


def mutate(bundle: Path, draw: random.Random) -> None:
    """One or two mutations of files of `bundle`, the JSON files most often."""
    files = [p for p in sorted(bundle.rglob("*")) if p.is_file()]
    for _ in range(draw.choice((1, 1, 1, 2))):
        path = draw.choice([*files, *[bundle / MANIFEST, bundle / CALIBRATION] * 4])
        if not path.is_file() or path.is_symlink():
            continue
        if draw.random() < 0.1:
            displace(path, [p for p in files if p.is_file()], draw)
        else:
            path.write_bytes(draw.choice(EDITS)(path.read_bytes(), draw))


def use(bundle: Path) -> None:
    """What a detector does before the first frame: raises CSFlowError or nothing."""
    try:
        opened = Bundle.open(bundle)
        opened.verify()
        thresholds = load_calibration(opened)
        if thresholds is not None:
            thresholds.verdict(1.0)
            thresholds.p_value(1.0)
        opened.manifest.to_bytes()
    except CSFlowError as error:
        if len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
            raise AssertionError(f"the message is no short line: {str(error)[:3000]!r}") from error


def attempt(template: Path, work: Path, seed: str) -> str | None:
    """One mutated bundle; the traceback of a crash, or None."""
    draw = random.Random(seed)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work)
    mutate(work, draw)
    started = time.monotonic()
    try:
        use(work)
    except Exception:  # noqa: BLE001 - that is what is looked for
        return traceback.format_exc()
    spent = time.monotonic() - started
    return f"took {spent:.1f} s" if spent > LIMIT_S else None


def fuzz(iterations: int, seed: int) -> list[str]:
    """Run `iterations` mutations; the report of each crash."""
    os.fsync = lambda fd: None  # noqa: ARG005 - os's signature; nothing here must survive a power cut
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        template, work = Path(folder, "template"), Path(folder, "work")
        make(template)
        use(template)
        reports = [(n, attempt(template, work, f"{seed}:{n}")) for n in range(iterations)]
    return [f"mutation {n} of seed {seed}:\n{report}" for n, report in reports if report]


def main() -> int:
    """Parse the arguments, fuzz, print."""
    parser = argparse.ArgumentParser(description="Fuzz the reading of bundles.")
    parser.add_argument("--iterations", type=int, default=20_000, help="number of mutated bundles")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same mutations")
    options = parser.parse_args()
    crashes = fuzz(options.iterations, options.seed)
    print("\n".join([*crashes, f"{options.iterations} mutations, {len(crashes)} crashes"]))
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
