"""Confident learning as this library has it against cleanlab, its authors' package, on the same samples.

    python benchmarks/wrong_labels.py [--scale SCALE] [--seeds K] [--out FILE.json]

One net is trained on ten digits with 40% of wrong labels and stopped where its error on a noisy
validation set is lowest; five nets for as many epochs on four fifths of the samples each give the
probabilities that both need: the settings of the recorded run `practice-wrong-labels`. Claims of
quality, not of speed:

- *same*: the samples that `wrong_labels.pruned_by_noise_rate` takes out are those of cleanlab's
  `find_label_issues` with `filter_by="prune_by_noise_rate"`, but for what rounding decides, and those of
  `confident_errors` are those of `filter_by="confident_learning"`; cleanlab lets samples go whose label is
  the class with the largest probability, which is not in the definition: they are left out of ours here;
- *one net is enough*: among as many samples as cleanlab flags, the ones with the largest residual of the one
  net at its stop hold as many wrong labels, within `MARGIN`.

Needed: the extra [bench]. Times are wall times of one call, for the record: nothing is claimed of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cleanprio_lib import data, experiments, wrong_labels
from cleanprio_lib.measurements import wrong_label_rankings
from cleanprio_lib.measurements.practice_tasks import practice

EXPERIMENT = "practice-wrong-labels"
MARGIN = 0.02  # of precision
SAME = 0.98  # of the samples in either set, that are in both
SETS: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "prune_by_noise_rate": wrong_labels.pruned_by_noise_rate,
    "confident_learning": wrong_labels.confident_errors,
}


def found_by_cleanlab(
    labels: NDArray[np.int64], likely: NDArray[np.float64], method: str
) -> NDArray[np.bool_]:
    """(n,) mask of the samples that cleanlab takes for wrongly labelled."""
    from cleanlab.filter import find_label_issues

    return np.asarray(find_label_issues(labels, likely, filter_by=method, n_jobs=1), dtype=bool)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Samples in both sets, by those in either."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def compare(
    labels: NDArray[np.int64],
    likely: NDArray[np.float64],
    residuals: NDArray[np.float64],
    is_noisy: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """A row for each set of cleanlab: how good it is, how like ours, how good as many residuals are."""
    rows = []
    for method, ours in SETS.items():
        began = time.perf_counter()
        theirs = found_by_cleanlab(labels, likely, method)
        middle = time.perf_counter()
        mine = ours(labels, likely) & (likely.argmax(axis=1) != labels)
        seconds = middle - began, time.perf_counter() - middle
        facts = wrong_labels.flagged(theirs, is_noisy)
        share = max(facts["share"], 1 / len(labels))
        as_many = wrong_labels.ranked(residuals, is_noisy, [share]).iloc[0]
        rows.append(
            {
                "set": method,
                **{f"cleanlab_{name}": value for name, value in facts.items()},
                "residual_precision": float(as_many.precision),
                "residual_recall": float(as_many.recall),
                "overlap": overlap(theirs, mine),
                "cleanlab_seconds": seconds[0],
                "our_seconds": seconds[1],
            }
        )
    return rows


def benchmark(scale: str, seeds: int) -> pd.DataFrame:
    """The rows of `compare` for each seed."""
    settings = experiments.settings_of(EXPERIMENT, scale)
    split = data.load(settings.dataset)
    frames = []
    for seed in range(seeds):
        problem = practice(settings.problem, split, seed=seed)
        watched = wrong_label_rankings.watch(settings.problem, problem.task, problem.validation, seed=seed)
        likely = wrong_label_rankings.cross_validated(settings, problem.task, epochs=watched.stop, seed=seed)
        given, noisy = problem.task.given.numpy(), problem.task.is_noisy.numpy()
        rows = compare(given, likely, watched.at_stop.double().numpy(), noisy)
        frames.append(pd.DataFrame(rows).assign(seed=seed, stop=watched.stop))
    return pd.concat(frames, ignore_index=True)


def claims(found: pd.DataFrame) -> pd.DataFrame:
    """What is claimed of the rows, and whether it is reached in every seed."""
    rows = []
    for method, own in found.groupby("set", sort=False):
        near = (own.residual_precision - own.cleanlab_precision).min()
        rows += [
            (f"{method}: same samples", own.overlap.min(), f"≥ {SAME:g}", own.overlap.min() >= SAME),
            (
                f"{method}: residuals of one net, precision − cleanlab's",
                near,
                f"≥ {-MARGIN:g}",
                near >= -MARGIN,
            ),
        ]
    return pd.DataFrame(
        [(*row[:3], "yes" if row[3] else "no") for row in rows], columns=["what", "least", "must", "reached"]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and write; 0 if all is reached."""
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="quick", choices=experiments.SCALES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("cleanlab") is None:
        parser.error("cleanlab is not installed: pip install '.[bench]' in a checkout")
    found = benchmark(options.scale, options.seeds)
    table = claims(found)
    print(found.round(3).to_string(index=False), table.round(4).to_string(index=False), sep="\n\n")
    if options.out:
        facts = {"cleanlab": version("cleanlab"), "torch": torch.__version__, "scale": options.scale}
        content = {**facts, "claims": table.to_dict("records"), "rows": found.to_dict("records")}
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if (table.reached == "yes").all() else 1


if __name__ == "__main__":
    raise SystemExit(main())
