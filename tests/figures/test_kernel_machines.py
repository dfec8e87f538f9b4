"""Pictures of kernel machines: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures
from cleanprio_lib.figures.kernel_machines import ERRORS
from cleanprio_lib.figures.style import ROLES


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def _run():
    """Two seeds with slightly different times at the same epochs."""
    frames = []
    for seed in (0, 1):
        epochs = np.arange(5)
        columns = {
            "train_error": 0.4 - 0.05 * epochs,
            "test_error": 0.1 + 0.04 * np.abs(epochs - 2) + 0.02 * seed,
        }
        columns |= {"clean_error": 0.3 - 0.05 * epochs, "noisy_error": 0.9 - 0.2 * epochs}
        frames.append(
            pd.DataFrame({"seed": seed, "epoch": epochs, "time": epochs * (1 + 1e-6 * seed), **columns})
        )
    return pd.concat(frames, ignore_index=True)


def _line(ax, color):
    return next(line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) > 2)


def test_total_errors_stand_above_subset_errors_of_each_kernel():
    frame = _run()
    other = frame.assign(test_error=frame.test_error + 0.2)
    figure = figures.errors_by_kernel({"one": frame, "other": other}, level=0.4)
    axes = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["one", "other"]
    mean = frame[frame.epoch > 0].groupby("epoch").test_error.mean()
    np.testing.assert_allclose(_line(axes[0, 0], ROLES["test_error"].color).get_ydata(), mean)
    np.testing.assert_allclose(_line(axes[0, 1], ROLES["test_error"].color).get_ydata(), mean + 0.2)
    np.testing.assert_allclose(
        _line(axes[1, 0], ROLES["noisy_error"].color).get_ydata(), [0.7, 0.5, 0.3, 0.1]
    )
    assert any(line.get_ydata()[0] == 0.4 for line in axes[0, 0].lines)
    assert axes[1, 0].get_xscale() == "log"


def _solved():
    times = np.geomspace(0.01, 10, 6)
    columns = {name: np.linspace(0.5, 0.1, 6) for name in ERRORS}
    columns |= {f"drawn_{name}": columns[name] + 0.01 for name in ERRORS}
    columns |= {f"low_{name}": columns[name] - 0.1 for name in ERRORS}
    columns |= {f"high_{name}": columns[name] + 0.1 for name in ERRORS}
    return pd.DataFrame({"time": times, **columns})


def test_solved_errors_are_lines_and_draws_are_discs():
    figure = figures.solved_errors(_solved(), turn=0.3, level=0.4)
    (ax,) = figure.axes
    drawn = [line for line in ax.lines if line.get_color() == ROLES["test_error"].color]
    np.testing.assert_allclose(drawn[0].get_ydata(), _solved().test_error)
    assert drawn[1].get_marker() == "o"
    np.testing.assert_allclose(drawn[1].get_ydata(), _solved().drawn_test_error)
    assert any(list(line.get_xdata()) == [0.3, 0.3] for line in ax.lines)
    assert len(ax.collections) == 3


def test_a_net_stands_on_its_kernel_machine():
    frames = []
    for seed in (0, 1):
        for width in (64, 256):
            own = _solved().assign(seed=seed, width=width, epoch=range(6))
            own = own.assign(**{f"predicted_{name}": own[name] + 0.05 * seed for name in ERRORS})
            frames.append(own)
    frame = pd.concat(frames, ignore_index=True)
    figure = figures.net_and_kernel(frame, widths=[64, 256], seed=1)
    upper, lower = figure.axes
    color = ROLES["noisy_error"].color
    line, discs = (one for one in upper.lines if one.get_color() == color)
    np.testing.assert_allclose(line.get_ydata() - discs.get_ydata(), 0.05)
    points = [one for one in lower.lines if one.get_color() == color]
    assert [one.get_marker() for one in points] == ["x", "."]
    for one in points:
        assert len(one.get_xdata()) == 12
        np.testing.assert_allclose(one.get_xdata() - one.get_ydata(), [0] * 6 + [0.05] * 6, atol=1e-12)
    assert "discs: width 256\ncrosses: width 64" in [text.get_text() for text in lower.texts]
    single = figures.net_and_kernel(frame, widths=[256], seed=0).axes[1]
    assert {one.get_marker() for one in single.lines[1:]} == {"."}


def test_two_accounts_share_their_axis_and_name_their_curves():
    spaces = pd.DataFrame(
        {
            "first": [1, 2, 4], "last": [1, 3, 9], "time": [0.1, 1.0, 10.0], "strength": [30.0, 1.0, 0.1],
            "noise": [1.1, 0.9, 1.0], "cosine": [-0.9, 0.05, 0.8],
        }
    )  # fmt: skip
    figure = figures.two_accounts(spaces, pd.Series([-0.95, 0.0, 0.75]), turn=0.5)
    upper, lower = figure.axes
    assert upper.get_yscale() == "log"
    assert {text.get_text() for text in upper.texts} == {"true labels", "noise"}
    heights = {text.get_text(): text.xyann[1] for text in upper.texts}
    assert heights["noise"] > heights["true labels"]
    discs = next(line for line in lower.lines if line.get_marker() == "o")
    np.testing.assert_allclose(discs.get_ydata(), spaces.cosine)
    words = figures.words_two_accounts(spaces)
    assert "30 times an even share in eigenvectors 1 to 1, where the cosine is −0.90" in words
    assert "0.10 times in the last ones, where it is 0.80" in words


def test_words_name_start_lowest_and_end():
    words = figures.words_errors(_run())
    assert words.startswith("Test error: 0.19 at first, 0.11 at time 2, 0.19 at the end.")
    assert "Noisy error: 0.90 at first, 0.50 at time 2, 0.10 at the end." in words
    assert "Clean error: 0.50 at first, 0.10 at time 10" in figures.words_errors(_solved())
