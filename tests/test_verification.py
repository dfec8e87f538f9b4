"""Verification: equal where it must be, tolerant of rounding, and of nothing else."""

import dataclasses
import json
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import experiments, models, recordings, runs, verification
from cleanprio_lib.training import train
from tests.conftest import TINY


@pytest.fixture
def recorded(tiny, stand_in, tmp_path):
    runs.record(
        tiny,
        "quick",
        [0, 1],
        folder=tmp_path,
        checkpoints=tmp_path,
        split=stand_in,
        device="cpu",
        progress=False,
    )
    return tmp_path


def _verify(folder, stand_in, **arguments):
    return verification.verify("tiny", "quick", folder=folder, split=stand_in, progress=False, **arguments)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_compiled_run_is_verified_by_compiled_ones(tiny, stand_in, tmp_path, monkeypatch, compiled):
    """And an uncompiled one, like those recorded before there were others, by uncompiled ones."""
    arguments = {"folder": tmp_path, "split": stand_in, "progress": False}
    runs.record(tiny, "quick", [0], checkpoints=tmp_path, device="cpu", compiled=compiled, **arguments)
    path = tmp_path / "tiny-quick.json"
    if not compiled:
        facts = json.loads(path.read_text("utf8"))
        del facts["seeds"]["0"]["compiled"]
        path.write_text(json.dumps(facts), "utf8")
    _edit(tmp_path, 1 + 2**-24)  # so that the run from changed weights is made too
    seen, real = [], verification.train

    def spy(*given, **others):
        seen.append(others["compiled"])
        return real(*given, **others)

    monkeypatch.setattr(verification, "train", spy)
    assert _verify(tmp_path, stand_in).agrees.all()
    assert seen == [compiled] * (1 + verification.NUDGES)


def test_the_same_machine_gets_the_same_bits(recorded, stand_in):
    result = _verify(recorded, stand_in, seed=1)
    assert len(result) == 15
    assert (result.difference == 0).all()
    assert result.agrees.all()


def _edit(folder, factor, column="clean_loss"):
    path = folder / "tiny-quick.csv"
    frame = recordings.read_csv(path)
    frame[column] *= factor
    frame.to_csv(path, index=False)


@pytest.fixture(params=["ten classes", "two classes"])
def with_gradients(request, tiny, stand_in, tmp_path, monkeypatch):
    """Folder of a recorded run in which subset gradients are measured, and its columns."""
    settings = dataclasses.replace(
        TINY,
        model="centred_fully_connected" if request.param == "centred" else "fully_connected",
        net=(("width", 8),),
        classes=None if request.param == "ten classes" else (0, 1),
        gradients=True,
    )
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, settings))
    known = {tiny: experiments.Experiment(tiny, "nothing", scales)}
    monkeypatch.setattr(experiments, "EXPERIMENTS", known)
    run = runs.record(
        tiny,
        "quick",
        [0],
        folder=tmp_path,
        checkpoints=tmp_path,
        split=stand_in,
        device="cpu",
        progress=False,
    )
    return tmp_path, [column for column in run.frame if column not in ("seed", "epoch")]


def test_gradients_are_verified_with_the_rest(with_gradients, stand_in):
    folder, columns = with_gradients
    assert "true_cosine" in columns
    result = _verify(folder, stand_in)
    assert list(result.index) == columns
    assert (result.difference == 0).all()
    assert result.agrees.all()


@pytest.mark.parametrize(("factor", "agrees"), [(1 + 2**-24, True), (1.001, False)])
def test_a_gradient_that_differs_is_held_against_a_measured_tolerance(
    with_gradients, stand_in, factor, agrees
):
    folder, _ = with_gradients
    _edit(folder, factor, "true_size")
    result = _verify(folder, stand_in)
    assert result.index[~result.agrees].tolist() == ([] if agrees else ["true_size"])
    assert 0 < result.tolerance["true_size"] < 1e-3


@pytest.mark.parametrize("with_gradients", ["centred"], indirect=True)
def test_ties_at_the_start_excuse_nothing_later(with_gradients, stand_in):
    """All outputs of a centred net are zero: a change in the last place takes samples to either side."""
    folder, _ = with_gradients
    path = folder / "tiny-quick.csv"
    frame = recordings.read_csv(path)
    frame["clean_loss"] *= 1 + 2**-24
    for column in ("test_error", "clean_error", "noisy_error", "detection"):
        frame[column] = (frame[column] + 0.5) % 1
    frame.to_csv(path, index=False)
    result = _verify(folder, stand_in)
    assert result.index[~result.agrees].tolist() == ["clean_error", "noisy_error", "test_error", "detection"]
    assert (result.tolerance[~result.agrees] < 0.3).all()


@pytest.mark.parametrize(("pairs", "agrees"), [(1, True), (5, False)])
def test_a_pair_or_two_may_change_places(with_gradients, stand_in, pairs, agrees):
    """Of residuals that are far from each other, so that nudges exchange none."""
    folder, _ = with_gradients
    settings = experiments.settings_of("tiny", "quick")
    wrong = experiments.build_task(settings, stand_in, seed=0)
    own = wrong.is_noisy[wrong.true == 1]
    path = folder / "tiny-quick.csv"
    frame = recordings.read_csv(path)
    frame["detection_1"] -= pairs / (int(own.sum()) * int((~own).sum()))
    frame.to_csv(path, index=False)
    result = _verify(folder, stand_in)
    assert result.index[~result.agrees].tolist() == ([] if agrees else ["detection_1"])


def test_no_number_is_one_that_agrees_with_no_number_alone(with_gradients, stand_in):
    folder, _ = with_gradients
    _edit(folder, np.nan, "true_cosine")
    result = _verify(folder, stand_in)
    assert result.index[~result.agrees].tolist() == ["true_cosine"]
    assert result.difference["true_cosine"] == np.inf


def test_numbers_that_are_no_longer_measured_are_named(recorded, stand_in):
    path = recorded / "tiny-quick.csv"
    recordings.read_csv(path).assign(height=1.0).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"the recorded run has columns \[.*'height'\], this code makes"):
        _verify(recorded, stand_in)


def test_a_difference_of_rounding_agrees_within_a_measured_tolerance(recorded, stand_in):
    _edit(recorded, 1 + 2**-24)
    result = _verify(recorded, stand_in)
    assert result.agrees.all()
    assert 0 < result.difference["clean_loss"] < result.tolerance["clean_loss"] < 1e-3
    # Errors may differ by two of their samples beside; there are 40 test images.
    assert 2 / 40 <= result.tolerance["test_error"] < 4 / 40


def test_a_difference_of_a_tenth_of_a_percent_does_not_agree(recorded, stand_in):
    _edit(recorded, 1.001)
    result = _verify(recorded, stand_in)
    assert result.index[~result.agrees].tolist() == ["clean_loss"]


def test_other_data_cannot_verify(recorded, stand_in):
    from dataclasses import replace

    other = replace(stand_in, sha256={**stand_in.sha256, "y_test": "0" * 64})
    with pytest.raises(ValueError, match="holds runs that do not belong together"):
        _verify(recorded, other)


def test_only_the_first_epochs_are_compared(recorded, stand_in, monkeypatch):
    seen = []
    real = verification.train

    def spy(model, task, settings, **arguments):
        seen.append(settings.epochs)
        return real(model, task, settings, **arguments)

    monkeypatch.setattr(verification, "train", spy)
    assert _verify(recorded, stand_in, epochs=1).agrees.all()
    assert seen == [1]
    assert TINY.training.epochs > 1


@pytest.mark.parametrize(
    ("column", "change", "agrees"),
    [
        ("height", lambda old: old + 5e-7, True),
        ("height", lambda old: old + 2e-6, False),
        ("bin_6", lambda old: old + 2, True),
        ("bin_6", lambda old: old + 3, False),
        ("eyes", lambda old: old + 1, False),
        ("hand", lambda old: old.replace("left", "right"), False),
        ("height", lambda old: old.fillna(0.0), False),
    ],
)
def test_a_measurement_is_compared_number_by_number(dice, tmp_path, column, change, agrees):
    recorded = runs.record(dice, "quick", [0, 3], folder=tmp_path, checkpoints=tmp_path)
    assert (verification.verify(dice, "quick", folder=tmp_path).difference == 0).all()
    edited = recorded.frame.assign(**{column: change(recorded.frame[column])})
    edited.to_csv(tmp_path / "dice-quick.csv", index=False)
    result = verification.verify(dice, "quick", seed=3, folder=tmp_path)
    assert result.index[~result.agrees].tolist() == ([] if agrees else [column])
    assert result.difference[column] > 0 or not agrees


def _trained(settings, *, seed, split):
    """A measurement that trains: two nets, one after the other, each measured at seven epochs."""
    task = experiments.build_task(settings, split, seed=seed)
    frames = []
    for width in (4, 8):
        net = models.fully_connected(task.x[0].numel(), width, num_outputs=task.num_outputs, seed=seed)
        training = dataclasses.replace(settings.training, epochs=6, learning_rate=1.0)
        frame = train(net, task, training, seed=seed, progress=False)
        frames.append(frame[["epoch", "clean_loss"]].assign(net=f"{width} units"))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(
    ("trains", "row", "change", "agrees"),
    [
        (True, 6, 3.5e-6, True),
        (True, 7, 3.5e-6, False),  # in an untrained net nothing has grown, whatever had in the one before
        (True, 6, 1e-3, False),
        (False, 6, 3.5e-6, False),
    ],
)
def test_what_a_measurement_trains_is_held_against_a_measured_tolerance(
    tiny, stand_in, tmp_path, monkeypatch, trains, row, change, agrees
):
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, dataclasses.replace(TINY, level=0.3)))
    known = {tiny: experiments.Experiment(tiny, "nothing", scales, _trained, trains=trains)}
    monkeypatch.setattr(experiments, "EXPERIMENTS", known)
    recorded = runs.record(
        tiny, "quick", [2], folder=tmp_path, checkpoints=tmp_path, split=stand_in, progress=False
    )
    assert (_verify(tmp_path, stand_in).difference == 0).all()
    frame = recorded.frame
    frame.loc[row, "clean_loss"] += change
    frame.to_csv(tmp_path / "tiny-quick.csv", index=False)
    result = _verify(tmp_path, stand_in)
    assert result.agrees.to_dict() == {"seed": True, "epoch": True, "clean_loss": agrees, "net": True}
    assert result.difference["clean_loss"] == pytest.approx(change, rel=1e-3)
    assert (result.attrs["within"] == verification.NUDGED) == trains
