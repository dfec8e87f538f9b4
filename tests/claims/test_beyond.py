"""Claims beyond the paper: each holds in a run made for it, and each of its numbers can break it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib.claims import CLAIMS, beyond, judge
from cleanprio_lib.early_stopping import ORACLE
from cleanprio_lib.measurements.beyond_statistics import gathered_at_start
from cleanprio_lib.runs import Recorded

SETTINGS = {
    "beyond-concentration": {"level": 0.6, "train_samples": 12_000},
    "beyond-subclasses": {"level": 0.3},
}
SEEDS = (0, 1, 2)
EDGE = 0.625  # share of the next class at which it is as common as the true one


def _departure():
    """Two sets of digits and four records: the bound vouches for the first two, and test error turns at 2."""
    one = pd.DataFrame(
        {"epoch": [0, 1, 2, 3], "test_error": [0.5, 0.2, 0.1, 0.3], "distance": [0.1, 0.2, 0.3, 0.6],
         "bound": [0.2, 0.5, 0.6, 1.1], "room": [0.5, 0.6, 0.3, 0.1], "clean_slope": [-1.0, -0.5, -0.2, -0.1],
         "noisy_slope": [0.8, 0.4, 0.1, -0.2]}
    )  # fmt: skip
    one = one.assign(clean_quotient=one.clean_slope, noisy_quotient=one.noisy_slope, level=0.4)
    return _for_seeds([one.assign(digits=digits) for digits in ("7 and 9", "all")])


def _ball():
    """Four records inside the ball with a rising loss, then four outside with a falling one."""
    rest = np.repeat([0.1, 0.9], 5)
    cosine = -0.5 / np.hypot(0.5, rest)
    loss = [1, 2, 3, 4, 5, 5.5, 4, 3, 2, 1]
    frame = pd.DataFrame({"epoch": range(10), "noisy_loss": loss, "total_alpha": 0.5, "total_cosine": cosine})
    return _for_seeds([frame])


def _sweep(swept, rows):
    """Runs of three epochs: start, lowest (or highest) test error, end; `rows` by value."""
    frames = []
    for value, (errors, noisy, more) in rows.items():
        frames.append(
            pd.DataFrame({swept: value, "epoch": [0, 1, 2], "test_error": errors, "noisy_error": noisy,
                          "clean_error": [0.5, 0.1, 0.0], **more})
        )  # fmt: skip
    return _for_seeds(frames)


def _half_binary():
    return _sweep(
        "level",
        {
            0.3: ([0.5, 0.05, 0.2], [0.5, 0.9, 0.4], {}),
            0.4: ([0.5, 0.1, 0.3], [0.5, 0.9, 0.4], {}),
            0.5: ([0.5, 0.4, 0.5], [0.5, 0.5, 0.4], {}),
            0.6: ([0.5, 0.9, 0.7], [0.5, 0.2, 0.1], {}),
            0.7: ([0.5, 0.95, 0.8], [0.5, 0.1, 0.1], {}),
        },
    )


def _half_ten():
    return _sweep(
        "level",
        {
            0.3: ([0.9, 0.1, 0.2], [0.9, 0.98, 0.5], {}),
            0.8: ([0.9, 0.3, 0.6], [0.9, 0.95, 0.5], {}),
            0.9: ([0.9, 0.88, 0.9], [0.9, 0.9, 0.5], {}),
            0.95: ([0.9, 0.95, 0.97], [0.9, 0.85, 0.5], {}),
        },
    )


def _pair_flips():
    return _sweep(
        "level",
        {
            0.3: ([0.9, 0.1, 0.2], [0.9, 0.98, 0.5], {"ratio": 21.0}),
            0.6: ([0.9, 0.7, 0.8], [0.9, 0.3, 0.2], {"ratio": 6.0}),
        },
    )


def _concentration():
    wanted = gathered_at_start(0.6, [0.0, 0.5, 0.75])
    rows = {}
    for value, row in wanted.iterrows():
        errors = [0.9, 0.2, 0.3] if value < EDGE else [0.9, 0.8, 0.7]
        rows[value] = errors, [0.9, 0.95, 0.4], row.to_dict()
    return _sweep("concentration", rows)


def _subclasses():
    frames = []
    for share in (0.3, 0.5, 0.8):
        part = [0.9, 0.1, 0.2] if share < 0.5 else [0.9, 0.9, 0.8]
        frames.append(
            pd.DataFrame(
                {
                    "share": share,
                    "epoch": [0, 1, 2],
                    "test_error": [0.9, 0.2, 0.3],
                    "part_test_error": part,
                    "rest_test_error": [0.9, 0.1, 0.2],
                    "class_ratio": [7 / 3, np.nan, np.nan],
                }
            )
        )
    return _for_seeds(frames)


def _three_clocks():
    """Parts that are right at first; where most labels are wrong they go over, and nothing else does."""
    frames = []
    for share in (0.3, 0.5, 0.8):
        over = share > 0.5
        frames.append(
            pd.DataFrame(
                {
                    "share": share,
                    "epoch": [0, 1, 2],
                    "part_test_error": [0.9, 0.2, 0.8 if over else 0.2],
                    "part_noisy_error": [0.9, 0.95, 0.2 if over else 0.9],
                    "rest_noisy_error": [0.9, 0.95, 0.93],
                }
            )
        )
    return _for_seeds(frames)


def _fitted():
    return _sweep(
        "level",
        {0.2: ([0.5, 0.05, 0.1], [0.5, 0.9, 0.0], {}), 0.4: ([0.5, 0.1, 0.3], [0.5, 0.9, 0.01], {})},
    )


def _second_descent():
    noisy = [0.9, 0.95, *[0.4] * 9, 0.3, 0.01] + [0.0] * 28
    test = [0.9, 0.05, *[0.4] * 11] + [0.3] * 28
    return _for_seeds([pd.DataFrame({"epoch": range(41), "test_error": test, "noisy_error": noisy})])


def _for_seeds(frames):
    return pd.concat([frame.assign(seed=seed) for seed in SEEDS for frame in frames], ignore_index=True)


FRAMES = {
    "beyond-departure": _departure,
    "beyond-ball": _ball,
    "beyond-half-binary": _half_binary,
    "beyond-half-ten": _half_ten,
    "beyond-pair-flips": _pair_flips,
    "beyond-concentration": _concentration,
    "beyond-subclasses": _subclasses,
    "beyond-three-clocks": _three_clocks,
    "beyond-fitted": _fitted,
    "beyond-second-descent": _second_descent,
}


def verdict(claim, frame):
    """Of the frame, in the first of the claim's runs; the others are as the claim says."""
    facts = {"data": {"source": "MNIST"}, "settings": SETTINGS.get(claim, {}), "seeds": {}}
    frames = [frame, *(FRAMES[claim]() for _ in CLAIMS[claim].experiments[1:])]
    judged = judge(CLAIMS[claim], *(Recorded("made up", "paper", own, facts, True) for own in frames))
    return judged.verdict, [number.quantity for number in judged.measured if not number.agrees]


@pytest.mark.parametrize("claim", FRAMES)
def test_every_claim_holds_where_all_is_as_it_says(claim):
    assert verdict(claim, FRAMES[claim]()) == ("holds", [])
    assert verdict(claim, FRAMES[claim]().sample(frac=1, random_state=0)) == ("holds", [])


BREAKS = [
    # claim, rows of seed 1, column, a value that still agrees, one that does not, what fails
    ("beyond-departure", {"epoch": 1}, "clean_quotient", -0.5009, -0.5011, "largest difference"),
    ("beyond-departure", {"epoch": 1}, "distance", 0.5, 0.5001, "largest distance"),
    (
        "beyond-departure",
        {"epoch": 0},
        ["noisy_slope", "noisy_quotient"],
        0.8,
        -0.1,
        "share of records that the bound vouches for at which the noisy loss rises",
    ),
    (
        "beyond-departure",
        {"epoch": 1},
        ["clean_slope", "clean_quotient"],
        -0.1,
        0.1,
        "share of records that the bound vouches for at which the clean loss falls",
    ),
    (
        "beyond-departure",
        {"epoch": 1, "digits": "all"},
        "room",
        0.51,
        0.49,
        "share of records up to the stop that the bound vouches for, all",
    ),
    ("beyond-ball", {"epoch": 2}, "noisy_loss", 2.5, 1.5, "share of records inside"),
    ("beyond-ball", {"epoch": 7}, "noisy_loss", 3.5, 4.5, "share of records outside"),
    (
        "beyond-half-binary",
        {"level": 0.4, "epoch": 1},
        "test_error",
        0.149,
        0.151,
        "highest test error at δ = 0.6",
    ),
    (
        "beyond-half-binary",
        {"level": 0.7, "epoch": 1},
        "test_error",
        0.901,
        0.899,
        "highest test error at δ = 0.7",
    ),
    ("beyond-half-ten", {"level": 0.8}, "test_error", 0.79, 0.81, "lowest test error, δ = 0.8"),
    ("beyond-half-ten", {"level": 0.3}, "noisy_error", None, 0.9, "rise of the noisy error, δ = 0.3"),
    (
        "beyond-half-ten",
        {"level": 0.95, "epoch": 2},
        "test_error",
        0.901,
        0.899,
        "lowest test error, δ = 0.95",
    ),
    ("beyond-pair-flips", {"level": 0.6, "epoch": 0}, "ratio", 6.59, 6.61, "own-logit ratio"),
    ("beyond-pair-flips", {"level": 0.3}, "test_error", 0.49, 0.51, "lowest test error, δ = 0.3"),
    ("beyond-pair-flips", {"level": 0.6, "epoch": 1}, "test_error", 0.51, 0.49, "lowest test error, δ = 0.6"),
    (
        "beyond-pair-flips",
        {"level": 0.6, "epoch": 2},
        "noisy_error",
        0.49,
        0.51,
        "noisy error at the end, δ = 0.6",
    ),
    (
        "beyond-concentration",
        {"concentration": 0.75, "epoch": 2},
        "noisy_error",
        0.49,
        0.51,
        "noisy error at the end, γ = 0.75",
    ),
    ("beyond-concentration", {"concentration": 0.5, "epoch": 0}, "ratio", 6.59, 6.61, "own-logit ratio"),
    (
        "beyond-concentration",
        {"concentration": 0.0, "epoch": 0},
        "full_ratio",
        None,
        9.0,
        "ratio over all logits",
    ),
    (
        "beyond-concentration",
        {"concentration": 0.75, "epoch": 0},
        "full_cosine",
        None,
        -0.5,
        "cosine over all",
    ),
    ("beyond-concentration", {"concentration": 0.5}, "test_error", 0.49, 0.51, "lowest test error, γ = 0.5"),
    (
        "beyond-concentration",
        {"concentration": 0.75},
        "test_error",
        0.51,
        0.49,
        "lowest test error, γ = 0.75",
    ),
    ("beyond-subclasses", {"share": 0.8, "epoch": 0}, "class_ratio", 2.7, 2.9, "ratio of whole classes"),
    (
        "beyond-subclasses",
        {"share": 0.3, "epoch": 1},
        "part_test_error",
        0.49,
        0.51,
        "test error in the parts at the stop, p = 0.3",
    ),
    (
        "beyond-subclasses",
        {"share": 0.8, "epoch": 1},
        "part_test_error",
        0.51,
        0.49,
        "test error in the parts at the stop, p = 0.8",
    ),
    ("beyond-subclasses", {"share": 0.5, "epoch": 1}, "rest_test_error", 0.149, 0.151, "test error outside"),
    (
        "beyond-three-clocks",
        {"share": 0.3, "epoch": 2},
        "part_test_error",
        0.49,
        0.51,
        "test error in the parts at",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": 2},
        "part_test_error",
        0.51,
        0.49,
        "test error in the parts at",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": (1, 2)},
        "part_test_error",
        [0.49, 0.8],
        [0.51, 0.8],
        "lowest test error in the parts",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": 0},
        "part_noisy_error",
        0.94,
        0.96,
        "rise of the noisy error in the parts",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": (1, 2)},
        "part_test_error",
        [0.31, 0.52],
        [0.33, 0.52],
        "test error in the parts at the end less its lowest",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": 2},
        "part_noisy_error",
        0.74,
        0.76,
        "fall of the noisy error",
    ),
    (
        "beyond-three-clocks",
        {"share": 0.8, "epoch": 2},
        "rest_noisy_error",
        0.81,
        0.79,
        "noisy error outside",
    ),
    ("beyond-fitted", {"level": 0.4, "epoch": 2}, "noisy_error", 0.019, 0.021, "noisy error at the end"),
    (
        "beyond-fitted",
        {"level": 0.2, "epoch": 2},
        "test_error",
        0.0601,
        0.0599,
        "test error at the end by the lowest, δ = 0.2",
    ),
    (
        "beyond-fitted",
        {"level": 0.4, "epoch": 2},
        "test_error",
        0.399,
        0.401,
        "test error at the end, δ = 0.4",
    ),
    (
        "beyond-second-descent",
        {"epoch": (36, 37, 38, 39, 40)},
        "noisy_error",
        0.019,
        0.021,
        "noisy error at the end, ten digits",
    ),
    (
        "beyond-second-descent",
        {"epoch": range(2, 13)},
        "test_error",
        [*[0.4] * 5, *[0.33] * 6],
        [*[0.4] * 5, *[0.31] * 6],
        "median test error while the noise is fitted less that at the end, ten digits",
    ),
]


def test_a_second_descent_begins_at_a_height_that_lasts_and_in_both_runs():
    frame = _second_descent()
    frame.loc[frame.epoch.between(2, 12), "test_error"] = 0.31
    frame.loc[frame.epoch == 5, "test_error"] = 0.9
    failing = verdict("beyond-second-descent", frame)[1]
    assert [name.split(" (")[0].split(" less")[0] for name in failing] == [
        "highest test error after the U",
        "median test error while the noise is fitted",
    ]
    assert all(name.endswith("ten digits") for name in failing)
    other = Recorded(
        "made up", "paper", frame, {"data": {"source": "MNIST"}, "settings": {}, "seeds": {}}, True
    )
    first = replace(other, frame=_second_descent())
    failing = [
        own.quantity for own in CLAIMS["beyond-second-descent"].measure(first, other) if not own.agrees
    ]
    assert len(failing) == 2
    assert all(name.endswith("7 and 9") for name in failing)


@pytest.mark.parametrize(("claim", "where", "column", "agreeing", "disagreeing", "failing"), BREAKS)
def test_a_number_breaks_its_claim(claim, where, column, agreeing, disagreeing, failing):
    for value, wanted in ((agreeing, 0), (disagreeing, 1)):
        if value is None:
            continue
        frame = FRAMES[claim]()
        chosen = frame.seed == 1
        for name, place in where.items():
            chosen &= frame[name].isin(np.atleast_1d(place))
        assert chosen.any()
        frame.loc[chosen, column] = value
        found = verdict(claim, frame)[1]
        assert len(found) == wanted, found
        assert all(name.startswith(failing) for name in found)


def test_half_has_no_partner_and_decides_nothing():
    frame = _half_binary()
    frame.loc[frame.level == 0.5, "test_error"] = 0.99
    assert verdict("beyond-half-binary", frame) == ("holds", [])


def test_experiments_and_stopping_rules_are_those_of_the_claims():
    known = {claim.id: (claim.experiments, claim.rule) for claim in beyond.CLAIMS}
    own = {name: (name,) for name in FRAMES}
    own |= {"beyond-three-clocks": ("beyond-subclasses",)}
    own |= {"beyond-ball": ("thm-4.4-full-batch",)}
    own |= {"beyond-second-descent": ("fig-01-mnist-cnn", "fig-05-mnist-7v9")}
    never = {"beyond-three-clocks", "beyond-ball", "beyond-second-descent"}
    assert known == {name: (own[name], None if name in never else ORACLE) for name in FRAMES}
    assert all(claim.where == "beyond the paper" for claim in beyond.CLAIMS)
