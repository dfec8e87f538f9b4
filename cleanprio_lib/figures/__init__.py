"""The one visual style, and one function for each kind of picture."""

from cleanprio_lib.figures.derivative_angles import (
    angle_deviations,
    clusters,
    derivative_angles,
    derivatives_in_training,
    finite_width,
    words_angle_deviations,
    words_clusters,
    words_derivative_angles,
    words_derivatives_in_training,
    words_finite_width,
)
from cleanprio_lib.figures.errors import subset_errors, total_errors, words_subset_errors, words_total_errors
from cleanprio_lib.figures.style import (
    BAND,
    HAIRLINE,
    LINE_HEIGHT,
    ROLES,
    End,
    Role,
    label_ends,
    set_style,
    svg,
)

__all__ = [
    "BAND",
    "HAIRLINE",
    "LINE_HEIGHT",
    "ROLES",
    "End",
    "Role",
    "angle_deviations",
    "clusters",
    "derivative_angles",
    "derivatives_in_training",
    "finite_width",
    "label_ends",
    "set_style",
    "subset_errors",
    "svg",
    "total_errors",
    "words_angle_deviations",
    "words_clusters",
    "words_derivative_angles",
    "words_derivatives_in_training",
    "words_finite_width",
    "words_subset_errors",
    "words_total_errors",
]
