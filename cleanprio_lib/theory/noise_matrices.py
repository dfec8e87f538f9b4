r"""What a noise matrix decides: which label is learnt, in a class and in a part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.noise import _checked_transition
from cleanprio_lib.theory.two_scales import _checked_times

Array = NDArray[np.float64]


def margins(transition: ArrayLike) -> Array:
    r"""By how much the true label is the commonest of each class: $T_{cc} - \max_{k \ne c} T_{ck}$.

    A net that has learnt how the labels of a class are distributed, and no single label, gives the class row
    $c$ of $T$ as its output. It predicts the true class exactly where the margin is above 0. With uniform
    noise that is $\delta < (C - 1)/C$.

    Args:
        transition: (C, C) row-stochastic matrix $T_{ck} = P(y = k \mid \hat y = c)$.

    Returns:
        (C,) margins in [-1, 1].

    Raises:
        ValueError: the matrix is not square and row-stochastic.

    Source: beyond the paper; step T.5 of the appendix.
    """
    matrix = _checked_transition(transition)
    own = np.eye(len(matrix), dtype=bool)
    return np.asarray(matrix[own] - np.where(own, -np.inf, matrix).max(axis=1))


@dataclass(frozen=True)
class NestedScales:
    r"""A linearised net that learns classes, then parts of classes, then single labels.

    Gradient flow on the squared loss as in `TwoScales`, with labels $y = \pm1$, but each class is made of
    equally large parts that are more alike inside than across. The kernel's eigenvalues are the three rates,
    and with $u_x = 1 - e^{-xt}$ a sample of a part in which the fraction $p$ of the labels is wrong has

    $$\begin{aligned}
    \hat y f_{clean} &= (1 - 2\delta)\,u_{class} - 2(p - \delta)\,u_{part} + 2p\,u_{own}, \\
    \hat y f_{noisy} &= (1 - 2\delta)\,u_{class} - 2(p - \delta)\,u_{part} - 2(1 - p)\,u_{own},
    \end{aligned}$$

    where $\delta$ is the fraction of wrong labels in the whole class.

    Attributes:
        level: $\delta$, in (0, 1/2).
        part_level: $p$, in [0, 1].
        class_rate: at which what a class has in common is learnt.
        part_rate: the same of a part, at most `class_rate`.
        own_rate: the same of a single sample, at least 0 and at most `part_rate`.

    Raises:
        ValueError: an argument outside its range.

    Source: beyond the paper; steps T.7 and T.8 of the appendix.
    """

    level: float
    part_level: float
    class_rate: float
    part_rate: float
    own_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.level < 0.5:
            raise ValueError(f"level must lie in (0, 1/2), got {self.level!r}")
        if not 0 <= self.part_level <= 1:
            raise ValueError(f"part_level must be a fraction in [0, 1], got {self.part_level!r}")
        if not 0 <= self.own_rate <= self.part_rate <= self.class_rate < math.inf:
            raise ValueError(
                "rates must be finite, not negative and in the order own, part, class, "
                f"got {self.own_rate!r}, {self.part_rate!r} and {self.class_rate!r}"
            )

    def clean_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a sample of the part with the right label."""
        return self._output(t, 2 * self.part_level)

    def noisy_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a sample of the part with the wrong label."""
        return self._output(t, -2 * (1 - self.part_level))

    def new_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a new sample of the part, in the limit of many samples: what has no own part."""
        return self._output(t, 0.0)

    @property
    def reversal_time(self) -> float:
        r"""When a new sample of the part goes over to the wrong label, once the class is learnt.

        $-\frac{1}{\lambda_{part}} \log\bigl(1 - \frac{1 - 2\delta}{2(p - \delta)}\bigr)$, a limit for
        $\lambda_{class} \gg \lambda_{part}$; infinite unless $p > \frac12$.
        """
        if self.part_level <= 0.5 or self.part_rate == 0:
            return math.inf
        share = (1 - 2 * self.level) / (2 * (self.part_level - self.level))
        return -math.log1p(-share) / self.part_rate

    def _output(self, t: ArrayLike, memory: float) -> np.float64 | Array:
        times = _checked_times(t)
        common, part, own = (
            -np.expm1(-rate * times) for rate in (self.class_rate, self.part_rate, self.own_rate)
        )
        deviation = 2 * (self.part_level - self.level)
        return np.asarray((1 - 2 * self.level) * common - deviation * part + memory * own)[()]
