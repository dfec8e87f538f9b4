"""Chapters 4 and 5: two classes in training."""

from __future__ import annotations

from dataclasses import replace

from cleanprio_lib.experiments.settings import Settings, experiment
from cleanprio_lib.measurements import batch_steps
from cleanprio_lib.training import TrainingSettings

SEVEN_NINE = Settings(
    dataset="mnist",
    level=0.4,
    model="fully_connected",
    training=TrainingSettings(
        epochs=800, batch_size=256, learning_rate=0.01, record_every=20, dense_epochs=20
    ),
    classes=(7, 9),
    net=(("width", 512), ("depth", 3)),
    gradients=True,
)
_SEVEN_NINE_QUICK = replace(
    SEVEN_NINE,
    train_samples=1_000,
    training=TrainingSettings(epochs=90, batch_size=64, learning_rate=0.03, record_every=5, dense_epochs=10),
)
_WIDE = replace(
    SEVEN_NINE,
    model="centred_fully_connected",
    training=TrainingSettings(
        epochs=600, batch_size=None, learning_rate=0.03, record_every=15, dense_epochs=10
    ),
    train_samples=2_000,
)


def _with_steps(settings: Settings, *, epochs: int, learning_rate: float) -> Settings:
    """The same training with steps of another size, without its gradients measured."""
    training = replace(
        settings.training, epochs=epochs, learning_rate=learning_rate, record_every=1, dense_epochs=0
    )
    return replace(settings, training=training, gradients=None)


def _wide(width: int) -> Settings:
    return replace(_WIDE, net=(("width", width), ("depth", 2), ("parametrization", "ntk")))


def _wide_quick(width: int) -> Settings:
    training = replace(_WIDE.training, epochs=200, record_every=20)
    return replace(_wide(width), train_samples=500, training=training)


EXPERIMENTS = (
    experiment(
        "fig-05-mnist-7v9",
        "Figures 5, 6 and 11 left: sevens and nines with 40% wrong labels",
        chosen=(
            "Learning rate, epochs, momentum, initial weights and input scaling are not said. Steps of "
            "0.01 are small enough for smooth curves until the noise is being learnt, and 1,200 epochs "
            "learn it to the last. No momentum, PyTorch's initial weights, pixels in [0, 1]. The level is"
            " the caption's."
        ),
        paper=replace(SEVEN_NINE, training=replace(SEVEN_NINE.training, epochs=1_200)),
        quick=_SEVEN_NINE_QUICK,
    ),
    experiment(
        "fig-05-mnist-7v9-30",
        "Figures 5 and 6 as appendix B has them: the same with 30% wrong labels",
        chosen=("The level of appendix B, all else as in fig-05-mnist-7v9, for fewer epochs."),
        paper=replace(SEVEN_NINE, level=0.3),
        quick=replace(_SEVEN_NINE_QUICK, level=0.3),
    ),
    experiment(
        "sec-4.1-smoothed-labels",
        "Section 4.1: the training of Figure 5 on true labels that are smoothed",
        chosen=(
            "Not in the paper. Targets are the true labels smoothed by κ = 2δ; weights, batches and noise"
            " are those of fig-05-mnist-7v9, and metrics keep to the noisy labels."
        ),
        paper=replace(SEVEN_NINE, targets="smoothed"),
        quick=replace(_SEVEN_NINE_QUICK, targets="smoothed"),
    ),
    experiment(
        "sec-4.1-true-labels",
        "Section 4.1: the training of Figure 5 on true labels",
        chosen=("Not in the paper. As sec-4.1-smoothed-labels, without smoothing."),
        paper=replace(SEVEN_NINE, targets="true", gradients=None),
        quick=replace(_SEVEN_NINE_QUICK, targets="true", gradients=None),
    ),
    experiment(
        "sec-4.1-large-steps",
        "Section 4.1: the training of Figure 5 with fewer and larger steps",
        chosen=("Not in the paper: a check of the learning rate, with as long a way in fewer steps."),
        paper=_with_steps(SEVEN_NINE, epochs=80, learning_rate=0.1),
        quick=_with_steps(_SEVEN_NINE_QUICK, epochs=27, learning_rate=0.1),
    ),
    experiment(
        "rem-4.3-batch-sizes",
        "Remark 4.3: steps of mini-batches of all sizes against true labels",
        chosen=(
            "A remark with no experiment of its own. Sizes, epochs and draws are ours; the net is that of"
            " Figure 5 on its way."
        ),
        paper=batch_steps.BatchSettings(),
        measure=batch_steps.by_size,
        trains=True,
        quick=batch_steps.BatchSettings(
            epochs=(0, 40), batch_sizes=(4, 16, 64, 256), draws=100, train_samples=1_000
        ),
    ),
    experiment(
        "thm-4.4-full-batch",
        "Theorem 4.4: gradient descent on all of 4,000 sevens and nines at once",
        chosen=(
            "A theorem with no experiment of its own. 4,000 images and all of them in every step, as the "
            "theorem says; the net of Figure 5."
        ),
        paper=replace(
            SEVEN_NINE,
            train_samples=4_000,
            training=TrainingSettings(
                epochs=2_000, batch_size=None, learning_rate=0.1, record_every=20, dense_epochs=20
            ),
        ),
        quick=replace(
            SEVEN_NINE,
            train_samples=1_000,
            training=TrainingSettings(
                epochs=600, batch_size=None, learning_rate=0.1, record_every=20, dense_epochs=10
            ),
        ),
    ),
    experiment(
        "thm-4.5-narrow",
        "Theorem 4.5: gradient descent on a narrow net, output centred",
        chosen=(
            "A theorem with no experiment of its own. Two layers in the paper's parametrisation, trained "
            "by gradient descent on 2,000 images; the output begins at one half because a twin is taken "
            "away."
        ),
        paper=_wide(16),
        quick=_wide_quick(16),
    ),
    experiment(
        "thm-4.5-wide",
        "Theorem 4.5: gradient descent on a wide net, output centred",
        chosen=("As thm-4.5-narrow, but wide, as the theorem wants it."),
        paper=_wide(1024),
        quick=_wide_quick(256),
    ),
)
