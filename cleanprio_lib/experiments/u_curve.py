"""Chapter 1: the U-curve."""

from __future__ import annotations

from dataclasses import replace

from cleanprio_lib.experiments.settings import Settings, experiment
from cleanprio_lib.training import TrainingSettings

MNIST_CNN = Settings(
    dataset="mnist",
    level=0.3,
    model="mnist_cnn",
    training=TrainingSettings(
        epochs=180, batch_size=512, learning_rate=0.1, record_every=5, dense_epochs=40, measured=10_000
    ),
)

EXPERIMENTS = (
    experiment(
        "fig-01-mnist-cnn",
        "Figure 1: train and test error of the MNIST CNN with 30% wrong labels",
        chosen=(
            "The caption names data and net alone. The level of 30% and the batch of 512 are those of "
            "Figure 7, top, which has the same net. Steps of 0.1 without momentum, PyTorch's initial "
            "weights and pixels in [0, 1] are ours. Left out: padding, dropout, augmentation."
        ),
        paper=MNIST_CNN,
        laptop=replace(
            MNIST_CNN,
            train_samples=10_000,
            test_samples=5_000,
            training=TrainingSettings(epochs=45, batch_size=64, learning_rate=0.05, measured=3_000),
        ),
        quick=replace(
            MNIST_CNN,
            train_samples=1_500,
            test_samples=1_000,
            training=TrainingSettings(epochs=18, batch_size=32, learning_rate=0.1, measured=500),
        ),
    ),
)
