"""Benchmarks, at a size that measures nothing: that they run, and compare what they say they compare."""

import json

import pandas as pd
import pytest
import torch

from benchmarks import training as bench
from cleanprio_lib import models

COLUMNS = ["what", "ours", "competitor", "ratio", "must", "reached"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "claims.json"
    bench.main(["--images", "12", "--repeats", "2", "--out", str(path)])
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))


def test_every_claim_has_a_row(written):
    assert list(written)[: len(COLUMNS)] == COLUMNS
    assert list(written["what"].str.split(":").str[0]) == ["MNIST CNN"] * 3 + ["784-512-512-1"] * 3
    assert written["what"].str.contains("usual loop").sum() == 2
    assert written["what"].str.contains("bare loop").sum() == 4
    assert (written[["ours", "competitor", "ratio"]] > 0).all(axis=None)


def test_a_ratio_is_of_both_times(written):
    for row in written.to_dict("records"):
        speed = row["competitor"] / row["ours"]
        assert row["ratio"] == pytest.approx(speed if row["must"].startswith("≥") else 1 / speed)
        sign, bound = row["must"].split()
        reached = row["ratio"] >= float(bound) if sign == "≥" else row["ratio"] <= float(bound)
        assert row["reached"] == ("yes" if reached else "no")


def test_the_run_is_a_share_of_the_experiment():
    case = bench.mnist_cnn_case(120)
    settings = case.settings
    assert (settings.epochs, settings.measured, len(case.task.x_test)) == (5, 20, 20)
    assert [epoch for epoch in range(6) if settings.is_recorded(epoch)] == [0, 5]


def test_the_bare_loop_trains_as_the_library_does():
    case = bench.small_net_case(100)
    bare, ours = bench.bare(case), bench.our_epochs(case)
    for piece in bare + ours:
        piece()
    weights, our_weights = (pieces[0].args[0].state_dict() for pieces in (bare, ours))
    for name in weights:
        torch.testing.assert_close(weights[name], our_weights[name])


def test_the_usual_net_is_the_same_function():
    ours, theirs = models.mnist_cnn(seed=0), bench.usual_mnist_cnn()
    for mine, textbook in zip(ours.parameters(), theirs.parameters(), strict=True):
        textbook.data.copy_(mine.data)
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(ours(x), theirs(x))
