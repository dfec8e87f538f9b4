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

__all__ = [
    "InitialGradients",
    "binary_gradient_ratios",
    "crossing_angle",
    "derivative_angle",
    "gradient_ratio",
    "initial_gradients",
    "label_residuals",
    "largest_derivative_angle",
    "small_angle_law",
]
