"""What sweeps and long runs are reduced to, from runs written down by hand."""

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import noise
from cleanprio_lib.measurements import beyond_statistics


def _sweep():
    rows = []
    for level, errors, noisy in (
        (0.2, [0.5, 0.2, 0.1, 0.3], [0.5, 0.8, 0.9, 0.1]),
        (0.6, [0.4, 0.7, 0.9, 0.8], [0.5, 0.3, 0.2, 0.6]),
    ):
        for seed in (0, 1):
            rows += [
                {"level": level, "seed": seed, "epoch": epoch, "test_error": error + 0.01 * seed,
                 "noisy_error": wrong, "clean_error": 0.05 * epoch}
                for epoch, (error, wrong) in enumerate(zip(errors, noisy, strict=True))
            ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_each_run_of_a_sweep_in_a_few_numbers():
    found = beyond_statistics.runs_by_value(_sweep(), "level")
    row = found.loc[(0.2, 1)]
    assert row.to_dict() == pytest.approx(
        {"lowest": 0.11, "stop": 2, "highest": 0.31, "last": 0.31, "noisy_start": 0.5, "noisy_highest": 0.9,
         "noisy_lowest": 0.1, "noisy_last": 0.1, "clean_last": 0.15}
    )  # fmt: skip
    # Before the first step a net errs by chance: that is no early stopping point.
    assert found.loc[(0.6, 0)].lowest == 0.7
    assert found.loc[(0.6, 0)].highest == 0.9


def test_what_was_before_the_first_step():
    start = beyond_statistics.at_start(_sweep(), "level")
    assert start.index.tolist() == [(0.2, 0), (0.2, 1), (0.6, 0), (0.6, 1)]
    assert start.test_error.tolist() == pytest.approx([0.5, 0.51, 0.4, 0.41])


def test_the_rest_is_what_lies_across():
    clean, noisy = np.array([2.0, 0]), np.array([-1.0, 0.6])
    cosine = clean @ noisy / np.linalg.norm(clean) / np.linalg.norm(noisy)
    frame = pd.DataFrame({"total_alpha": [0.5], "total_cosine": [cosine]})
    found = beyond_statistics.with_rest(frame)
    assert found.alpha[0] == 0.5
    assert found.rest[0] == pytest.approx(0.3)
    assert beyond_statistics.in_the_ball(found).tolist() == [True]
    assert beyond_statistics.in_the_ball(found.assign(rest=0.51)).tolist() == [False]


def test_records_before_the_edge_is_crossed_say_nothing():
    frame = pd.DataFrame(
        {"seed": [0] * 5 + [1] * 2, "epoch": [0, 1, 2, 3, 4, 0, 1], "alpha": 0.5,
         "rest": [0.1, 0.2, 0.7, 0.8, 0.9, 0.1, 0.1], "noisy_loss": [1, 2, 3, 2.5, 2.6, 5, 4]}
    )  # fmt: skip
    found = beyond_statistics.next_rises(frame.sample(frac=1, random_state=1))
    assert list(zip(found.seed, found.epoch, found.inside, found.rises, strict=True)) == [
        (0, 0, True, True), (0, 2, False, False), (0, 3, False, True), (1, 0, True, False),
    ]  # fmt: skip


def test_while_noise_is_learnt_and_when_it_has_been():
    epochs = np.arange(21)
    noisy = np.select([epochs < 5, epochs < 9, epochs < 12], [0.95, 0.7, 0.3], 0.01)
    noisy[0] = 0.4  # a start by chance is not learning
    test = np.select([epochs < 9, epochs < 12, epochs < 18], [0.1, 0.4, 0.3], 0.2)
    frame = pd.DataFrame({"seed": 0, "epoch": epochs, "noisy_error": noisy, "test_error": test})
    found = beyond_statistics.until_noise_is_fitted(frame).loc[0]
    assert found.to_dict() == pytest.approx(
        {"during": 0.4, "peak": 0.3, "last": 0.2, "noisy_last": 0.01}  # the height lasts three records only
    )
    never = beyond_statistics.until_noise_is_fitted(frame[frame.epoch < 9]).loc[0]
    assert np.isnan(never.during)


def test_formulas_of_gathered_noise_are_those_of_its_matrix():
    found = beyond_statistics.gathered_at_start(0.6, [1.0, 0.0, 1.0], samples=10**9)
    assert found.index.tolist() == [1.0, 0.0, 1.0]
    assert found.ratio.tolist() == pytest.approx([6, 6, 6])
    assert found.full_ratio.tolist() == pytest.approx([2 / 3, 6, 2 / 3], rel=1e-4)
    assert found.full_cosine.tolist() == pytest.approx([-1 / 9, -1, -1 / 9], rel=1e-4)


def test_samples_that_are_not_alike_count_as_fewer():
    for alike, counted in ((1.0, 120), (0.5, 60.5), (0.0, 1)):
        found = beyond_statistics.gathered_at_start(0.6, [0.5], samples=2_000, alike=alike).iloc[0]
        few = beyond_statistics.gathered_at_start(0.6, [0.5], samples=counted * 10 / 0.6).iloc[0]
        assert found.to_dict() == pytest.approx(few.to_dict())


def test_few_samples_cancel_less():
    few = beyond_statistics.gathered_at_start(0.6, [0.0], samples=2_000).iloc[0]
    # Directly: clean and mean noisy residuals, and many draws of 120 wrong labels.
    generator = np.random.default_rng(0)
    clean = 0.1 - np.eye(10)[0]
    row = noise.transition_matrix(0.6, num_classes=10)[0]
    odds = np.where(np.arange(10) == 0, 0, row) / 0.6
    drawn = 0.1 - generator.multinomial(120, odds, size=20_000) / 120
    size = np.sqrt((drawn**2).sum(axis=1).mean())
    assert few.full_ratio == pytest.approx(0.4 / 0.6 * np.linalg.norm(clean) / size, rel=0.01)
    assert few.full_cosine == pytest.approx((drawn @ clean).mean() / np.linalg.norm(clean) / size, rel=0.01)
