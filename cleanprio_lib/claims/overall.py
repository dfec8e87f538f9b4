r"""Claims that no single run decides: of the abstract, and of sections 5 and 6."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, premise
from cleanprio_lib.measurements.dynamics_statistics import STRICT_TREND, last, rank_correlation, until_stop
from cleanprio_lib.runs import Recorded

SAME_DIRECTION = SAME_LENGTH = 0.9  # cosine, and ratio, from which on two gradients count as the same
SAME_SPEED, REACHED = 1.1, 0.1  # ratio of epochs, and the test error at which they are counted
MOST = 0  # rank correlation with the epoch: a curve that turns half way and falls as it rose has none
FITTED, WORSE = 0.02, 1.2  # noisy error, and ratio of test errors


def _no_impact(noisy: Recorded, true: Recorded) -> tuple[Measured, ...]:
    early = with_and_without_noise(until_stop(noisy.frame))
    start = early[early.epoch == 0].set_index("seed")
    smallest = early.groupby("seed")[["direction", "length"]].min()
    slower = epochs_to(noisy.frame, REACHED) / epochs_to(true.frame, REACHED)
    exact = 1 / (1 - theory.smoothing(noisy.settings["level"]))
    direction, length = "cos(∇L(D), ∇L(D_clean))", "‖g_clean + g_noise‖/‖g_clean‖, all samples"
    words = f"1 (above {SAME_DIRECTION:g})"
    return (
        above(f"{direction} at t = 0", start.direction, SAME_DIRECTION, words),
        above(f"{direction}, smallest up to the stop", smallest.direction, SAME_DIRECTION, words),
        above(f"{length}, at t = 0", start.length, SAME_LENGTH, words),
        above(f"{length}, smallest up to the stop", smallest.length, SAME_LENGTH, words),
        below(
            f"epochs to a test error of {REACHED:g}, by those on true labels",
            slower,
            SAME_SPEED,
            f"1 (below {SAME_SPEED:g}); a step of 1 − 2δ would make it {exact:.3g}",
        ),
    )


def with_and_without_noise(frame: pd.DataFrame) -> pd.DataFrame:
    r"""The frame with `direction` and `length` of the gradient of all samples, against the clean ones'.

    They follow from $\alpha$ and the cosine of the sums over both classes, as
    $\lVert g_{noise}\rVert = -\alpha\,\lVert g_{clean}\rVert / \cos$.

    Args:
        frame: a row for each (seed, epoch) with `total_alpha` and `total_cosine`.
    """
    along, across = 1 - frame.total_alpha, frame.total_alpha**2 * (1 / frame.total_cosine**2 - 1)
    length = np.sqrt(along**2 + across)
    return frame.assign(direction=along / length, length=length)


def epochs_to(frame: pd.DataFrame, error: float) -> pd.Series:
    """When each seed's test error first comes down to a value, on straight lines between records.

    Args:
        frame: a row for each (seed, epoch) with `test_error`.
        error: to be reached.

    Returns:
        Epochs by seed; NaN for one that never reaches it, or begins there.
    """
    return frame.groupby("seed")[["epoch", "test_error"]].apply(lambda own: _first_at(own, error))


def _first_at(own: pd.DataFrame, error: float) -> float:
    ordered = own.sort_values("epoch")
    epoch, values = ordered.epoch.to_numpy(float), ordered.test_error.to_numpy()
    after = int(np.argmax(values <= error))
    if after == 0:
        return np.nan
    share = (values[after - 1] - error) / (values[after - 1] - values[after])
    return float(epoch[after - 1] + share * (epoch[after] - epoch[after - 1]))


def _same_stages(mnist: Recorded, cifar: Recorded) -> tuple[Measured, ...]:
    return *_stages(mnist, "MNIST"), *_stages(cifar, "CIFAR-10")


def _stages(run: Recorded, name: str) -> tuple[Measured, ...]:
    early, stops = until_stop(run.frame), early_stopping.oracle(run.frame)
    start = run.frame[run.frame.epoch == 0].set_index("seed")
    with_time = "rank correlation of the {} with time, up to the stop, " + name
    rows = []
    for what, needed in (("clean error", MOST), ("clean residual", MOST), ("ratio", STRICT_TREND)):
        trend = rank_correlation(early, what.replace(" ", "_"))
        rows.append(below(with_time.format(what), trend, -needed, f"below {-needed:g}".replace("-", "−")))
    for what in ("noisy error", "noisy residual"):
        column = what.replace(" ", "_")
        trend, rise = rank_correlation(early, column), stops[column] - start[column]
        rows.append(above(with_time.format(what), trend, MOST, f"above {MOST:g}"))
        rows.append(above(f"{what} at the stop − at the start, {name}", rise, 0, "above 0"))
    later = last(run.frame, "noisy_error") - stops.noisy_error
    return (*rows, below(f"noisy error at the end − at the stop, {name}", later, 0, "below 0"))


def _tempered(cnn: Recorded, plain: Recorded) -> tuple[Measured, ...]:
    return *_overfitting(cnn, "Figure 1", 10), *_overfitting(plain, "Figure 5", 2)


def _overfitting(run: Recorded, name: str, classes: int) -> tuple[Measured, ...]:
    stops, chance = early_stopping.oracle(run.frame), 1 - 1 / classes
    times, end = stops.final_test_error / stops.test_error, stops.final_test_error
    noisy = last(run.frame, "noisy_error")
    return (
        premise(below(f"noisy error at the end, {name}", noisy, FITTED, f"below {FITTED:g}")),
        above(f"test error at the end by the lowest, {name}", times, WORSE, f"above {WORSE:g}"),
        below(f"test error at the end, {name}", end, chance, f"below {chance:g}, that of guessing"),
    )


CLAIMS = (
    Claim(
        "abstract-no-impact",
        "In the early stage the clean subset decides the update's direction, and the noisy subset has "
        "minimal to no impact on the update: neither on its direction nor on its length (of which footnote 1 "
        "says the contrary), nor on the net's speed.",
        "Abstract",
        ("fig-05-mnist-7v9", "sec-4.1-true-labels"),
        early_stopping.ORACLE,
        _no_impact,
    ),
    Claim(
        "sec5-dyn",
        "With ten classes the dynamics are those of two: in most of the early stage the clean subset's error "
        "and residual fall and the noisy one's rise; the clean subset's dominance falls monotonically until "
        "the stop; later the noisy one is learnt.",
        "Section 5",
        ("fig-07-mnist", "fig-07-cifar10"),
        early_stopping.ORACLE,
        _same_stages,
    ),
    Claim(
        "sec6-second",
        "A second descent of the test error may be connected to feature learning (EGOP).",
        "Section 6",
        (),
        None,
        None,
    ),
    Claim(
        "sec6-tempered",
        "Overfitting is tempered: at the end, the noise fitted, test error is above its lowest but below "
        "that of guessing.",
        "Section 6",
        ("fig-01-mnist-cnn", "fig-05-mnist-7v9"),
        early_stopping.ORACLE,
        _tempered,
    ),
)
