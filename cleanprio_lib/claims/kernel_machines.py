"""Claims on kernel machines: Figure 9 and, beyond the paper, the solved curve and the infinitely wide net."""

from __future__ import annotations

import pandas as pd

from cleanprio_lib import early_stopping
from cleanprio_lib.claims.judging import Claim, Measured, above, below
from cleanprio_lib.measurements.kernel_errors import ERRORS
from cleanprio_lib.runs import Recorded

LOWEST, RISE, PRIORITY = 0.13, 0.1, 0.75
AGREEMENT = 0.02  # with 400 draws: four standard errors, as errors vary by 0.1 from draw to draw
NEAR = {"test_error": 0.02, "clean_error": 0.02, "noisy_error": 0.05}  # a net and its kernel machine


def _fig_9(laplacian: Recorded, gaussian: Recorded) -> tuple[Measured, ...]:
    return *_u_curve(laplacian, "Laplacian"), *_u_curve(gaussian, "Gaussian")


def _u_curve(run: Recorded, kernel: str) -> tuple[Measured, ...]:
    numbers: list[Measured] = []
    for loss, own in run.frame.groupby("loss"):
        stops = early_stopping.oracle(own)
        rise = stops.final_test_error - stops.test_error
        highest = own[own.epoch > 0].groupby("seed").noisy_error.max()
        what = f"{kernel}, {loss} loss"
        numbers += [
            below(f"lowest test error, {what}", stops.test_error, LOWEST, f"below {LOWEST:g}"),
            above(f"test error at the end − the lowest, {what}", rise, RISE, f"above {RISE:g}"),
            above(f"largest noisy error, {what}", highest, PRIORITY, f"above {PRIORITY:g}"),
        ]
    return tuple(numbers)


def _kernel_curve(run: Recorded) -> tuple[Measured, ...]:
    return tuple(
        below(
            f"largest distance, {_words(name)}",
            _largest(run.frame, name, f"drawn_{name}"),
            AGREEMENT,
            _at_most(AGREEMENT),
        )
        for name in ERRORS
    )


def _ntk_limit(run: Recorded) -> tuple[Measured, ...]:
    widest = run.frame[run.frame.width == run.frame.width.max()]
    distances = tuple(
        below(
            f"largest distance, {_words(name)}",
            _largest(widest, name, f"predicted_{name}"),
            bound,
            _at_most(bound),
        )
        for name, bound in NEAR.items()
    )
    return *distances, *(_in_the_band(widest, name) for name in ERRORS)


def _largest(frame: pd.DataFrame, one: str, other: str) -> pd.Series:
    return (frame[one] - frame[other]).abs().groupby(frame.seed).max()


def _in_the_band(frame: pd.DataFrame, name: str) -> Measured:
    """As often as in some seed the limit for the same labels, which are a draw of the noise as others are."""
    limit = _share_inside(frame, name, f"predicted_{name}").min()
    words = f"as the limit at its least, {limit:.3g}"
    quantity = f"share of records in the central 95% of draws, {_words(name)}"
    return above(quantity, _share_inside(frame, name, name), limit - 1e-9, words)


def _share_inside(frame: pd.DataFrame, name: str, of: str) -> pd.Series:
    inside = frame[of].between(frame[f"low_{name}"] - 1e-12, frame[f"high_{name}"] + 1e-12)
    return inside.groupby(frame.seed).mean()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _at_most(bound: float) -> str:
    return f"0 (below {bound:g})"


CLAIMS = (
    Claim(
        "fig-9",
        "Laplacian and Gaussian kernel machines have a U-shaped test error, far below the noise level at its "
        "lowest; as in nets, the clean samples are learnt first.",
        "Figure 9",
        ("fig-09-laplacian", "fig-09-gaussian"),
        early_stopping.ORACLE,
        _fig_9,
    ),
    Claim(
        "kernel-curve",
        "A kernel machine's mean errors, over all placements of the noise, follow from its eigenvectors.",
        "beyond the paper",
        ("kernel-curve",),
        None,
        _kernel_curve,
    ),
    Claim(
        "ntk-limit",
        "A wide net trained on noisy labels makes the errors of its infinitely wide limit, with nothing "
        "fitted, and is in the band of other draws of the noise as often as that is.",
        "beyond the paper",
        ("ntk-curve",),
        None,
        _ntk_limit,
    ),
)
