"""Chapter 3: sample gradients at initialisation."""

from __future__ import annotations

from cleanprio_lib.experiments.settings import experiment
from cleanprio_lib.measurements import initial_gradients, sample_gradients

EXPERIMENTS = (
    experiment(
        "eq-05-formula",
        "Equation 5: the gradient of a loss is the residual times the derivative of the logit",
        chosen=("An identity, tested on random inputs in double precision."),
        paper=initial_gradients.FormulaSettings(),
        measure=initial_gradients.formula,
    ),
    experiment(
        "fig-04-clusters",
        "Figure 4, left: directions of sample gradients, clean, other and noisy, of two clusters",
        chosen=(
            "How many samples there are, which class is shown and how the net begins are not said. Both "
            "classes, 500 samples each, and three ways to begin: as in the theorem, the same with its "
            "initial output taken away, and PyTorch's own."
        ),
        paper=sample_gradients.AngleSettings(None, None, per_class=500),
        measure=sample_gradients.angles,
    ),
    experiment(
        "fig-04-mnist-0v1",
        "Figure 4, right, as in its caption: zeros and ones, one hidden layer",
        chosen=(
            "The caption's setting, zeros and ones and two layers, where appendix B has sevens and nines "
            "and three. 1,000 samples a class, and three ways to begin."
        ),
        paper=sample_gradients.AngleSettings((0, 1), "mnist"),
        measure=sample_gradients.angles,
        quick=sample_gradients.AngleSettings((0, 1), "mnist", per_class=300),
    ),
    experiment(
        "fig-04-mnist-7v9",
        "Figure 4, right, as in appendix B: sevens and nines, two hidden layers",
        chosen=("The setting of appendix B. 1,000 samples a class, and three ways to begin."),
        paper=sample_gradients.AngleSettings((7, 9), "mnist", depth=3),
        measure=sample_gradients.angles,
        quick=sample_gradients.AngleSettings((7, 9), "mnist", per_class=300, depth=3),
    ),
    experiment(
        "eq-08-initial-ratio",
        "Equations 8 and 9: clean against noisy gradient of each class before the first step",
        chosen=(
            "Equations with no experiment of their own. All sevens and nines, two levels, and three ways "
            "to begin."
        ),
        paper=initial_gradients.RatioSettings(),
        measure=initial_gradients.initial_ratios,
        quick=initial_gradients.RatioSettings(samples=800),
    ),
    experiment(
        "sec-1-projections",
        "Section 1: sample gradients projected on the gradient of the whole noisy set",
        chosen=(
            "A sentence of the introduction with no experiment of its own. Both pairs of digits, both "
            "nets, and initial logits from none to a half, because the answer depends on them."
        ),
        paper=sample_gradients.ProjectionSettings(),
        measure=sample_gradients.projections,
        quick=sample_gradients.ProjectionSettings(nets=((2, 0.3),), per_class=300),
    ),
)
