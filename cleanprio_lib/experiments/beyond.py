"""Chapter 11: what readers of the paper asked next."""

from __future__ import annotations

from dataclasses import replace

from cleanprio_lib.experiments.settings import Grid, Settings, experiment
from cleanprio_lib.measurements import departure, subclass_noise
from cleanprio_lib.training import TrainingSettings

_TEN = Settings(
    dataset="mnist",
    level=0.3,
    model="fully_connected",
    training=TrainingSettings(
        epochs=30, batch_size=128, learning_rate=0.1, record_every=3, dense_epochs=6, precision="float32"
    ),
    train_samples=12_000,
    net=(("width", 256), ("depth", 2)),
)
_TWO = replace(_TEN, classes=(7, 9))
_HALF_TWO = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
_HALF_TEN = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_FEW_TWO, _FEW_TEN = (0.3, 0.45, 0.55, 0.7), (0.3, 0.6, 0.8, 0.95)

_FLIPS = replace(
    _TEN,
    training=replace(_TEN.training, epochs=20, record_every=4, dense_epochs=4),
    gradients=True,
    concentration=1.0,
)
_GATHERED = replace(_FLIPS, level=0.6, concentration=None)
# With 60% wrong labels of ten classes the next class outnumbers the true one from γ = 5/8 on.
_CONCENTRATIONS = (0.0, 0.25, 0.5, 0.55, 0.7, 0.75, 1.0)

_LONG = replace(
    _TWO,
    level=0.4,
    train_samples=1_000,
    training=TrainingSettings(
        epochs=500, batch_size=64, learning_rate=0.05, record_every=10, dense_epochs=20, precision="float32"
    ),
)
_FITTED = (0.1, 0.2, 0.3, 0.4)


def _quick(
    settings: Settings, *, epochs: int = 12, samples: int = 2_000, tests: int | None = 1_000, every: int = 3
) -> Settings:
    """The same in seconds: fewer images, no more of two digits than the stand-in has, in smaller batches."""
    training = replace(settings.training, epochs=epochs, batch_size=32, record_every=every, dense_epochs=3)
    return replace(settings, train_samples=samples, test_samples=tests, training=training)


_BELOW_HALF = "The paper has δ < 0.5 throughout."

EXPERIMENTS = (
    experiment(
        "beyond-departure",
        "Beyond the paper: how far subset gradients are from assumption 4.1, and what a step does there",
        chosen="Not in the paper. Gradient descent on all images at once, as the theorems have it.",
        paper=departure.DepartureSettings(),
        measure=departure.departures,
        trains=True,
        quick=departure.DepartureSettings(
            levels=(0.4,), train_samples=500, test_samples=500, width=64, steps=400, record_every=40, dense=5
        ),
    ),
    experiment(
        "beyond-half-binary",
        "Beyond the paper: sevens and nines with up to 70% wrong labels",
        chosen=f"{_BELOW_HALF} A net with one hidden layer, levels on both sides of one half.",
        paper=Grid(_TWO, "level", _HALF_TWO),
        quick=Grid(_quick(_TWO, samples=1_000, tests=None), "level", _FEW_TWO),
    ),
    experiment(
        "beyond-half-ten",
        "Beyond the paper: ten digits with up to 95% wrong labels",
        chosen=f"{_BELOW_HALF} The net of beyond-half-binary, levels on both sides of nine tenths.",
        paper=Grid(_TEN, "level", _HALF_TEN),
        quick=Grid(_quick(_TEN), "level", _FEW_TEN),
    ),
    experiment(
        "beyond-pair-flips",
        "Beyond the paper: ten digits whose wrong labels are all the next class",
        chosen="Not in the paper, which has uniform noise. Net and images of beyond-half-ten.",
        paper=Grid(_FLIPS, "level", (0.3, 0.4, 0.45, 0.55, 0.6)),
        quick=Grid(_quick(_FLIPS, samples=1_000, every=6), "level", (0.3, 0.45, 0.6)),
    ),
    experiment(
        "beyond-concentration",
        "Beyond the paper: ten digits with 60% wrong labels, from uniform noise to pair flips",
        chosen=(
            "Not in the paper. Of the wrong labels a share, the concentration, is the next class, and the "
            "others are uniform. Net and images of beyond-half-ten."
        ),
        paper=Grid(_GATHERED, "concentration", _CONCENTRATIONS),
        quick=Grid(_quick(_GATHERED, samples=1_000, every=6), "concentration", (0.0, 0.5, 0.75, 1.0)),
    ),
    experiment(
        "beyond-subclasses",
        "Beyond the paper: wrong labels that are gathered in a part of each digit",
        chosen=(
            "After Bai et al. (2023), who have it on other data. Parts are clusters of a digit's "
            "images by k-means, in one of which a share of the labels is wrong; as many labels of the digit "
            "are wrong at every share."
        ),
        paper=subclass_noise.SubclassSettings(),
        measure=subclass_noise.subclass_noise,
        trains=True,
        quick=subclass_noise.SubclassSettings(
            shares=(0.3, 0.6, 1.0), train_samples=2_000, test_samples=1_000, epochs=12, batch_size=32
        ),
    ),
    experiment(
        "beyond-fitted",
        "Beyond the paper: sevens and nines, until every wrong label has been learnt",
        chosen="A question of the paper's section 6. Few images, so that a long run is short.",
        paper=Grid(_LONG, "level", _FITTED),
        quick=Grid(_quick(_LONG, epochs=150, samples=300, tests=None, every=10), "level", (0.2, 0.4)),
    ),
)
