"""Recorded runs: written whole or not at all, resumed, never mixed, and honest about edits."""

import json
import multiprocessing
from dataclasses import replace
from types import MappingProxyType

import pandas as pd
import pytest

from cleanprio_lib import cells, checkpoints, experiments, provenance, runs, training
from cleanprio_lib.experiments import Experiment


@pytest.fixture
def recorder(tiny, stand_in, tmp_path):
    def record(seeds, **changes):
        arguments = {
            "folder": tmp_path / "recorded",
            "checkpoints": tmp_path / "checkpoints",
            "split": stand_in,
        }
        scale = changes.pop("scale", "quick")
        return runs.record(tiny, scale, seeds, device="cpu", progress=False, **{**arguments, **changes})

    record.folder = tmp_path / "recorded"
    record.checkpoints = tmp_path / "checkpoints"
    record.csv = record.folder / "tiny-quick.csv"
    record.json = record.folder / "tiny-quick.json"
    return record


def test_a_recorded_run_is_the_experiment_to_the_last_bit(recorder, tiny, stand_in):
    recorded = recorder([1, 0])
    direct = pd.concat(
        [
            experiments.run(tiny, "quick", seed=s, split=stand_in, device="cpu", progress=False)
            for s in (0, 1)
        ],
        ignore_index=True,
    )
    direct.attrs = {}
    pd.testing.assert_frame_equal(recorded.frame, direct, check_exact=True)
    assert recorded.seeds == [0, 1]
    assert recorded.intact
    assert recorded.on_stand_in
    assert not list(recorder.checkpoints.glob("*.pt"))


def test_provenance_says_what_ran_where(recorder, stand_in):
    recorder([0])
    facts = json.loads(recorder.json.read_text())
    assert facts["data"] == {"source": stand_in.source, "sha256": stand_in.sha256}
    assert facts["settings"]["training"]["learning_rate"] == 0.05
    entry = facts["seeds"]["0"]
    assert entry["source_sha256"] == provenance.source_sha256()
    assert entry["precision"] == "float32"
    assert entry["device"].endswith("-core CPU")
    assert entry["seconds"] > 0
    assert set(entry) == {
        "library", "source_sha256", "torch", "python", "device", "precision", "compiled", "threads",
        "started", "seconds",
    }  # fmt: skip


def test_whether_a_run_was_compiled_is_recorded(recorder):
    entries = recorder([0], compiled=True).cells.values()
    assert [entry["compiled"] for entry in entries] == [True]


def test_seeds_in_any_order_and_number_of_calls_give_the_same_file(recorder, tmp_path):
    recorder([0, 1, 2])
    at_once = recorder.csv.read_bytes()
    for seed in (2, 0, 1):
        recorder([seed], folder=tmp_path / "other")
    assert (tmp_path / "other" / "tiny-quick.csv").read_bytes() == at_once


def test_what_is_recorded_is_not_run_again(recorder, monkeypatch):
    recorder([0])
    monkeypatch.setattr(experiments, "run_settings", lambda *a, **k: pytest.fail("seed 0 was run again"))
    recorder([0])


def test_an_interrupted_recording_goes_on_from_its_checkpoint(recorder, monkeypatch):
    recorder([0], folder=recorder.folder / "straight")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    real, trained = training.train_epoch, []

    def interrupted(*arguments, epoch, **options):
        if epoch == 2 and trained == [1]:
            trained.append("stopped")
            raise KeyboardInterrupt
        trained.append(epoch)
        real(*arguments, epoch=epoch, **options)

    monkeypatch.setattr(training, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recorder([0])
    assert not recorder.csv.exists()
    assert (
        runs.table(folder=recorder.folder, checkpoints=recorder.checkpoints).status[0] == "partial (1 begun)"
    )
    recorder([0])
    assert trained == [1, "stopped", 2, 3]
    assert recorder.csv.read_bytes() == (recorder.folder / "straight" / "tiny-quick.csv").read_bytes()


def test_other_settings_are_refused(recorder, monkeypatch):
    recorder([0])
    other = replace(experiments.settings_of("tiny", "quick"), level=0.2)
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, other))
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"tiny": Experiment("tiny", "nothing", scales)})
    monkeypatch.setattr(experiments, "run_settings", lambda *a, **k: pytest.fail("ran before it was refused"))
    with pytest.raises(
        ValueError, match=r"tiny-quick.json holds runs that do not belong .* settings was .*'level': 0.3"
    ):
        recorder([1])


def test_other_data_are_refused(recorder, stand_in):
    recorder([0])
    other = replace(stand_in, sha256={**stand_in.sha256, "x_train": "0" * 64})
    with pytest.raises(ValueError, match="data was"):
        recorder([1], split=other)


def test_an_edited_csv_is_no_longer_intact(recorder):
    assert recorder([0]).intact
    recorder.csv.write_text(recorder.csv.read_text().replace("\n0,1,0.", "\n0,1,0.5", 1))
    assert not runs.load("tiny", "quick", folder=recorder.folder).intact
    listed = runs.table(folder=recorder.folder, checkpoints=recorder.checkpoints)
    assert listed.status[0].startswith("EDITED")


def test_a_kill_between_csv_and_json_loses_nothing(recorder):
    recorder([0])
    facts = recorder.json.read_bytes()
    recorder([1])
    whole = recorder.csv.read_bytes()
    recorder.json.write_bytes(facts)
    recorder([1])
    assert recorder.csv.read_bytes() == whole
    assert runs.load("tiny", "quick", folder=recorder.folder).seeds == [0, 1]


def _record_in_child(seed, folder, checkpoints, split, settings):
    scales = MappingProxyType(dict.fromkeys(experiments.SCALES, settings))
    experiments.EXPERIMENTS = {"tiny": Experiment("tiny", "nothing", scales)}
    runs.record(
        "tiny",
        "quick",
        [seed],
        folder=folder,
        checkpoints=checkpoints,
        split=split,
        device="cpu",
        progress=False,
    )


def test_two_processes_may_record_different_seeds_at_once(recorder, tmp_path, tiny, stand_in):
    recorder([0, 1], folder=tmp_path / "straight")
    settings = experiments.settings_of(tiny, "quick")
    spawn = multiprocessing.get_context("spawn")
    children = [
        spawn.Process(
            target=_record_in_child, args=(seed, recorder.folder, recorder.checkpoints, stand_in, settings)
        )
        for seed in (0, 1)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    recorded = runs.load("tiny", "quick", folder=recorder.folder)
    assert recorded.seeds == [0, 1]
    assert recorded.intact
    assert recorder.csv.read_bytes() == (tmp_path / "straight" / recorder.csv.name).read_bytes()


def test_one_seed_has_one_recorder(recorder):
    with (
        cells.only_one(recorder.checkpoints / "tiny-quick-0.lock", "a test"),
        pytest.raises(RuntimeError, match="tiny quick seed 0 is being recorded by another process"),
    ):
        recorder([0])


def test_load_takes_the_largest_scale_and_says_how_to_record_what_is_missing(recorder):
    recorder([0])
    assert runs.load("tiny", folder=recorder.folder).scale == "quick"
    with pytest.raises(FileNotFoundError, match="record tiny --scale paper --seeds 0-2"):
        runs.load("tiny", "paper", folder=recorder.folder)
    with pytest.raises(ValueError, match="scale must be one of"):
        runs.load("tiny", "huge", folder=recorder.folder)


def test_a_larger_scale_takes_over_once_it_has_enough_seeds(recorder):
    for seeds, scale, wanted in (
        ([0, 1], "quick", "quick"),
        ([0], "laptop", "laptop"),  # neither is evidence: the larger one
        ([2], "quick", "quick"),
        ([1], "laptop", "quick"),
        ([2], "laptop", "laptop"),
        ([0, 1, 2], "paper", "paper"),
    ):
        recorder(seeds, scale=scale)
        assert runs.load("tiny", folder=recorder.folder).scale == wanted
    assert runs.load("tiny", "quick", folder=recorder.folder).scale == "quick"


def test_table_has_every_experiment_and_scale(recorder):
    recorder([0])
    listed = runs.table(folder=recorder.folder, checkpoints=recorder.checkpoints)
    assert listed.scale.tolist() == list(experiments.SCALES)
    assert listed.status.tolist() == ["recorded", "as quick", "as quick"]


def test_committed_runs_are_intact_and_current():
    for path in runs.recorded_folder().glob("*.json"):
        facts = json.loads(path.read_text())
        recorded = runs.load(facts["name"], facts["scale"])
        assert recorded.intact, path
        values = recorded.frame[recorded.swept] if recorded.swept else [None] * len(recorded.frame)
        found = set(map(runs.Cell, recorded.frame.seed, values))
        assert found == set(recorded.cells)
        assert recorded.seeds, f"{path}: no seed has every value"
        settings = json.loads(
            json.dumps(experiments.as_dict(experiments.settings_of(recorded.name, recorded.scale)))
        )
        assert recorded.settings == settings, f"{path}: its settings in experiments/ have changed since"
        assert not recorded.on_stand_in


def test_a_measurement_without_data_is_recorded_to_the_last_bit(dice, tmp_path):
    for seeds in ([1], [0, 1]):
        recorded = runs.record(dice, "quick", seeds, folder=tmp_path, checkpoints=tmp_path)
    direct = pd.concat([experiments.run(dice, "quick", seed=s) for s in (0, 1)], ignore_index=True)
    direct.attrs = {}
    pd.testing.assert_frame_equal(recorded.frame, direct, check_exact=True)
    assert list(recorded.frame.dtypes.astype(str)) == ["int64", "str", "int64", "int64", "float64"]
    assert recorded.source == "inputs made from the seed"
    assert not recorded.on_stand_in
    assert runs.table(folder=tmp_path, checkpoints=tmp_path).epochs.tolist() == ["", "", ""]
    assert set(recorded.provenance["seeds"]["0"]) >= {"seconds", "threads", "started", "source_sha256"}
