#!/usr/bin/env bash
# One NaN makes the sum of a prometheus_client Histogram NaN until the process ends, and its count does not know it.
#
# Version:  prometheus_client 0.26.0
# Expected: An observation is counted and summed, or neither: _count, the bucket +Inf and _sum speak of the same parts.
# Seen:     Histogram.observe(nan) finds no bucket, since NaN <= inf is false: _count and all buckets leave it out, _sum
#           takes it and is NaN from then on, for every label set by itself. A Summary counts it. Nothing is raised, and
#           no bucket tells that there was one.
# Costs:    The mean score rate(sum)/rate(count) is NaN from the first such part to the next restart, and an alarm on
#           mean > t, which NaN never is, is off for just as long. Parts seen and parts counted differ by one: whoever
#           compares _count with a counter beside it looks for a lost part.
# Instead:  Observe only what is finite, and count the rest in a Counter of its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check prometheus_client==0.26.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import math
import sys

from prometheus_client import CollectorRegistry, Histogram, Summary

registry = CollectorRegistry()
histogram = Histogram("score", "Scores", ["line"], registry=registry, buckets=(1, 10))
summary = Summary("score_summary", "Scores", registry=registry)
for score in (2.0, math.nan, 3.0, 4.0):
    histogram.labels("a").observe(score)
    summary.observe(score)
histogram.labels("b").observe(2.0)


def value(name, **labels):
    return registry.get_sample_value(name, labels)


for name in ("score_count", "score_sum"):
    print(name, value(name, line="a"), "and of the other line", value(name, line="b"))
print("bucket +Inf", value("score_bucket", line="a", le="+Inf"))
print("summary: count", value("score_summary_count"), "sum", value("score_summary_sum"))
seen = {
    "the histogram counts 3 of 4": value("score_count", line="a") == value("score_bucket", line="a", le="+Inf") == 3,
    "its sum is NaN, two good scores later": math.isnan(value("score_sum", line="a")),
    "the other label is untouched": (value("score_count", line="b"), value("score_sum", line="b")) == (1, 2),
    "the summary counts 4": value("score_summary_count") == 4 and math.isnan(value("score_summary_sum")),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
