"""Clean against noisy subset gradient before the first step, from the noise and the initial output alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.noise import _checked_transition

Array = NDArray[np.float64]
LOSSES = ("cross_entropy", "squared", "squared_linear")
ROUNDING = 1e-12


def gradient_ratio(
    level: ArrayLike, num_classes: int = 2, *, output: ArrayLike | None = None
) -> np.float64 | Array:
    r"""How many times longer the clean subset's gradient is than the noisy subset's, before the first step.

    For the single-logit gradients of class $c$, if the net gives all its inputs one probability $f_c$ of it,

    $$\lVert g^{(c)}_{clean}\rVert / \lVert g^{(c)}_{noise}\rVert
    = \frac{1-\delta}{\delta}\,\frac{1-f_c}{f_c}.$$

    With nothing learnt, $f_c = 1/C$, which makes it $(C-1)(1-\delta)/\delta$. It holds for the logistic loss,
    for softmax cross-entropy and, with two classes, for the squared loss behind a sigmoid; and for every
    noise matrix $T$, with $\delta = 1 - T_{cc}$.

    Args:
        level: $\delta$, the fraction of wrong labels in class $c$, in [0, 1].
        num_classes: $C \ge 2$.
        output: $f_c$ in (0, 1), by default $1/C$. For class 0 of a binary net, one minus the net's output.

    Returns:
        The ratio, in the shape to which `level` and `output` broadcast; infinite where the level is 0.

    Raises:
        ValueError: an argument outside its range.

    Source: equation 8 of the paper ($C = 2$), and the ratio below its equation 14.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"num_classes must be an integer of at least 2, got {num_classes!r}")
    if output is None:
        return _clean_odds(level) * (num_classes - 1)
    probability = np.asarray(output, dtype=np.float64)
    if not ((probability > 0) & (probability < 1)).all():
        raise ValueError(f"output must be a probability in (0, 1), got {output!r}")
    return _clean_odds(level) * ((1 - probability) / probability)


def binary_gradient_ratios(level: ArrayLike, logit: ArrayLike) -> Array:
    r"""`gradient_ratio` of both classes of a binary net whose logit starts at the same $h_0$ on all inputs.

    $R^{(0)} = \frac{1-\delta}{\delta} e^{h_0}$ and $R^{(1)} = \frac{1-\delta}{\delta} e^{-h_0}$. Their
    geometric mean is equation 8 of the paper, whatever $h_0$.

    Args:
        level: $\delta$, in [0, 1].
        logit: $h_0$, finite.

    Returns:
        (..., 2) ratios of class 0 and of class 1, behind the shape to which `level` and `logit` broadcast.

    Raises:
        ValueError: an argument outside its range.
    """
    start = np.asarray(logit, dtype=np.float64)
    if not np.isfinite(start).all():
        raise ValueError(f"logit must be finite, got {logit!r}")
    return np.stack([_clean_odds(level) * np.exp(h) for h in (start, -start)], axis=-1)


def label_residuals(
    output: ArrayLike, *, loss: str = "cross_entropy", targets: ArrayLike | None = None
) -> Array:
    r"""Derivative of the loss by the logits for each label that a sample may carry, at one constant output.

    Args:
        output: (C,) outputs, or a single number for a binary net with one logit: probabilities $f$, but for
            "squared_linear" the logits $h$ themselves.
        loss: "cross_entropy" (behind softmax or sigmoid: the residual is $f - y$), "squared"
            ($\frac12\lVert f - y\rVert^2$ behind softmax or sigmoid), or "squared_linear"
            ($\frac12\lVert h - y\rVert^2$).
        targets: (C, k) the vector $y$ that stands for each label, where k is 1 or C; by default one-hot
            vectors, or 0 and 1 for a single logit. Labels of ±1 are `[[-1], [1]]`.

    Returns:
        (C, k) residual of each label.

    Raises:
        ValueError: an unknown loss, outputs that are no probabilities, or targets of another shape.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
    f = np.atleast_1d(np.asarray(output, dtype=np.float64))
    if f.ndim != 1 or not np.isfinite(f).all():
        raise ValueError(f"output must be one number or (C,) numbers, all finite, got {output!r}")
    total = f.sum() if len(f) > 1 else 1.0
    if loss != "squared_linear" and not ((f > 0).all() and (f < 1).all() and abs(total - 1) < 1e-9):
        raise ValueError(f"output must hold probabilities in (0, 1) for the loss {loss!r}, got {output!r}")
    default = np.eye(len(f)) if len(f) > 1 else np.array([[0.0], [1.0]])
    encoding = default if targets is None else np.asarray(targets, dtype=np.float64)
    if encoding.shape != default.shape or not np.isfinite(encoding).all():
        raise ValueError(f"targets must be finite, of shape {default.shape}, got shape {encoding.shape}")
    return (f - encoding) @ (_jacobian(f) if loss == "squared" else np.eye(len(f)))


@dataclass(frozen=True, eq=False)
class InitialGradients:
    r"""How the clean and the noisy subset gradient of each true class relate while the output is constant.

    The net is infinitely wide and the inputs of a class count as one, so only mean residual vectors matter. A
    quantity that divides by a gradient of length zero is infinite or NaN.

    Attributes:
        own_ratio: (C,) $\lVert g_{clean}\rVert/\lVert g_{noise}\rVert$ for the class's own logit.
        full_ratio: (C,) the same for all logits together.
        cosine: (C,) of the angle between clean and noisy gradient, all logits together.
        shrink: (C,) how far the step goes along the step of the true labels, as a fraction of the latter.
        direction: (C,) cosine of the angle between the step and the step of the true labels.
    """

    own_ratio: Array
    full_ratio: Array
    cosine: Array
    shrink: Array
    direction: Array


def initial_gradients(
    transition: ArrayLike, residuals: ArrayLike, *, num_noisy: ArrayLike | None = None
) -> InitialGradients:
    r"""Subset gradients at a constant output, for any noise matrix and any loss.

    A clean sample of class $c$ has the residual $r_c$, a noisy one on average $\sum_k q_k r_k$, where $q$ is
    row $c$ of $T$ without its diagonal, scaled to sum to 1. That only $N$ wrong labels are drawn adds
    $(\sum_k q_k\lVert r_k\rVert^2 - \lVert\sum_k q_k r_k\rVert^2)/N$ to the mean square length of the latter;
    `num_noisy` puts root mean squares in the place of the noisy gradient's and the step's length.

    Args:
        transition: (C, C) row-stochastic matrix $T_{ck} = P(y = k \mid \hat y = c)$.
        residuals: (C, k) from `label_residuals`, where k is 1 or C.
        num_noisy: $N$, the noisy samples of a class, a number or (C,) numbers; by default infinitely many.

    Raises:
        ValueError: an argument of the wrong shape, or outside its range.
    """
    matrix = _checked_transition(transition)
    r = _checked_residuals(residuals, len(matrix))
    wrong = matrix * (1 - np.eye(len(matrix)))
    level = wrong.sum(axis=1)
    clean, noisy = (1 - level)[:, None] * r, wrong @ r
    step, spread = clean + noisy, _drawn_spread(wrong, level, r, num_noisy)
    noisy_norm = np.sqrt(_square(noisy) + spread)
    step_norm = np.sqrt(_square(step) + spread)
    step_norm[step_norm <= ROUNDING * _norm(clean)] = np.nan
    rows = np.arange(len(r))
    own = rows if r.shape[1] > 1 else 0 * rows
    along = (step * r).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return InitialGradients(
            own_ratio=np.abs(clean[rows, own]) / np.abs(noisy[rows, own]),
            full_ratio=_norm(clean) / noisy_norm,
            cosine=(clean * noisy).sum(axis=1) / (_norm(clean) * noisy_norm),
            shrink=along / _square(r),
            direction=along / (step_norm * _norm(r)),
        )


def _drawn_spread(wrong: Array, level: Array, r: Array, num_noisy: ArrayLike | None) -> Array | float:
    """(C,) what finitely many draws of wrong labels add to the noisy gradient's mean square length."""
    if num_noisy is None:
        return 0.0
    count = np.asarray(num_noisy, dtype=np.float64)
    if count.shape not in ((), level.shape) or not (count >= 1).all():
        shapes = f"a number or ({len(level)},) numbers"
        raise ValueError(f"num_noisy must be {shapes}, at least 1, got {num_noisy!r}")
    return (level * (wrong @ _square(r)) - _square(wrong @ r)) / count


def _jacobian(f: Array) -> Array:
    """(k, k) derivative of softmax, or for one logit of the sigmoid, where its value is f."""
    return np.diag(f * (1 - f)) if len(f) == 1 else np.diag(f) - np.outer(f, f)


def _clean_odds(level: ArrayLike) -> Array:
    """(1 - δ)/δ."""
    delta = np.asarray(level, dtype=np.float64)
    if not ((delta >= 0) & (delta <= 1)).all():
        raise ValueError(f"level must be a fraction in [0, 1], got {level!r}")
    with np.errstate(divide="ignore"):
        return (1 - delta) / delta


def _square(vectors: Array) -> Array:
    return np.asarray((vectors**2).sum(axis=1))


def _norm(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _checked_residuals(residuals: ArrayLike, num_classes: int) -> Array:
    array = np.asarray(residuals, dtype=np.float64)
    wanted = {(num_classes, num_classes), (num_classes, 1)} if num_classes == 2 else {(num_classes,) * 2}
    if array.shape not in wanted or not np.isfinite(array).all():
        shapes = " or ".join(map(str, sorted(wanted)))
        raise ValueError(f"residuals must be finite, of shape {shapes}, got shape {array.shape}")
    return array
