"""The half disc and the records in it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def _run(rises):
    return pd.DataFrame({"alpha": [0.5, 0.9, 0.9], "rest": [0.3, 0.1, 0.6], "rises": rises})


def test_full_discs_are_records_after_which_the_loss_rises():
    runs = {"one": _run([True, True, False]), "other": _run([False] * 3), "third": _run([True] * 3)}
    axes = figures.in_the_ball(runs).axes
    assert [ax.get_title() for ax in axes] == ["one", "other", "third"]
    discs = [line for line in axes[0].lines if line.get_marker() == "o"]
    full, empty = (
        next(line for line in discs if (line.get_markerfacecolor() == "none") == hollow)
        for hollow in (False, True)
    )
    np.testing.assert_allclose(full.get_xdata(), [0.5, 0.9])
    np.testing.assert_allclose(full.get_ydata(), [0.3, 0.1])
    np.testing.assert_allclose(empty.get_ydata(), [0.6])
    edge, triangle = axes[0].lines[:2]
    np.testing.assert_allclose(np.hypot(np.asarray(edge.get_xdata()) - 0.5, edge.get_ydata()), 0.5)
    assert max(triangle.get_ydata()) == 0.5


def test_words_count_both_sides():
    words = figures.words_in_the_ball({"one": _run([True, False, False])})
    assert words == (
        "one: the noisy loss rises next at 1 of 2 records inside and the noisy loss rises next at 0 of 1 "
        "records outside the half disc."
    )
