"""Experiments: frozen settings, and tasks built as they say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from cleanprio_lib import experiments


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
    x = experiments._inputs(images)
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
