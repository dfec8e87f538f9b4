"""Experiments beyond the paper: which labels are wrong, and sweeps on both sides of every edge."""

import dataclasses

import numpy as np
import pytest
import torch

from cleanprio_lib import experiments, noise, theory
from cleanprio_lib.measurements import departure, subclass_noise

SWEEPS = (
    "beyond-half-binary",
    "beyond-half-ten",
    "beyond-pair-flips",
    "beyond-concentration",
    "beyond-fitted",
)
SCALES = [(name, scale) for name in SWEEPS for scale in experiments.SCALES]


def _values(name, scale):
    return experiments.settings_of(name, scale).values


@pytest.mark.parametrize("scale", experiments.SCALES)
@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("beyond-half-binary", 1 / 2),
        ("beyond-half-ten", 9 / 10),
        ("beyond-pair-flips", 1 / 2),
        ("beyond-concentration", 5 / 8),
    ],
)
def test_sweeps_lie_on_both_sides_of_their_edge(name, edge, scale):
    values = np.array(_values(name, scale))
    assert (values < edge - 0.01).sum() >= 2
    assert (values > edge + 0.01).any()


@pytest.mark.parametrize("scale", experiments.SCALES)
def test_levels_of_two_classes_have_their_partners(scale):
    values = _values("beyond-half-binary", scale)
    assert {round(1 - value, 9) for value in values} == set(values)


def test_the_edge_of_the_concentrations_is_five_eighths():
    level = experiments.settings_of("beyond-concentration", "paper").base.level
    margins = [
        theory.margins(noise.transition_matrix(level, num_classes=10, concentration=value))[0]
        for value in (0.624, 0.626)
    ]
    assert margins[0] > 0 > margins[1]


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_every_cell_builds_with_the_wrong_labels_that_it_says(stand_in, name, scale):
    for value in _values(name, scale):
        settings = experiments.at(experiments.settings_of(name, scale), value)
        settings = dataclasses.replace(settings, train_samples=1_000, test_samples=50)
        task = experiments.build_task(settings, stand_in, seed=1)
        assert task.is_noisy.double().mean() == pytest.approx(settings.level, abs=0.01)
        assert settings.training.precision == "float32"
        wrong = task.is_noisy
        following = ((task.true[wrong] + 1) % task.num_classes == task.given[wrong]).double().mean().item()
        if settings.concentration is None:
            expected = 1 / (task.num_classes - 1)
        else:
            expected = settings.concentration + (1 - settings.concentration) / (task.num_classes - 1)
        # Five standard errors of a share of the wrong labels.
        room = 5 * np.sqrt(expected * (1 - expected) / int(wrong.sum())) + 1e-12
        assert abs(following - expected) <= room


def test_no_concentration_is_uniform_noise_to_the_last_label(stand_in):
    settings = experiments.at(experiments.settings_of("beyond-half-ten", "quick"), 0.3)
    settings = dataclasses.replace(settings, train_samples=500)
    task = experiments.build_task(settings, stand_in, seed=3)
    labels = noise.uniform(stand_in.y_train[:500], 0.3, num_classes=10, seed=3)
    assert torch.equal(task.given, torch.from_numpy(labels.given))
    assert "concentration" not in experiments.as_dict(settings)


def test_smoothing_knows_uniform_noise_alone():
    settings = experiments.at(experiments.settings_of("beyond-pair-flips", "quick"), 0.3)
    with pytest.raises(ValueError, match="targets must not be smoothed"):
        dataclasses.replace(settings, targets="smoothed")


def test_pair_flips_and_concentrations_differ_in_their_noise_alone():
    flips, gathered = (
        experiments.settings_of(name, "paper") for name in ("beyond-pair-flips", "beyond-concentration")
    )
    last = dataclasses.replace(gathered.at(1.0), level=0.3)
    assert last == flips.at(0.3)


def test_measurements_are_those_of_their_experiments():
    measures = {
        "beyond-departure": departure.departures,
        "beyond-subclasses": subclass_noise.subclass_noise,
    }
    for name, measure in measures.items():
        assert experiments.EXPERIMENTS[name].measure is measure
    paper = experiments.settings_of("beyond-subclasses", "paper")
    assert min(paper.shares) == paper.level < 0.5 < max(paper.shares) == 1
