"""Files of recorded runs: a tidy CSV with every number, and a JSON that says where they come from.

An experiment's cell is one seed or, in a grid, one value of the swept setting and one seed. `NAME-SCALE.csv`
holds the frames of all cells. `NAME-SCALE.json` holds what they share (settings, data and their sha256) and
what is each one's own (the library's source, torch, device, start and duration): under `seeds` by seed or, of
a grid, under `cells` as a list whose entries name value and seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from csv import reader
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cleanprio_lib import experiments, provenance
from cleanprio_lib.checkpoints import atomic_path


@dataclass(frozen=True)
class Cell:
    """What is run and recorded as one piece.

    Attributes:
        seed: of noise, initial weights and order of samples.
        value: of the swept setting; None where no setting is swept.
    """

    seed: int
    value: Any = None

    @property
    def key(self) -> str:
        """Its part of a file's name: "3", or "0.1-3"."""
        return str(self.seed) if self.value is None else f"{self.value}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded run.

    Attributes:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        frame: a row for each (seed, recorded epoch), or what an experiment that does not train measures; of a
            grid, for each value of the swept setting, which is the first column.
        provenance: settings, data, and each cell's machine and duration.
        intact: the CSV still has the sha256 it was written with.
    """

    name: str
    scale: str
    frame: pd.DataFrame
    provenance: dict[str, Any]
    intact: bool

    @property
    def swept(self) -> str | None:
        """Name of the setting that is swept; None where none is."""
        return self.provenance["settings"].get("swept")

    @property
    def cells(self) -> dict[Cell, dict[str, Any]]:
        """What is known of how each cell was recorded."""
        return cells_of(self.provenance)

    @property
    def values(self) -> list[Any]:
        """Values of the swept setting recorded so far; without one, [None]."""
        return _sorted({cell.value for cell in self.cells})

    @property
    def seeds(self) -> list[int]:
        """Seeds recorded so far; of a grid, those recorded of every recorded value."""
        seeds = [{cell.seed for cell in self.cells if cell.value == value} for value in self.values]
        return sorted(set.intersection(*seeds)) if seeds else []

    @property
    def settings(self) -> dict[str, Any]:
        """The frozen settings as they were when the run was recorded; of a grid, without the swept one."""
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
        return ", ".join(sorted({entry["device"] for entry in self.cells.values()}))


def read(name: str, scale: str, folder: Path) -> Recorded | None:
    """A recorded run; None if there is none."""
    csv, facts = paths(name, scale, folder)
    if not (csv.exists() and facts.exists()):
        return None
    content = json.loads(facts.read_text("utf8"))
    intact = provenance.sha256(csv.read_bytes()) == content["csv_sha256"]
    return Recorded(name, scale, read_csv(csv), content, intact)


def recorded_cells(name: str, scale: str, folder: Path) -> dict[Cell, dict[str, Any]]:
    """What is known of each recorded cell, without reading the numbers."""
    facts = paths(name, scale, folder)[1]
    return cells_of(json.loads(facts.read_text("utf8"))) if facts.exists() else {}


def add(header: dict[str, Any], cell: Cell, frame: pd.DataFrame, entry: dict[str, Any], folder: Path) -> None:
    """Add a cell to CSV, then JSON; one that the JSON lacks, after a kill between the two, is dropped.

    Args:
        header: `provenance.header` of the run.
        cell: to be added, or replaced.
        frame: its rows.
        entry: what is its own, from `provenance.seed_entry`.
        folder: of the recorded runs.

    Raises:
        ValueError: the file holds cells with other settings or other data.
        OSError: the disk is full; both files are then as they were, or the CSV is one cell ahead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    csv, facts = paths(header["name"], header["scale"], folder)
    refuse_other_settings(header, folder)
    swept = header["settings"].get("swept")
    known = recorded_cells(header["name"], header["scale"], folder)
    kept = [frame]
    if csv.exists():
        before = read_csv(csv)
        values = before[swept] if swept else [None] * len(before)
        of_rows = [Cell(int(seed), value) for seed, value in zip(before.seed, values, strict=True)]
        kept.append(before[[row in known and row != cell for row in of_rows]])
    merged = pd.concat(kept).sort_values([swept, "seed"] if swept else "seed", kind="stable")
    text = merged.to_csv(index=False, lineterminator="\n")
    entries = _entries({**known, cell: entry}, swept)
    content = {**header, "csv_sha256": provenance.sha256(text.encode()), **entries}
    for path, written in ((csv, text), (facts, json.dumps(content, indent=1) + "\n")):
        with atomic_path(path) as temporary:
            temporary.write_text(written, "utf8")
            temporary.chmod(0o644)


def refuse_other_settings(header: dict[str, Any], folder: Path) -> None:
    """Raise a ValueError that says what differs if the recorded run has other settings or other data.

    Args:
        header: `provenance.header` of the run to be added or compared.
        folder: of the recorded runs.
    """
    facts = paths(header["name"], header["scale"], folder)[1]
    if not facts.exists():
        return
    recorded, wanted = json.loads(facts.read_text("utf8")), json.loads(json.dumps(header))
    before = experiments.without_none(recorded)
    different = [key for key in wanted if before[key] != wanted[key]]
    if different:
        was = "; ".join(f"{key} was {before[key]}, now {wanted[key]}" for key in different)
        raise ValueError(f"{facts} holds runs that do not belong together with this one: {was}")


def read_csv(path: Path) -> pd.DataFrame:
    """The CSV to the last bit, which the fast parser of older pandas is not."""
    with path.open(encoding="utf8", newline="") as file:
        names, *rows = reader(file)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pd.DataFrame({name: _parsed(texts) for name, texts in zip(names, columns, strict=True)})


def paths(name: str, scale: str, folder: Path) -> tuple[Path, Path]:
    """CSV and JSON of a recorded run."""
    return folder / f"{name}-{scale}.csv", folder / f"{name}-{scale}.json"


def cells_of(content: dict[str, Any]) -> dict[Cell, dict[str, Any]]:
    """The JSON's entry of each cell."""
    swept = content["settings"].get("swept")
    if swept is None:
        return {Cell(int(seed)): entry for seed, entry in content["seeds"].items()}
    own = ("seed", swept)
    return {
        Cell(entry["seed"], entry[swept]): {key: value for key, value in entry.items() if key not in own}
        for entry in content["cells"]
    }


def _entries(cells: dict[Cell, dict[str, Any]], swept: str | None) -> dict[str, Any]:
    """What `cells_of` reads, in order of values, then seeds."""
    ordered = sorted(cells, key=lambda cell: (cell.value if swept else 0, cell.seed))
    if swept is None:
        return {"seeds": {str(cell.seed): cells[cell] for cell in ordered}}
    return {"cells": [{swept: cell.value, "seed": cell.seed, **cells[cell]} for cell in ordered]}


def _sorted(values: set[Any]) -> list[Any]:
    return sorted(values) if values != {None} else [None]


def _parsed(texts: Sequence[str]) -> Sequence[Any]:
    """Whole numbers, else numbers (missing where empty), else the words themselves."""
    for number in (int, float):
        with suppress(ValueError):
            return [number(text or "nan") for text in texts]
    return texts
