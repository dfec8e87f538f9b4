"""The benchmark of sweeps, at a size that measures nothing: that it compares what it says it compares."""

import json

import pandas as pd
import pytest

from benchmarks import sweeps as bench
from cleanprio_lib import experiments
from cleanprio_lib.checkpoints import RunState


@pytest.fixture
def written(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    path = tmp_path / "claims.json"
    bench.main(["--name", tiny, "--cells", "1", "--out", str(path)])
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))


def test_each_claim_has_a_row_and_a_ratio_of_both_times(written):
    assert written["what"].tolist() == [
        "1 cells by 1 processes, over their total work on 1 cores",
        "recording, over training and measurements",
    ]
    assert written["must"].tolist() == ["≤ 1.15", "≤ 1.03"]
    for row in written.to_dict("records"):
        assert row["ratio"] == pytest.approx(row["ours"] / row["competitor"])
        assert row["reached"] == ("yes" if row["ratio"] <= float(row["must"].split()[1]) else "no")
    total, recording = written.to_dict("records")
    assert total["competitor"] == recording["ours"]  # one worker: all the work of one process
    assert recording["ratio"] > 1


def test_the_clock_runs_while_a_cell_trains_and_stops_while_it_saves(tiny, stand_in, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def passing(seconds, then=None):
        def work(*arguments, **options):
            now[0] += seconds
            return then(*arguments, **options) if then else None

        return work

    real = experiments.run_settings
    monkeypatch.setattr(RunState, "_save", passing(5.0, RunState._save))
    monkeypatch.setattr(experiments, "run_settings", passing(100.0, real))
    recorded = bench.timed(tiny, "quick", 2, split=stand_in)
    assert recorded.seconds == 2 * (100.0 + 5.0)
    assert recorded.training == 2 * 100.0
    assert experiments.run_settings is not real


def test_other_numbers_than_one_process_gets_are_an_error(tiny, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    csv = iter([b"one", b"other"])
    monkeypatch.setattr(bench, "timed", lambda *a, **k: bench.Recording(next(csv), 1.0, 1.0))
    with pytest.raises(RuntimeError, match="processes got other numbers than one"):
        bench.benchmark(tiny, "quick", 2)
