"""A bundle killed, or out of disk, at any step of its writing is afterwards old, new, or says what it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WEIGHTS = "weights/flow.safetensors"
GRAPH = "graphs/fp32/flow.onnx"

SCENARIOS = f"""
import os, shutil, signal, sys
from pathlib import Path
from csflow.runtime.bundle.directory import Bundle, CALIBRATION
from csflow.runtime.errors import BundleError
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing

os.fsync = lambda handle: None  # the kernel outlives the process: a sync is a step here, and needs no disk
W, G = {WEIGHTS!r}, {GRAPH!r}
STEPS = ("replace", "fsync", "unlink", "mkdir")

def manifest(name):
    return Manifest(Preprocessing(64), Definitions(), dict(name=name), {{}}, {{}})

def prepare(path, fresh):
    shutil.rmtree(path, ignore_errors=True)
    if not fresh:
        made = Bundle.create(path, manifest("old"), {{W: b"old", G: b"old", "weights/extra": b"old"}})
        made.write_calibration(b"old")

def create(path):
    return Bundle.create(path, manifest("new"), {{W: b"new", "golden/0.png": b"new"}})

def update(path):
    return Bundle.open(path).update({{W: b"new", "golden/0.png": b"new"}}, remove=("weights/extra",))

def fail_at(limit, end):
    count = 0
    def wrap(real):
        def step(*arguments, **options):
            nonlocal count
            count += 1
            if count == limit:
                end()
            return real(*arguments, **options)
        return step
    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))
    return lambda: count

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def disk_error():
    raise OSError(5, "Input/output error")

def attempt(action, path, limit, end):
    child = os.fork()
    if child == 0:
        steps = fail_at(limit, end)
        try:
            action(path)
        except OSError as error:
            assert error.errno == 5
        os._exit(steps() >= limit)
    return os.waitpid(child, 0)[1] == 0

def check(path, action, fresh):
    try:
        opened = Bundle.open(path)
    except BundleError as error:
        assert fresh and "bundle" in str(error), error
        return "none"
    opened.verify()
    name = opened.manifest.model["name"]
    contents = {{n: opened.read(n).decode() for n in opened.manifest.files}}
    assert set(contents.values()) <= {{"old", "new"}}
    if action is create:
        assert set(contents.values()) <= {{name}}, (name, contents)
        assert not (name == "new" and contents and opened.read_calibration()), "thresholds of other weights"
    for missing in {{W, G, "golden/0.png"}} - set(contents):
        try:
            opened.read(missing)
            raise SystemExit("read a file that the manifest does not name")
        except BundleError as error:
            assert missing in str(error)
    return ",".join(f"{{n}}={{c}}" for n, c in contents.items())

path = Path(sys.argv[1])
action, fresh, end = globals()[sys.argv[2]], sys.argv[3] == "fresh", globals()[sys.argv[4]]
for limit in range(1, 200):
    prepare(path, fresh)
    finished = attempt(action, path, limit, end)
    print(limit, check(path, action, fresh))
    if not (action is update and fresh):
        action(path).verify()
        rubbish = [p.name for p in path.rglob("*") if p.name.startswith(".") and ".manifest" not in p.name]
        assert not rubbish, rubbish
    if finished:
        print("finished")
        break
"""


@pytest.mark.fault("S3")
@pytest.mark.parametrize("end", ["kill", "disk_error"])
@pytest.mark.parametrize(("action", "start"), [("create", "fresh"), ("create", "old"), ("update", "old")])
def test_whatever_step_it_ends_at_the_bundle_is_old_or_new_or_says_what_it_lacks(
    tmp_path: Path, action: str, start: str, end: str
) -> None:
    command = [sys.executable, "-c", SCENARIOS, str(tmp_path / "b"), action, start, end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "finished"
    assert len(lines) > 10
    kept = "graphs/fp32/flow.onnx=old," if action == "update" else ""
    assert lines[-2].endswith(f" golden/0.png=new,{kept}weights/flow.safetensors=new")
