"""Many cells on all cores against the same cells one after another; and what recording costs.

    python benchmarks/sweeps.py [--name NAME] [--scale SCALE] [--cells N] [--out FILE.csv|FILE.json]

Two claims, each a ratio of times measured in this run:

- *Many cells at once.* `runs.record` with as many workers as there are cores (or cells, if these are fewer)
  against the time that the cells' **total work** needs on so many cores: that of the same cells recorded one
  after another in this process, by one thread, divided by the number of workers. At most 1.15. The pool pays
  for starting its processes, for what they import and load, and for cores that idle while the last cells
  end; the total work pays for none of that.
- *Recording.* The time that `runs.record` spends on anything but the cells' own training and measurements,
  against that time: checkpoints, hashes of source and data, CSV and JSON. At most 1.03. It is counted, not
  inferred from two runs, whose difference would drown in noise: a clock runs while a cell trains, and stops
  while it saves.

Both record into empty folders that are removed. Numbers of cells that a pool computed must equal those of
one process, byte for byte, or the benchmark fails. The default is 8 seeds of `fig-05-mnist-7v9`, quick.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cleanprio_lib import data, experiments, runs
from cleanprio_lib.checkpoints import RunState
from cleanprio_lib.sweeps import cores

MOST_TOGETHER, MOST_RECORDING = 1.15, 1.03


@dataclass
class Clock:
    """Seconds inside what it times; nested pieces that it pauses for do not count."""

    seconds: float = 0.0

    def timed(self, function: Callable[..., Any], sign: float = 1.0) -> Callable[..., Any]:
        """The function, whose time is added, or subtracted."""

        def run(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += sign * (time.perf_counter() - began)

        return run


@dataclass(frozen=True)
class Recording:
    """A recording that was timed: its CSV, the seconds it took and those in training and measurements."""

    csv: bytes
    seconds: float
    training: float


def benchmark(name: str, scale: str, count: int) -> pd.DataFrame:
    """Record `count` seeds of an experiment by one process, then by as many as there are cores.

    Returns:
        A row for each claim.

    Raises:
        RuntimeError: the pool's numbers differ from one process's.
    """
    settings = experiments.settings_of(name, scale)
    split = experiments.split_of(settings)
    workers = min(cores(), count)
    alone = timed(name, scale, count, split=split)
    together = timed(name, scale, count, workers=workers)
    if together.csv != alone.csv:
        raise RuntimeError(f"{workers} processes got other numbers than one")
    return pd.DataFrame(
        [
            _row(
                f"{count} cells by {workers} processes, over their total work on {workers} cores",
                together.seconds,
                alone.seconds / workers,
                MOST_TOGETHER,
            ),
            _row("recording, over training and measurements", alone.seconds, alone.training, MOST_RECORDING),
        ]
    )


def timed(
    name: str, scale: str, count: int, *, split: data.Split | None = None, workers: int | None = None
) -> Recording:
    """Record seeds 0, 1, … into an empty folder."""
    with tempfile.TemporaryDirectory() as folder, _training_clock() as clock:
        began = time.perf_counter()
        runs.record(
            name,
            scale,
            range(count),
            folder=Path(folder),
            checkpoints=Path(folder) / "checkpoints",
            split=split,
            device="cpu",
            threads=1,
            workers=workers,
            progress=False,
        )
        seconds = time.perf_counter() - began
        return Recording((Path(folder) / f"{name}-{scale}.csv").read_bytes(), seconds, clock.seconds)


@contextmanager
def _training_clock() -> Iterator[Clock]:
    """A clock that runs while a cell is computed in this process, but not while its state is saved."""
    clock, compute, save = Clock(), experiments.run_settings, RunState._save
    experiments.run_settings = clock.timed(compute)
    RunState._save = clock.timed(save, sign=-1.0)  # type: ignore[method-assign]
    try:
        yield clock
    finally:
        experiments.run_settings, RunState._save = compute, save  # type: ignore[method-assign]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description="Many cells at once, and what recording costs.")
    parser.add_argument("--name", default="fig-05-mnist-7v9", help="of the experiment (default: %(default)s)")
    parser.add_argument("--scale", default="quick", choices=experiments.SCALES)
    parser.add_argument("--cells", type=int, default=8, help="seeds to record (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the claims to this .csv or .json")
    chosen = parser.parse_args(arguments)
    if chosen.out and chosen.out.suffix not in (".csv", ".json"):
        parser.error(f"--out must end in .csv or .json, got {chosen.out.name}")
    print(_header(), flush=True)
    claims = benchmark(chosen.name, chosen.scale, chosen.cells)
    print(claims.to_string(index=False, float_format="{:.3f}".format))
    short = claims[claims["reached"] == "no"]
    print("\nAll claims hold here." if short.empty else "\nFalls short here:")
    for _, row in short.iterrows():
        print(f"  {row['what']}: {row['ratio']:.3f}, must be {row['must']}")
    if chosen.out:
        _write(claims, chosen.out)


def _row(what: str, ours: float, least: float, most: float) -> dict[str, Any]:
    ratio = ours / least
    return {
        "what": what,
        "ours": ours,
        "competitor": least,
        "ratio": ratio,
        "must": f"≤ {most:.2f}",
        "reached": "yes" if ratio <= most else "no",
    }


def _header() -> str:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"\nThe load is {load:.1f} before it begins: what follows is disturbed." if load > 0.5 else ""
    return f"{cores()} cores, times in seconds{busy}"


def _write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", indent=2, force_ascii=False)


if __name__ == "__main__":
    main()
