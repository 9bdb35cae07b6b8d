#!/usr/bin/env bash
# torchvision's ToTensor makes the bright half of a 16-bit picture negative.
#
# Version:  torchvision 0.29.2, torch 2.15.0, Pillow 13.0.0
# Expected: ToTensor gives numbers from 0 to 1, brighter is more. Its documentation names the modes that it scales, and
#           that others are not scaled; nothing of signs. v2.ToDtype(..., scale=True) keeps black black and white white.
# Seen:     A picture of mode I;16 becomes int16 as it lies: 32,767 stays, 32,768 is -32,768, white is -1, just below
#           black. pil_to_tensor and v2.ToImage give uint16, and ToDtype(float32, scale=True) of that is right. From
#           uint8 to uint16 ToDtype multiplies by 256: white is 65,280, 0.996.
# Costs:    A 16-bit camera, or a 12-bit one whose pixels are shifted up, trains on pictures in which highlights are
#           darker than black; with 12 bits shifted down everything is right in tests, but not scaled.
# Instead:  v2.ToImage and v2.ToDtype(torch.float32, scale=True).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    torchvision==0.29.2 torch==2.15.0 pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import ToTensor, v2
from torchvision.transforms.functional import pil_to_tensor

LEVELS = [0, 4095, 32767, 32768, 65535]
picture = Image.fromarray(np.array([LEVELS], np.uint16))
assert picture.mode == "I;16"
found = {
    "ToTensor": ToTensor()(picture),
    "pil_to_tensor": pil_to_tensor(picture),
    "v2.ToImage": v2.ToImage()(picture),
    "v2, to float32": v2.ToDtype(torch.float32, scale=True)(v2.ToImage()(picture)),
}
print("levels", LEVELS)
for name, tensor in found.items():
    print(name, tensor.dtype, tensor.flatten().tolist())
white = v2.ToDtype(torch.uint16, scale=True)(torch.full((1, 1, 1), 255, dtype=torch.uint8))
again = v2.ToDtype(torch.float32, scale=True)(white)
print("white of 8 bits as uint16", white.item(), "and as float", again.item())
tensor = found["ToTensor"]
seen = {
    "ToTensor is int16, unscaled": tensor.dtype == torch.int16 and tensor.flatten().tolist()[:3] == LEVELS[:3],
    "its bright half is negative, white is -1": tensor.flatten().tolist()[3:] == [-32768, -1],
    "pil_to_tensor and v2.ToImage keep the levels": all(
        found[name].flatten().tolist() == LEVELS for name in ("pil_to_tensor", "v2.ToImage")
    ),
    "v2 to float32 is right": np.allclose(found["v2, to float32"].flatten().numpy(), np.array(LEVELS) / 65535),
    "white of uint8 is not white in uint16": white.item() == 65280 and again.item() < 0.997,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
