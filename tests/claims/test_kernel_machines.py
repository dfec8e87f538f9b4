"""Claims on kernel machines: each holds in a run made for it, and each of its numbers can break it."""

import pandas as pd
import pytest

from cleanprio_lib.claims import CLAIMS, judge, kernel_machines
from cleanprio_lib.early_stopping import ORACLE
from cleanprio_lib.runs import Recorded

ERRORS = ("test_error", "clean_error", "noisy_error")


def _figure_9():
    """Three seeds, two losses, five epochs: a U, and wrong labels contradicted on the way."""
    rows = {
        "epoch": [0, 1, 2, 3, 4],
        "test_error": [0.5, 0.2, 0.1, 0.2, 0.3],
        "noisy_error": [0.9, 0.7, 0.85, 0.5, 0.1],
    }
    return pd.concat(
        [
            pd.DataFrame({"seed": seed, "loss": loss, **rows})
            for seed in (0, 1, 2)
            for loss in ("logistic", "squared")
        ],
        ignore_index=True,
    )


def _against(other):
    """Three seeds, two widths and four times, with every error where it is predicted."""
    frames = []
    for seed in (0, 1, 2):
        for width in (64, 256):
            columns = {name: [0.4, 0.3, 0.2, 0.3] for name in ERRORS}
            columns |= {f"{other}_{name}": columns[name] for name in ERRORS}
            columns |= {f"low_{name}": 0.1 for name in ERRORS} | {f"high_{name}": 0.6 for name in ERRORS}
            frames.append(pd.DataFrame({"seed": seed, "width": width, "epoch": [1, 2, 3, 4], **columns}))
    return pd.concat(frames, ignore_index=True)


FRAMES = {
    "fig-9": lambda: (_figure_9(), _figure_9()),
    "kernel-curve": lambda: (_against("drawn"),),
    "ntk-limit": lambda: (_against("predicted"),),
}


def verdict(claim, *frames):
    facts = {"data": {"source": "MNIST"}, "settings": {}, "seeds": {}}
    judged = judge(CLAIMS[claim], *(Recorded("made up", "paper", frame, facts, True) for frame in frames))
    return judged.verdict, [number.quantity for number in judged.measured if not number.agrees]


def _changed(frame, column, value, *, epoch, **where):
    chosen = (frame.seed == 1) & (frame.epoch == epoch)
    for name, wanted in where.items():
        chosen &= frame[name] == wanted
    frame.loc[chosen, column] = value
    return frame


@pytest.mark.parametrize("claim", FRAMES)
def test_every_claim_holds_where_all_is_as_it_says(claim):
    assert verdict(claim, *FRAMES[claim]()) == ("holds", [])
    shuffled = [frame.sample(frac=1, random_state=0) for frame in FRAMES[claim]()]
    assert verdict(claim, *shuffled) == ("holds", [])


@pytest.mark.parametrize("kernel", ["Laplacian", "Gaussian"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize(
    ("column", "epoch", "agreeing", "disagreeing", "failing"),
    [
        ("test_error", 2, 0.129, 0.131, "lowest test error, {}"),
        ("test_error", 4, 0.201, 0.199, "test error at the end − the lowest, {}"),
        ("noisy_error", 2, 0.751, 0.749, "largest noisy error, {}"),
    ],
)
def test_a_number_of_figure_9_breaks_it(kernel, loss, column, epoch, agreeing, disagreeing, failing):
    def judged(value):
        frames = {"Laplacian": _figure_9(), "Gaussian": _figure_9()}
        frames[kernel] = _changed(frames[kernel], column, value, epoch=epoch, loss=loss)
        return verdict("fig-9", *frames.values())

    assert judged(agreeing) == ("holds", [])
    assert judged(disagreeing) == ("holds in part", [failing.format(f"{kernel}, {loss} loss")])


@pytest.mark.parametrize("name", ERRORS)
def test_a_distance_breaks_what_is_beyond_the_paper(name):
    words = name.replace("_", " ")
    for claim, other, bound in (
        ("kernel-curve", "drawn", 0.02),
        ("ntk-limit", "predicted", kernel_machines.NEAR[name]),
    ):
        column = f"{other}_{name}"
        for distance, failing in ((bound - 1e-6, []), (bound + 1e-6, [f"largest distance, {words}"])):
            frame = _changed(_against(other), column, 0.3 - distance, epoch=2, width=256)
            assert verdict(claim, frame)[1] == failing


@pytest.mark.parametrize("name", ERRORS)
def test_the_net_must_be_in_the_band_as_often_as_its_limit(name):
    what = f"share of records in the central 95% of draws, {name.replace('_', ' ')}"
    frame = _changed(_against("predicted"), name, 0.301, epoch=2, width=256)
    frame = _changed(frame, f"high_{name}", 0.3005, epoch=2, width=256)
    assert verdict("ntk-limit", frame) == ("holds in part", [what])
    # The limit itself is outside at one record of another seed.
    chosen = (frame.seed == 2) & (frame.epoch == 3) & (frame.width == 256)
    frame.loc[chosen, [f"predicted_{name}", f"high_{name}"]] = 0.2001, 0.20005
    assert verdict("ntk-limit", frame) == ("holds", [])


def test_only_the_widest_net_decides():
    frame = _against("predicted")
    frame.loc[frame.width == 64, "test_error"] = 0.9
    assert verdict("ntk-limit", frame) == ("holds", [])


def test_experiments_and_stopping_rules_are_those_of_the_claims():
    known = {claim.id: (claim.experiments, claim.rule) for claim in kernel_machines.CLAIMS}
    assert known == {
        "fig-9": (("fig-09-laplacian", "fig-09-gaussian"), ORACLE),
        "kernel-curve": (("kernel-curve",), None),
        "ntk-limit": (("ntk-curve",), None),
    }
