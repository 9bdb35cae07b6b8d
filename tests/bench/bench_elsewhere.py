"""What `make bench` cannot measure by itself, for it needs pictures or hours: rows with their commands."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Elsewhere", "elsewhere"]

PEER = "--backbone tf_efficientnet_b5 --image-size 768 --hidden 1024 --peer peer/bin/python"
FLOW = "--backbone tf_efficientnet_lite2 --hold-out 0.1 --hidden 128 --schedule cosine --learning-rate 3e-3"
TILES = f"csflow train mtd/ {FLOW} --image-size 384 --epochs 10"
SCREWS = f"csflow train bsdata/ {FLOW} --image-size 256 --epochs 6 --bundle screws.csflow"
GATE = "csflow export --no-engines --int8 --limit 300 --images"


@dataclass(frozen=True)
class Elsewhere:
    """A row of docs/benchmarks.md."""

    what: str
    needs: str
    commands: tuple[str, ...]

    def text(self) -> str:
        """Lines for people."""
        return "\n    ".join((f"{self.what}; needs {self.needs}:", *self.commands))


def elsewhere(peer_was_timed: bool) -> tuple[Elsewhere, ...]:
    """The rows; mtd/ are the magnetic tiles, calibration/ those of docs/mtd.md for thresholds, bsdata/ the ball screw.

    Args:
        peer_was_timed: whether this run set csflow beside anomalib already.
    """
    decided = (
        TILES,
        "csflow calibrate calibration/ --backend torch --false-reject-rate 5%",
        f"{GATE} mtd/",
        SCREWS,
        "csflow calibrate bsdata/calibration/good --bundle screws.csflow --backend torch --false-reject-rate 5%",
        f"{GATE} bsdata/ --bundle screws.csflow",
    )
    low = (
        TILES,
        "csflow export --no-engines",
        "csflow evaluate mtd/ --backend openvino-fp32",
        f"{TILES} --backbone-precision int8 --bundle int8.csflow",
        "csflow export --bundle int8.csflow --no-engines --int8 --images mtd/",
        "csflow evaluate mtd/ --bundle int8.csflow --backend openvino-int8",
    )
    soon = (f"time {TILES}", "csflow export --no-engines", "csflow evaluate mtd/ --backend openvino-fp32")
    peer = Elsewhere(
        "beside anomalib's export",
        "a Python with anomalib[openvino], and EfficientNet-B5",
        (f"make bench BENCH='{PEER}'",),
    )
    return (
        *(() if peer_was_timed else (peer,)),
        Elsewhere("fastest engine that passes the gate, verdicts that differ", "pictures and half an hour", decided),
        Elsewhere("image AUROC, low precision beside float32 trained alike", "pictures and an hour", low),
        Elsewhere("time to image AUROC >= 0.985", "pictures and half an hour", soon),
    )
