"""The paper's formulas, and what they become at any depth, initial output, loss and noise matrix."""

from cleanprio_lib.theory.departure import Departure, departure, largest_angle, largest_rest
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
from cleanprio_lib.theory.kernel_flow import (
    FlowErrors,
    KernelFlow,
    expected_test_error,
    flow_errors,
    kernel_flow,
    turning_time,
)
from cleanprio_lib.theory.noise_matrices import NestedScales, margins
from cleanprio_lib.theory.noisy_steps import (
    Plateau,
    noisy_majority,
    paper_step_factor,
    plateau,
    smoothed_labels,
    smoothing,
    step_factor,
)
from cleanprio_lib.theory.noisy_validation import comparison_spread, noisy_error, noisy_error_of
from cleanprio_lib.theory.placed_noise import (
    PLACEMENTS,
    Law,
    eigenspace_cosine,
    output_law,
    own_output_law,
)
from cleanprio_lib.theory.single_logit import single_logit_sizes
from cleanprio_lib.theory.standard_kernel import class_speed, standard_kernel, sums_cosine
from cleanprio_lib.theory.tangent_kernel import tangent_kernel
from cleanprio_lib.theory.two_scales import TwoScales

__all__ = [
    "PLACEMENTS",
    "Departure",
    "FlowErrors",
    "InitialGradients",
    "KernelFlow",
    "Law",
    "NestedScales",
    "Plateau",
    "TwoScales",
    "binary_gradient_ratios",
    "class_speed",
    "comparison_spread",
    "crossing_angle",
    "departure",
    "derivative_angle",
    "eigenspace_cosine",
    "expected_test_error",
    "flow_errors",
    "gradient_ratio",
    "initial_gradients",
    "kernel_flow",
    "label_residuals",
    "largest_angle",
    "largest_derivative_angle",
    "largest_rest",
    "margins",
    "noisy_error",
    "noisy_error_of",
    "noisy_majority",
    "output_law",
    "own_output_law",
    "paper_step_factor",
    "plateau",
    "single_logit_sizes",
    "small_angle_law",
    "smoothed_labels",
    "smoothing",
    "standard_kernel",
    "step_factor",
    "sums_cosine",
    "tangent_kernel",
    "turning_time",
]
