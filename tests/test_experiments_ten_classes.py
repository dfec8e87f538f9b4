"""Training runs with ten classes: the paper's settings, and what is measured on the way."""

import dataclasses

import pytest
import torch
from torch import nn

from cleanprio_lib import data, experiments
from cleanprio_lib.measurements import dynamics, logit_dynamics
from cleanprio_lib.metrics import subset_metrics
from cleanprio_lib.training import TrainingSettings


def test_mnist_is_figure_1_with_gradients():
    paper, figure_1 = (
        experiments.settings_of(name, "paper") for name in ("fig-07-mnist", "fig-01-mnist-cnn")
    )
    shorter = dataclasses.replace(figure_1.training, epochs=paper.training.epochs)
    assert dataclasses.replace(paper, gradients=None) == dataclasses.replace(figure_1, training=shorter)
    assert paper.gradients


@pytest.mark.parametrize("scale", experiments.SCALES)
def test_small_steps_differ_from_figure_7_in_the_steps_alone(scale):
    small, figure_7 = (
        experiments.settings_of(name, scale) for name in ("fig-08-small-steps", "fig-07-mnist")
    )
    steps = {"learning_rate": figure_7.training.learning_rate, "epochs": figure_7.training.epochs}
    same = dataclasses.replace(small, training=dataclasses.replace(small.training, **steps))
    assert same == figure_7
    assert small.training.learning_rate < figure_7.training.learning_rate


def test_cifar_has_the_papers_setting():
    paper = experiments.settings_of("fig-07-cifar10", "paper")
    assert (paper.dataset, paper.level, paper.model) == ("cifar10", 0.4, "resnet9")
    assert (paper.train_samples, paper.test_samples, dict(paper.net)) == (None, None, {"width": 64})
    assert (paper.training.batch_size, paper.training.momentum, paper.gradients) == (512, 0, True)
    laptop = experiments.settings_of("fig-07-cifar10", "laptop")
    assert (laptop.train_samples, laptop.training.batch_size) == (None, 128)


@pytest.mark.parametrize("name", ["fig-07-mnist", "fig-08-small-steps", "fig-07-cifar10"])
def test_ten_classes_build_and_are_measured_logit_by_logit(name):
    settings = experiments.settings_of(name, "quick")
    split = data.load(settings.dataset, origin="stand-in")
    task = experiments.build_task(settings, split, seed=1)
    assert task.is_noisy.double().mean() == pytest.approx(settings.level, abs=10 / len(task.x))
    model = experiments.build_model(settings, task, seed=1)
    assert model(task.x[:3]).shape == (3, 10)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert convolutions[0].out_channels == {"mnist": 32, "cifar10": 8}[settings.dataset]
    weights, again = (
        nn.utils.parameters_to_vector(experiments.build_model(settings, task, seed=1).parameters())
        for _ in range(2)
    )
    assert torch.equal(weights, again)
    assert experiments.measures_of(settings) == (
        subset_metrics,
        logit_dynamics.logit_metrics,
        dynamics.detection_metrics,
    )


def test_a_run_has_every_logit_at_every_recorded_epoch_and_is_not_changed_by_it(stand_in):
    settings = experiments.Settings(
        dataset="mnist",
        level=0.3,
        model="fully_connected",
        net=(("width", 8),),
        train_samples=150,
        test_samples=20,
        training=TrainingSettings(epochs=2, batch_size=32, learning_rate=0.1, precision="float32"),
        gradients=True,
    )
    frames = [
        experiments.run_settings(own, None, seed=0, split=stand_in, device="cpu", progress=False)
        for own in (settings, dataclasses.replace(settings, gradients=None))
    ]
    measured = frames[0][[f"ratio_{c}" for c in range(10)] + ["ratio", "full_ratio", "detection"]]
    assert measured.shape == (3, 13)
    assert not measured.isna().any(axis=None)
    assert frames[0][list(frames[1])].equals(frames[1])
