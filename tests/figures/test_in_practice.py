"""Pictures of label noise in practice: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures
from cleanprio_lib.figures import in_practice

RULES = {"validation": "lowest noisy error", "end": "never"}
PROBLEMS = {"a": "7 v 9", "b": "ten digits"}


@pytest.fixture(autouse=True)
def _closed():
    figures.set_style()
    yield
    plt.close("all")


def _regrets():
    rows = [
        {
            "rule": rule,
            "problem": problem,
            "seed": seed,
            "regret": 0.01 * (1 + seed) + 0.2 * (rule == "end") + 0.02 * (problem == "b"),
        }
        for rule in RULES
        for problem in PROBLEMS
        for seed in (0, 1, 2)
    ]
    return pd.DataFrame(rows)


def test_every_regret_is_a_mark_and_every_mean_a_bar():
    ax = figures.regrets(_regrets(), rules=RULES, problems=PROBLEMS).axes[0]
    marks = [line for line in ax.lines if line.get_linewidth() == 0 and len(line.get_xdata()) == 3]
    assert len(marks) == 4
    assert sorted(np.concatenate([line.get_xdata() for line in marks])) == sorted(_regrets().regret)
    bars = [
        line.get_xdata()[0]
        for line in ax.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    ]
    assert sorted(bars) == pytest.approx(sorted(_regrets().groupby(["rule", "problem"]).regret.mean()))
    texts = [text.get_text() for text in ax.texts]
    assert texts == list(RULES.values())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(PROBLEMS.values())
    assert np.diff([ax.transData.transform((x, 0))[0] for x in (0, 0.01, 0.04)])[1] == pytest.approx(
        np.diff([ax.transData.transform((x, 0))[0] for x in (0, 0.01)])[0]
    )
    # The first rule stands highest.
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert heights["lowest noisy error"] > heights["never"]


def test_regrets_in_words():
    words = figures.words_regrets(_regrets(), rules=RULES, problems=PROBLEMS)
    assert words == (
        "Mean regret. lowest noisy error: 0.020 (7 v 9), 0.040 (ten digits). "
        "never: 0.220 (7 v 9), 0.240 (ten digits)."
    )


def _methods():
    rows = [
        {"seed": seed, "method": method, "epoch": epoch, "test_error": error + 0.01 * seed}
        for seed in (0, 1)
        for method, errors in {"plain": (0.9, 0.2, 0.1, 0.3), "ELR": (0.9, 0.2, 0.15, 0.1)}.items()
        for epoch, error in enumerate(errors)
    ]
    return pd.DataFrame(rows)


def test_methods_are_lines_of_means():
    ax = figures.methods_over_epochs(_methods(), level=0.4).axes[0]
    curves = {tuple(np.round(line.get_ydata(), 6)) for line in ax.lines if len(line.get_xdata()) == 3}
    assert curves == {(0.205, 0.105, 0.305), (0.205, 0.155, 0.105)}
    assert {text.get_text() for text in ax.texts} == {"plain", "ELR", "δ"}
    assert "plain: lowest 0.105 at epoch 2, 0.305 at the end." in figures.words_methods(_methods())


def _ranked():
    rows = [
        {
            "seed": seed,
            "ranking": name,
            "share": share,
            "precision": precision,
            "recall": share * precision / 0.4,
        }
        for seed in (0, 1)
        for name in in_practice.RANKINGS
        for share, precision in ((0.1, 1.0), (0.4, 0.9), (1.0, 0.4))
    ]
    sets = [
        {"seed": seed, "ranking": name, "share": 0.3, "precision": 0.95, "recall": 0.7}
        for seed in (0, 1)
        for name in in_practice.SETS
    ]
    return pd.DataFrame(rows + sets)


def test_suspects_are_lines_of_precision_and_gaps_to_the_first():
    frame = _ranked()
    frame.loc[(frame.ranking == "area under the margin") & (frame.share == 0.4), "precision"] += 0.02
    upper, lower = figures.suspects(frame, level=0.4).axes
    curves = [tuple(np.round(line.get_ydata(), 6)) for line in upper.lines if len(line.get_xdata()) == 3]
    assert sorted(curves) == sorted([(1.0, 0.9, 0.4)] * 3 + [(1.0, 0.92, 0.4)])
    gaps = {tuple(np.round(line.get_ydata(), 6)) for line in lower.lines if len(line.get_xdata()) == 3}
    assert gaps == {(0.0, 0.02, 0.0), (0.0, 0.0, 0.0)}
    names = [text.get_text() for text in upper.get_legend().get_texts()]
    assert names == [*in_practice.RANKINGS, *in_practice.SETS]


def test_suspects_in_words():
    words = figures.words_suspects(_ranked(), level=0.4)
    assert "Precision among the first 0.4 of the samples: residual at the stop 0.90" in words
    assert "confident joint has 0.30 of the samples, precision 0.95, recall 0.70" in words
