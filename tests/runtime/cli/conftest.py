"""Pictures that a run inspects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GOOD, BAD = (np.full((64, 64, 3), grey, dtype=np.uint8) for grey in (51, 204))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two good parts, a bad one and a file that is no picture."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, image in (("p1.png", GOOD), ("p2.png", BAD), ("p10.png", GOOD)):
        Image.fromarray(image).save(folder / name)
    (folder / "p3.png").write_bytes(b"no picture")
    return folder
