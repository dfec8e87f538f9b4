"""Chapter 2: derivative angles."""

from __future__ import annotations

from cleanprio_lib.experiments.settings import experiment
from cleanprio_lib.measurements import derivative_angles, derivatives_in_training

EXPERIMENTS = (
    experiment(
        "fig-02-derivative-angles",
        "Figure 2: angle between derivatives over angle between inputs, six nets",
        chosen=(
            "The axis runs from 0 to 180 degrees, since the other half of the circle repeats it. One net "
            "of the paper became 20, whose band is shown; there are no gains, no biases and no input "
            "scaling, as in the theorem."
        ),
        paper=derivative_angles.CircleSettings(),
        measure=derivative_angles.on_circle,
    ),
    experiment(
        "fig-02-finite-width",
        "Theorem 3.1 at finite width: deviation from the infinitely wide net",
        chosen=("Not in the paper: how far a net of finite width is from its theorem."),
        paper=derivative_angles.WidthSettings(),
        measure=derivative_angles.over_widths,
        quick=derivative_angles.WidthSettings(widths=(64, 128, 256, 512)),
    ),
    experiment(
        "fig-03-clusters",
        "Figure 3: angles between derivatives within and between two clusters",
        chosen=(
            "Where the clusters lie is not said. Ours are around two unit vectors at a right angle, with "
            "a standard deviation of 0.1 in each coordinate and 100 points each."
        ),
        paper=derivative_angles.ClusterSettings(),
        measure=derivative_angles.in_clusters,
    ),
    experiment(
        "lem-a.2-gram",
        "Lemma A.2: variances of the entries of a wide random matrix's Gram matrix",
        chosen=("A lemma; widths and draws are ours."),
        paper=derivative_angles.GramSettings(),
        measure=derivative_angles.gram_variances,
    ),
    experiment(
        "sec-1-class-angles",
        "Section 1: derivatives of samples of one class are closer than those of two",
        chosen=(
            "A sentence of the introduction with no experiment of its own. Digits and net are those of "
            "Figure 4."
        ),
        paper=derivative_angles.ClassSettings(),
        measure=derivative_angles.in_classes,
    ),
    experiment(
        "rem-3.3-derivatives-in-training",
        "Remark 3.3: derivatives during training, against those at initialisation",
        chosen=(
            "A remark with no experiment of its own. Gradient descent until well after the early stopping"
            " point, at three widths."
        ),
        paper=derivatives_in_training.DescentSettings(),
        measure=derivatives_in_training.in_training,
        quick=derivatives_in_training.DescentSettings(widths=(32, 128, 512), epochs=100),
    ),
)
