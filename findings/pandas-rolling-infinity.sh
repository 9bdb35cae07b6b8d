#!/usr/bin/env bash
# pandas' rolling and expanding maximum do not see an infinite score, and its exponential mean passes over it.
#
# Version:  pandas 3.1.1, beside Polars 2.1.0; issue 57549 of pandas, open since 2024, speaks of rolling by time
# Expected: The maximum of a window that holds infinity is infinite, as max() of the same numbers is.
# Seen:     Every window function takes infinity for a missing value, whatever the window is given by: with min_periods,
#           which is 1 for windows of time and for expanding(), the maximum of 1, inf, 2 is 2, without a word. Without
#           min_periods every window that holds it is NaN. ewm().mean() goes on from the part before. groupby().max(),
#           cummax() and max() see it. Polars: infinite.
# Costs:    A score that overflowed is the strangest there is. "The worst part of the last hour" and the smoothed score
#           on the chart are quiet on just that part, and an alarm "rolling maximum > t" is silent: NaN is not above
#           t either.
# Instead:  cummax() and resample().max(), which see it; or clip(upper=1e30) before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 polars==2.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import math
import sys

import numpy as np
import pandas as pd
import polars as pl

inf, nan = math.inf, math.nan
values = [1.0, inf, 2.0, 3.0, 1.0, 1.0]
scores = pd.Series(values, index=pd.date_range("2026-11-30 08:00", periods=6, freq="min"))
plain = scores.reset_index(drop=True)


def same(got, wanted):
    return bool(np.array_equal(np.asarray(got, float), np.asarray(wanted, float), equal_nan=True))


hour, last = scores.rolling("1h"), plain.rolling(3)
print("scores:                 ", values)
print("maximum of the last hour:", hour.max().tolist())
print("of the last three:       ", last.max().tolist())
print("smoothed:                ", plain.ewm(alpha=0.5, adjust=False).mean().tolist())
print("Polars, last three:      ", pl.Series(values).rolling_max(3, min_samples=1).to_list())
seen = {
    "rolling by time: the maximum is that of the others": same(hour.max(), [1, 1, 2, 3, 3, 3]),
    "expanding likewise": same(plain.expanding().max(), [1, 1, 2, 3, 3, 3]),
    "rolling with min_periods likewise": same(plain.rolling(3, min_periods=1).max(), [1, 1, 2, 3, 3, 3]),
    "without it, NaN for as long as the window holds it": same(last.max(), [nan, nan, nan, nan, 3, 3]),
    "NaN is above no threshold": not (last.max()[:4] > 10).any(),
    "the mean of a window likewise": same(last.mean().round(6), [nan, nan, nan, nan, 2, 1.666667]),
    "ewm goes on from the part before": same(plain.ewm(alpha=0.5, adjust=False).mean()[:2], [1, 1])
    and bool(np.isfinite(plain.ewm(alpha=0.5).mean()).all()),
    "max, cummax, groupby and resample see it": plain.max() == inf
    and same(plain.cummax(), [1, inf, inf, inf, inf, inf])
    and plain.groupby([0] * 6).max()[0] == inf
    and scores.resample("1h").max().iloc[0] == inf,
    "clipped, rolling sees it": plain.clip(upper=1e30).rolling(3, min_periods=1).max()[1] == 1e30,
    "Polars sees it": pl.Series(values).rolling_max(3, min_samples=1).to_list() == [1, inf, inf, inf, 3, 3],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
