"""Claims on test error over time: it falls below the noise level and rises again."""

from __future__ import annotations

from cleanprio_lib import early_stopping
from cleanprio_lib.claims.judging import Claim, Measured, above, below
from cleanprio_lib.runs import Recorded


def _fig_1(run: Recorded) -> tuple[Measured, ...]:
    stops, level = early_stopping.oracle(run.frame), run.settings["level"]
    rise = stops.final_test_error / stops.test_error
    return (
        below("lowest test error", stops.test_error, level / 2, f"below δ/2 = {level / 2:g}"),
        above("final / lowest test error", rise, 1.5, "above 1.5"),
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
