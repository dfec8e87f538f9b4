"""The subsets of one logit of a softmax net before the first step, by counting heads."""

from __future__ import annotations

from cleanprio_lib.theory.initial_gradients import gradient_ratio


def single_logit_sizes(level: float, num_classes: int) -> dict[str, float]:
    r"""Gradients of all samples at one logit, in lengths of $g_{clean}$, if $\nabla h_c$ were one arrow.

    Every output is $1/C$, so a sample labelled $c$ has the residual $1/C - 1$ and any other $1/C$. Classes
    are equally large and uniform noise has given every wrong label equally often. A sign says on which side
    of zero the sum lies: + along $g_{clean}$, which raises the logit, − against it.

    Args:
        level: $\delta$, in (0, 1).
        num_classes: $C > 2$.

    Returns:
        `clean`, 1, and `noisy`, of the samples whose true class is the logit's; `other`, of the clean samples
        of all other classes; and of their noisy samples `into`, of those labelled with the logit's class, and
        `elsewhere`, of those labelled with a third one.

    Raises:
        ValueError: an argument outside its range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a fraction in (0, 1), got {level!r}")
    if num_classes < 3:
        raise ValueError(f"num_classes must be at least 3, got {num_classes!r}")
    noisy = 1 / float(gradient_ratio(level, num_classes))
    return {
        "clean": 1.0,
        "noisy": -noisy,
        "other": -1.0,
        "into": (num_classes - 1) * noisy,
        "elsewhere": -(num_classes - 2) * noisy,
    }
