"""When to stop: rules that pick an epoch from a run's curves, and what the run was worth there."""

from __future__ import annotations

import pandas as pd

ORACLE = "the epoch of lowest test error, which needs true test labels, as in the paper"


def oracle(frame: pd.DataFrame) -> pd.DataFrame:
    """Each seed at its early stopping point by the oracle rule: the first epoch of lowest test error.

    Args:
        frame: a row for each (seed, epoch) with `test_error`.

    Returns:
        A row for each seed (the index): every column of the frame at that epoch, and
        `final_test_error`, the test error at the seed's last recorded epoch.

    Source: the vertical lines in the paper's figures.
    """
    ordered = frame.sort_values(["seed", "epoch"])
    stops = ordered.loc[ordered.groupby("seed").test_error.idxmin()].set_index("seed")
    return stops.assign(final_test_error=ordered.groupby("seed").test_error.last())
