"""What the labels, the noise and the first gradients have in each eigenspace of a kernel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib import theory


def eigenspaces(
    flow: theory.KernelFlow, true: ArrayLike, given: ArrayLike, level: float, *, spaces: int = 20
) -> pd.DataFrame:
    r"""Groups of neighbouring eigenvectors, from the largest eigenvalue down.

    Args:
        flow: of the training inputs' kernel.
        true: (n,) labels, 0 or 1.
        given: (n,) labels, or (n, draws) of several draws of the noise, over which products are averaged.
        level: $\delta$.
        spaces: about how many groups, evenly spaced in the logarithm of their ranks.

    Returns:
        A row for each group: the ranks `first` to `last`; `time`, one over its mean eigenvalue; `strength`,
        $\rho$, the labels' part $\sum_k\lambda_k (u_k^\top \hat y)^2$ as a multiple of what it would be if
        they were spread evenly, $\sum_k\lambda_k q_k$; `noise`, the same for the noise,
        $\sum_k\lambda_k (u_k^\top e)^2/\delta(1 - \delta)$, and `cosine`, of the angle between the clean and
        the noisy gradient in the group before the first step, from the residuals of the two subsets.

    Source: steps K.10 to K.13 of the book's appendix of proofs.
    """
    labels, drawn = np.asarray(true), np.asarray(given)
    wrong = labels[:, None] != drawn.reshape(len(labels), -1)
    signs = 2.0 * labels - 1
    clean, noisy, noise = (signs[:, None] * part for part in (-1.0 * ~wrong, 1.0 * wrong, wrong - level))
    order = np.arange(len(labels))[::-1]
    values, vectors = flow.values[order], flow.vectors[:, order]
    even = _even_share(vectors, labels, signs)
    edges = np.unique(np.geomspace(1, len(labels) + 1, spaces + 1).round().astype(int))
    rows = []
    for first, after in pairwise(edges.tolist()):
        chosen = slice(first - 1, after - 1)
        weights, part = values[chosen], vectors[:, chosen].T
        floor = weights @ even[chosen]
        in_clean, in_noisy = part @ clean, part @ noisy
        squares = [(weights @ of**2).mean() for of in (in_clean, in_noisy, part @ noise)]
        rows.append(
            {
                "first": first,
                "last": after - 1,
                "time": 1 / weights.mean(),
                "strength": weights @ (part @ signs) ** 2 / floor,
                "noise": squares[2] / (level * (1 - level) * floor),
                "cosine": (weights @ (in_clean * in_noisy)).mean() / np.sqrt(squares[0] * squares[1]),
            }
        )
    return pd.DataFrame(rows)


def _even_share(
    vectors: NDArray[np.float64], labels: NDArray[np.int64], signs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) the q_k of step K.12: near 1 but for eigenvectors that are nearly constant on a class."""
    total = np.zeros(vectors.shape[1])
    for c in (0, 1):
        own = labels == c
        size, part = own.sum(), vectors[own]
        total += size / (size - 1) * ((part**2).sum(axis=0) - (signs[own] @ part) ** 2 / size)
    return total
