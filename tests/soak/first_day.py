"""A stranger's first day, timed: a fresh clone, `make demo`, README's day on a line, every command copied from README.

    python3 tests/soak/first_day.py /tmp/day [--clone URL] [--packages DIR] [--torch-index URL]

The commands run with an empty home, and find no programs but those of a bare Debian (coreutils, sh), git, make and
python3: no variable of yours, no virtual environment, no cache of pip. `--packages` takes a folder of installed
packages (site-packages) for what pip would download, 6.3 GB; `--torch-index` names where torch without NVIDIA's
libraries is, as README has it. Ends with 1 where a command fails, the day is not what README says, or it takes longer
than 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LIMIT_S = 900.0
BASE = ("/usr/bin", "/bin")
PROGRAMS = (
    "sh bash basename cat chmod cp cut date dirname echo env expr false grep head id ln ls mkdir mv printf pwd rm sed "
    "sleep sort tail test touch tr true uname wc git make python3".split()
)
"""What a bare Debian has, git, and python3 and make, which README asks for."""
PASSED_ON = ("PIP_", "SSL_CERT_FILE", "https_proxy", "HTTPS_PROXY")
"""Where pip finds packages is the machine's matter: variables that begin so."""


def block(readme: str, begin: str) -> list[str]:
    """The commands of README from the line that begins so to the next empty one."""
    lines = readme.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"    {begin}"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("    "))
    return [line.strip() for line in lines[first:last]]


class Stranger:
    """Types into one shell after the other, in a home of their own."""

    def __init__(self, home: Path) -> None:
        """Make the home and the folder of the programs."""
        self.home = home
        programs = home / "programs"
        programs.mkdir(parents=True)
        for name in PROGRAMS:
            found = shutil.which(name, path=os.pathsep.join(BASE)) or shutil.which(name)
            if found is None:
                raise SystemExit(f"{name} is not here")
            (programs / name).symlink_to(found)
        self._environment = {"HOME": str(home), "PATH": str(programs), "LANG": "C.UTF-8"}
        self._environment.update({name: text for name, text in os.environ.items() if name.startswith(PASSED_ON)})
        if (configured := Path.home() / ".config" / "pip" / "pip.conf").is_file():
            self._environment.setdefault("PIP_CONFIG_FILE", str(configured))
        self.took: list[tuple[str, float]] = []

    def types(self, line: str, folder: Path, before: str = "") -> None:
        """Run a line as printed, after `before`; SystemExit where it fails."""
        print(f"\n$ {line}", flush=True)
        began_s = time.monotonic()
        words = ["sh", "-c", f"{before}{line}"]
        done = subprocess.run(words, cwd=folder, env=self._environment, check=False, stdin=subprocess.DEVNULL)
        self.took.append((line, time.monotonic() - began_s))
        if done.returncode:
            raise SystemExit(f"failed with {done.returncode}: {line}")


def lend_packages(clone: Path, packages: Path) -> None:
    """An environment that finds installed packages elsewhere: pip has nothing to download."""
    subprocess.run([sys.executable, "-m", "venv", str(clone / ".venv")], check=True)
    (site,) = (clone / ".venv" / "lib").glob("python3*/site-packages")
    (site / "lent.pth").write_text(f"{packages.resolve()}\n")


def judge(clone: Path) -> None:
    """Whether the day came to what README says; SystemExit where it did not."""
    day = clone / "out" / "day"
    first, second = (
        json.loads((clone / "out" / f"{n}.csflow" / "manifest.json").read_bytes()) for n in ("day", "day-2")
    )
    (word,) = ((day / "labels.jsonl").read_text()).splitlines()
    pictures = len(list((day / "train" / "good").glob("*.png")))
    learned = [bundle["provenance"]["training"]["images"] for bundle in (first, second)]
    print(f"\n{pictures} pictures; word: {json.loads(word)['reason']}; trained on {learned}")
    if first["files"] == second["files"] or not json.loads(word)["picture"].startswith("train/good/"):
        raise SystemExit("the second model has not heard the operator")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="a folder that is not there")
    parser.add_argument("--clone", default=str(ROOT), metavar="URL", help="what is cloned [default: this repository]")
    parser.add_argument("--packages", type=Path, metavar="DIR")
    parser.add_argument("--torch-index", metavar="URL")
    parser.add_argument("--any-time", action="store_true", help="on a machine that does other work, too")
    said = parser.parse_args()
    stranger = Stranger(said.home.resolve())
    clone, make = block(README, "git clone URL")
    stranger.types(clone.partition("#")[0].strip().replace("URL", shlex.quote(said.clone), 1), stranger.home)
    folder = stranger.home / "csflow"
    if said.packages:
        lend_packages(folder, said.packages)
    make = make.partition(":")[2].strip() if said.torch_index else make.partition("#")[0].strip()
    began_s = time.monotonic()
    stranger.types(make.replace("https://download.pytorch.org/whl/cpu", said.torch_index or ""), folder)
    entered = block(README, ". .venv")[0]
    for line in block(README, "csflow capture --camera 'synthetic"):
        stranger.types(line, folder, f"{entered} && ")
    took_s = time.monotonic() - began_s
    judge(folder)
    for line, seconds in stranger.took:
        print(f"{seconds:7.1f} s  {line}")
    print(f"{took_s:7.1f} s  from make demo to the second model; at most {LIMIT_S:g}")
    if took_s > LIMIT_S and not said.any_time:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
