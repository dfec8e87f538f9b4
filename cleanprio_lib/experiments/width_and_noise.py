"""Chapter 9: the same stories at other widths and at other levels of noise."""

from __future__ import annotations

from dataclasses import replace

from cleanprio_lib.experiments.binary_dynamics import SEVEN_NINE
from cleanprio_lib.experiments.settings import Grid, experiment
from cleanprio_lib.experiments.u_curve import MNIST_CNN
from cleanprio_lib.training import TrainingSettings

_SEVEN_NINE = replace(SEVEN_NINE, training=replace(SEVEN_NINE.training, epochs=1_200))
_WIDTHS = (2048, 1024, 512, 256, 128, 64, 32)
# A third of the epochs with steps three times as large: as far along the same path. Gradients of the widest
# net on all images, at 60 epochs, would take three times as long as its training.
_FASTER = TrainingSettings(
    epochs=400, batch_size=256, learning_rate=0.03, record_every=10, dense_epochs=20, measured=4_000
)
_SHORT = TrainingSettings(epochs=90, batch_size=64, learning_rate=0.03, record_every=5, dense_epochs=10)

_LEVELS = (0.1, 0.2, 0.3, 0.4)
_CNN = replace(MNIST_CNN, gradients=True)
# Long enough to see the wrong labels learnt at every level.
_CNN_LAPTOP = TrainingSettings(
    epochs=150, batch_size=256, learning_rate=0.1, record_every=10, dense_epochs=20, measured=3_000
)
_CNN_QUICK = TrainingSettings(
    epochs=20, batch_size=32, learning_rate=0.1, record_every=5, dense_epochs=2, measured=200
)

EXPERIMENTS = (
    experiment(
        "fig-12-width",
        "Figure 12: sevens and nines with 40% wrong labels, two hidden layers of 32 to 2,048 units",
        chosen=(
            "The paper states classes, level, batch size and the range of widths. Powers of two, the rate "
            "and the number of epochs are ours, the latter two those of fig-05-mnist-7v9. At laptop scale a "
            "third of the epochs with steps three times as large, which is as far along the same path."
        ),
        paper=Grid(_SEVEN_NINE, "width", _WIDTHS),
        laptop=Grid(replace(_SEVEN_NINE, training=_FASTER), "width", _WIDTHS),
        quick=Grid(
            replace(_SEVEN_NINE, train_samples=1_000, training=_SHORT), "width", (512, 256, 128, 64, 32)
        ),
    ),
    experiment(
        "fig-13-noise",
        "Figure 13: the MNIST CNN with 10 to 40% wrong labels",
        chosen=(
            "The paper states the net, the range of levels and the batch size. Steps of 0.1 between levels, "
            "the learning rate and the number of epochs are ours, the latter two those of fig-01-mnist-cnn. "
            "At laptop scale batches of half the size, with which fewer epochs on fewer images still end "
            "where the wrong labels are learnt, at every level."
        ),
        paper=Grid(_CNN, "level", _LEVELS),
        laptop=Grid(
            replace(_CNN, train_samples=10_000, test_samples=5_000, training=_CNN_LAPTOP), "level", _LEVELS
        ),
        quick=Grid(
            replace(_CNN, train_samples=1_000, test_samples=500, training=_CNN_QUICK), "level", (0.2, 0.4)
        ),
    ),
)
