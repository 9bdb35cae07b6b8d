"""Values that the page's tests share."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from csflow.runtime.page.facts import PageInfo
from csflow.runtime.types import Result, Verdict

TOKEN = "0123456789abcdef-"
OPERATOR = "operator-0123456789"
INFO = PageInfo("model.csflow", "fake", 0.8, 1.0, ("cam", "cam2"))
IMAGE = np.full((64, 64, 3), 120, dtype=np.uint8)
OK = Result(Verdict.OK, 0.5, 1.0, 0.4, np.zeros((2, 2), np.float32), (0, 0), "", 0, 0, 0.012, "cam#0", "cam")
NOK = replace(OK, verdict=Verdict.NOK, score=2.5, source="cam2#0", camera="cam2")
ERROR = replace(OK, verdict=Verdict.ERROR, score=math.nan, reason="unplugged", frame_index=3)
