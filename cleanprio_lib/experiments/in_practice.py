"""Chapter 11, label noise in practice: when to stop, what to do instead, and which labels are wrong."""

from __future__ import annotations

from dataclasses import replace

from cleanprio_lib.experiments.settings import Experiment, experiment
from cleanprio_lib.measurements import practice_signals, robust_methods, wrong_label_rankings
from cleanprio_lib.measurements.practice_tasks import PracticeSettings
from cleanprio_lib.training import TrainingSettings

_SEVEN_NINE = PracticeSettings(
    level=0.4,
    training=TrainingSettings(epochs=120, batch_size=64, learning_rate=0.03, precision="float32"),
    classes=(7, 9),
    train_samples=4_000,
)
_TEN = PracticeSettings(
    level=0.4,
    training=TrainingSettings(epochs=80, batch_size=64, learning_rate=0.05, precision="float32"),
    train_samples=6_000,
    test_samples=5_000,
)


def _quick(settings: PracticeSettings, *, epochs: int) -> PracticeSettings:
    """The same problem with few images, smaller batches and fewer epochs."""
    return replace(
        settings,
        training=replace(settings.training, epochs=epochs, batch_size=32),
        train_samples=1_000,
        validation_samples=500,
        test_samples=1_000,
    )


def _larger(settings: PracticeSettings, train_samples: int) -> PracticeSettings:
    """The same problem with more images and the width of the paper's nets."""
    return replace(
        settings, train_samples=train_samples, validation_samples=2_000, test_samples=None, width=512
    )


def _stopping(name: str, words: str, settings: PracticeSettings, *, epochs: int, samples: int) -> Experiment:
    return experiment(
        name,
        f"Beyond the paper: when to stop without clean labels, {words}",
        chosen=(
            "Not in the paper. A fully connected net as in Figure 5; all that stopping rules read is "
            "recorded at every epoch, and held-out labels have the noise of the training labels."
        ),
        paper=_larger(settings, samples),
        laptop=settings,
        quick=_quick(settings, epochs=epochs),
        measure=practice_signals.signals,
        trains=True,
    )


EXPERIMENTS = (
    _stopping(
        "practice-7v9", "sevens and nines with 40% wrong labels", _SEVEN_NINE, epochs=60, samples=9_000
    ),
    _stopping(
        "practice-mnist-20",
        "ten digits with 20% wrong labels",
        replace(_TEN, level=0.2),
        epochs=50,
        samples=20_000,
    ),
    _stopping("practice-mnist-40", "ten digits with 40% wrong labels", _TEN, epochs=50, samples=20_000),
    _stopping(
        "practice-mnist-pairs",
        "ten digits, 40% of them mistaken for the next",
        replace(_TEN, concentration=1.0),
        epochs=50,
        samples=20_000,
    ),
    experiment(
        "practice-methods",
        "Beyond the paper: what the field does with the early phase, on ten digits with 40% wrong labels",
        chosen=(
            "Not in the paper. All methods have the same net, batches and number of epochs; their own "
            "constants are those of their authors' experiments on CIFAR-10."
        ),
        paper=robust_methods.RobustSettings(_larger(_TEN, 20_000)),
        laptop=robust_methods.RobustSettings(_TEN),
        quick=robust_methods.RobustSettings(_quick(_TEN, epochs=40)),
        measure=robust_methods.compare,
        trains=True,
    ),
    experiment(
        "practice-wrong-labels",
        "Beyond the paper: which labels are wrong, on ten digits with 40% wrong labels",
        chosen=(
            "Not in the paper. Rankings of one run at the lowest error on a noisy validation set, at its end "
            "and over all its epochs, against confident learning with five folds on the same samples."
        ),
        paper=wrong_label_rankings.RankingSettings(_larger(_TEN, 20_000)),
        laptop=wrong_label_rankings.RankingSettings(_TEN),
        quick=wrong_label_rankings.RankingSettings(_quick(_TEN, epochs=50)),
        measure=wrong_label_rankings.rankings,
        trains=True,
    ),
)
