"""A tiny experiment that runs in a second, for everything that handles runs."""

from types import MappingProxyType

import pytest

from cleanprio_lib import data, experiments
from cleanprio_lib.experiments import Experiment, Settings
from cleanprio_lib.training import TrainingSettings

TINY = Settings(
    dataset="mnist",
    level=0.3,
    model="mnist_cnn",
    train_samples=100,
    test_samples=40,
    training=TrainingSettings(epochs=3, batch_size=32, learning_rate=0.05, precision="float32"),
)


@pytest.fixture(scope="session")
def stand_in():
    return data.load("mnist", origin="stand-in")


@pytest.fixture
def tiny(monkeypatch):
    """Name of an experiment whose three scales are all tiny."""
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, TINY))
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"tiny": Experiment("tiny", "nothing", scales)})
    return "tiny"
