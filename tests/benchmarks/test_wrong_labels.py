"""The comparison with cleanlab: what it counts, on a stand-in for the package, and on the package itself."""

import importlib.util

import numpy as np
import pytest

from benchmarks import wrong_labels as bench
from cleanprio_lib import wrong_labels

HERE = importlib.util.find_spec("cleanlab") is not None


def _problem(seed=0, count=400, classes=4):
    generator = np.random.default_rng(seed)
    true = generator.integers(classes, size=count)
    labels = np.where(generator.random(count) < 0.3, generator.integers(classes, size=count), true)
    likely = generator.dirichlet(np.ones(classes), size=count) + 2 * np.eye(classes)[true]
    return labels, likely / likely.sum(axis=1, keepdims=True), labels != true


def _without_predicted(labels, likely, method):
    return bench.SETS[method](labels, likely) & (likely.argmax(axis=1) != labels)


def test_sets_are_compared_sample_by_sample():
    one, other = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert bench.overlap(one, other) == pytest.approx(1 / 3)
    assert bench.overlap(one & ~one, other & ~other) == 0


def test_every_set_has_its_facts_and_as_many_residuals(monkeypatch):
    labels, likely, noisy = _problem()
    monkeypatch.setattr(bench, "found_by_cleanlab", _without_predicted)
    rows = bench.compare(labels, likely, noisy + 0.1 * np.arange(400) / 400, noisy)
    assert [row["set"] for row in rows] == list(bench.SETS)
    for row in rows:
        mask = _without_predicted(labels, likely, row["set"])
        assert row["overlap"] == 1
        assert row["cleanlab_flagged"] == mask.sum()
        assert row["residual_precision"] == pytest.approx(min(1, noisy.sum() / mask.sum()))


@pytest.mark.skipif(not HERE, reason="cleanlab is not installed")
@pytest.mark.parametrize("method", bench.SETS)
@pytest.mark.parametrize("seed", range(3))
def test_the_package_finds_what_we_find(method, seed):
    labels, likely, _ = _problem(seed)
    theirs, ours = bench.found_by_cleanlab(labels, likely, method), _without_predicted(labels, likely, method)
    assert bench.overlap(theirs, ours) > 0.98


@pytest.mark.skipif(not HERE, reason="cleanlab is not installed")
def test_the_ranking_is_the_packages_default():
    from cleanlab.rank import get_label_quality_scores

    labels, likely, _ = _problem()
    np.testing.assert_allclose(
        get_label_quality_scores(labels, likely), wrong_labels.self_confidence(labels, likely)
    )
