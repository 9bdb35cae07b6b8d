"""A line whose bundle aligns: parts may lie anyhow, and a picture without the part is an ERROR, never OK."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.faults import Reason, Verdict, reason_of
from csflow.runtime.line.stream import run_stream
from csflow.runtime.sinks.memory import MemorySink
from csflow.runtime.source import open_source


def test_shifted_parts_are_judged_and_a_missing_one_is_an_error(
    aligned_bundle: Bundle, moving_part: Callable[..., Image.Image], tmp_path: Path
) -> None:
    calibration = load_calibration(aligned_bundle)
    assert calibration is not None
    pictures = tmp_path / "line"
    pictures.mkdir()
    for i, x in enumerate((0, 12, None, -15)):
        moving_part(x).save(pictures / f"{i}.png")
    memory = MemorySink()
    with Detector(aligned_bundle, FakeEngine(aligned_bundle), calibration) as detector:
        run_stream(open_source(str(pictures)), detector, [memory])
    first, right, missing, left = memory.results
    assert [r.verdict for r in memory.results] == [Verdict.OK, Verdict.OK, Verdict.ERROR, Verdict.OK]
    assert right.score == first.score
    assert left.score == first.score
    assert (missing.fault, reason_of(missing.verdict, missing.fault)) == ("frame", Reason.PICTURE)
    assert missing.reason.startswith("the part was not found in the picture: its correlation")
