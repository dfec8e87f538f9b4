"""The benchmark of grading, at a size that measures nothing: that it runs, and counts what it says."""

import json

import pandas as pd
import pytest

from benchmarks import grading as bench
from cleanprio_lib.grading import UnavailableError


def test_submissions_are_worked_solutions_that_differ(tmp_path):
    bench.write_submissions(tmp_path / "in", 3)
    texts = [path.read_text("utf8") for path in (tmp_path / "in").iterdir()]
    assert len(set(texts)) == 3
    assert all("raise NotImplementedError" not in text for text in texts)


@pytest.mark.slow
def test_one_submission_by_the_best_way(tmp_path):
    seconds, report = bench.graded(1, isolation=None, workers=1)
    assert seconds > 0
    assert len(report.graded) == 1


def test_rows_count_up_to_a_hundred(tmp_path, monkeypatch, capsys):
    def graded(count, *, isolation, workers):
        if isolation == "bubblewrap":
            raise UnavailableError("no bwrap")
        return {"namespaces": 20.0, "none": 30.0}[isolation], None

    monkeypatch.setattr(bench, "graded", graded)
    out = tmp_path / "rows.json"
    bench.main(["--submissions", "10", "--fresh", "3", "--out", str(out)])
    rows = pd.DataFrame(json.loads(out.read_text("utf8"))["rows"]).set_index("way")
    assert rows["s for 100"].to_dict() == {"fork server": 200.0, "fresh process, not isolated": 1000.0}
    said = capsys.readouterr().out
    assert "fresh process, bubblewrap: not on this machine: no bwrap" in said
    assert "The claim holds here: 100 submissions in 200 s" in said
    monkeypatch.setattr(bench, "graded", lambda *_, **__: (61.0, None))
    bench.main(["--submissions", "10"])
    assert "FALLS SHORT here: 100 submissions in 610 s" in capsys.readouterr().out
