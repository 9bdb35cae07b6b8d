"""What a comparison found: as a table for a terminal, and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from csflow.export.compare import Gain, Report, Row

__all__ = ["table_lines", "to_json"]


def table_lines(report: Report) -> list[str]:
    """The rows as a table for a terminal, and what combinations are worth."""
    width = max(len("method"), *(len(row.method) for row in report.rows))
    head = f"{'method':<{width}}   AUROC     PRO  false rejects  escapes  train s  graphs MB  ms a frame"
    extracted = f"features of all methods: {report.features_s:.0f} s, not counted above"
    lost = max((row.not_found for row in report.rows), default=0)
    told = [f"part not found in {lost} test pictures: ERRORs, neither false rejects nor escapes"] if lost else []
    failed = [f"{one.method} FAILED: {one.problem}" for one in report.failed]
    return [
        head,
        *(_line(row, width) for row in report.rows),
        extracted,
        *told,
        *map(_gain_line, report.gains),
        *failed,
    ]


def to_json(report: Report) -> dict[str, Any]:
    """The rows for programs."""
    gains = [{**asdict(gain), "worth": gain.worth} for gain in report.gains]
    rows, failed = [asdict(row) for row in report.rows], [asdict(one) for one in report.failed]
    all_of_it = {"methods": rows, "combinations": gains, "failed": failed}
    return {"format_version": 1, "features_s": report.features_s, **all_of_it}


def _line(row: Row, width: int) -> str:
    pro = "-" if row.pro is None else f"{row.pro:.3f}"
    rejects, escapes = ("-" if share is None else f"{share:.1%}" for share in (row.false_reject_rate, row.escape_rate))
    return (
        f"{row.method:<{width}}  {row.image_auroc:6.4f}  {pro:>6}  {rejects:>13}  {escapes:>7}  {row.train_s:7.0f}  "
        f"{row.graph_bytes / 1e6:9.1f}  {row.frame_ms:10.1f}"
    )


def _gain_line(gain: Gain) -> str:
    found = gain.auroc
    verdict = "worth its time" if gain.worth else "not worth its time: the interval is no gain throughout"
    return (
        f"{gain.method}: AUROC {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] against {gain.better}, "
        f"the better member, at {gain.time_ratio:.2f} times the time of the slower: {verdict}"
    )
