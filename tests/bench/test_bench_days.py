"""The table of days by hand, and an alarm for a drift and none for what stays as it was."""

from .bench_days import days

CALIBRATION = [i / 100 for i in range(1, 100)]


def test_false_rejects_are_counted_by_day() -> None:
    scores = [("200902_b.jpg", 2.0), ("200901_a.jpg", 0.2), ("200902_a.jpg", 0.4), ("200901_b.jpg", 1.5)]
    assert days(scores, CALIBRATION, 1.5).rejects == {"200901": (2, 0), "200902": (2, 1)}


def test_a_drift_is_seen_and_what_stays_is_not() -> None:
    steady = [(f"200901{i:04d}", (i * 37 % 99 + 1) / 100) for i in range(200)]
    assert days(steady, CALIBRATION, 1.5).alarm_after is None
    drifted = [(name, score + 0.5) for name, score in steady]
    alarm = days(drifted, CALIBRATION, 1.5).alarm_after
    assert alarm is not None
    assert 1 < alarm < 30
