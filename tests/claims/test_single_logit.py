"""Verdicts on single-logit gradients follow the numbers: recorded ones, and ones that were changed."""

from dataclasses import replace

import numpy as np
import pytest

from cleanprio_lib import runs
from cleanprio_lib.claims import judge, single_logit

BY_ID = {claim.id: claim for claim in single_logit.CLAIMS}


def _recorded(claim):
    return runs.load(*BY_ID[claim].experiments)


def _verdict(claim, change):
    """Verdict, and the quantities that do not agree, once the recorded frame is changed."""
    run = _recorded(claim)
    judged = judge(BY_ID[claim], replace(run, frame=change(run.frame.copy())))
    return judged.verdict, [number.quantity for number in judged.measured if not number.agrees]


@pytest.mark.parametrize("claim", list(BY_ID))
def test_recorded_runs_are_judged_at_paper_scale_with_five_seeds(claim):
    run = _recorded(claim)
    assert (run.scale, run.intact) == ("paper", True)
    assert len(run.seeds) >= 5
    judged = judge(BY_ID[claim], run)
    assert judged.verdict != "not tested at this scale"
    assert all(np.isfinite([number.mean, number.low, number.high]).all() for number in judged.measured)
    assert BY_ID[claim].rule is None


def _perfect(frame):
    """Every net as the paper describes it."""
    if "ratio" in frame:
        frame["ratio"], frame["cosine"] = 21.0, -1.0
        frame["clean_part"], frame["noisy_part"] = 0.7, -0.3 / 9
    if "subset" in frame:
        places = {
            "clean": (20, 0),
            "noisy": (160, 179),
            "other": (90, 100),
            "into": (90, 90),
            "elsewhere": (90, 90),
        }
        for subset, (middle, total) in places.items():
            rows = frame.subset == subset
            frame.loc[rows, ["mean", "q05", "q95"]] = np.radians([middle, middle - 10, middle + 10])
            frame.loc[rows, "subset_angle"] = np.radians(total)
    return frame


@pytest.mark.parametrize("claim", list(BY_ID))
def test_what_the_paper_describes_would_hold(claim):
    assert _verdict(claim, _perfect) == ("holds", [])


def _spoilt(column, value, *, rows=lambda frame: frame["class"] == 3):
    def change(frame):
        frame = _perfect(frame)
        frame.loc[rows(frame) & (frame.seed == 1), column] = value
        return frame

    return change


def _subset(name):
    return lambda frame: (frame["class"] == 3) & (frame.subset == name)


@pytest.mark.parametrize(
    ("claim", "change", "words"),
    [
        ("eq-13", _spoilt("error", 1e-4, rows=lambda f: f.precision == "float32"), "float32"),
        ("eq-13", _spoilt("error", 1e-9, rows=lambda f: f.precision == "float64"), "float64"),
        ("sec5-clean", _spoilt("changed_low", 1, rows=lambda f: f.seed == 1), "fewest"),
        ("sec5-clean", _spoilt("changed_high", 3, rows=lambda f: f.seed == 1), "most"),
        ("eq-14", _spoilt("clean_part", 0.7 * 1.031), "(1 − δ) − 1, single logits"),
        ("eq-14", _spoilt("clean_part", 0.7 * 0.969), "(1 − δ) − 1, single logits"),
        ("eq-14", _spoilt("noisy_part", -0.3 / 9 * 1.31), "(−δ/(C − 1)) − 1, single logits"),
        ("eq-14", _spoilt("noisy_part", -0.3 / 9 * 0.69), "(−δ/(C − 1)) − 1, single logits"),
        ("eq-14", _spoilt("cosine", -0.98), "largest cos"),
        ("eq-14-ratio", _spoilt("ratio", 21 * 1.31), "single logits"),
        ("eq-14-ratio", _spoilt("ratio", 21 * 0.69), "single logits"),
        ("eq-14-ratio", _spoilt("ratio", 21 * 1.06, rows=lambda f: f.seed == 1), "mean over logits"),
        ("fig-10", _spoilt("mean", np.radians(150), rows=_subset("noisy")), "clean + noisy"),
        ("fig-10", _spoilt("subset_angle", np.radians(174), rows=_subset("noisy")), "angle of g_noise"),
        ("fig-10", _spoilt("q05", np.radians(29), rows=_subset("other")), "of clean"),
        ("fig-10", _spoilt("q95", np.radians(151), rows=_subset("other")), "of other"),
        ("fig-10", _spoilt("subset_angle", np.radians(170), rows=_subset("other")), "sin of"),
    ],
)
def test_one_number_that_is_off_is_seen(claim, change, words):
    verdict, failing = _verdict(claim, change)
    assert verdict in ("holds in part", "does not hold")
    assert len(failing) == 1
    assert words in failing[0]


def test_the_noisy_coefficient_is_held_to_a_tenth():
    def change(frame):
        frame = _perfect(frame)
        frame.loc[frame.seed == 2, "noisy_part"] *= 1.11
        return frame

    assert _verdict("eq-14", change) == (
        "holds in part",
        ["coefficient of g_noise on ĝ / (−δ/(C − 1)) − 1, mean over logits"],
    )
