"""Figures of errors draw what they are given, in the roles' colours and styles."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures


@pytest.fixture
def frame():
    epochs = np.arange(11)
    test = 0.1 + 0.4 * (epochs - 4) ** 2 / 36
    rows = [
        pd.DataFrame(
            {
                "seed": seed,
                "epoch": epochs,
                "test_error": test + 0.02 * seed,
                "train_error": 0.5 - 0.03 * epochs,
                "clean_error": 0.4 - 0.03 * epochs,
                "noisy_error": 0.9 - 0.01 * epochs * seed,
                "noisy_true_error": 0.3 + 0.0 * epochs,
            }
        )
        for seed in (0, 1)
    ]
    yield pd.concat(rows, ignore_index=True)
    plt.close("all")


def _curves(ax):
    return {line.get_color(): line for line in ax.lines if len(line.get_xdata()) > 2}


def test_total_errors_are_means_with_the_noise_level(frame):
    (ax,) = figures.total_errors(frame, level=0.3).axes
    curves = _curves(ax)
    mean = frame.groupby("epoch").test_error.mean()
    np.testing.assert_allclose(curves[figures.ROLES["test_error"].color].get_ydata(), mean)
    assert [0.3, 0.3] in [list(line.get_ydata()) for line in ax.lines]
    stop = [line for line in ax.lines if list(line.get_xdata()) == [4, 4]]
    assert len(stop) == 1
    assert ax.get_xlabel() == "epoch"


def test_bands_are_the_full_range_of_the_seeds(frame):
    (ax,) = figures.total_errors(frame, level=0.3).axes
    band = ax.collections[1].get_paths()[0].vertices
    at_four = band[band[:, 0] == 4][:, 1]
    np.testing.assert_allclose([at_four.min(), at_four.max()], [0.1, 0.12])


def test_subset_errors_keep_each_role_in_its_color_and_style(frame):
    (ax,) = figures.subset_errors(frame).axes
    curves = _curves(ax)
    for column in ("clean_error", "noisy_error", "noisy_true_error"):
        role = figures.ROLES[column]
        np.testing.assert_allclose(curves[role.color].get_ydata(), frame.groupby("epoch")[column].mean())
        assert any(text.get_text() == role.label for text in ax.texts)
    assert curves["#009E73"].get_linestyle() == "-"
    assert curves["#D55E00"].get_linestyle() == "--"
