"""What the live page costs: processor time of its process for each frame, with cameras that run and people who watch.

    python tests/bench/bench_page.py                                    this checkout
    python tests/bench/bench_page.py --against ../csflow-before         and another one beside it, in turns

Processor time, not time that passes: the viewers are processes of their own, and a busy machine does not count.
Pictures are 640x480, one part in ten is NOK, and the share is of one core at that rate.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
PACKAGES = ("runtime", "calibration", "toolkit", "export")
NOK_EVERY = 10


def watch(url: str, seen_it: threading.Event) -> None:
    """What a browser asks for: every event, and each picture that it names first. Tells when the first has come."""
    seen: set[str] = set()
    with urllib.request.urlopen(f"{url}events", timeout=60) as events:
        for line in events:
            if line.startswith(b"data: "):
                seen_it.set()
                for path in pictures(json.loads(line[6:])):
                    if path not in seen:
                        seen.add(path)
                        fetch(url + path)


def pictures(event: dict[str, Any]) -> list[str]:
    """The pictures on the page, as both checkouts address them."""
    shown, rejects = event["shown"], event["rejects"]
    if isinstance(shown, list):
        return [
            *(f"part/{part['number']}/overlay.jpg" for part in shown),
            *(f"part/{part['number']}/thumbnail.jpg" for part in rejects),
        ]
    return [*([f"frame/{shown['number']}.jpg"] if shown else []), *(f"thumbnail/{p['number']}.jpg" for p in rejects)]


def fetch(url: str) -> None:
    """Read it; one that is gone by now is none."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()


def measure(cameras: int, viewers: int, fps: float, seconds: float) -> float:
    """Processor time of this process in seconds a frame, with a page that `viewers` watch."""
    import numpy as np

    from csflow.runtime.page.sink import PageSink
    from csflow.runtime.page.state import PageInfo
    from csflow.runtime.types import Frame, Result, Verdict

    names = tuple(f"camera {i}" for i in range(cameras))
    image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    heat = np.zeros((24, 24), np.float32)
    ok = Result(Verdict.OK, 0.5, 1.0, 0.4, heat, (0, 0), "", 0, 0, 0.01)
    with PageSink("127.0.0.1:0", PageInfo("model.csflow", "fake", 0.8, 1.0, names)) as page:
        apart = multiprocessing.get_context("spawn")
        arrivals = [apart.Event() for _ in range(viewers)]
        people = [apart.Process(target=watch, args=(page.url, arrival)) for arrival in arrivals]
        for one in people:
            one.start()
        for arrival in arrivals:
            arrival.wait()
        before_s, count, start_s = time.process_time(), 0, time.monotonic()
        while time.monotonic() - start_s < seconds:
            verdict, score = (Verdict.NOK, 2.0) if count % NOK_EVERY == 0 else (Verdict.OK, 0.5)
            camera = names[count % cameras]
            page.write(replace(ok, verdict=verdict, score=score, camera=camera, frame_index=count), Frame(image))
            count += 1
            time.sleep(max(0.0, start_s + count / (fps * cameras) - time.monotonic()))
        used_s = time.process_time() - before_s
        for one in people:
            one.kill()
    return used_s / count


def of_checkout(root: Path, arguments: list[str]) -> float:
    """`measure` in a process that loads csflow from there."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "csflow"
        package.mkdir()
        for name in PACKAGES:
            (package / name).symlink_to(root / name)
        command = [sys.executable, __file__, "--measure", folder, *arguments]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def load_from(folder: str) -> None:
    """Import csflow from `folder`, whatever is installed."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__.lower()]
    sys.path.insert(0, folder)


def main() -> None:
    """Print a line a checkout and number of cameras, and the ratio of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--cameras", default="1,4")
    parser.add_argument("--viewers", type=int, default=2)
    parser.add_argument("--fps", type=float, default=5.0, help="of each camera")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        load_from(args.measure)
        print(measure(int(args.cameras), args.viewers, args.fps, args.seconds))
        return
    roots = [HERE, *([] if args.against is None else [args.against.resolve()])]
    for cameras in map(int, args.cameras.split(",")):
        asked = ["--cameras", str(cameras), "--viewers", str(args.viewers)]
        asked += ["--fps", str(args.fps), "--seconds", str(args.seconds)]
        times: dict[Path, list[float]] = {root: [] for root in roots}
        for _, root in itertools.product(range(args.rounds), roots):
            times[root].append(of_checkout(root, asked))
        medians = [statistics.median(times[root]) for root in roots]
        for root, median_s in zip(roots, medians, strict=True):
            share = median_s * args.fps * cameras
            print(
                f"{cameras} cameras, {args.viewers} viewers: {median_s * 1e3:.2f} ms a frame, {share:.1%} of a core",
                root,
            )
        if len(medians) > 1:
            print(f"{cameras} cameras, {args.viewers} viewers: {medians[0] / medians[1]:.2f} of the other")


if __name__ == "__main__":
    main()
