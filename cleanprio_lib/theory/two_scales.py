"""A solvable model of training on wrong labels: a class is learnt at one rate, a single label at another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.theory.derivative_angles import _root

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TwoScales:
    r"""A linearised net that sees two classes of alike samples, and of each sample a little that is its own.

    Gradient flow on the squared loss, $\dot f = -K(f - y)$ from $f = 0$, with labels $y = \pm1$. The kernel
    $K$ is $a$ inside a class and $b$ across, and $\epsilon$ is added to each sample's influence on itself.
    The fraction $\delta$ of each class has the wrong label. With $s_x(t) = 1 - e^{-xt}$ the output, times the
    true label $\hat y$, is

    $$\hat y f_{clean} = (1 - 2\delta)\,s_{\lambda_s} + 2\delta\,s_\epsilon,\qquad
    \hat y f_{noisy} = (1 - 2\delta)\,s_{\lambda_s} - 2(1 - \delta)\,s_\epsilon,\qquad
    \lambda_s = \epsilon + \tfrac n2(a - b).$$

    The noisy samples are first drawn to their true labels with the class, at the rate $\lambda_s$, then to
    their given ones each by itself, at the rate $\epsilon$. Without $\epsilon$ that never comes: assumption
    4.1 holds for ever, and the noisy subset's gradient grows as long as the clean one's and no longer.

    There is no U-turn of the test error. A new sample has the same kernel as every other of its class, so
    the wrong labels reach it only as the mean over its class, $1 - 2\delta$, whichever they are. Its output
    never falls and has the right sign from the start. For the error to turn, memorised labels have to spread
    unevenly over the new samples near them, and here no sample is nearer than another.

    Attributes:
        samples: $n$, even, half of them in each class.
        level: $\delta$, in (0, 1/2), with $\delta n/2$ a whole number.
        within: $a$, above `across` and not below `-across`, so that $K$ is a kernel.
        across: $b$.
        own: $\epsilon \ge 0$.

    Raises:
        ValueError: an argument outside its range.

    Time is the step size times the number of steps on the summed loss $\frac12\sum_i (f_i - y_i)^2$. All
    methods take times of any shape, not negative, and return values in that shape.
    """

    samples: int
    level: float
    within: float
    across: float
    own: float

    def __post_init__(self) -> None:
        _check_samples(self.samples)
        if not 0 < self.level < 0.5:
            raise ValueError(f"level must lie in (0, 1/2), got {self.level!r}")
        flipped = self.level * self.samples / 2
        # A float such as 0.29 is up to its last place off the fraction that was meant.
        if round(flipped) < 1 or abs(flipped - round(flipped)) > 1e-9 * self.samples:
            half = self.samples // 2
            raise ValueError(f"level must flip 1, 2, ... of {half} samples of a class, got {self.level!r}")
        for name in ("within", "across", "own"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)!r}")
        if not (self.within > self.across and self.within >= -self.across):
            raise ValueError(
                f"within must be above across and not below -across, got {self.within!r} and {self.across!r}"
            )
        if self.own < 0:
            raise ValueError(f"own must not be negative, got {self.own!r}")

    @property
    def class_rate(self) -> float:
        r"""$\lambda_s = \epsilon + \frac n2(a - b)$, at which what a class has in common is learnt."""
        return self.own + self._gap

    @property
    def own_rate(self) -> float:
        r"""$\epsilon$, at which a sample's own label is learnt."""
        return self.own

    def clean_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a sample with the right label."""
        return self._output(t, 2 * self.level)

    def noisy_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a sample with the wrong label: below 0 it is memorised."""
        return self._output(t, -2 * (1 - self.level))

    def clean_residual(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\lvert f - y\rvert = 1 - \hat y f$ of a sample with the right label; it falls for ever."""
        return self._residual(t, 2 * self.level, 1 - 2 * self.level)

    def noisy_residual(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\lvert f - y\rvert = 1 + \hat y f$ of one with the wrong label; it rises until `turning_time`."""
        return self._residual(t, 2 * (1 - self.level), 2 * self.level - 1)

    def test_output(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\hat y f$ of a new sample: $(1 - 2\delta)(1 - \epsilon/\lambda_s)\,s_{\lambda_s}$.

        Its kernel with the training samples is $a$ or $b$, a combination of the constant vector, on which
        the labels sum to 0, and of $\hat y$, an eigenvector of $K$ with the eigenvalue $\lambda_s$. Hence
        $\hat y f = \frac{a - b}2\,\frac{s_{\lambda_s}}{\lambda_s}\,\hat y^\top y$.
        """
        learnt = -np.expm1(-self.class_rate * _checked_times(t))
        return np.asarray((1 - 2 * self.level) * self._gap / self.class_rate * learnt)[()]

    def gradient_ratio(self, t: ArrayLike) -> np.float64 | Array:
        r"""$\lVert g_{clean}\rVert/\lVert g_{noise}\rVert$ of a class, by the mean residuals.

        $\frac{1 - \delta}{\delta}$ times their ratio, the part of the gradients that a class has in common.
        It falls from $(1 - \delta)/\delta$ towards 1 at the rate $\lambda_s - \epsilon$ and stays there
        while the wrong labels are memorised. With $N_{clean}$ and $N_{noisy}$ samples in a class, their own
        parts make it $\sqrt{(a + \epsilon/N_{clean})/(a + \epsilon/N_{noisy})}$ times as large.
        """
        left = (1 - 2 * self.level) * np.exp(-self._gap * _checked_times(t))
        odds = (1 - self.level) / self.level
        return np.asarray(odds * (2 * self.level + left) / (2 * (1 - self.level) - left))[()]

    @property
    def turning_time(self) -> float:
        r"""When the noisy residual is largest.

        $t_{turn} = \frac1{\lambda_s - \epsilon}\log\frac{(1 - 2\delta)\lambda_s}{2(1 - \delta)\epsilon}$,
        or 0 where it falls from the start; infinite without $\epsilon$.
        """
        pull, memory = (1 - 2 * self.level) * self.class_rate, 2 * (1 - self.level) * self.own
        if pull <= memory:
            return 0.0
        return math.log(pull / memory) / self._gap if memory else math.inf

    @property
    def flip_time(self) -> float:
        r"""About when noisy samples go over to their given labels: $\frac1\epsilon\log(2(1 - \delta))$.

        An approximation, and an upper bound: it takes the class to be fully learnt, so it is good for
        $\lambda_s \gg \epsilon$, when it is late by about $(1 - 2\delta)\,e^{-\lambda_s t}/\epsilon$ at that
        $t$. Infinite without $\epsilon$.
        """
        return math.log(2 * (1 - self.level)) / self.own if self.own else math.inf

    @property
    def exact_flip_time(self) -> float:
        """When `noisy_output` falls through 0, by bisection between `turning_time` and `flip_time`.

        It is 0 where the output is never above 0.
        """
        if self.turning_time == 0 or math.isinf(self.flip_time):
            return min(self.turning_time, self.flip_time)
        return _root(self.noisy_output, self.turning_time, self.flip_time)

    @property
    def _gap(self) -> float:
        """λ_s - ε."""
        return self.samples / 2 * (self.within - self.across)

    def _output(self, t: ArrayLike, memory: float) -> np.float64 | Array:
        """(1 - 2δ) s_λ + memory s_ε."""
        times = _checked_times(t)
        learnt, memorised = (-np.expm1(-rate * times) for rate in (self.class_rate, self.own))
        return np.asarray((1 - 2 * self.level) * learnt + memory * memorised)[()]

    def _residual(self, t: ArrayLike, own: float, common: float) -> np.float64 | Array:
        """own e^{-εt} + common e^{-λt}: nothing cancels when hardly anything is left."""
        times = _checked_times(t)
        return np.asarray(own * np.exp(-self.own * times) + common * np.exp(-self.class_rate * times))[()]


def _check_samples(samples: int) -> None:
    whole = isinstance(samples, int | np.integer) and not isinstance(samples, bool)
    if not (whole and samples >= 2 and samples % 2 == 0):
        raise ValueError(f"samples must be an even whole number of at least 2, got {samples!r}")


def _checked_times(t: ArrayLike) -> Array:
    times = np.asarray(t, dtype=np.float64)
    if not ((times >= 0) & np.isfinite(times)).all():
        raise ValueError(f"t must be finite and not negative, got {t!r}")
    return times
