#!/usr/bin/env bash
# MNN's converter installs another package, in whatever Python the first pip of the PATH belongs to, before it converts.
#
# Version:  MNN 3.6.1, its command mnnconvert, called by its path in a virtual environment that is not activated
# Expected: A converter reads a model and writes one. What it needs is in its requirements, and installed by whoever
#           installs it.
# Seen:     Before the first byte of the model is read the shell is given "pip install -U aliyun-log-python-sdk", if
#           that package is not there. With an environment that is not activated (a service, a Makefile, a full path) it
#           is the machine's pip: nine packages landed in the machine's Python, and a tenth was replaced by a newer one.
#           In the environment itself the package is still missing, so that it happens again at each call. Were it
#           there, the model's size and identity, the arguments and the machine's id would go to a log service, as the
#           converter's source says. Where pip fails, the conversion goes on and succeeds.
# Costs:    Converting a model changes what every other program of the machine runs on; a build that is to be repeatable
#           gets the versions of the day.
# Instead:  Convert in a container without network, or put a pip that fails first in the PATH.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 MNN==3.6.1
cd "$work"
mkdir stand-in
cat > stand-in/pip <<'SH'
#!/bin/sh
echo "$@" >> "$ASKED"
exit 1
SH
chmod +x stand-in/pip
export ASKED="$work/asked" PATH="$work/stand-in:$PATH"
"$work/venv/bin/python" - <<'PY'
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

graph = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["y"])],
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4])],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "model.onnx")
convert = Path(sys.executable).with_name("mnnconvert")
command = [str(convert), "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"]
before = subprocess.run([str(convert)], capture_output=True, text=True, check=False)
asked = Path("asked").read_text().splitlines() if Path("asked").exists() else []
print("pip was asked, without a model:", asked)
done = subprocess.run(command, capture_output=True, text=True, check=False)
again = Path("asked").read_text().splitlines()
print("pip was asked, in two calls:   ", again)
seen = {
    "the first pip of the PATH is told to install a package": set(asked) == {"install -U aliyun-log-python-sdk"},
    "at each call": again == asked * 2,
    "the model is converted without it": "Converted Success" in done.stdout and Path("model.mnn").stat().st_size > 0,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
