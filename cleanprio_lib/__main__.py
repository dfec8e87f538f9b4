"""The command line: python -m cleanprio_lib {claims,data,grade,record,runs,verify} …"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cleanprio_lib import data, experiments, listing, runs, verification


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {runs.RESUME}")
        return 130
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1


def seed_list(text: str) -> list[int]:
    """Seeds from "0-4", "0,3,7" or "2"."""
    seeds: list[int] = []
    try:
        parts = [part.partition("-") for part in text.split(",")]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in parts]
        seeds = list(dict.fromkeys(seed for own in ranges for seed in own)) if all(map(len, ranges)) else []
    except ValueError:
        seeds = []
    if not seeds:
        raise argparse.ArgumentTypeError(f"seeds must look like 0-4 or 0,3,7, got {text!r}")
    return seeds


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def usable_device(text: str) -> str:
    """A device on which this PyTorch can compute."""
    try:
        torch.zeros(1, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(
            f"must be one that PyTorch has here, got {text!r}: {reason}"
        ) from None
    return text


def _number(text: str) -> Any:
    """A whole number or a number, where the text is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cleanprio_lib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    record = commands.add_parser("record", help="record an experiment's runs, resuming what was begun")
    record.add_argument("name", nargs="?", choices=sorted(experiments.EXPERIMENTS), metavar="NAME")
    record.add_argument(
        "--missing",
        action="store_true",
        help="every experiment that lacks a recorded seed, at this scale and at others with its settings",
    )
    record.add_argument("--scale", choices=experiments.SCALES, default="laptop")
    record.add_argument(
        "--seeds", type=seed_list, default=seed_list("0-2"), help="0-4 or 0,3,7 (default 0-2)"
    )
    record.add_argument("--folder", type=Path, help="where results go (default: book/recorded)")
    record.add_argument(
        "--threads",
        type=positive,
        help="CPU threads of a cell (default: all cores; with --workers or --dask one, for equal numbers)",
    )
    many = record.add_mutually_exclusive_group()
    many.add_argument("--workers", type=positive, metavar="K", help="compute K cells at once, in K processes")
    many.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="compute on a Dask cluster: its scheduler's address or file, or local:4 for four processes here",
    )
    record.add_argument(
        "--compiled",
        action="store_true",
        help="shorter ResNet-9 steps; needs a C++ compiler and, for a GPU, Triton",
    )
    record.add_argument(
        "--device", type=usable_device, help="cpu, cuda, … (default: a GPU where there is one)"
    )
    record.set_defaults(command=_record)

    listed = commands.add_parser("runs", help="list recorded, partial, missing and stale runs")
    listed.add_argument(
        "--watch", action="store_true", help="show how far unfinished ones are, until none runs"
    )
    listed.set_defaults(command=_runs)

    verify = commands.add_parser("verify", help="run a slice of a recorded run again and compare")
    verify.add_argument("name", choices=sorted(experiments.EXPERIMENTS), metavar="NAME")
    verify.add_argument("--scale", choices=experiments.SCALES, help="default: the largest recorded")
    verify.add_argument("--seed", type=int, help="default: the first recorded")
    verify.add_argument("--value", type=_number, help="of the swept setting (default: the first recorded)")
    verify.add_argument("--epochs", type=int, default=2, help="first epochs to run again (default 2)")
    verify.set_defaults(command=_verify)

    judged = commands.add_parser("claims", help="judge every claim by what is recorded, or show one in full")
    judged.add_argument("id", nargs="?", metavar="ID")
    judged.add_argument("--json", action="store_true", help="print what the pages publish as claims.json")
    judged.set_defaults(command=_claims)

    grade = commands.add_parser("grade", help="grade a folder of submitted notebooks, where it stopped")
    grade.add_argument("folder", type=Path, metavar="FOLDER")
    grade.add_argument("--assignment", type=int, required=True, metavar="N")
    grade.add_argument("--out", type=Path, required=True, metavar="CSV", help="feedback goes beside it")
    grade.add_argument(
        "--hidden", type=Path, metavar="FOLDER", help="with hidden_N.py (default: book/assignments/solutions)"
    )
    grade.add_argument("--seed", type=int, default=1, help="of the inputs: keep it secret (default 1)")
    grade.add_argument("--seconds", type=float, default=300.0, help="for each notebook (default 300)")
    grade.add_argument(
        "--memory", type=int, default=2048, metavar="MIB", help="for each notebook (default 2048)"
    )
    grade.add_argument(
        "--workers", type=positive, metavar="K", help="notebooks at once (default: one a core)"
    )
    grade.add_argument(
        "--isolation",
        choices=("namespaces", "bubblewrap", "none"),
        help="default: the first of these that this system has",
    )
    grade.add_argument("--canvas", type=Path, metavar="GRADEBOOK", help="of Canvas; writes what it imports")
    grade.set_defaults(command=_grade)

    where = commands.add_parser(
        "data", help="say how each data set is had on this machine, fetching it if need be"
    )
    where.add_argument("names", nargs="*", default=["mnist"], metavar="NAME")
    where.set_defaults(command=_data)
    return parser


def _record(chosen: argparse.Namespace) -> int:
    if bool(chosen.name) == chosen.missing:
        raise ValueError(
            f"record needs a NAME (one of {sorted(experiments.EXPERIMENTS)}) or --missing, not both"
        )
    folder = chosen.folder or runs.recorded_folder()
    lacking = {
        name
        for name in experiments.EXPERIMENTS
        if runs.missing_cells(name, chosen.scale, chosen.seeds, folder=folder)
    }
    failed = []
    for name in [chosen.name] if chosen.name else sorted(lacking):
        try:
            recorded = runs.record(
                name,
                chosen.scale,
                chosen.seeds,
                folder=folder,
                device=chosen.device,
                threads=chosen.threads,
                workers=chosen.workers,
                dask=chosen.dask,
                compiled=chosen.compiled,
            )
        except (ValueError, RuntimeError) as error:
            if chosen.name:
                raise
            failed.append(name)
            print(f"error: {name}: {error}", file=sys.stderr)
            continue
        done = "were recorded already" if name not in lacking else "are recorded"
        print(f"{name} {chosen.scale}: seeds {recorded.seeds} {done}, in {folder}")
    if failed:
        print(f"error: not recorded: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _runs(chosen: argparse.Namespace) -> int:
    if chosen.watch:
        listing.watch(runs.recorded_folder(), runs.checkpoint_folder(), show=_renew)
    else:
        print(runs.table().to_string(index=False))
    return 0


def _renew(text: str) -> None:
    """Print over what was printed before, on a terminal."""
    print("\033[H\033[J" * sys.stdout.isatty() + text, flush=True)


def _verify(chosen: argparse.Namespace) -> int:
    result = verification.verify(
        chosen.name, chosen.scale, seed=chosen.seed, value=chosen.value, epochs=chosen.epochs
    )
    print(result.to_string(float_format="{:.3g}".format))
    if not result.difference.any():
        print("equal bit for bit")
    elif result.agrees.all():
        print(f"agrees: every column within {result.attrs['within']}")
    else:
        print(f"DOES NOT AGREE: {', '.join(result.index[~result.agrees])}")
    return 0 if result.agrees.all() else 1


def _claims(chosen: argparse.Namespace) -> int:
    from cleanprio_lib import scoreboard  # brings all that draws, which no other command needs

    rows = scoreboard.judge_all()
    known = {row.listed.id: row for row in rows}
    if chosen.id is not None and chosen.id not in known:
        raise ValueError(f"ID must be one of {', '.join(known)}, got {chosen.id!r}")
    if chosen.json:
        content = scoreboard.document(rows)
        found = {claim["id"]: claim for claim in content["claims"]}
        print(scoreboard.as_json(found[chosen.id] if chosen.id else content), end="")
    else:
        print(scoreboard.in_full(known[chosen.id]) if chosen.id else scoreboard.in_short(rows))
    return 0


def _grade(chosen: argparse.Namespace) -> int:
    from cleanprio_lib import grading  # brings what no other command needs

    limits = grading.Limits(seconds=chosen.seconds, memory=chosen.memory << 20)
    try:
        report = grading.grade(
            chosen.folder,
            chosen.assignment,
            chosen.out,
            hidden=chosen.hidden,
            seed=chosen.seed,
            limits=limits,
            workers=chosen.workers,
            isolation=chosen.isolation,
            gradebook=chosen.canvas,
        )
    except KeyboardInterrupt:
        print(f"\ninterrupted: {grading.RESUME}")
        return 130
    print(grading.in_short(report))
    return 0


def _data(chosen: argparse.Namespace) -> int:
    for name in chosen.names:
        print(data.load(name).provenance)
    return 0


if __name__ == "__main__":
    sys.exit(main())
