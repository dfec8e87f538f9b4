"""Losses and selections for noisy labels against their formulas, written as loops."""

import math

import pytest
import torch

from cleanprio_lib import robust_training


def _logits(count=6, classes=4, seed=0):
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _softmax(row):
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def test_one_logit_is_the_second_of_two_whose_first_is_zero():
    h = _logits(5, 1)
    likely = robust_training.probabilities(h)
    for row, logit in zip(likely, h[:, 0], strict=True):
        assert row.tolist() == pytest.approx([1 / (1 + math.exp(logit)), 1 / (1 + math.exp(-logit))])


def test_elrs_term_is_the_mean_of_the_logarithms():
    logits, targets = _logits(), torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).double()
    targets /= targets.sum(dim=1, keepdim=True)
    wanted = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        inner = sum(p * t for p, t in zip(_softmax(row), target, strict=True))
        wanted += math.log(1 - inner) / len(logits)
    assert float(robust_training.elr_term(logits, targets)) == pytest.approx(wanted)


def test_elrs_gradient_is_the_papers():
    r"""Lemma 2 of Liu et al.: at logit c it is p_c/(1 - <p, t>) times the sum over k of (t_k - t_c) p_k."""
    logits = _logits(1).requires_grad_()
    targets = torch.tensor([[0.1, 0.6, 0.1, 0.2]], dtype=torch.float64)
    robust_training.elr_term(logits, targets).backward()
    p, t = _softmax(logits[0].tolist()), targets[0].tolist()
    inner = sum(a * b for a, b in zip(p, t, strict=True))
    for c in range(4):
        wanted = p[c] / (1 - inner) * sum((t[k] - t[c]) * p[k] for k in range(4))
        assert float(logits.grad[0, c]) == pytest.approx(wanted)


def test_targets_are_a_running_mean_of_probabilities_and_carry_no_gradient():
    looks = [_logits(seed=seed).requires_grad_() for seed in range(3)]
    targets = torch.zeros(6, 4, dtype=torch.float64)
    for logits in looks:
        targets = robust_training.moved_targets(targets, logits, momentum=0.7)
    assert not targets.requires_grad
    for i in range(6):
        for c in range(4):
            shares = [_softmax(logits[i].tolist())[c] for logits in looks]
            wanted = 0.3 * (0.49 * shares[0] + 0.7 * shares[1] + shares[2])
            assert float(targets[i, c]) == pytest.approx(wanted)


def test_sure_outputs_are_clamped_so_that_all_stays_finite():
    sure = torch.tensor([[100.0, 0.0]], dtype=torch.float64, requires_grad=True)
    targets = robust_training.moved_targets(torch.zeros(1, 2).double(), sure, momentum=0.0)
    assert targets.tolist()[0] == pytest.approx([1 - 1e-4, 1e-4])
    assert math.isfinite(float(robust_training.elr_term(sure, targets).detach()))


@pytest.mark.parametrize(("epoch", "share"), [(1, 0.96), (5, 0.8), (10, 0.6), (11, 0.6), (100, 0.6)])
def test_the_share_that_is_kept_falls_to_what_is_clean(epoch, share):
    assert robust_training.kept_share(epoch, forgotten=0.4, gradual=10) == pytest.approx(share)


def test_the_smallest_losses_are_selected():
    losses = torch.tensor([0.5, 0.1, 0.9, 0.1, 0.3])
    assert robust_training.smallest(losses, 0.6).tolist() == [1, 3, 4]
    assert robust_training.smallest(losses, 0.79).tolist() == [1, 3, 4]
    assert robust_training.smallest(losses, 0.01).tolist() == [1]
    assert robust_training.smallest(torch.rand(100), 0.29).numel() == 29  # not 28.999…


def test_margins_are_own_logits_less_the_largest_other():
    logits, labels = _logits(), torch.tensor([0, 1, 2, 3, 0, 2])
    found = robust_training.margins(logits, labels)
    for row, label, margin in zip(logits.tolist(), labels.tolist(), found.tolist(), strict=True):
        assert margin == pytest.approx(row[label] - max(h for k, h in enumerate(row) if k != label))


def test_margins_of_one_logit_are_those_of_two():
    h, labels = _logits(6, 1), torch.tensor([0, 1, 0, 1, 1, 0])
    both = torch.cat([torch.zeros_like(h), h], dim=1)
    torch.testing.assert_close(
        robust_training.margins(h, labels), robust_training.margins(both, labels), check_dtype=False
    )


def test_threshold_samples_get_a_class_of_their_own():
    labels = torch.arange(110) % 10
    marked, chosen = robust_training.threshold_labels(labels, 10, seed=3)
    assert int(chosen.sum()) == 110 // 11
    assert (marked[chosen] == 10).all()
    assert torch.equal(marked[~chosen], labels[~chosen])
    again = robust_training.threshold_labels(labels, 10, seed=3)[1]
    other = robust_training.threshold_labels(labels, 10, seed=4)[1]
    assert torch.equal(chosen, again)
    assert not torch.equal(chosen, other)
