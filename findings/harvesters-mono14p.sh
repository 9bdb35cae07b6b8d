#!/usr/bin/env bash
# harvesters unpacks Mono14p wrongly: of every four pixels, the second and third lose bits.
#
# Version:  harvesters 1.4.3; its formats of 10 and 12 bits are right
# Expected: A "p" format is a stream of bits, the lowest bit of the first pixel first (Pixel Format Naming Convention):
#           pixel i is bits 14 i to 14 i + 13.
# Seen:     Of every four pixels of Mono14p the second and third have the wrong value. Mono10p and Mono12p, by the same
#           formula, are right.
# Costs:    A 14-bit camera's pictures have a pattern of four columns that no part has; a model trained on them learns it.
# Instead:  Unpack the raw buffer oneself (four lines of numpy, below), or let the camera send Mono12p or Mono14.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 genicam==1.6.0 harvesters==1.4.3
cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import sys

import numpy as np
from harvesters.util.pfnc import Dictionary


def bits(data, depth):
    stream = np.unpackbits(data, bitorder="little").reshape(-1, depth)
    return stream @ (1 << np.arange(depth))


def wrong(name, depth):
    """Share of wrong pixels by their place in a group of four."""
    data = np.random.default_rng(0).integers(0, 256, depth * 1000, dtype=np.uint8)
    made = Dictionary.get_proxy(name).expand(data)
    shares = (made != bits(data, depth)).reshape(-1, 4).mean(axis=0)
    print(f"{name}: share of wrong pixels by place in a group of four: {np.round(shares, 2)}")
    return shares


mono14 = wrong("Mono14p", 14)
seen = {
    "Mono10p and Mono12p are right": not wrong("Mono10p", 10).any() and not wrong("Mono12p", 12).any(),
    "the first and last of four pixels of Mono14p are right": not mono14[[0, 3]].any(),
    "the second and third are not": (mono14[[1, 2]] > 0.5).all(),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.stdout.flush()
os._exit(not all(seen.values()))
PY
