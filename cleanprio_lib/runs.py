"""Recorded runs: written seed by seed, resumed where they stopped, checked, loaded.

A recorded run is `NAME-SCALE.csv`, the tidy frame of every seed, beside `NAME-SCALE.json`, its provenance:
settings, data and their sha256, and for each seed the library's source, torch, device, start and duration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from cleanprio_lib import data, experiments, provenance
from cleanprio_lib.checkpoints import atomic_path

PACKAGE = Path(__file__).parent

EVIDENCE = 3  # seeds, at least: fewer are an example


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded run.

    Attributes:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        frame: a row for each (seed, recorded epoch), or what an experiment that does not train measures.
        provenance: settings, data, and each seed's machine and duration.
        intact: the CSV still has the sha256 it was written with.
    """

    name: str
    scale: str
    frame: pd.DataFrame
    provenance: dict[str, Any]
    intact: bool

    @property
    def seeds(self) -> list[int]:
        """Seeds recorded so far."""
        return sorted(int(seed) for seed in self.provenance["seeds"])

    @property
    def settings(self) -> dict[str, Any]:
        """The frozen settings as they were when the run was recorded."""
        return experiments.without_none(self.provenance["settings"])

    @property
    def source(self) -> str:
        """What the inputs were: "MNIST", "CIFAR-10", a built-in stand-in, or made from the seed."""
        return self.provenance["data"]["source"]

    @property
    def on_stand_in(self) -> bool:
        """Whether it ran on the built-in stand-in instead of real data."""
        return self.source.startswith("built-in stand-in")

    @property
    def devices(self) -> str:
        """The machines that ran it, in words."""
        return ", ".join(sorted({entry["device"] for entry in self.provenance["seeds"].values()}))


def recorded_folder() -> Path:
    """Where recorded runs lie: `book/recorded` of a checkout, or the copy installed with the library."""
    checkout = PACKAGE.parent / "book" / "recorded"
    return checkout if checkout.is_dir() else PACKAGE / "recorded"


def checkpoint_folder() -> Path:
    """Where unfinished runs wait to be resumed: in the cache folder."""
    return data.cache_folder() / "checkpoints"


def load(name: str, scale: str | None = None, *, folder: Path | None = None) -> Recorded:
    """Load a recorded run.

    Args:
        name: of the experiment.
        scale: None for the largest scale with `EVIDENCE` seeds or more, or if none has, the largest there is.
        folder: None for `recorded_folder()`.

    Raises:
        ValueError: no such experiment or scale.
        FileNotFoundError: it has not been recorded; the message says how to.
    """
    experiments.settings_of(name, scale or "quick")
    folder = folder or recorded_folder()
    scales = [scale] if scale else list(reversed(experiments.SCALES))
    found = [run for run in (_read(name, candidate, folder) for candidate in scales) if run is not None]
    if found:
        return next((run for run in found if len(run.seeds) >= EVIDENCE), found[0])
    wanted = scale or "laptop"
    raise FileNotFoundError(
        f"{name} is not recorded at scale {' or '.join(scales)} in {folder}: "
        f"python -m cleanprio_lib record {name} --scale {wanted} --seeds 0-2"
    )


def record(
    name: str,
    scale: str,
    seeds: Iterable[int],
    *,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    split: data.Split | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Recorded:
    """Run the seeds that are not recorded yet and write each as it ends.

    A run that was interrupted goes on from its checkpoint. Several processes may record different seeds of
    one experiment at once.

    Args:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        seeds: to be recorded in the end.
        folder: where CSV and JSON go; None for `recorded_folder()`.
        checkpoints: where unfinished runs are kept; None for the cache folder.
        split: data already loaded; None loads it.
        device: None takes a GPU where there is one.
        progress: show progress and the time left.

    Raises:
        ValueError: the file holds runs with other settings or other data.
        RuntimeError: another process is recording the same seed.
    """
    settings = experiments.settings_of(name, scale)
    folder = folder or recorded_folder()
    checkpoints = checkpoints or checkpoint_folder()
    split = experiments.split_of(settings, split)
    header = provenance.header(name, scale, settings, split)
    refuse_other_settings(header, folder)
    source = provenance.source_sha256()  # of what runs: the files may be edited before it ends
    for seed in seeds:
        if str(seed) in _entries(_paths(name, scale, folder)[1]):
            continue
        stem = checkpoints / f"{name}-{scale}-{seed}"
        with _only_one(stem.with_suffix(".lock"), f"{name} {scale} seed {seed}"):
            checkpoint = stem.with_suffix(".pt")
            frame = experiments.run(
                name, scale, seed=seed, split=split, device=device, checkpoint=checkpoint, progress=progress
            )
            entry = provenance.seed_entry(frame, device, source=source)
            with FileLock(checkpoints / f"{name}-{scale}.lock"):
                _append(header, frame, seed, entry, folder)
            checkpoint.unlink(missing_ok=True)
    return load(name, scale, folder=folder)


def refuse_other_settings(header: dict[str, Any], folder: Path) -> None:
    """Raise a ValueError that says what differs if the recorded run has other settings or other data.

    Args:
        header: `provenance.header` of the run to be added or compared.
        folder: of the recorded runs.
    """
    facts = _paths(header["name"], header["scale"], folder)[1]
    if not facts.exists():
        return
    recorded, wanted = json.loads(facts.read_text("utf8")), json.loads(json.dumps(header))
    before = experiments.without_none(recorded)
    different = [key for key in wanted if before[key] != wanted[key]]
    if different:
        was = "; ".join(f"{key} was {before[key]}, now {wanted[key]}" for key in different)
        raise ValueError(f"{facts} holds runs that do not belong together with this one: {was}")


def table(*, folder: Path | None = None, checkpoints: Path | None = None) -> pd.DataFrame:
    """A row for each experiment and scale: recorded seeds, status, time and machine."""
    folder = folder or recorded_folder()
    checkpoints = checkpoints or checkpoint_folder()
    rows = []
    for name in experiments.EXPERIMENTS:
        for scale in experiments.SCALES:
            unfinished = len(list(checkpoints.glob(f"{name}-{scale}-*.pt")))
            row = _summary(_read(name, scale, folder), unfinished)
            rows.append({"experiment": name, "scale": scale, **row})
    return pd.DataFrame(rows)


def ranges(numbers: Sequence[int]) -> str:
    """Sorted whole numbers with their runs written as ranges: "0–4, 7"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{own[0]}–{own[-1]}" if len(own) > 1 else str(own[0]) for own in found)


def _paths(name: str, scale: str, folder: Path) -> tuple[Path, Path]:
    return folder / f"{name}-{scale}.csv", folder / f"{name}-{scale}.json"


def _read(name: str, scale: str, folder: Path) -> Recorded | None:
    csv, facts = _paths(name, scale, folder)
    if not (csv.exists() and facts.exists()):
        return None
    content = json.loads(facts.read_text("utf8"))
    intact = provenance.sha256(csv.read_bytes()) == content["csv_sha256"]
    return Recorded(name, scale, _frame(csv), content, intact)


def _frame(csv: Path) -> pd.DataFrame:
    """The CSV to the last bit, which the fast parser of older pandas is not."""
    return pd.read_csv(csv, dtype=str, keep_default_na=False).apply(_parsed)


def _parsed(texts: pd.Series) -> pd.Series:
    """Whole numbers, else numbers (missing where empty), else the words themselves."""
    if texts.str.fullmatch(r"-?\d+").all():
        return texts.astype("int64")
    try:
        return texts.replace("", "nan").astype("float64")
    except ValueError:
        return texts


def _entries(facts: Path) -> dict[str, Any]:
    return json.loads(facts.read_text("utf8"))["seeds"] if facts.exists() else {}


def _append(
    header: dict[str, Any], frame: pd.DataFrame, seed: int, entry: dict[str, Any], folder: Path
) -> None:
    """Add a seed to CSV, then JSON; one that the JSON lacks, after a kill between the two, is dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    csv, facts = _paths(header["name"], header["scale"], folder)
    refuse_other_settings(header, folder)
    entries = _entries(facts)
    kept = [frame]
    if csv.exists():
        before = _frame(csv)
        kept.append(before[before.seed.isin([int(known) for known in entries if int(known) != seed])])
    entries = dict(sorted({**entries, str(seed): entry}.items(), key=lambda item: int(item[0])))
    merged = pd.concat(kept).sort_values("seed", kind="stable")
    text = merged.to_csv(index=False, lineterminator="\n")
    content = {**header, "csv_sha256": provenance.sha256(text.encode()), "seeds": entries}
    for path, written in ((csv, text), (facts, json.dumps(content, indent=1) + "\n")):
        with atomic_path(path) as temporary:
            temporary.write_text(written, "utf8")
            temporary.chmod(0o644)


@contextmanager
def _only_one(path: Path, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise RuntimeError(f"{what} is being recorded by another process, which holds {path}") from None


def _summary(run: Recorded | None, unfinished: int) -> dict[str, Any]:
    if run is None:
        status = f"partial ({unfinished} begun)" if unfinished else "missing"
        return {"status": status, "seeds": "", "epochs": "", "minutes a seed": "", "machine": ""}
    minutes = fmean(entry["seconds"] for entry in run.provenance["seeds"].values()) / 60
    status = "recorded" if run.intact else "EDITED: the CSV does not match its sha256"
    return {
        "status": status + (f", {unfinished} more begun" if unfinished else ""),
        "seeds": ranges(run.seeds),
        "epochs": str(int(run.frame.epoch.max())) if "epoch" in run.frame else "",
        "minutes a seed": f"{minutes:.1f}",
        "machine": run.devices,
    }
