r"""Finding wrong labels: confident learning, and how good a ranking of suspects is.

Source: Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021; the package of its authors is cleanlab.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def confident_thresholds(labels: ArrayLike, likely: ArrayLike) -> Array:
    r"""(C,) mean probability $t_j$ of class $j$ among the samples with the given label $j$.

    Args:
        labels: (n,) given labels; every class has one.
        likely: (n, C) predicted probabilities, from nets that have not seen the sample.

    Source: equation 2 of Northcutt et al.
    """
    given, probable = _checked(labels, likely)
    return np.array([probable[given == j, j].mean() for j in range(probable.shape[1])])


def confident_joint(labels: ArrayLike, likely: ArrayLike) -> Counts:
    r"""(C, C) counts of samples with the given label $i$ that are confidently of class $j$.

    A sample counts for the class with the largest probability among those that reach their threshold
    $t_j$, and for none if none does.

    Args:
        labels: (n,) given labels.
        likely: (n, C) predicted probabilities, from nets that have not seen the sample.

    Source: equation 1 of Northcutt et al.
    """
    given, probable = _checked(labels, likely)
    confident = _confident_class(given, probable)
    counted = np.zeros((probable.shape[1],) * 2, dtype=np.int64)
    np.add.at(counted, (given[confident >= 0], confident[confident >= 0]), 1)
    return counted


def calibrated_joint(labels: ArrayLike, likely: ArrayLike) -> Array:
    r"""(C, C) the confident joint, scaled so that row $i$ sums to the number of samples with the label $i$.

    No row is empty: of the samples with the label $i$ one at least reaches their mean.

    Source: equation 3 of Northcutt et al., in counts.
    """
    given, probable = _checked(labels, likely)
    counted = confident_joint(given, probable).astype(np.float64)
    own = np.bincount(given, minlength=len(counted))
    return counted / counted.sum(axis=1, keepdims=True) * own[:, None]


def confident_errors(labels: ArrayLike, likely: ArrayLike) -> NDArray[np.bool_]:
    """(n,) mask of the samples that count off the diagonal of the confident joint.

    Source: method 2 of section 3.2 of Northcutt et al.
    """
    given, probable = _checked(labels, likely)
    confident = _confident_class(given, probable)
    return (confident >= 0) & (confident != given)


def pruned_by_noise_rate(labels: ArrayLike, likely: ArrayLike) -> NDArray[np.bool_]:
    r"""(n,) mask of the samples that prune by noise rate takes out.

    Of those with the given label $i$, for every other class $j$ as many as `calibrated_joint` has there, the
    ones with the largest margin $p_j - p_i$. Numbers are rounded half to even, each by itself.

    Source: method 4 of section 3.2 of Northcutt et al.
    """
    given, probable = _checked(labels, likely)
    counted = np.round(calibrated_joint(given, probable)).astype(int)
    found = np.zeros(len(given), dtype=bool)
    for i in range(probable.shape[1]):
        own = np.flatnonzero(given == i)
        for j in set(range(probable.shape[1])) - {i}:
            margin = probable[own, j] - probable[own, i]
            found[own[np.argsort(-margin, kind="stable")[: counted[i, j]]]] = True
    return found


def self_confidence(labels: ArrayLike, likely: ArrayLike) -> Array:
    """(n,) predicted probability of the given label: confident learning's ranking, lowest first."""
    given, probable = _checked(labels, likely)
    return probable[np.arange(len(given)), given]


def ranked(scores: ArrayLike, is_noisy: ArrayLike, shares: ArrayLike) -> pd.DataFrame:
    """How many wrong labels are among the first suspects.

    Args:
        scores: (n,) the higher, the more suspect; ties in order of the samples.
        is_noisy: (n,) which labels are wrong.
        shares: of all samples, how many are looked at.

    Returns:
        A row for each share: `share`, `flagged` (samples looked at), `precision` (wrong labels among them)
        and `recall` (of all wrong labels).

    Raises:
        ValueError: a share lies outside (0, 1].
    """
    wrong = np.asarray(is_noisy, dtype=bool)[np.argsort(-np.asarray(scores), kind="stable")]
    looked = np.asarray(shares, dtype=np.float64)
    if not ((looked > 0) & (looked <= 1)).all():
        raise ValueError(f"shares must lie in (0, 1], got {shares!r}")
    flagged = np.maximum(np.round(looked * len(wrong)).astype(int), 1)
    hits = np.cumsum(wrong)[flagged - 1]
    return pd.DataFrame(
        {"share": looked, "flagged": flagged, "precision": hits / flagged, "recall": hits / wrong.sum()}
    )


def flagged(mask: ArrayLike, is_noisy: ArrayLike) -> dict[str, float]:
    """Size, precision and recall of a set of suspects; a precision of none is NaN."""
    chosen, wrong = np.asarray(mask, dtype=bool), np.asarray(is_noisy, dtype=bool)
    hits = float((chosen & wrong).sum())
    return {
        "share": float(chosen.mean()),
        "flagged": int(chosen.sum()),
        "precision": hits / chosen.sum() if chosen.any() else np.nan,
        "recall": hits / wrong.sum(),
    }


def _confident_class(given: Counts, probable: Array) -> Counts:
    """(n,) class that each sample counts for; -1 for none."""
    reached = np.where(probable >= confident_thresholds(given, probable), probable, -np.inf)
    return np.where(np.isfinite(reached).any(axis=1), reached.argmax(axis=1), -1)


def _checked(labels: ArrayLike, likely: ArrayLike) -> tuple[Counts, Array]:
    given, probable = np.asarray(labels, dtype=np.int64), np.asarray(likely, dtype=np.float64)
    if probable.ndim != 2 or given.shape != probable.shape[:1]:
        raise ValueError(f"likely must be (n, C) for (n,) labels, got {probable.shape} and {given.shape}")
    missing = set(range(probable.shape[1])) - set(given.tolist())
    if missing:
        raise ValueError(f"labels must have every class, but none is {min(missing)}")
    return given, probable
