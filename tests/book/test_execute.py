"""Pages are run once, all that could change their results makes them run again, and no failure hides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from small_book import MakeBook, code_cell, notebook_page

from tools import build, check_site, execute
from tools.book import ROOT, Book

STAND_IN = {"source": "made up", "origin": "stand-in", "sha256": {}, "sentence": "A stand-in was used."}


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No test loads or downloads data; the names asked for are noted here."""
    asked: list[str] = []

    def describe(name: str) -> dict[str, Any]:
        asked.append(name)
        return {**STAND_IN, "settled": time.time()}

    monkeypatch.setattr(execute, "describe_data", describe)
    return asked


def counting(log: Path, code: str = "") -> str:
    """A page that notes in a file that it was run."""
    note = f"with open({str(log)!r}, 'a') as log:\n    print('run', file=log)"
    return notebook_page(f"# Page\n\n{code_cell(note)}\n{code_cell(code)}")


@pytest.mark.slow
def test_a_page_that_fails_is_shown_and_costs_the_others_nothing(
    make_book: MakeBook, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    code = 'import os, time\ntime.sleep(0.3)\nassert os.environ["CLEANPRIO_ORIGIN"] == "mnist=stand-in"'
    using_data = counting(good, code).replace("minutes_gpu: 1", "minutes_gpu: 1, data: [mnist]")
    book = make_book({"01-good": using_data, "02-bad": counting(bad, "number = 0\n1 / number")})

    assert execute.execute(book) != 0
    shown = capfd.readouterr().out
    assert "02-bad.ipynb" in shown
    assert "ZeroDivisionError" in shown
    assert "1 / number" in shown

    assert execute.execute(book) != 0, "a failed page must fail again, not pass for cached"
    assert len(good.read_text().split()) == 1, "a page that passed was run again"
    assert len(bad.read_text().split()) == 2
    assert "Pages to execute: book/02-bad" in capfd.readouterr().out

    book.source("book/02-bad").write_text(counting(bad, "print('mended')"))
    assert execute.execute(book) == 0
    assert build.build(book) == 0
    assert len(good.read_text().split()) == 1, "the build ran a page again"
    assert len(bad.read_text().split()) == 3
    assert "mended" in (book.html / "book" / "02-bad.html").read_text()

    facts = json.loads(book.provenance.read_text())
    assert facts["data"]["mnist"]["origin"] == "stand-in"
    assert facts["pages"].keys() == {"book/01-good", "book/02-bad"}
    assert facts["pages"]["book/01-good"]["seconds"] >= 0.3
    assert facts["versions"]["torch"]
    assert build.last_line(book) == "Open _build/html/index.html. A stand-in was used."


@pytest.mark.slow
def test_the_build_stops_at_a_warning_each_time(make_book: MakeBook) -> None:
    book = make_book({"01-a": "# A\n\nFine.\n"})
    assert build.build(book) == 0
    book.source("book/01-a").write_text("# A\n\nSee {ref}`nowhere`.\n")
    assert build.build(book) != 0
    assert build.build(book) != 0, "a warning was forgotten by the second build"
    book.source("book/01-a").write_text('# A\n\n<a href="nowhere.html">dead</a>\n')
    assert build.build(book) == 0
    assert [fault.what for fault in check_site.check(book)] == ["dead link: nowhere.html"]


@pytest.mark.slow
def test_what_only_the_built_page_shows_is_found_there(make_book: MakeBook) -> None:
    code = 'import sys\nprint("careless", file=sys.stderr)'
    picture = (
        "from IPython.display import HTML\nHTML(\"<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>\")"
    )
    page = notebook_page(
        f"# A\n\nText.\n\n{code_cell(code)}\n{code_cell(picture)}\n\n::: note\nNot closed.\n"
    )
    book = make_book({"01-a": page})
    assert execute.execute(book) == 0
    assert build.build(book) == 0
    faults = [fault.what for fault in check_site.check(book)]
    assert "output on stderr on the page" in faults
    assert any(what.startswith("image without alternative text") for what in faults)


def test_whatever_decides_results_changes_the_stamp(make_book: MakeBook) -> None:
    book = make_book()
    facts = {"mnist": {**STAND_IN, "sha256": {"x_train": "1"}}}
    seen = {execute.digest(book, {}), execute.digest(book, facts)}
    seen.add(execute.digest(book, {"mnist": {**facts["mnist"], "origin": "folder"}}))
    seen.add(execute.digest(book, {"mnist": {**STAND_IN, "sha256": {"x_train": "2"}}}))
    deciding = (
        "requirements.txt", "cleanprio_lib/a.py", "cleanprio_lib/b/c.py", "cleanprio_lib/b/d.css",
        "cleanprio_lib/b/e.js", "book/recorded/r.csv", "book/recorded/benchmarks/s.json",
    )  # fmt: skip
    for number, name in enumerate(deciding, start=5):
        path = book.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
        seen.add(execute.digest(book, {}))
        assert len(seen) == number, f"{name} does not count"
    (book.root / "cleanprio_lib" / "a.py").write_text("two")
    assert execute.digest(book, {}) not in seen


def test_another_stamp_empties_the_cache(make_book: MakeBook) -> None:
    book = make_book()
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    notebook.cells = [nbformat.v4.new_code_cell("1 + 1", execution_count=1)]
    path = book.root / "run.ipynb"
    nbformat.write(notebook, path)
    cache = execute.open_cache(book, "one")
    execute.keep_results(cache, "book/01-a", path, {"pages": {}})
    assert execute.is_cached(execute.open_cache(book, "one"), notebook)
    assert not execute.is_cached(execute.open_cache(book, "two"), notebook)


def test_new_results_make_the_build_start_anew(make_book: MakeBook) -> None:
    book = make_book({"01-a": "# A\n"})
    before = build.digest(book)
    book.build.mkdir()
    book.executed_with.write_text("other results")
    assert build.digest(book) != before
    before = build.digest(book)
    book.pair("book/01-a").write_text("{}")
    assert build.digest(book) != before, "a page that gains a pair gains a launch button"


def test_the_data_is_settled_once(
    make_book: MakeBook, data: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = make_book()
    first = execute.begin_provenance(book, ["mnist"])
    execute.write_json(book.provenance, first)
    assert execute.begin_provenance(book, ["mnist"])["data"] == first["data"]
    assert data == ["mnist"], "a server that did not answer was asked again at once"

    monkeypatch.setenv("CLEANPRIO_DATA", "/elsewhere")
    execute.begin_provenance(book, ["mnist"])
    assert data == ["mnist"] * 2, "a folder named since was not looked into"
    monkeypatch.delenv("CLEANPRIO_DATA")

    first["data"]["mnist"]["settled"] -= execute.RETRY_DOWNLOAD_AFTER
    execute.write_json(book.provenance, first)
    execute.begin_provenance(book, ["mnist"])
    assert data == ["mnist"] * 3, "the server was never asked again"

    first["data"]["mnist"] |= {"origin": "folder", "settled": time.time()}
    execute.write_json(book.provenance, first)
    execute.begin_provenance(book, ["mnist"])
    assert data == ["mnist"] * 4, "a folder's data may have changed"


def test_only_pages_that_say_so_need_data() -> None:
    using = nbformat.v4.new_notebook(metadata={"cleanprio": {"data": ["mnist", "cifar10"]}})
    plain = nbformat.v4.new_notebook()
    assert execute.datasets([using, plain, using]) == ["cifar10", "mnist"]


def test_progress_bars_and_time_stamps_are_not_for_the_page() -> None:
    def widget(text: str) -> nbformat.NotebookNode:
        shown = {"text/plain": text, execute.WIDGET: {"model_id": "1"}}
        return nbformat.v4.new_output("display_data", data=shown)

    bar, slider = widget("  0%|          | 0/30 [00:00<?, ?it/s]"), widget("IntSlider(value=0)")
    stamps = {"iopub.status.busy": "2026-01-01T00:00:01.5Z", "iopub.status.idle": "2026-01-01T00:00:04Z"}
    cell = nbformat.v4.new_code_cell("train()", outputs=[bar, slider], metadata={"execution": stamps})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    assert execute.seconds(notebook) == 2.5
    execute.presentable(notebook)
    assert cell.outputs == [slider]
    assert cell.metadata == {}
    assert "widgets" in notebook.metadata
    cell.outputs = [bar]
    assert "widgets" not in execute.presentable(notebook).metadata


def test_pages_run_elsewhere_find_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("CLEANPRIO_DATA", "some/data")
    monkeypatch.delenv("CLEANPRIO_ORIGIN", raising=False)
    variables = execute.page_environment({"mnist": STAND_IN, "cifar10": {"origin": "folder"}})
    assert variables["CLEANPRIO_DATA"] == "/some/data"
    assert variables["CLEANPRIO_ORIGIN"] == "mnist=stand-in,cifar10=folder"
    assert "CLEANPRIO_ORIGIN" not in execute.page_environment({})


def test_pages_that_run_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    environments = []

    def run(command: list[str], *, env: dict[str, str], check: bool) -> subprocess.CompletedProcess[str]:
        environments.append(env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(execute.subprocess, "run", run)
    monkeypatch.setattr(execute.os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for pages in (1, 2, 17):
        execute.run_nbmake(Book(), [Path("x.ipynb")] * pages, {})
    # As one who knows better has said.
    execute.run_nbmake(Book(), [Path("x.ipynb")] * 17, {"OMP_NUM_THREADS": "5"})
    assert [each["OMP_NUM_THREADS"] for each in environments] == ["6", "3", "3", "5"]


def test_pages_use_an_installed_library_and_its_recorded_runs(tmp_path: Path) -> None:
    for name in ("cleanprio_lib", "book", "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).symlink_to(ROOT / name)
    book = Book(tmp_path)
    variables = os.environ | execute.install_library(book)
    asked = "from cleanprio_lib import runs; print(runs.__file__, runs.recorded_folder(), sep='\\n')"
    command = [sys.executable, "-c", asked]
    told = subprocess.check_output(command, cwd=book.stage, env=variables, text=True)
    home = book.stage / "library" / "cleanprio_lib"
    assert told.splitlines() == [str(home / "runs.py"), str(home / "recorded")]


@pytest.mark.slow
def test_a_page_that_leaves_files_behind_is_told_and_not_kept(
    make_book: MakeBook, capfd: pytest.CaptureFixture[str]
) -> None:
    code = 'from pathlib import Path\nPath("left.csv").write_text("")'
    book = make_book({"01-a": notebook_page(f"# A\n\n{code_cell(code)}")})
    for _ in range(2):
        assert execute.execute(book) == 1
        assert "book/01-a leaves files behind: left.csv" in capfd.readouterr().out


def test_a_notebook_passed_only_if_every_cell_was_run() -> None:
    done = nbformat.v4.new_code_cell("1", execution_count=1)
    empty, not_reached = nbformat.v4.new_code_cell(""), nbformat.v4.new_code_cell("2")
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    failed = nbformat.v4.new_code_cell("3", execution_count=2, outputs=[error])
    assert execute.passed(nbformat.v4.new_notebook(cells=[done, empty]))
    assert not execute.passed(nbformat.v4.new_notebook(cells=[done, not_reached]))
    assert not execute.passed(nbformat.v4.new_notebook(cells=[done, failed]))


def test_half_a_provenance_file_is_no_obstacle(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.build.mkdir()
    book.provenance.write_text('{"data": {')
    assert execute.begin_provenance(book, [])["pages"] == {}
