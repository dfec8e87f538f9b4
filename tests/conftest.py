"""A tiny experiment that runs in a second, for everything that handles runs."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
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


@dataclass(frozen=True)
class DiceSettings:
    """A measurement that needs no data: numbers, counts and words."""

    throws: int = 4
    dataset: None = None


def throw(settings, *, seed, split):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "hand": ["left", "right"] * (settings.throws // 2),
            "eyes": generator.integers(1, 7, settings.throws),
            "bin_6": generator.integers(1, 7, settings.throws),
            "height": [*generator.random(settings.throws - 1), np.nan],
        }
    )


@pytest.fixture
def dice(monkeypatch):
    """Name of an experiment that measures without training."""
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, DiceSettings()))
    known = {"dice": Experiment("dice", "nothing", scales, throw)}
    monkeypatch.setattr(experiments, "EXPERIMENTS", known)
    return "dice"
