"""Run every page's code once, through nbmake, and keep the results for the build.

    python -m tools.execute

jupytext writes each text notebook to `.exec/`, nbmake runs it there, and the executed notebook goes into the
cache from which the build takes it (so that the build runs nothing). A page whose code has not changed is not
run again. The cache cannot see what that code calls, so all pages are run anew when the library, the pins,
the recorded runs or the data have changed.

Pages run as they do in Colab: each alone in a folder, with a copy of the library installed from its wheel,
not with the checkout. What a student would miss there is missed here.

How the data is had is settled once, before any page runs, and passed on in CLEANPRIO_ORIGIN: ten pages shall
not wait ten times for a server that does not answer. `_build/provenance.json` says how the data was had, how
long each page took and with which versions.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from shutil import rmtree
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import JupyterCacheAbstract
from nbformat import NotebookNode

from tools.book import Book, is_notebook, read_json, write_json

TIMEOUT_SECONDS = 600  # for one cell, as in _config.yml
WORKERS = 2
RETRY_DOWNLOAD_AFTER = 3600.0  # seconds during which a download that failed is not tried again
DATA_VARIABLES = ("CLEANPRIO_DATA", "CLEANPRIO_ORIGIN", "CLEANPRIO_CACHE")
VERSIONS_OF = ("cleanprio_lib", "torch", "jupyter-book")
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"\d+%\||\d+it \[")

Provenance = dict[str, Any]


def main() -> int:
    """Execute what needs it; 0 if every page runs."""
    return execute(Book())


def execute(book: Book) -> int:
    """Run the pages of `book` that are not in its cache; pytest's exit status."""
    notebooks = {page: book.read(page) for page in book.pages}
    provenance = begin_provenance(book, datasets(notebooks.values()))
    cache = open_cache(book, digest(book, provenance["data"]))
    todo = {p: n for p, n in notebooks.items() if is_notebook(n) and not is_cached(cache, n)}
    print(f"Pages to execute: {', '.join(todo) or 'none, all are cached'}", flush=True)
    status = 0
    if todo:
        stage = write_stage(book, todo)
        environment = page_environment(provenance["data"]) | install_library(book)
        status = run_nbmake(book, list(stage.values()), environment)
        for page, path in stage.items():
            if left := left_behind(path):
                print(f"{page} leaves files behind: {', '.join(left)}", flush=True)
                status = 1
            else:
                keep_results(cache, page, path, provenance)
    write_json(book.provenance, provenance)
    return status


# The data


def datasets(notebooks: Iterable[NotebookNode]) -> list[str]:
    """Names of the data sets that the pages name in their front matter: `cleanprio: {data: [mnist]}`."""
    said = (notebook.metadata.get("cleanprio", {}) for notebook in notebooks)
    return sorted({name for facts in said for name in facts.get("data", ())})


def begin_provenance(book: Book, names: list[str]) -> Provenance:
    """Settle how each data set is had, and take over what earlier runs noted about the pages."""
    earlier = read_json(book.provenance)
    asked = {variable: os.environ.get(variable, "") for variable in DATA_VARIABLES}
    known = earlier.get("data", {}) if earlier.get("asked") == asked else {}
    facts = {name: known.get(name) for name in names}
    return {
        "asked": asked,
        "data": {name: fact if still_holds(fact) else describe_data(name) for name, fact in facts.items()},
        "pages": earlier.get("pages", {}),
        "machine": describe_machine(),
        "versions": {name: metadata.version(name) for name in VERSIONS_OF},
    }


def describe_machine() -> str:
    """What pages run on, in words that name no host."""
    from cleanprio_lib.provenance import describe_device

    return describe_device()


def still_holds(facts: dict[str, Any] | None) -> bool:
    """Whether to believe an earlier answer: only the stand-in's, and not for long.

    A folder or a download may have changed, and is read in no time. Behind the stand-in there may be a server
    that takes its time not to answer.
    """
    if facts is None or facts["origin"] != "stand-in":
        return False
    return time.time() - float(facts["settled"]) < RETRY_DOWNLOAD_AFTER


def describe_data(name: str) -> dict[str, Any]:
    """Load one data set as a page would, and say what it is."""
    from cleanprio_lib.data import load

    split = load(name)
    return {
        "source": split.source,
        "origin": split.origin,
        "sha256": split.sha256,
        "sentence": split.provenance,
        "settled": time.time(),
    }


# The cache


def digest(book: Book, data: dict[str, Any]) -> str:
    """sha256 of all that decides results besides the pages' own code."""
    recorded = book.root / "book" / "recorded"
    files = [
        book.root / "requirements.txt",
        *sorted(
            file for kind in ("py", "css", "js") for file in book.root.glob(f"cleanprio_lib/**/*.{kind}")
        ),
        *sorted([*recorded.rglob("*.csv"), *recorded.rglob("*.json")]),
    ]
    lines = [f"{file.relative_to(book.root)} {file_digest(file)}" for file in files if file.exists()]
    lines += [f"{name} {facts['origin']} {sorted(facts['sha256'].items())}" for name, facts in data.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digest(file: Path) -> str:
    """sha256 of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def open_cache(book: Book, stamp: str) -> JupyterCacheAbstract:
    """The cache of executed pages, emptied first if it was filled under another stamp."""
    folder = book.build / ".jupyter_cache"
    if not book.executed_with.exists() or book.executed_with.read_text() != stamp:
        rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        # Written before anything runs: if one page fails, the pages that pass keep their results.
        book.executed_with.write_text(stamp)
    return get_cache(str(folder))


def is_cached(cache: JupyterCacheAbstract, notebook: NotebookNode) -> bool:
    """Whether the results of exactly this code are there."""
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def keep_results(cache: JupyterCacheAbstract, page: str, path: Path, provenance: Provenance) -> None:
    """Put one executed notebook into the cache, unless a cell of it failed or was not reached."""
    notebook = nbformat.read(path, 4)
    if not passed(notebook):
        return
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    finished = written.isoformat(timespec="seconds")
    provenance["pages"][page] = {"seconds": round(seconds(notebook), 1), "finished": finished}
    nbformat.write(presentable(notebook), path)
    cache.cache_notebook_file(str(path), uri=page, check_validity=False, overwrite=True)


# The run


def write_stage(book: Book, notebooks: dict[str, NotebookNode]) -> dict[str, Path]:
    """Write each notebook alone into a folder below `.exec` (nbmake takes no path with `_build` in it)."""
    rmtree(book.stage, ignore_errors=True)
    paths = {page: book.stage / page / f"{Path(page).name}.ipynb" for page in notebooks}
    for page, path in paths.items():
        path.parent.mkdir(parents=True)
        nbformat.write(notebooks[page], path)
    return paths


def install_library(book: Book) -> dict[str, str]:
    """Install the library below `.exec`; the variable by which Python finds it before the checkout's."""
    if not (book.root / "pyproject.toml").exists():  # a test's small book has no library of its own
        return {}
    folder = book.stage / "library"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    where = ["--no-deps", "--no-build-isolation", "--target", str(folder), str(book.root)]
    subprocess.run([*pip, *where], check=True)
    return {"PYTHONPATH": str(folder)}


def left_behind(notebook: Path) -> list[str]:
    """Names of what there is beside a notebook that was written alone into its folder."""
    return sorted(path.name for path in notebook.parent.iterdir() if path != notebook)


def run_nbmake(book: Book, paths: list[Path], environment: dict[str, str]) -> int:
    """Run notebooks in place; pytest's exit status. A failing cell is shown with its traceback."""
    # An empty settings file: the project's own are for its tests.
    settings = ["-c", os.devnull, f"--rootdir={book.stage}", "-p", "no:cacheprovider"]
    loudness = ["-v", "--no-header", "--show-capture=no"]
    nbmake = ["--nbmake", "--overwrite", f"--nbmake-timeout={TIMEOUT_SECONDS}"]
    count = min(WORKERS, len(paths))
    workers = ["-n", str(count)] if count > 1 else []
    command = [sys.executable, "-m", "pytest", *settings, *loudness, *nbmake, *workers, *map(str, paths)]
    return subprocess.run(command, env=threads(count) | environment, check=False).returncode


def threads(workers: int) -> dict[str, str]:
    """The variable by which so many processes share the cores: threads beyond them would wait."""
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}


def page_environment(data: dict[str, Any]) -> dict[str, str]:
    """The variables that a page sees: data as it was settled, folders by their full path."""
    folders = {
        name: os.environ[name] for name in ("CLEANPRIO_DATA", "CLEANPRIO_CACHE") if os.environ.get(name)
    }
    absolute = {name: str(Path(folder).expanduser().absolute()) for name, folder in folders.items()}
    origins = ",".join(f"{name}={facts['origin']}" for name, facts in data.items())
    return {**os.environ, **absolute, **({"CLEANPRIO_ORIGIN": origins} if origins else {})}


def passed(notebook: NotebookNode) -> bool:
    """Whether every code cell was run and none raised."""
    cells = [cell for cell in code_cells(notebook) if cell.source.strip()]
    outputs = [output for cell in cells for output in cell.outputs]
    return all(cell.execution_count for cell in cells) and all(o.output_type != "error" for o in outputs)


def seconds(notebook: NotebookNode) -> float:
    """How long the cells of an executed notebook took, by the kernel's own time stamps."""
    spans = [cell.metadata.get("execution", {}) for cell in code_cells(notebook)]
    return sum(
        (moment(span["iopub.status.idle"]) - moment(span["iopub.status.busy"])).total_seconds()
        for span in spans
        if "iopub.status.idle" in span
    )


def moment(text: str) -> datetime:
    """A time stamp of Jupyter's: ISO 8601, in UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def presentable(notebook: NotebookNode) -> NotebookNode:
    """The notebook without finished progress bars, and without time stamps: the cache would compare them."""
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        cell.outputs = [output for output in cell.outputs if not is_progress_bar(output)]
    if not any(is_widget(output) for cell in code_cells(notebook) for output in cell.outputs):
        notebook.metadata.pop("widgets", None)
    return notebook


def is_progress_bar(output: NotebookNode) -> bool:
    """Whether an output is tqdm's: a widget whose text twin is an empty bar, of no use on a page."""
    return is_widget(output) and bool(PROGRESS_BAR.search(output.data.get("text/plain", "")))


def is_widget(output: NotebookNode) -> bool:
    """Whether an output is drawn by ipywidgets."""
    return WIDGET in output.get("data", {})


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that are code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


if __name__ == "__main__":
    sys.exit(main())
