"""Grids and many workers: the same numbers however they are computed, and nothing lost whatever breaks."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest
import torch

from cleanprio_lib import __main__ as cli
from cleanprio_lib import (
    cells,
    checkpoints,
    experiments,
    listing,
    provenance,
    recordings,
    runs,
    sweeps,
    training,
    verification,
)
from cleanprio_lib.experiments import Experiment, Grid, Settings
from cleanprio_lib.recordings import Cell
from cleanprio_lib.training import TrainingSettings

BASE = Settings(
    dataset="mnist",
    level=0.3,
    model="fully_connected",
    training=TrainingSettings(epochs=3, batch_size=32, learning_rate=0.05, precision="float32"),
    train_samples=100,
    test_samples=40,
    classes=(7, 9),
    net=(("width", 1), ("depth", 2)),
)
WIDTHS = Grid(BASE, "width", (8, 4))
LONG = replace(BASE, training=replace(BASE.training, epochs=120))


@pytest.fixture
def register(monkeypatch):
    """Make settings, of a grid or of a measurement, the one experiment there is, named "grid"."""

    def register(settings, measure=None):
        scales = MappingProxyType(dict.fromkeys(experiments.SCALES, settings))
        known = {"grid": Experiment("grid", "nothing", scales, measure)}
        monkeypatch.setattr(experiments, "EXPERIMENTS", known)

    register(WIDTHS)
    return register


source_sha256 = cache(provenance.source_sha256)


@pytest.fixture
def record(register, stand_in, tmp_path, monkeypatch):
    """Record into `tmp_path`, from stand-in data that workers make for themselves."""
    monkeypatch.setattr(provenance, "source_sha256", source_sha256)
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    monkeypatch.setattr(sweeps, "cores", lambda: 2)

    def record(seeds, *, folder="recorded", **changes):
        alone = not {"workers", "dask"} & set(changes)
        if not alone:  # files may be edited while tests run: workers read them anew
            monkeypatch.setattr(provenance, "source_sha256", source_sha256.__wrapped__)
        return runs.record(
            "grid",
            "quick",
            seeds,
            folder=tmp_path / folder,
            checkpoints=tmp_path / "checkpoints",
            split=stand_in if alone else None,
            **{"device": "cpu", "progress": False, "threads": 1, **changes},
        )

    record.csv = tmp_path / "recorded" / "grid-quick.csv"
    record.json = record.csv.with_suffix(".json")
    record.straight = tmp_path / "straight" / "grid-quick.csv"
    record.checkpoints = tmp_path / "checkpoints"
    return record


def test_a_grid_sets_one_setting_wherever_it_is():
    assert WIDTHS.at(4) == replace(BASE, net=(("width", 4), ("depth", 2)))
    assert Grid(BASE, "level", (0.1, 0.2)).at(0.2) == replace(BASE, level=0.2)
    rates = Grid(BASE, "learning_rate", (0.1,))
    assert rates.at(0.1).training == replace(BASE.training, learning_rate=0.1)
    assert rates.dataset == "mnist"
    assert experiments.at(BASE, None) is BASE


@pytest.mark.parametrize("swept", ["height", "net", "training", "dataset", "precision"])
def test_what_cannot_be_swept_is_named(swept):
    with pytest.raises(ValueError, match=f"swept must name .* got '{swept}'"):
        Grid(BASE, swept, (1, 2))


@pytest.mark.parametrize("values", [(), (1, 1), ((7, 9),), (None,)])
def test_values_must_be_different_numbers_or_words(values):
    with pytest.raises(ValueError, match="values must be different numbers or words"):
        Grid(BASE, "width", values)


def test_values_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match=r"width must be one of \(8, 4\), got 5"):
        WIDTHS.at(5)
    with pytest.raises(ValueError, match="value must be None"):
        experiments.at(BASE, 5)


def test_what_a_grid_shares_names_the_swept_setting_but_none_of_its_values():
    shared = experiments.as_dict(WIDTHS)
    assert shared == {**experiments.as_dict(BASE), "net": (("depth", 2),), "swept": "width"}
    assert experiments.as_dict(replace(WIDTHS, values=(2,), base=WIDTHS.at(4))) == shared
    assert "level" not in experiments.as_dict(Grid(BASE, "level", (0.1,)))
    assert "epochs" not in experiments.as_dict(Grid(BASE, "epochs", (1,)))["training"]


def test_figures_12_and_13_have_the_papers_settings():
    widths, levels = (experiments.settings_of(f"fig-{name}", "paper") for name in ("12-width", "13-noise"))
    assert sorted(widths.values) == [2**power for power in range(5, 12)]
    assert (widths.base.classes, widths.base.level, widths.base.training.batch_size) == ((7, 9), 0.4, 256)
    assert dict(widths.at(64).net) == {"width": 64, "depth": 3}
    assert sorted(levels.values) == [0.1, 0.2, 0.3, 0.4]
    assert (levels.base.model, levels.base.training.batch_size) == ("mnist_cnn", 512)
    assert all(grid.base.gradients and grid.base.train_samples is None for grid in (widths, levels))


def test_a_grid_is_one_tidy_frame(record):
    recorded = record([1, 0])
    direct = pd.concat(
        [
            experiments.run("grid", "quick", seed=seed, value=value, device="cpu", progress=False)
            for value in (4, 8)
            for seed in (0, 1)
        ],
        ignore_index=True,
    )
    direct.attrs = {}
    pd.testing.assert_frame_equal(recorded.frame, direct, check_exact=True)
    assert list(recorded.frame)[:3] == ["width", "seed", "epoch"]
    assert (recorded.swept, recorded.values, recorded.seeds) == ("width", [4, 8], [0, 1])
    of_width = recorded.frame.groupby("width").train_loss.nunique()
    assert (of_width == 8).all()
    assert recorded.frame.train_loss.nunique() == 16  # no two cells alike
    assert recorded.intact
    assert not [path for path in record.checkpoints.iterdir() if path.suffix != ".lock"]


def test_every_cell_has_its_own_provenance(record):
    recorded = record([0, 1])
    facts = json.loads(record.json.read_text())
    assert "seeds" not in facts
    assert [(entry["width"], entry["seed"]) for entry in facts["cells"]] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    for entry in facts["cells"]:
        assert entry["source_sha256"] == provenance.source_sha256()
        assert entry["threads"] == 1
        assert entry["device"].endswith("-core CPU")
        assert entry["seconds"] >= 0  # rounded
    assert recorded.devices == facts["cells"][0]["device"]
    assert set(recorded.cells) == {Cell(seed, width) for seed in (0, 1) for width in (4, 8)}


def test_a_value_added_later_leaves_the_others_as_they_are(record, register, monkeypatch):
    before = record([0, 1]).frame
    register(replace(WIDTHS, values=(8, 4, 2)))
    listed = runs.table(folder=record.csv.parent, checkpoints=record.checkpoints)
    assert listed.status[0] == "partial: 4 of 6 cells"
    ran = []
    real = experiments.run_settings
    monkeypatch.setattr(
        experiments,
        "run_settings",
        lambda settings, measure, **k: (
            ran.append(dict(settings.net)["width"]) or real(settings, measure, **k)
        ),
    )
    after = record([0, 1])
    assert ran == [2, 2]
    assert after.values == [2, 4, 8]
    pd.testing.assert_frame_equal(
        after.frame[after.frame.width > 2].reset_index(drop=True), before, check_exact=True
    )
    listed = runs.table(folder=record.csv.parent, checkpoints=record.checkpoints)
    assert listed.status[0] == "recorded"


def test_a_cell_whose_json_was_never_written_is_dropped_and_computed_again(record, register):
    record([0, 1], folder="straight")
    register(replace(WIDTHS, values=(8,)))
    record([0])
    facts = record.json.read_bytes()
    register(WIDTHS)
    record([0])
    record.json.write_bytes(facts)  # as after a kill between the two files, with width 4 in the CSV alone
    register(replace(WIDTHS, values=(8,)))
    assert set(record([1]).frame.width) == {8}
    register(WIDTHS)
    record([0, 1])
    assert record.csv.read_bytes() == record.straight.read_bytes()


def test_a_grid_refuses_what_changes_its_cells(record, register):
    record([0])
    for changed in (
        Grid(replace(BASE, level=0.2), "width", (8, 4)),
        Grid(replace(BASE, net=(("width", 1), ("depth", 3))), "width", (8, 4)),
        Grid(BASE, "depth", (2,)),
        BASE,
    ):
        register(changed)
        with pytest.raises(ValueError, match="do not belong together") as refused:
            record([1])
        assert refused.value.__notes__ == [runs.ELSEWHERE]


def test_seeds_of_a_grid_are_those_of_every_value(record, register):
    record([0, 1, 2])
    register(replace(WIDTHS, values=(2, 8)))
    assert record([1]).seeds == [1]
    assert runs.load("grid", folder=record.csv.parent).values == [2, 4, 8]


def test_a_larger_scale_takes_over_once_it_has_enough_seeds_of_every_value(
    record, stand_in, tmp_path, register
):
    record([0, 1, 2])
    for seeds, values, wanted in (
        ([0, 1, 2], (8,), "quick"),
        ([0, 1], (8, 4), "quick"),
        ([2], (4,), "paper"),
    ):
        register(replace(WIDTHS, values=values))
        folders = {"folder": tmp_path / "recorded", "checkpoints": tmp_path}
        runs.record("grid", "paper", seeds, **folders, split=stand_in, device="cpu", progress=False)
        register(WIDTHS)
        assert runs.load("grid", folder=tmp_path / "recorded").scale == wanted


def test_an_interrupted_grid_goes_on_cell_by_cell_and_epoch_by_epoch(record, monkeypatch):
    record([0], folder="straight")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    real, trained = training.train_epoch, []

    def interrupted(model, *arguments, epoch, **options):
        width = model[1].out_features
        if trained.count((4, 1)) and (4, "stopped") not in trained:
            trained.append((4, "stopped"))
            raise KeyboardInterrupt
        trained.append((width, epoch))
        real(model, *arguments, epoch=epoch, **options)

    monkeypatch.setattr(training, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record([0])
    assert recordings.recorded_cells("grid", "quick", record.csv.parent).keys() == {Cell(0, 8)}
    begun = listing.progress(record.checkpoints).to_dict("records")
    assert [(row["cell"], row["state"], row["epoch"], row["epochs"]) for row in begun] == [
        ("width 4, seed 0", "begun", 1, 3)
    ] * len(experiments.SCALES[:1])
    record([0])
    assert trained == [(8, 1), (8, 2), (8, 3), (4, 1), (4, "stopped"), (4, 2), (4, 3)]
    assert record.csv.read_bytes() == record.straight.read_bytes()


def test_a_checkpoint_of_other_settings_is_refused(record, register, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    _stop_at(monkeypatch, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        record([0])
    register(replace(WIDTHS, base=replace(BASE, targets="true")))  # which training itself cannot tell
    with pytest.raises(ValueError, match=r"checkpoint .*grid-quick-8-0.pt has other settings or data"):
        record([0])


def _stop_at(monkeypatch, error, *, epoch=2):
    """Raise an error once, before an epoch."""
    real, raised = training.train_epoch, []

    def train_epoch(*arguments, **options):
        if options["epoch"] == epoch and not raised:
            raised.append(True)
            raise error
        real(*arguments, **options)

    monkeypatch.setattr(training, "train_epoch", train_epoch)


def test_names_and_values_with_dots_have_checkpoints_of_their_own():
    jobs = [
        replace(_job(Cell(seed, value)), header={"name": name, "scale": "quick", "settings": {}})
        for name in ("sec-4.1-true", "sec-4.1-smoothed")
        for value in (0.1, 0.2)
        for seed in (1, 2)
    ]
    assert len({job.stem for job in jobs}) == len(jobs)
    assert jobs[0].stem.endswith("sec-4.1-true-quick-0.1-1")


def _job(cell, settings=BASE, **changes):
    header = provenance.header("grid", "quick", settings, None)
    arguments = {"settings": settings, "measure": None, "source": source_sha256(), **changes}
    return cells.Job(cell, header, **arguments)


def test_a_worker_with_other_source_or_data_refuses(register, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    job = _job(Cell(0), folder=tmp_path)
    with pytest.raises(cells.UnfitWorkerError, match="source on this worker is not that"):
        cells.work(replace(job, source="0" * 64))
    with pytest.raises(cells.UnfitWorkerError, match="data set mnist on this worker is not that"):
        cells.work(job)  # whose header says that its inputs were made from the seed


def test_a_cell_that_another_process_computes_fails_in_words(register, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "LOCK_SECONDS", 0.01)
    job = _job(Cell(0), folder=tmp_path)
    with (
        cells.only_one(Path(job.stem + ".lock"), "a test"),
        pytest.raises(RuntimeError, match="grid quick seed 0 is being recorded by another process"),
    ):
        cells.work(job)


def test_a_full_disk_loses_no_number_and_says_how_to_go_on(record, monkeypatch):
    record([0], folder="straight")
    with monkeypatch.context() as context:
        _fill_disk(context, when=lambda path: path.name.startswith(".grid-quick.csv"))
        with pytest.raises(OSError, match="No space left") as raised:
            record([0])
    assert raised.value.__notes__ == [runs.RESUME]
    assert not record.csv.exists()
    assert checkpoints.how_far(record.checkpoints / "grid-quick-8-0.pt")[0] == BASE.training.epochs
    monkeypatch.setattr(training, "train_epoch", _only_width_4)
    record([0])
    assert record.csv.read_bytes() == record.straight.read_bytes()


def _only_width_4(model, *arguments, real=training.train_epoch, **options):
    assert model[1].out_features == 4, "width 8 was trained again"
    real(model, *arguments, **options)


def test_a_disk_that_fills_while_a_checkpoint_is_saved_leaves_the_one_before(record, monkeypatch):
    record([0], folder="straight")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    saves = []
    with monkeypatch.context() as context:
        _fill_disk(context, when=lambda path: ".pt." in path.name and (saves.append(path) or len(saves) > 2))
        with pytest.raises(OSError, match="No space left"):
            record([0])
    left = sorted(path.name for path in record.checkpoints.iterdir() if path.suffix != ".lock")
    assert left == ["grid-quick-8-0.json", "grid-quick-8-0.pt"]
    assert checkpoints.how_far(record.checkpoints / "grid-quick-8-0.pt")[0] == 1
    record([0])
    assert record.csv.read_bytes() == record.straight.read_bytes()


def _fill_disk(monkeypatch, *, when):
    """Every file for which `when` holds can be half written, and no more."""
    for name in ("write_text", "write_bytes"):
        real = getattr(Path, name)

        def write(path, content, *arguments, real=real):
            if when(path):
                real(path, content[: len(content) // 2], *arguments)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(path, content, *arguments)

        monkeypatch.setattr(Path, name, write)


def test_the_command_line_says_how_to_go_on(record, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(runs, "recorded_folder", lambda: tmp_path / "recorded")
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path))
    with monkeypatch.context() as context:
        _fill_disk(context, when=lambda path: path.name.startswith(".grid-quick.csv"))
        assert cli.main(["record", "grid", "--scale", "quick", "--seeds", "0"]) == 1
    error = capsys.readouterr().err
    assert "error: [Errno 28] No space left on device" in error
    assert error.rstrip().endswith(runs.RESUME)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": 3}, r"workers must lie in \[1, 2\], the 2 cores .* got 3"),
        ({"workers": 2, "threads": 2}, r"workers must lie in \[1, 1\]"),
        ({"workers": 0}, "got 0"),
        ({"dask": "local:3"}, "got 3"),
        ({"dask": "local:many"}, "like local:4, got 'local:many'"),
        ({"dask": "local:2", "workers": 2}, "exclude each other"),
    ],
)
def test_workers_and_their_threads_must_fit_the_cores(record, given, words):
    with pytest.raises(ValueError, match=words):
        record([0], **given)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--workers", "2"], {"threads": 1, "workers": 2, "dask": None, "compiled": False}),
        (["--dask", "local:4"], {"threads": 1, "workers": None, "dask": "local:4", "compiled": False}),
        (
            ["--workers", "2", "--threads", "3"],
            {"threads": 3, "workers": 2, "dask": None, "compiled": False},
        ),
        (["--workers", "2", "--compiled"], {"threads": 1, "workers": 2, "dask": None, "compiled": True}),
    ],
)
def test_the_command_line_passes_on_how_to_compute(record, monkeypatch, tmp_path, options, wanted):
    asked = {}

    def compute_all(jobs, keep, *, workers, dask, progress):
        asked.update(threads=jobs[0].threads, compiled=jobs[0].compiled, workers=workers, dask=dask)
        keep(cells.compute(jobs[0]))

    monkeypatch.setattr(sweeps, "compute_all", compute_all)
    monkeypatch.setattr(runs, "recorded_folder", lambda: tmp_path / "recorded")
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path))
    assert cli.main(["record", "grid", "--scale", "quick", "--seeds", "0", *options]) == 0
    assert asked == wanted


@dataclass(frozen=True)
class Fragile:
    """A measurement that dies in some seeds; `folder` remembers who has died before."""

    folder: str
    dataset: None = None


def fragile(settings, *, seed, split):
    """Seed 0 dies once, seed 1 always, seed 2 diverges, seed 3 is well."""
    died = Path(settings.folder) / f"died-{seed}-{os.getpid()}"
    if seed == 1 or (seed == 0 and not list(died.parent.glob("died-0-*"))):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 2:
        raise FloatingPointError("training diverged")
    return pd.DataFrame({"threads": [torch.get_num_threads()]})


def test_processes_that_die_are_replaced_and_cells_that_fail_hold_nobody_up(
    record, register, tmp_path, monkeypatch
):
    monkeypatch.setattr(sweeps, "TRIES", 2)
    register(Fragile(str(tmp_path)), fragile)
    with pytest.raises(RuntimeError) as raised:
        record([0, 1, 2, 3], workers=2)
    words = str(raised.value)
    assert words.startswith("2 of 4 cells failed: ")
    assert "grid quick seed 1: its process died 2 times" in words
    assert "grid quick seed 2: training diverged" in words
    assert raised.value.__notes__ == [runs.RESUME]
    assert len(list(tmp_path.glob("died-0-*"))) == 1
    assert len(list(tmp_path.glob("died-1-*"))) == 2
    recorded = runs.load("grid", "quick", folder=record.csv.parent)
    assert recorded.seeds == [0, 3]
    assert recorded.frame.threads.tolist() == [1, 1]
    assert not multiprocessing.active_children()


def test_an_interrupted_pool_ends_its_processes_and_loses_nothing(record, monkeypatch):
    record([0, 1], folder="straight")
    real, added = recordings.add, []

    def add(*arguments):
        if added:
            raise KeyboardInterrupt
        added.append(arguments[1])
        real(*arguments)

    with monkeypatch.context() as context:
        context.setattr(recordings, "add", add)
        with pytest.raises(KeyboardInterrupt):
            record([0, 1], workers=2)
    assert not multiprocessing.active_children()
    assert list(recordings.recorded_cells("grid", "quick", record.csv.parent)) == added
    record([0, 1])
    assert record.csv.read_bytes() == record.straight.read_bytes()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, three processes that speak TCP; the scheduler's file and the processes."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    environment = {**os.environ, "CLEANPRIO_ORIGIN": "stand-in", "PYTHONPATH": str(provenance.PACKAGE.parent)}

    def start(*command):
        whole = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(file)]
        return subprocess.Popen(whole, env=environment, cwd=folder, stderr=subprocess.DEVNULL)

    processes = [start("scheduler", "--port", "0", "--no-dashboard", "--host", "tcp://127.0.0.1")]
    while not file.exists():
        time.sleep(0.1)
    processes += [start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    yield str(file), processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_killed_worker_of_a_cluster_changes_no_byte(record, register, cluster):
    from distributed import Client

    file, (_, doomed, _) = cluster
    register(Grid(LONG, "width", (8, 4)))
    record([0, 1], folder="straight")
    with Client(scheduler_file=file, set_as_default=False) as client:
        client.wait_for_workers(2)
        assert all(address.startswith("tcp://") for address in client.scheduler_info()["workers"])
        client.run(exec, "from cleanprio_lib import checkpoints; checkpoints.CHECKPOINT_SECONDS = 0")
    killed = []

    def kill():
        while len(found := list(record.checkpoints.glob("*.pt"))) < 2:
            time.sleep(0.01)
        killed.extend(checkpoints.how_far(path)[0] for path in found)
        doomed.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    recorded = record([0, 1], dask=file)
    killer.join()
    assert len(killed) == 2
    assert all(0 <= epoch < LONG.training.epochs for epoch in killed)
    assert doomed.wait() == -signal.SIGKILL
    assert {entry["threads"] for entry in recorded.cells.values()} == {1}
    assert sorted(record.csv.read_bytes().splitlines()) == sorted(record.straight.read_bytes().splitlines())
    assert record.csv.read_bytes() == record.straight.read_bytes()


def test_a_scheduler_that_is_gone_leaves_what_was_done(record, register, cluster, monkeypatch):
    from distributed import Client

    file, (scheduler, _, _) = cluster
    with Client(scheduler_file=file, set_as_default=False) as client:
        client.run(exec, "from cleanprio_lib import cells; cells._source.cache_clear()")
    monkeypatch.setattr(sweeps, "ALIVE_SECONDS", 0.5)
    register(Grid(LONG, "width", (8, 4)))
    real = recordings.add

    def add(*arguments):
        real(*arguments)
        scheduler.kill()

    with monkeypatch.context() as context:
        context.setattr(recordings, "add", add)
        with pytest.raises(
            RuntimeError, match=r"the Dask scheduler at .*scheduler.json is gone|was lost"
        ) as raised:
            record([0, 1], dask=file)
    assert raised.value.__notes__ == [runs.RESUME]
    assert list(recordings.recorded_cells("grid", "quick", record.csv.parent)) == [Cell(0, 8)]


def test_verify_runs_one_cell_again(record):
    record([0, 1])
    where = {"folder": record.csv.parent, "progress": False}
    assert (verification.verify("grid", "quick", **where).difference == 0).all()
    assert (verification.verify("grid", "quick", seed=1, value=8, **where).difference == 0).all()
    frame = recordings.read_csv(record.csv)
    frame.loc[(frame.width == 8) & (frame.seed == 1), "test_loss"] += 0.1
    frame.to_csv(record.csv, index=False)
    other = verification.verify("grid", "quick", seed=1, value=8, **where)
    assert other.index[~other.agrees].tolist() == ["test_loss"]
    assert (verification.verify("grid", "quick", seed=1, value=4, **where).difference == 0).all()
    with pytest.raises(
        ValueError, match="must be of a recorded cell, got 1 and 5; recorded: 4-0, 4-1, 8-0, 8-1"
    ):
        verification.verify("grid", "quick", seed=1, value=5, **where)


def _listed(record):
    return runs.table(folder=record.csv.parent, checkpoints=record.checkpoints).iloc[0]


def test_settings_that_changed_make_a_recording_stale(record, register):
    record([0])
    assert _listed(record).status == "recorded"
    register(Grid(replace(BASE, level=0.2, targets="true"), "width", (8, 4)))
    assert _listed(record).status == "stale: level, targets changed since"
    register(BASE)
    assert _listed(record).status == "stale: net, swept changed since"


def test_other_data_than_the_books_make_a_recording_stale(record):
    record([0])
    facts = json.loads(record.json.read_text())
    facts["data"]["source"] = "MNIST"
    record.json.write_text(json.dumps(facts))
    assert _listed(record).status == "stale: other data than the book's"


def test_an_older_source_is_said_and_is_not_stale(record):
    record([0])
    assert _listed(record).source == "same"
    facts = json.loads(record.json.read_text())
    for count, said in ((1, "1 of 2 older"), (2, "older")):
        facts["cells"][count - 1]["source_sha256"] = "0" * 64
        record.json.write_text(json.dumps(facts))
        assert (_listed(record).status, _listed(record).source) == ("recorded", said)


def test_watch_shows_progress_and_time_left_until_nothing_runs(record, monkeypatch):
    record([0])
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    _stop_at(monkeypatch, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        record([1])
    path = record.checkpoints / "grid-quick-8-1.pt"
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "seconds": 90.0}, path)
    lock = cells.only_one(path.with_suffix(".lock"), "a test")
    lock.__enter__()
    assert _listed(record).status == "recorded (1 running more)"
    shown = []
    listing.watch(
        record.csv.parent,
        record.checkpoints,
        show=shown.append,
        sleep=lambda seconds: lock.__exit__(None, None, None),
    )
    # One of three epochs took a minute and a half: two are left.
    running = shown[0].splitlines()[2].split()
    cell = ["grid", "quick", "width", "8,", "seed", "1"]
    assert running == [*cell, "running", "1", "3", "1.5", "3.0"]
    assert shown[0].splitlines()[-1] == "grid quick: 2 cells recorded"
    (waiting,) = shown[1:]
    assert waiting.splitlines()[0] == "nothing is running"
    assert waiting.splitlines()[2].split() == [*cell, "begun", "1", "3", "1.5", "3.0"]
    assert _listed(record).status == "recorded (1 begun more)"


def test_the_command_line_watches(record, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path))
    assert cli.main(["runs", "--watch"]) == 0
    assert capsys.readouterr().out.strip() == "nothing is running"
