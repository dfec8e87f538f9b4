"""The page of errata: complete, each with a test that exists, and the tests that no proof has."""

import re
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from cleanprio_lib import models, noise, runs, theory

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "appendix" / "errata.md").read_text("utf8")
SECTIONS = dict(re.findall(r"\(erratum-(\d+)\)=\n## E\1: (.+?)(?=\n\(erratum|\Z)", PAGE, re.DOTALL))
IN_WORDS_ALONE = {"16", "18", "26"}


def test_all_27_are_there_in_order():
    assert list(SECTIONS) == [str(number) for number in range(1, 28)]
    assert PAGE.count("\n## ") == len(SECTIONS)


@pytest.mark.parametrize("number", SECTIONS)
def test_each_says_where_what_is_written_what_is_right_what_changes_and_what_shows_it(number):
    fields = ("Where", "Written", "Right", "Changes", "Shown by")
    assert [SECTIONS[number].count(f"**{field}**:") for field in fields] == [1] * len(fields)


@pytest.mark.parametrize("number", SECTIONS)
def test_what_shows_it_exists(number):
    shown = SECTIONS[number].split("**Shown by**:")[1]
    files = [(ROOT / file).read_text("utf8") for file in re.findall(r"`(tests/[\w/]+\.py)`", shown)]
    tests = re.findall(r"`(test_\w+)`", shown)
    assert bool(files) == bool(tests) == (number not in IN_WORDS_ALONE)
    for test in tests:
        assert sum(f"def {test}(" in text for text in files) == 1


def test_boxes_of_the_proofs_lead_to_their_errata():
    proofs = (ROOT / "book" / "appendix" / "proofs.md").read_text("utf8")
    boxes = re.findall(
        r"```\{admonition\} (?:Errata? |Erratum )?(E[^:]+):[^\n]+\n(.+?)```", proofs, re.DOTALL
    )
    assert len(boxes) >= 14
    for title, text in boxes:
        assert re.findall(r"E(\d+)", title) == re.findall(r"<erratum-(\d+)>", text)


def test_the_ratio_of_equation_14_is_that_of_clean_to_noisy():
    """E11: by the measured coefficients of equations 14a and 14b, and by the measured lengths."""
    run = runs.load("eq-14-initial-ratio")
    wanted = 9 * (1 - run.settings["level"]) / run.settings["level"]
    mean = run.frame.groupby("seed")[["ratio", "clean_part", "noisy_part"]].mean()
    np.testing.assert_allclose(mean.ratio, wanted, rtol=0.05)
    np.testing.assert_allclose(mean.clean_part / -mean.noisy_part, wanted, rtol=0.05)


def test_sevens_and_nines_put_the_others_on_the_noisy_ones():
    """E12: how far apart the mean angles of other and noisy samples are, in standard deviations."""
    gaps = {}
    for name in ("fig-04-mnist-0v1", "fig-04-mnist-7v9"):
        frame = runs.load(name).frame
        table = frame.groupby(["seed", "source", "class", "subset"])[["mean", "sd"]].mean().unstack("subset")
        spread = table["sd"][["noisy", "other"]].pow(2).mean(axis=1).pow(0.5)
        gaps[name] = (table["mean", "noisy"] - table["mean", "other"]).abs() / spread
    assert (gaps["fig-04-mnist-7v9"] < 1.5).mean() > 0.5
    assert gaps["fig-04-mnist-0v1"].min() > gaps["fig-04-mnist-7v9"].max()


def test_only_forty_per_cent_begin_at_one_and_a_half():
    """E13."""
    assert theory.gradient_ratio(0.4) == pytest.approx(1.5)
    assert theory.gradient_ratio(0.3) == pytest.approx(7 / 3)


def test_by_given_labels_nothing_would_be_turned_round():
    """E19: at f = 1/2 and with one ∇h for all, the sign of a sample's gradient is that of f − y."""
    labels = noise.uniform(np.repeat([0, 1], 500), 0.3, num_classes=2, seed=0)
    sign = np.sign(0.5 - labels.given)
    for c in (0, 1):
        for grouped, turned in ((labels.true, True), (labels.given, False)):
            clean, noisy = (sign[(grouped == c) & rows] for rows in (~labels.is_noisy, labels.is_noisy))
            assert len(set(clean)) == len(set(noisy)) == 1
            assert (clean[0] != noisy[0]) == turned


def test_the_bound_on_the_level_is_that_of_two_classes():
    """E20: the right label is the commonest below (C − 1)/C, and there the ratio is 1."""
    for classes in (2, 3, 10):
        bound = (classes - 1) / classes
        assert theory.gradient_ratio(bound, num_classes=classes) == pytest.approx(1)
        assert theory.gradient_ratio(bound - 1e-6, num_classes=classes) > 1
        assert theory.smoothing(bound, classes) == pytest.approx(1)
    assert theory.gradient_ratio(0.8, num_classes=10) > 2


def test_three_subsets_leave_samples_out():
    """E24: of ten classes the noisy samples of the other nine are neither clean, nor noisy, nor other."""
    level, size = 0.3, 200
    true = np.repeat(np.arange(10), size)
    labels = noise.uniform(true, level, num_classes=10, seed=0)
    for c in range(10):
        own = labels.true == c
        covered = own | (~labels.is_noisy & ~own)
        assert (~covered).sum() == 9 * level * size
    # How many of them are labelled c is random, with mean δ n_c.
    into = np.array([((labels.given == c) & labels.is_noisy).sum() for c in range(10)])
    assert into.mean() == pytest.approx(level * size)
    assert (into > 0).all()


def test_the_residual_net_has_mish_and_batch_norm():
    """E25."""
    kinds = [type(module) for module in models.resnet9(width=4, seed=0).modules()]
    assert kinds.count(nn.Mish) == kinds.count(nn.BatchNorm2d) == kinds.count(nn.Conv2d) == 8
    assert nn.ReLU not in kinds


@pytest.mark.parametrize(("classes", "level", "left"), [(2, 0.4, 0.2), (2, 0.3, 0.4), (10, 0.3, 2 / 3)])
def test_noise_shortens_the_first_step(classes, level, left):
    """E27: by the step's part of ĝ, with α₀ = δ / ((C − 1)(1 − δ))."""
    alpha = level / ((classes - 1) * (1 - level))
    assert theory.step_factor(level, alpha) == pytest.approx(left)
    assert 1 - theory.smoothing(level, classes) == pytest.approx(left)
