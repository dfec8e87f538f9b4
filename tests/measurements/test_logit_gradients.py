"""Single-logit gradients before the first step, against gradients written out one by one."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import data, experiments, models, noise
from cleanprio_lib.measurements import logit_gradients as measured

FEW = measured.LogitSettings(samples=150, level=0.4)


def _small_net(*, num_classes=10, seed):
    """In the place of the CNN: every gradient can be written out."""
    return models.fully_connected(784, 6, num_outputs=num_classes, seed=seed)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(models, "mnist_cnn", _small_net)


def _samples(split, settings, seed):
    pixels = torch.from_numpy(split.x_train[: settings.samples].reshape(settings.samples, -1) / 255.0)
    labels = noise.uniform(split.y_train[: settings.samples], settings.level, num_classes=10, seed=seed)
    return pixels, labels


def _written_out(split, settings, seed):
    """(n, C, p) float64 single-logit gradients, a backward pass for each, and the labels."""
    x, labels = _samples(split, settings, seed)
    net = _small_net(seed=seed).double()
    rows = []
    for image, label in zip(x, labels.given, strict=True):
        logits = net(image[None])[0]
        f = logits.softmax(0)
        for c in range(10):
            arrow = torch.autograd.grad(logits[c], list(net.parameters()), retain_graph=True)
            rows.append((f[c] - float(label == c)).detach() * torch.cat([part.flatten() for part in arrow]))
    return torch.stack(rows).reshape(len(x), 10, -1), labels


def _of(labels, c):
    true, given = labels.true, labels.given
    return {
        "clean": (true == c) & (given == c),
        "noisy": (true == c) & (given != c),
        "other": (true != c) & (given == true),
        "into": (true != c) & (given == c),
        "elsewhere": (true != c) & (given != c) & (given != true),
    }


def _angle(u, v):
    return math.acos(max(-1.0, min(1.0, float(u @ v / (u.norm() * v.norm())))))


def test_angles_are_those_of_gradients_written_out(small, stand_in):
    frame = measured.angles(FEW, seed=1, split=stand_in).set_index(["class", "subset"])
    single, labels = _written_out(stand_in, FEW, 1)
    assert len(frame) == 50
    for c in range(10):
        sums = {name: single[torch.from_numpy(rows), c].sum(0) for name, rows in _of(labels, c).items()}
        for name, rows in _of(labels, c).items():
            row = frame.loc[(c, name)]
            assert row["count"] == rows.sum()
            theta = [_angle(vector, sums["clean"]) for vector in single[torch.from_numpy(rows), c]]
            # Float32: a cosine to 1e-6, which is 2e-3 rad next to 0 and less elsewhere.
            assert row["mean"] == pytest.approx(np.mean(theta), abs=2e-3)
            assert row.q05 == pytest.approx(np.quantile(theta, 0.05), abs=2e-3)
            assert row.q95 == pytest.approx(np.quantile(theta, 0.95), abs=2e-3)
            assert row.sd == pytest.approx(np.std(theta), abs=2e-3)
            assert row["size"] == pytest.approx(float(sums[name].norm() / sums["clean"].norm()), rel=1e-4)
            assert row.subset_angle == pytest.approx(_angle(sums[name], sums["clean"]), abs=2e-3)
            bins = row[[f"bin_{low}" for low in range(0, 180, 3)]].to_numpy(dtype=int)
            assert bins.sum() == rows.sum()
            edge = np.degrees(theta) % 3
            if ((edge > 0.2) & (edge < 2.8)).all():
                np.testing.assert_array_equal(bins, np.histogram(np.degrees(theta), [*range(0, 181, 3)])[0])


def test_subsets_are_a_partition_at_every_logit(stand_in):
    _, labels = _samples(stand_in, replace(FEW, samples=500), 3)
    masks = measured.subset_masks(labels)
    assert (masks.sum(0) == 1).all()
    for c in range(10):
        for place, rows in enumerate(_of(labels, c).values()):
            np.testing.assert_array_equal(masks[place, :, c].numpy(), rows)
    # A noisy sample's label is wrong at two logits: `noisy` at the one, `into` at the other.
    wrong = masks[1].sum(1) + masks[3].sum(1)
    assert wrong.tolist() == (2 * labels.is_noisy).tolist()


def test_initial_ratios_are_those_of_gradients_written_out(small, stand_in):
    frame = measured.initial(FEW, seed=2, split=stand_in).set_index("class")
    single, labels = _written_out(stand_in, FEW, 2)
    with torch.no_grad():
        f = _small_net(seed=2).double()(_samples(stand_in, FEW, 2)[0]).softmax(1)
    for c in range(10):
        subsets = {name: torch.from_numpy(rows) for name, rows in _of(labels, c).items()}
        clean, noisy = (single[subsets[name], c].sum(0) for name in ("clean", "noisy"))
        row = frame.loc[c]
        assert row.ratio == pytest.approx(float(clean.norm() / noisy.norm()), rel=1e-4)
        assert row.cosine == pytest.approx(float(F.cosine_similarity(clean, noisy, dim=0)), abs=1e-5)
        of_all = [single[subsets[name]].sum((0, 1)) for name in ("clean", "noisy")]
        assert row.full_ratio == pytest.approx(float(of_all[0].norm() / of_all[1].norm()), rel=1e-4)
        assert row.output == pytest.approx(float(f[subsets["clean"], c].mean()), abs=1e-6)
        assert row.output_noisy == pytest.approx(float(f[subsets["noisy"], c].mean()), abs=1e-6)
        assert (row.clean_count, row.noisy_count) == (subsets["clean"].sum(), subsets["noisy"].sum())


def test_equation_13_holds_to_rounding_and_two_logits_see_the_wrong_label(stand_in):
    frame = measured.decomposition(replace(FEW, samples=20), seed=0, split=stand_in).set_index("precision")
    assert frame.error["float64"] < 1e-12 < frame.error["float32"] < 1e-5
    assert (frame[["changed_low", "changed_high"]] == 2).all(axis=None)


def test_a_sum_that_is_not_the_gradient_is_seen(stand_in, monkeypatch):
    task, _ = measured._task(replace(FEW, samples=2), 0, stand_in)
    net = models.mnist_cnn(seed=0)
    assert measured._error(net, task.x[:1], task.given[0]) < 1e-5
    monkeypatch.setattr(measured.F, "one_hot", lambda y, count: torch.eye(count)[(y + 1) % count])
    assert measured._error(net, task.x[:1], task.given[0]) > 0.1


@pytest.mark.parametrize("measure", [measured.angles, measured.initial, measured.decomposition])
def test_the_seed_decides_and_the_frame_is_tidy(measure, small, stand_in):
    first, again, other = (measure(FEW, seed=seed, split=stand_in) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    assert not first.isna().any(axis=None)


def test_more_images_than_there_are_is_an_error(stand_in):
    with pytest.raises(ValueError, match=r"samples must lie in \[1, 6000\] for this data, got 7000"):
        measured.angles(replace(FEW, samples=7000), seed=0, split=stand_in)


def test_experiments_measure_these_at_the_papers_noise():
    for name, measure in (
        ("eq-13-decomposition", measured.decomposition),
        ("fig-10-single-logits", measured.angles),
        ("eq-14-initial-ratio", measured.initial),
    ):
        experiment = experiments.EXPERIMENTS[name]
        assert experiment.measure is measure
        assert experiment.scales["paper"].level == 0.3
        assert experiment.scales["paper"].dataset in data.SHAPES
