"""Claims on test error over time: it falls below the noise level and rises again."""

from __future__ import annotations

from cleanprio_lib import early_stopping
from cleanprio_lib.claims.judging import Claim, Measured, above, below
from cleanprio_lib.measurements.dynamics_statistics import TREND, from_stop, rank_correlation, until_stop
from cleanprio_lib.runs import Recorded

RISE = 1.5  # ratio of test errors
LAST = 5  # records: one alone may be a spike


def _fig_1(run: Recorded) -> tuple[Measured, ...]:
    stops, level = early_stopping.oracle(run.frame), run.settings["level"]
    later = from_stop(run.frame)
    end = later.sort_values("epoch").groupby("seed").test_error.apply(lambda own: own.tail(LAST).median())
    falls, rises = (rank_correlation(part, "test_error") for part in (until_stop(run.frame), later))
    return (
        below("lowest test error", stops.test_error, level / 2, f"below δ/2 = {level / 2:g}"),
        above(
            f"median of the last {LAST} records / lowest test error",
            end / stops.test_error,
            RISE,
            f"above {RISE:g}",
        ),
        below("rank correlation of test error with time up to the stop", falls, -TREND, f"below −{TREND:g}"),
        above("and from the stop on", rises, TREND, f"above {TREND:g}"),
    )


CLAIMS = (
    Claim(
        id="fig-1",
        statement="Test error is U-shaped in time, and its minimum lies far below the noise level.",
        where="Figure 1",
        experiments=("fig-01-mnist-cnn",),
        rule=early_stopping.ORACLE,
        measure=_fig_1,
    ),
)
