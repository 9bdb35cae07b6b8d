#!/usr/bin/env bash
# One infinite score makes a quantile NaN that lies on a finite one, and a threshold of NaN rejects nothing.
#
# Version:  NumPy 2.4.6, pandas 3.1.1, SciPy 1.17.1, beside Polars 2.1.0; NumPy's issues 12282 and 21091, open since
#           2018
# Expected: Of the good scores 1 to 100 and an infinite one (a float16 that overflowed), the quantile 0.99 is the
#           hundredth, 100. What lies beyond it may be infinite, and the quantile 1 is the maximum.
# Seen:     NumPy and pandas: NaN, as 100 + (inf - 100) x 0 is; below that they are finite. A little above 0.99 it is
#           infinite, from half way on NaN again up to 1.0, where max() is infinite. np.median of 1, 2, inf is 2,
#           np.quantile(..., 0.5) NaN; nanquantile, percentile and scipy.stats.iqr alike. All that is said is a
#           RuntimeWarning of a subtraction or product. Polars gives 100, then infinity.
# Costs:    A threshold that is set to a quantile of the good scores is NaN; "score > threshold" is false for every
#           part, and so is "score <= threshold".
# Instead:  Refuse scores that are not finite before; or method="lower" or "higher", which interpolate nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 polars==2.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import math
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
from scipy import stats

warnings.simplefilter("ignore", RuntimeWarning)
scores = np.append(np.arange(1.0, 101), np.inf)
PLACES = 0.5, 0.98, 0.99, 0.992, 0.997, 1.0
found = {
    "NumPy": [float(np.quantile(scores, place)) for place in PLACES],
    "nanquantile": [float(np.nanquantile(scores, place)) for place in PLACES],
    "percentile": [float(np.percentile(scores, 100 * place)) for place in PLACES],
    "pandas": [float(pd.Series(scores).quantile(place)) for place in PLACES],
    "Polars": [float(pl.Series(scores).quantile(place, "linear")) for place in PLACES],
}
print("quantiles", PLACES)
for name, values in found.items():
    print(f"{name}: {[round(value, 3) for value in values]}")
short = [1.0, 2.0, math.inf]
print("1, 2, inf: median", np.median(short), "quantile 0.5", np.quantile(short, 0.5))
threshold = np.quantile(scores, 0.99)


def like(values, wanted):
    return bool(np.array_equal(values, wanted, equal_nan=True))


inf, nan = math.inf, math.nan
seen = {
    "NumPy and pandas: NaN at 0.99, infinite a little above, NaN again up to 1": all(
        like(found[name], [51, 99, nan, inf, nan, nan]) for name in ("NumPy", "nanquantile", "percentile", "pandas")
    ),
    "Polars: 100 and then infinite": like(found["Polars"], [51, 99, 100, inf, inf, inf]),
    "the median is 2, and the quantile 0.5 NaN": np.median(short) == 2 and math.isnan(np.quantile(short, 0.5)),
    "scipy's iqr is NaN, too": math.isnan(stats.iqr([1, 2, 3, 4, inf])),
    "lower and higher are right": {np.quantile(scores, 0.99, method=way) for way in ("lower", "higher")} == {100},
    "no score is above the threshold, none at or below it": not ((scores > threshold) | (scores <= threshold)).any(),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
