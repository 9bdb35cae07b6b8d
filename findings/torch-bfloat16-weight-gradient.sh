#!/usr/bin/env bash
# On a processor, the weight gradient of a bfloat16 convolution is not written where the kernel reaches over the whole map.
#
# Version:  torch 2.15.0 (CPU), on processors with AVX-512's bfloat16; elsewhere torch takes another way, and the script
#           says that it could not look
# Expected: A kernel position that only ever meets padding has the gradient 0, and autocast to bfloat16 changes a gradient
#           by its rounding, less than 1 %.
# Seen:     A 5 x 5 convolution with padding 2 over a map of 1 x 1 (7 x 7 over 2 x 2, 9 x 9 over 3 x 3): output and
#           gradient of the input are right to 0.4 %; the weight gradient is off by 77 % to 180 % of its norm, as the
#           positions that should be 0 hold what lay in memory, now and then infinities. Where the padding is not larger
#           than the map's side it is right. No warning.
# Costs:    Training on the small maps of a pyramid goes on with random gradients, and ends with a loss of nan some steps
#           later, or does not end so.
# Instead:  float32 where padding exceeds the map's side.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import torch
from torch.nn.functional import conv2d

if not torch.cpu.get_capabilities().get("avx512_bf16"):
    print("this processor has no bfloat16 of AVX-512: nothing to look at")
    sys.exit(0)
torch.manual_seed(0)


def errors(kernel, side):
    """Relative errors of output, gradient of the input and gradient of the weights: bfloat16 against float32."""
    x = torch.randn(16, 152, side, side, requires_grad=True)
    w = torch.nn.init.kaiming_uniform_(torch.empty(304, 152, kernel, kernel)).requires_grad_()
    exact = conv2d(x, w, padding=kernel // 2)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = conv2d(x, w, padding=kernel // 2)
    pairs = [(rounded.float(), exact)]
    towards = torch.randn_like(exact)
    right, found = (torch.autograd.grad((y.float() * towards).sum(), (x, w)) for y in (exact, rounded))
    pairs += zip(found, right)
    return [((a - b).norm() / b.norm()).item() for a, b in pairs]


seen = {}
for kernel, side in ((5, 1), (7, 2), (9, 3), (3, 1), (5, 2), (7, 3)):
    output, to_input, to_weights = errors(kernel, side)
    over = kernel // 2 > side
    what = f"{kernel} x {kernel} over {side} x {side}"
    print(f"{what}: output {output:.4f}, to the input {to_input:.4f}, to the weights {to_weights:.4f}")
    seen[f"{what}: output and gradient of the input are right"] = max(output, to_input) < 0.01
    seen[f"{what}: the gradient of the weights is {'wrong' if over else 'right'}"] = (to_weights < 0.01) != over
for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
