"""Chapter 2: derivative angles."""

from __future__ import annotations

from cleanprio_lib.experiments.settings import experiment
from cleanprio_lib.measurements import derivative_angles, derivatives_in_training

EXPERIMENTS = (
    experiment(
        "fig-02-derivative-angles",
        "Figure 2: angle between derivatives over angle between inputs, six nets",
        paper=derivative_angles.CircleSettings(),
        measure=derivative_angles.on_circle,
    ),
    experiment(
        "fig-02-finite-width",
        "Theorem 3.1 at finite width: deviation from the infinitely wide net",
        paper=derivative_angles.WidthSettings(),
        measure=derivative_angles.over_widths,
        quick=derivative_angles.WidthSettings(widths=(64, 128, 256, 512)),
    ),
    experiment(
        "fig-03-clusters",
        "Figure 3: angles between derivatives within and between two clusters",
        paper=derivative_angles.ClusterSettings(),
        measure=derivative_angles.in_clusters,
    ),
    experiment(
        "lem-a.2-gram",
        "Lemma A.2: variances of the entries of a wide random matrix's Gram matrix",
        paper=derivative_angles.GramSettings(),
        measure=derivative_angles.gram_variances,
    ),
    experiment(
        "sec-1-class-angles",
        "Section 1: derivatives of samples of one class are closer than those of two",
        paper=derivative_angles.ClassSettings(),
        measure=derivative_angles.in_classes,
    ),
    experiment(
        "rem-3.3-derivatives-in-training",
        "Remark 3.3: derivatives during training, against those at initialisation",
        paper=derivatives_in_training.DescentSettings(),
        measure=derivatives_in_training.in_training,
        quick=derivatives_in_training.DescentSettings(widths=(32, 128, 512), epochs=100),
    ),
)
