"""What is recorded and what is being recorded, read from the files alone.

A recording is *stale* where its numbers are no longer those of the experiment: settings in the library have
changed since, or the data are not those that the book's recordings share. An older source alone does not make
it stale, since most edits change no number: that is listed apart, and `verify` tells whether any changed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from cleanprio_lib import data, experiments, provenance, recordings
from cleanprio_lib.checkpoints import how_far
from cleanprio_lib.recordings import Recorded

NOTHING = {"seeds": "", "epochs": "", "minutes each": "", "source": "", "machine": ""}


def table(folder: Path, checkpoints: Path) -> pd.DataFrame:
    """A row for each experiment and scale.

    Args:
        folder: of the recorded runs.
        checkpoints: of the unfinished ones.

    Returns:
        `experiment`, `scale`, `status` (recorded, partial, missing, stale or edited, or as at which recorded
        scale with the same settings, and how many more cells run or are begun), `seeds`, `epochs`,
        `minutes each` (of a cell, on average), `source` (whether what ran is today's) and `machine`.
    """
    source = provenance.source_sha256()
    rows = []
    for name in experiments.EXPERIMENTS:
        for scale in experiments.SCALES:
            run = recordings.read(name, scale, folder)
            unfinished = _unfinished(name, scale, checkpoints)
            alike = _recorded_alike(name, scale, folder) if run is None else None
            status = _with_unfinished(alike or _status(run), [row["state"] for row in unfinished])
            rows.append({"experiment": name, "scale": scale, "status": status, **_facts(run, source)})
    return pd.DataFrame(rows)


def progress(checkpoints: Path) -> pd.DataFrame:
    """A row for each cell that runs or was begun.

    Args:
        checkpoints: folder of the unfinished runs.

    Returns:
        `experiment`, `scale`, `cell` (seed, or value and seed), `state` ("running", or "begun": it waits to
        be resumed), `epoch` and `epochs` of how many, `minutes` so far and `left`, if the rest is as fast as
        what was. NaN where nothing has been saved yet.
    """
    rows = [
        {"experiment": name, "scale": scale, **row}
        for name in experiments.EXPERIMENTS
        for scale in experiments.SCALES
        for row in _unfinished(name, scale, checkpoints)
    ]
    columns = ["experiment", "scale", "cell", "state", "epoch", "epochs", "minutes", "left"]
    return pd.DataFrame(rows, columns=columns)


def watch(
    folder: Path,
    checkpoints: Path,
    *,
    seconds: float = 2.0,
    show: Callable[[str], object] = print,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Show the cells that run, and those that were begun, again and again, until none runs.

    Args:
        folder: of the recorded runs.
        checkpoints: of the unfinished ones.
        seconds: between two looks.
        show: takes the text of a look.
        sleep: waits for so many seconds.
    """
    while True:
        cells = progress(checkpoints)
        show(_look(cells, folder))
        if not (cells.state == "running").any():
            return
        sleep(seconds)


def ranges(numbers: Sequence[int]) -> str:
    """Sorted whole numbers with their runs written as ranges: "0–4, 7"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{own[0]}–{own[-1]}" if len(own) > 1 else str(own[0]) for own in found)


def _recorded_alike(name: str, scale: str, folder: Path) -> str | None:
    """In words, the largest recorded scale with the same settings; None if there is none."""
    same = reversed(experiments.scales_like(name, scale))
    return next((f"as {other}" for other in same if recordings.read(name, other, folder)), None)


def _status(run: Recorded | None) -> str:
    if run is None:
        return "missing"
    if not run.intact:
        return "EDITED: the CSV does not match its sha256"
    if reason := _stale(run):
        return f"stale: {reason}"
    values = experiments.swept(experiments.settings_of(run.name, run.scale))[1]
    wanted = {(value, cell.seed) for value in values for cell in run.cells}
    have = wanted & {(cell.value, cell.seed) for cell in run.cells}
    return "recorded" if have == wanted else f"partial: {len(have)} of {len(wanted)} cells"


def _stale(run: Recorded) -> str:
    """What differs from the experiment as it is now; empty if nothing does."""
    settings = experiments.settings_of(run.name, run.scale)
    now = json.loads(json.dumps(experiments.as_dict(settings)))
    before = run.settings
    different = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if different:
        return f"{', '.join(different)} changed since"
    shared = data.RECORDED.get(settings.dataset, {})
    if not run.on_stand_in and run.provenance["data"]["sha256"] != shared:
        return "other data than the book's"
    return ""


def _facts(run: Recorded | None, source: str) -> dict[str, str]:
    if run is None:
        return NOTHING
    entries = run.cells.values()
    older = sum(entry["source_sha256"] != source for entry in entries)
    return {
        "seeds": ranges(run.seeds),
        "epochs": str(int(run.frame.epoch.max())) if "epoch" in run.frame else "",
        "minutes each": f"{fmean(entry['seconds'] for entry in entries) / 60:.1f}",
        "source": "older"
        if older == len(entries)
        else f"{older} of {len(entries)} older"
        if older
        else "same",
        "machine": run.devices,
    }


def _with_unfinished(status: str, states: Sequence[str]) -> str:
    counts = Counter(states)
    words = ", ".join(f"{counts[state]} {state}" for state in ("running", "begun") if counts[state])
    if not words:
        return status
    return f"partial ({words})" if status == "missing" else f"{status} ({words} more)"


def _unfinished(name: str, scale: str, checkpoints: Path) -> list[dict[str, Any]]:
    """A row for each cell whose lock is held, or that has a checkpoint."""
    prefix = f"{name}-{scale}-"
    settings = experiments.settings_of(name, scale)
    swept, values = experiments.swept(settings)
    stems = {path.name.removesuffix(path.suffix) for path in checkpoints.glob(f"{prefix}*.pt")}
    running = {path.name.removesuffix(".lock") for path in checkpoints.glob(f"{prefix}*.lock") if _held(path)}
    by_text = {"" if value is None else str(value): experiments.at(settings, value) for value in values}
    rows = []
    for stem in sorted(stems | running):
        value, _, seed = stem.removeprefix(prefix).rpartition("-")
        rows.append(
            {
                "cell": f"{swept} {value}, seed {seed}" if swept else f"seed {seed}",
                "state": "running" if stem in running else "begun",
                **_how_far(by_text.get(value), checkpoints / f"{stem}.pt"),
            }
        )
    return rows


def _how_far(settings: Any, path: Path) -> dict[str, float]:
    """Epochs and minutes of a cell with these settings; None if it is one of a value that is no more."""
    try:
        epoch, seconds = how_far(path)
    except FileNotFoundError:
        return {}
    if settings is None:
        return {"epoch": epoch, "minutes": seconds / 60}
    epochs, minutes = settings.training.epochs, seconds / 60
    left = minutes / epoch * (epochs - epoch) if epoch > 0 else float("nan")
    return {"epoch": epoch, "epochs": epochs, "minutes": minutes, "left": left}


def _held(lock: Path) -> bool:
    """Whether a process holds the lock; recorders wait a moment, longer than this look takes."""
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _look(cells: pd.DataFrame, folder: Path) -> str:
    running = (cells.state == "running").any()
    head = time.strftime("%H:%M:%S") if running else "nothing is running"
    if cells.empty:
        return head
    recorded = [
        f"{name} {scale}: {len(recordings.recorded_cells(name, scale, folder))} cells recorded"
        for name, scale in dict.fromkeys(zip(cells.experiment, cells.scale, strict=True))
    ]
    shown = cells.to_string(index=False, float_format="{:.1f}".format, na_rep="")
    return "\n".join([head, shown, *recorded])
