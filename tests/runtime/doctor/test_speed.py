"""The time of a verdict: what is counted, and when a machine is called fast enough."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.cli.bench import bench
from csflow.runtime.detector import Detector
from csflow.runtime.doctor.speed import Demand, Speed, measure, usual_size

HUNDRED = tuple(0.010 + 0.001 * (index == 99) + 0.09 * (index == 0) for index in range(100))
SPEED = Speed("engine", (64, 48), HUNDRED, HUNDRED, HUNDRED, 0.1)


def test_the_rate_is_of_all_and_the_delay_is_that_of_99_in_a_hundred() -> None:
    assert SPEED.rate == pytest.approx(100 / sum(HUNDRED))
    assert SPEED.late_s == pytest.approx(0.011)
    assert SPEED.facts(Demand())["verdict_longest_s"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("demand", "fits"),
    [
        (Demand(), True),
        (Demand(fps=90.0), True),
        (Demand(fps=95.0), False),
        (Demand(latency_s=0.0111), True),
        (Demand(latency_s=0.0109), False),
        (Demand(fps=1.0, latency_s=0.001), False),
    ],
)
def test_a_demand_is_met_or_not(demand: Demand, fits: bool) -> None:
    assert SPEED.fits(demand) is SPEED.facts(demand)["fits"] is fits
    assert any(line.startswith("TOO SLOW") for line in SPEED.lines(demand)) is not fits


def test_a_busy_machine_is_said() -> None:
    assert not [line for line in SPEED.lines(Demand()) if "quiet machine" in line]
    assert [line for line in dataclasses.replace(SPEED, load=2.0).lines(Demand()) if "quiet machine" in line]


def test_every_picture_goes_through_the_detector(calibrated_bundle: Bundle) -> None:
    counted: list[int] = []
    with Detector.open(calibrated_bundle.path, "fake", any_size=True) as detector:
        assert usual_size(detector) == (64, 64)
        speed = measure(detector, (80, 60), 6, counted.append)
    assert (speed.size, len(speed.verdict_s), len(counted)) == ((80, 60), 6, 6)
    parts = zip(speed.prepare_s, speed.infer_s, speed.verdict_s, strict=True)
    assert all(0 < prepare + infer <= verdict for prepare, infer, verdict in parts)


def test_the_command_ends_with_1_where_the_line_is_too_fast(calibrated_bundle: Bundle) -> None:
    words = ["--bundle", str(calibrated_bundle.path), "--backend", "fake", "--pictures", "3", "--size", "70x50"]
    fits = CliRunner().invoke(bench, [*words, "--fps", "0.001", "--json"])
    assert (fits.exit_code, json.loads(fits.stdout)["fits"]) == (0, True)
    slow = CliRunner().invoke(bench, [*words, "--fps", "1e9"])
    assert slow.exit_code == 1
    assert "pictures   3 of 70x50 px" in slow.stdout
    assert CliRunner().invoke(bench, [*words[:-1], "70"]).exit_code == 2
