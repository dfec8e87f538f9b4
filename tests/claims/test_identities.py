"""Equations 4 and 11 hold on a small net, and a step or a sum that is another does not."""

import pytest
import torch

from cleanprio_lib.claims import CLAIMS, identities, judge
from cleanprio_lib.sgd import SGD


@pytest.mark.parametrize("claim", ["eq-4", "eq-11"])
def test_they_hold_with_three_seeds_and_no_run(claim):
    judged = judge(CLAIMS[claim])
    assert (judged.verdict, judged.runs, CLAIMS[claim].experiments) == ("holds", (), ())
    assert len(identities.SEEDS) == 3
    assert all(0 < number.high < number.mean * 3 for number in judged.measured)


@pytest.mark.parametrize("factor", [0.99, 1.01, 0.0, -1.0])
def test_a_step_of_another_length_or_none_is_seen(monkeypatch, factor):
    class Another(SGD):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr=factor * lr)

    monkeypatch.setattr(identities, "SGD", Another)
    assert identities.step_distance(0) == pytest.approx(abs(factor - 1), rel=1e-4)
    assert judge(CLAIMS["eq-4"]).verdict == "does not hold"


def test_a_step_on_part_of_the_samples_is_another(monkeypatch):
    whole = identities.train_epoch

    def on_half(net, task, *arguments, **options):
        whole(net, task.take(torch.arange(len(task.x) // 2)), *arguments, **options)

    monkeypatch.setattr(identities, "train_epoch", on_half)
    assert judge(CLAIMS["eq-4"]).verdict == "does not hold"


def test_without_1_over_n_or_with_true_labels_the_sum_is_another(monkeypatch):
    task = identities._task(0)
    assert len(task.x) == 2 * identities.PER_CLUSTER
    assert task.is_noisy.double().mean() == pytest.approx(identities.LEVEL)
    subset = identities._subset_gradient
    monkeypatch.setattr(identities, "_subset_gradient", lambda *arguments: len(task.x) * subset(*arguments))
    assert identities.sum_distance(0) == pytest.approx(len(task.x) - 1)
    assert judge(CLAIMS["eq-11"]).verdict == "does not hold"

    def of_true_labels(net, own, members):
        return subset(net, identities.Task(own.x, own.true, own.true, own.x, own.true, 2), members)

    monkeypatch.setattr(identities, "_subset_gradient", of_true_labels)
    assert judge(CLAIMS["eq-11"]).verdict == "does not hold"
