"""Stopping rules against definitions read anew, curves drawn by hand, and what they must not see."""

import inspect

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from cleanprio_lib import early_stopping, stopping_rules

NAN = float("nan")


def _curve(seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 6, size=generator.integers(3, 15)).astype(float)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_moving_average_is_the_mean_of_the_last_so_many(seed, window):
    values = _curve(seed)
    found = stopping_rules.moving_average(values, window)
    for place in range(len(values)):
        own = values[place - window + 1 : place + 1] if place >= window - 1 else []
        assert np.isnan(found[place]) if len(own) == 0 else found[place] == pytest.approx(np.mean(own))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("start", [0, 2])
def test_the_first_minimum_is_found_by_going_through_the_epochs(seed, patience, start):
    """As one who trains would: go on while there is hope, remember the best."""
    values = [NAN, *_curve(seed)]
    found = stopping_rules.first_minimum(values, patience=patience, start=start)
    best, waited = None, 0
    for place in range(start, len(values)):
        if np.isnan(values[place]):
            continue
        if best is None or values[place] < values[best]:
            best, waited = place, 0
        else:
            waited += 1
            if waited == patience:
                break
    assert found == best


def test_the_first_minimum_of_a_curve_that_falls_is_its_end():
    assert stopping_rules.first_minimum([NAN, 3, 2, 1]) == 3
    assert stopping_rules.first_minimum([3, 2, 2, 1], patience=1) == 1
    assert stopping_rules.first_minimum([3, 2, 2, 1], patience=2) == 3


@pytest.mark.parametrize(
    ("values", "count", "consecutive", "place"),
    [
        ([1, 2, 1, 2, 3, 4], 2, False, 3),
        ([1, 2, 1, 2, 3, 4], 2, True, 4),
        ([1, 2, 1, 2, 3, 4], 3, True, 5),
        ([1, 2, 2, 3, 3, 4], 2, True, 5),
        ([4, 3, 2, 1], 1, False, 3),
        ([1, 2, 3], 1, True, 1),
    ],
)
def test_rises_are_counted(values, count, consecutive, place):
    assert stopping_rules.nth_rise(values, count=count, consecutive=consecutive) == place


def test_susceptibility_is_a_running_mean():
    np.testing.assert_allclose(stopping_rules.susceptibility([4, 2, 0, 2]), [4, 3, 2, 2])


@pytest.mark.parametrize(("level", "num_classes"), [(0.4, 2), (0.2, 10), (0.4, 10), (0.7, 3)])
def test_nobody_gets_below_the_entropy_of_the_noise(level, num_classes):
    """The least mean loss of one output for all samples of a class, found by descending."""
    labels = np.full(num_classes, level / (num_classes - 1))
    labels[0] = 1 - level

    def loss(logits):
        return -labels @ (logits - np.log(np.exp(logits).sum()))

    least = optimize.minimize(loss, np.zeros(num_classes), tol=1e-12).fun
    assert stopping_rules.noise_entropy(level, num_classes) == pytest.approx(least, abs=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stopping_rules.moving_average([1.0], 0), "window must be at least 1, got 0"),
        (lambda: stopping_rules.first_minimum([1.0], patience=0), "patience must be at least 1, got 0"),
        (lambda: stopping_rules.first_minimum([1.0, NAN], start=1), "must have a number from place 1 on"),
        (lambda: stopping_rules.nth_rise([1.0], count=0), "count must be at least 1, got 0"),
        (lambda: stopping_rules.noise_entropy(0.0), r"level must lie in \(0, 1\), got 0.0"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def _frame():
    """Two seeds, nine epochs, every rule with an epoch of its own."""
    columns = {
        "epoch": list(range(9)),
        "test_error": [0.5, 0.3, 0.2, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4],
        "train_error": [0.5, 0.45, 0.42, 0.41, 0.405, 0.39, 0.3, 0.2, 0.1],
        "train_loss": [0.7, 0.69, 0.68, 0.675, 0.674, 0.6735, 0.66, 0.5, 0.3],
        "validation_error": [0.5, 0.46, 0.44, 0.45, 0.43, 0.45, 0.46, 0.47, 0.48],
        "validation_loss": [0.7, 0.69, 0.67, 0.68, 0.69, 0.7, 0.8, 0.9, 1.0],
        "changes": [NAN, 0.4, 0.2, 0.1, 0.05, 0.3, 0.2, 0.01, 0.02],
        "scaled_disparity": [1.0, 1.1, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6],
        "susceptibility_step": [0.0, 0.0, 0.0, 0.1, 0.1, 0.2, 0.4, 0.9, 0.9],
        "estimated_ratio": [1.0, 1.3, 1.4, 1.3, 1.2, 1.1, 1.05, 1.1, 1.5],
    }
    second = pd.DataFrame(columns).assign(seed=7)
    second["test_error"] = second.test_error + 0.01
    return pd.concat([pd.DataFrame(columns).assign(seed=3), second], ignore_index=True)


# Of changes the means of three are .233, .117, .15 at epochs 3 to 5: the first minimum is at 4, and the
# lowest mean, .11, at 8. Disparity rises at 1, 3, 4, 5 and 6, and in a row from 3 to 7. Susceptibility is
# above its mean, .105, from 6 on, and the training error below its own, .353, from then on too: no epoch
# is both, and the lowest error of the resistant is at 5. Smoothed, the ratio is highest at 3, 1.333, and
# lowest at 7, 1.083.
CHOSEN = {
    "validation": 4,
    "validation_loss": 2,
    "label_wave": 4,
    "label_wave_patient": 8,
    "disparity": 6,
    "disparity_run": 7,
    "susceptibility": 5,
    "ratio": 7,
    "error_plateau": 5,
    "loss_plateau": 6,
    "end": 8,
}


def test_every_rule_chooses_its_epoch():
    found = stopping_rules.apply(_frame().sample(frac=1, random_state=0), level=0.4, num_classes=2)
    assert found[found.seed == 3].set_index("rule").epoch.to_dict() == CHOSEN
    assert set(found.rule) == set(stopping_rules.RULES)
    pd.testing.assert_frame_equal(
        found[found.seed == 3].drop(columns=["seed", "test_error", "lowest"]).reset_index(drop=True),
        found[found.seed == 7].drop(columns=["seed", "test_error", "lowest"]).reset_index(drop=True),
    )


def test_regret_is_what_the_oracle_would_have_saved():
    frame = _frame()
    found = stopping_rules.apply(frame, level=0.4, num_classes=2).set_index(["seed", "rule"])
    assert found.loc[(7, "validation"), "test_error"] == pytest.approx(0.16)
    assert found.loc[(7, "validation"), "regret"] == pytest.approx(0.05)
    assert found.loc[(7, "validation"), "train_error"] == 0.405
    assert (found.regret >= 0).all()
    assert found.loc[(3, "end"), "lowest"] == early_stopping.oracle(frame).test_error[3]


def test_the_plateau_depends_on_what_is_known_of_the_noise():
    own = _frame().query("seed == 3")
    rule = stopping_rules.RULES["error_plateau"]
    assert [rule.choose(own, level, 2) for level in (0.45, 0.3, 0.05)] == [1, 6, 8]
    few, many = (stopping_rules.RULES["loss_plateau"].choose(own, 0.2, count) for count in (2, 10))
    assert (few, many) == (7, 0)


def test_the_ratio_is_not_fooled_by_what_it_does_later():
    """Once labels are memorised the estimate may rise beyond its first top, for as long as it likes."""
    values = [1.0, 1.3, 1.4, 1.3, 1.2, 1.1, 1.05, 3.0, 9.0, 8.0, 7.0, 0.1]
    frame = pd.DataFrame({"estimated_ratio": values})
    assert stopping_rules.ratio_at_rest(frame, window=1, patience=2) == 6
    assert stopping_rules.ratio_at_rest(frame, window=1, patience=4) == 6
    # A patience that reaches the later rise takes that for the top.
    assert stopping_rules.ratio_at_rest(frame, window=1, patience=5) == 11
    falling = pd.DataFrame({"estimated_ratio": [NAN, 2.0, 1.5, 1.2, 1.3, 1.3]})
    assert stopping_rules.ratio_at_rest(falling, window=1, patience=2) == 3


def test_a_rule_is_left_out_where_its_columns_are_missing():
    frame = _frame().drop(columns=["changes", "validation_error"])
    left = set(stopping_rules.apply(frame, level=0.4, num_classes=2).rule)
    assert left == set(CHOSEN) - {"label_wave", "label_wave_patient", "validation"}


def test_rules_choose_without_clean_labels():
    """As on data of which nobody knows the true labels; then nothing can be said of regret."""
    known = _frame()
    found = stopping_rules.apply(known.drop(columns="test_error"), level=0.4, num_classes=2)
    with_labels = stopping_rules.apply(known, level=0.4, num_classes=2)
    pd.testing.assert_frame_equal(found, with_labels[["rule", "seed", "epoch", "train_error"]])
    bare = stopping_rules.apply(known[["seed", "epoch", "validation_error"]], level=0.4, num_classes=2)
    assert list(bare) == ["rule", "seed", "epoch"]
    assert set(bare.rule) == {"validation", "end"}
    with pytest.raises(ValueError, match="frame must have columns seed and epoch, lacks epoch"):
        stopping_rules.apply(known.drop(columns="epoch"), level=0.4, num_classes=2)


def test_no_rule_sees_a_true_label():
    own = _frame().query("seed == 3")
    for name, rule in stopping_rules.RULES.items():
        assert rule.choose(own[["epoch", *rule.needs]], 0.4, 2) == CHOSEN[name]
        assert not [column for column in rule.needs if "true" in column or "test" in column]
        assert rule.knows in ("nothing", "the noise level")
    assert list(inspect.signature(stopping_rules.RULES["end"].choose).parameters) == [
        "own",
        "level",
        "num_classes",
    ]
