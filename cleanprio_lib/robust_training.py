r"""What the field does with the early phase: losses and selections for noisy labels, each as its formula.

Source: ELR, Liu et al. (NeurIPS 2020); small-loss selection and Co-teaching, Han et al. (NeurIPS 2018); area
under the margin, Pleiss et al. (NeurIPS 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

CLAMP = 1e-4


def probabilities(logits: Tensor) -> Tensor:
    """(n, C) class probabilities of (n, C) logits, or (n, 2) of (n, 1)."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.softmax(dim=1)


def moved_targets(targets: Tensor, logits: Tensor, *, momentum: float) -> Tensor:
    r"""ELR's targets after one more look: $t \leftarrow \beta\,t + (1 - \beta)\,p$, without a gradient.

    Args:
        targets: (n, C) before; zeros at first.
        logits: (n, C) or, of two classes, (n, 1).
        momentum: $\beta$.

    Source: section 4 of Liu et al., temporal ensembling; as in their code, $p$ is clamped to
    $[10^{-4}, 1 - 10^{-4}]$ and normalised.
    """
    likely = probabilities(logits.detach()).clamp(CLAMP, 1 - CLAMP)
    return momentum * targets + (1 - momentum) * likely / likely.sum(dim=1, keepdim=True)


def elr_term(logits: Tensor, targets: Tensor) -> Tensor:
    r"""ELR's regulariser, the mean of $\log(1 - \langle p, t\rangle)$, added to the loss times $\lambda$.

    It falls as $p$ goes to its running mean $t$: what was learnt early is held against wrong labels that come
    to be learnt late.

    Args:
        logits: (n, C) or (n, 1).
        targets: (n, C) of `moved_targets`.

    Source: section 4 of Liu et al.; $p$ is clamped as in their code.
    """
    likely = probabilities(logits).clamp(CLAMP, 1 - CLAMP)
    return torch.log(1 - (likely * targets).sum(dim=1)).mean()


def kept_share(epoch: int, *, forgotten: float, gradual: int) -> float:
    r"""The share of a batch that is kept in an epoch: $1 - \tau \min(T/T_k, 1)$.

    Args:
        epoch: $T$, from 1.
        forgotten: $\tau$, in the end; the noise level.
        gradual: $T_k$, epochs until then.

    Source: algorithm 1 of Han et al.
    """
    return 1 - forgotten * min(epoch / gradual, 1.0)


def smallest(losses: Tensor, share: float) -> Tensor:
    """Indices of the samples with the smallest losses, the whole part of `share` of them and at least one."""
    count = max(int(share * len(losses) + 1e-9), 1)
    return losses.detach().argsort(stable=True)[:count]


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    r"""(n,) logit of the given label less the largest other one, $h_y - \max_{k \ne y} h_k$.

    Their mean over epochs is a sample's area under the margin; it is small where the label is wrong.

    Args:
        logits: (n, C) or, of two classes, (n, 1), whose other logit is 0.
        labels: (n,) given labels.

    Source: section 3 of Pleiss et al.
    """
    if logits.shape[1] == 1:
        return (2 * labels - 1) * logits[:, 0]
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)


def threshold_labels(labels: Tensor, num_classes: int, *, seed: int) -> tuple[Tensor, Tensor]:
    r"""Labels with $n/(C + 1)$ random samples given to a class that there is not, and which they are.

    Nothing can be learnt of that class but by heart, so their margins are those of wrong labels.

    Args:
        labels: (n,) given labels.
        num_classes: $C$; the new class is number $C$.
        seed: of the choice.

    Returns:
        (n,) labels and (n,) mask.

    Source: section 3 of Pleiss et al., threshold samples.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[order[: len(labels) // (num_classes + 1)]] = True
    chosen = chosen.to(labels.device)
    return torch.where(chosen, num_classes, labels), chosen
