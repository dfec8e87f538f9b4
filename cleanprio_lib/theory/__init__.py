"""The paper's formulas, and what they become at any depth, initial output, loss and noise matrix."""

from cleanprio_lib.theory.derivative_angles import (
    crossing_angle,
    derivative_angle,
    largest_derivative_angle,
    small_angle_law,
)
from cleanprio_lib.theory.initial_gradients import (
    InitialGradients,
    binary_gradient_ratios,
    gradient_ratio,
    initial_gradients,
    label_residuals,
)
from cleanprio_lib.theory.noisy_steps import (
    Plateau,
    noisy_majority,
    paper_step_factor,
    plateau,
    smoothed_labels,
    smoothing,
    step_factor,
)
from cleanprio_lib.theory.two_scales import TwoScales

__all__ = [
    "InitialGradients",
    "Plateau",
    "TwoScales",
    "binary_gradient_ratios",
    "crossing_angle",
    "derivative_angle",
    "gradient_ratio",
    "initial_gradients",
    "label_residuals",
    "largest_derivative_angle",
    "noisy_majority",
    "paper_step_factor",
    "plateau",
    "small_angle_law",
    "smoothed_labels",
    "smoothing",
    "step_factor",
]
