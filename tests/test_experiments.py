"""Experiments: frozen settings, and tasks built as they say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cleanprio_lib import data, experiments
from cleanprio_lib.experiments import tasks
from cleanprio_lib.measurements import batch_steps, dynamics
from cleanprio_lib.metrics import subset_metrics
from cleanprio_lib.training import TrainingSettings


def test_every_experiment_has_every_scale_and_nobody_can_change_it():
    for name, experiment in experiments.EXPERIMENTS.items():
        assert experiment.name == name
        assert tuple(experiment.scales) == experiments.SCALES
        with pytest.raises(dataclasses.FrozenInstanceError):
            experiment.scales["quick"].level = 0.5
        with pytest.raises(TypeError):
            experiment.scales["quick"] = None


def test_figure_1_has_the_papers_setting():
    paper = experiments.settings_of("fig-01-mnist-cnn", "paper")
    assert (paper.level, paper.model, paper.train_samples, paper.test_samples) == (
        0.3,
        "mnist_cnn",
        None,
        None,
    )
    assert (paper.training.batch_size, paper.training.epochs, paper.training.momentum) == (512, 180, 0)


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("fig-99", "quick", "name must be one of .* got 'fig-99'"),
        ("fig-01-mnist-cnn", "huge", "scale must be .* got 'huge'"),
    ],
)
def test_unknown_names_are_named(name, scale, words):
    with pytest.raises(ValueError, match=words):
        experiments.settings_of(name, scale)


def test_task_is_the_data_with_noise_on_the_training_labels_alone(tiny, stand_in):
    settings = experiments.settings_of(tiny, "quick")
    task = experiments.build_task(settings, stand_in, seed=4)
    assert task.x.shape == (100, 1, 28, 28)
    np.testing.assert_array_equal((task.x[:, 0] * 255).round().numpy(), stand_in.x_train[:100])
    np.testing.assert_array_equal(task.true.numpy(), stand_in.y_train[:100])
    np.testing.assert_array_equal(task.y_test.numpy(), stand_in.y_test[:40])
    sizes = torch.bincount(task.true, minlength=10)
    wrong = torch.bincount(task.true[task.is_noisy], minlength=10)
    assert wrong.tolist() == [round(0.3 * int(size)) for size in sizes]


def test_color_images_get_channels_first():
    images = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
    x = tasks._inputs(images)
    assert x.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(x[1, 2].numpy() * 255, images[1, :, :, 2], atol=1e-4)


def test_more_samples_than_there_are_is_an_error(tiny, stand_in):
    settings = dataclasses.replace(experiments.settings_of(tiny, "quick"), train_samples=99_999)
    with pytest.raises(ValueError, match=r"train_samples must lie in \[1, 6000\] for this data, got 99999"):
        experiments.build_task(settings, stand_in, seed=0)


def test_seed_decides_noise_weights_and_order(tiny, stand_in):
    frames = [
        experiments.run(tiny, "quick", seed=seed, split=stand_in, device="cpu", progress=False)
        for seed in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1], check_exact=True)
    assert not np.array_equal(frames[0].train_loss, frames[2].train_loss)
    assert list(frames[0])[:2] == ["seed", "epoch"]
    assert frames[2].seed.tolist() == [1] * 4


BINARY = experiments.Settings(
    dataset="mnist",
    level=0.4,
    model="fully_connected",
    training=TrainingSettings(epochs=1, batch_size=64, learning_rate=0.1, precision="float32"),
    train_samples=120,
    test_samples=50,
    classes=(7, 9),
    net=(("width", 8), ("depth", 3)),
    gradients=True,
)


def test_two_classes_of_a_data_set_are_a_binary_task(stand_in):
    task = experiments.build_task(BINARY, stand_in, seed=2)
    pair = data.binary(stand_in, (7, 9))
    assert (task.num_classes, task.num_outputs, task.targets) == (2, 1, None)
    np.testing.assert_array_equal(task.true.numpy(), pair.y_train[:120])
    np.testing.assert_array_equal((task.x[:, 0] * 255).round().numpy(), pair.x_train[:120])
    model = experiments.build_model(BINARY, task, seed=0)
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [8, 8, 1]


@pytest.mark.parametrize("classes", [(7, 9), None])
def test_targets_are_true_labels_or_the_mean_of_what_noise_gives(stand_in, classes):
    settings = dataclasses.replace(
        BINARY,
        classes=classes,
        model="fully_connected" if classes else "mnist_cnn",
        net=None,
        train_samples=600,
    )
    tasks = {
        targets: experiments.build_task(dataclasses.replace(settings, targets=targets), stand_in, seed=0)
        for targets in (None, *experiments.TARGETS)
    }
    for task in tasks.values():
        assert torch.equal(task.given, tasks[None].given)
    assert torch.equal(tasks["true"].targets, tasks[None].true)
    true, smoothed = tasks[None].true, tasks["smoothed"].targets
    count = 2 if classes else 10
    kappa = 0.4 * count / (count - 1)
    wanted = (1 - kappa) * nn.functional.one_hot(true, count) + kappa / count
    torch.testing.assert_close(smoothed, wanted[:, 1] if classes else wanted)


def test_targets_move_the_weights_and_metrics_keep_to_the_labels(stand_in):
    frames = {}
    for targets in (None, *experiments.TARGETS):
        settings = dataclasses.replace(BINARY, targets=targets)
        frames[targets] = experiments.run_settings(
            settings, None, seed=0, split=stand_in, device="cpu", progress=False
        )
    start = [frame.iloc[0] for frame in frames.values()]
    for frame in start[1:]:
        pd.testing.assert_series_equal(frame, start[0], check_exact=True)
    ends = [frame.train_loss.iloc[-1] for frame in frames.values()]
    assert len(set(ends)) == 3
    assert {"ratio_0", "true_cosine", "noisy_lowered"} <= set(frames[None])


SEVEN_NINE = (
    "fig-05-mnist-7v9",
    "fig-05-mnist-7v9-30",
    "sec-4.1-smoothed-labels",
    "sec-4.1-true-labels",
    "sec-4.1-large-steps",
    "thm-4.4-full-batch",
    "thm-4.5-narrow",
    "thm-4.5-wide",
)


def test_figure_5_has_the_papers_setting():
    paper = experiments.settings_of("fig-05-mnist-7v9", "paper")
    assert (paper.dataset, paper.classes, paper.level) == ("mnist", (7, 9), 0.4)
    assert (paper.train_samples, paper.test_samples, paper.targets) == (None, None, None)
    assert (paper.model, dict(paper.net)) == ("fully_connected", {"width": 512, "depth": 3})
    assert (paper.training.batch_size, paper.training.momentum, paper.training.measured) == (256, 0, None)


@pytest.mark.parametrize("name", SEVEN_NINE)
def test_experiments_on_sevens_and_nines_build(stand_in, name):
    settings = experiments.settings_of(name, "quick")
    task = experiments.build_task(settings, stand_in, seed=1)
    level = 0.3 if name.endswith("30") else 0.4
    assert len(task.x) == settings.train_samples
    assert task.is_noisy.double().mean() == pytest.approx(level, abs=1 / len(task.x))
    model = experiments.build_model(settings, task, seed=1)
    logits = model(task.x[:20])
    assert logits.shape == (20, 1)
    assert bool((logits == 0).all()) == name.startswith("thm-4.5")
    weights, again, other = (
        nn.utils.parameters_to_vector(experiments.build_model(settings, task, seed=seed).parameters())
        for seed in (1, 1, 2)
    )
    assert torch.equal(weights, again)
    assert not torch.equal(weights, other)


@pytest.mark.parametrize("scale", experiments.SCALES)
def test_variants_of_figure_5_differ_in_what_they_say_and_in_length_alone(scale):
    whole, thirty, smoothed, true, large = (experiments.settings_of(name, scale) for name in SEVEN_NINE[:5])
    assert whole.training.epochs >= thirty.training.epochs
    noisy = dataclasses.replace(
        whole, training=dataclasses.replace(whole.training, epochs=thirty.training.epochs)
    )
    assert dataclasses.replace(thirty, level=0.4) == noisy
    # Noise, weights and order of the samples follow from the settings and the seed.
    for settings, targets in ((smoothed, "smoothed"), (true, "true")):
        assert settings.targets == targets
        assert dataclasses.replace(settings, targets=None, gradients=True) == noisy
    assert dataclasses.replace(large, training=noisy.training, gradients=True) == noisy
    assert large.training.learning_rate > 3 * noisy.training.learning_rate
    way = [settings.training.epochs * settings.training.learning_rate for settings in (large, noisy)]
    assert way[0] == pytest.approx(way[1], rel=0.01)
    assert (large.training.batch_size, large.training.record_every) == (noisy.training.batch_size, 1)


@pytest.mark.parametrize("scale", experiments.SCALES)
def test_the_theorems_runs_are_gradient_descent_and_differ_in_width_alone(scale):
    whole, narrow, wide = (experiments.settings_of(name, scale) for name in SEVEN_NINE[5:])
    for settings in (whole, narrow, wide):
        assert settings.training.batch_size is None
        assert settings.gradients
    widths = [dict(settings.net)["width"] for settings in (narrow, wide)]
    assert widths[0] < widths[1] / 10
    assert dataclasses.replace(narrow, net=wide.net) == wide
    assert dict(narrow.net) == {**dict(wide.net), "width": widths[0]}
    assert dict(wide.net)["parametrization"] == "ntk"


def test_batch_sizes_are_measured_on_the_net_and_data_of_figure_5():
    experiment = experiments.EXPERIMENTS["rem-4.3-batch-sizes"]
    assert experiment.measure is batch_steps.by_size
    paper, figure = experiment.scales["paper"], experiments.settings_of("fig-05-mnist-7v9", "paper")
    assert (paper.classes, paper.level, paper.train_samples) == (figure.classes, figure.level, None)
    assert {"width": paper.width, "depth": paper.depth} == dict(figure.net)
    training = figure.training
    assert (paper.training_batch, paper.learning_rate) == (training.batch_size, training.learning_rate)


def test_gradients_and_detection_are_measured_where_they_are_asked_for(stand_in):
    measures = experiments.measures_of(BINARY)
    assert measures == (subset_metrics, dynamics.gradient_metrics, dynamics.detection_metrics)
    plain = dataclasses.replace(BINARY, gradients=None)
    assert experiments.measures_of(plain) == (subset_metrics,)
    frames = [
        experiments.run_settings(own, None, seed=0, split=stand_in, device="cpu", progress=False)
        for own in (BINARY, plain)
    ]
    assert {"detection", "detection_0", "detection_1", "cosine_1"} <= set(frames[0])
    pd.testing.assert_frame_equal(frames[0][list(frames[1])], frames[1], check_exact=True)


def test_unknown_targets_are_an_error():
    with pytest.raises(ValueError, match=r"targets must be None or one of .*, got 'wrong'"):
        dataclasses.replace(BINARY, targets="wrong")


def test_what_is_none_is_left_out_of_provenance():
    plain = experiments.as_dict(dataclasses.replace(BINARY, gradients=None))
    assert "gradients" not in plain
    assert "measured" not in plain["training"]
    assert plain["classes"] == (7, 9)
    assert experiments.without_none({"a": {"b": None, "c": 0}, "d": None}) == {"a": {"c": 0}}
