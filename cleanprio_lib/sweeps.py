"""Many cells computed at once: in processes of this machine, or by the workers of a Dask cluster.

A cell's numbers do not depend on who computes it, or on how many others are: its seed and settings are its
own, and so is its number of threads, on which the last bits of sums depend. Workers compute and save
checkpoints; only the process that asked writes results.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm.auto import tqdm

from cleanprio_lib.cells import Job, Result, UnfitWorkerError, work

TRIES = 3  # of a cell whose process dies: killed by hand, or by the system for want of memory
ALIVE_SECONDS = 5.0  # how often a silent scheduler is asked whether it is still there
SPAWN = multiprocessing.get_context("spawn")


class WorkerDiedError(RuntimeError):
    """A process ended without an answer."""


def compute_all(
    jobs: Sequence[Job],
    keep: Callable[[Result], None],
    *,
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = True,
) -> None:
    """Compute all cells, in their order, by several workers; each is kept as it ends.

    A cell that fails does not keep the others from being computed. A full disk, a worker with other source or
    data, a scheduler that is gone and Ctrl-C end it at once.

    Args:
        jobs: cells to compute.
        keep: what to do with a result, in this process.
        workers: so many processes of this machine; at most its cores by the threads of a cell.
        dask: instead, a scheduler's address, its file (`….json`), or "local:4" for a cluster of four
            processes here.
        progress: show how many are done.

    Raises:
        ValueError: more workers than the machine's cores allow.
        RuntimeError: cells that failed, with the reasons; or a worker does not fit; or the scheduler is gone.
        OSError: a disk is full, or no scheduler answers.
    """
    opened = _processes(1 if workers is None else workers, jobs) if dask is None else _dask(dask, jobs)
    failed = []
    with opened as (submit, check), tqdm(total=len(jobs), unit="cell", disable=not progress) as bar:
        pending = {submit(job): job for job in jobs}
        while pending:
            done = wait(pending, timeout=ALIVE_SECONDS, return_when="FIRST_COMPLETED").done
            check()
            for future in done:
                job = pending.pop(future)
                try:
                    result = future.result()
                except (OSError, UnfitWorkerError):
                    raise
                except CancelledError:
                    raise RuntimeError(f"the connection to {dask} was lost") from None
                except Exception as error:
                    failed.append(f"{job.label}: {error}")
                else:
                    keep(result)
                bar.update()
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(jobs)} cells failed: {'; '.join(failed)}")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Opened = tuple[Callable[[Job], "Future[Result]"], Callable[[], None]]


@contextmanager
def _processes(count: int, jobs: Sequence[Job]) -> Iterator[Opened]:
    """`submit` and `check` for processes of this machine, each fed by a thread of this one."""
    _check_budget(count, jobs)
    idle: list[_Process | None] = [None] * min(count, len(jobs))  # each started by the first cell it gets
    everyone: list[_Process] = []
    stopped = threading.Event()

    def started() -> _Process:
        process = _Process()
        everyone.append(process)
        if stopped.is_set():  # since it was asked for, so that nobody else will end it
            process.process.kill()
        return process

    def attempt(job: Job) -> Result:
        for _ in range(TRIES):
            process = idle.pop()
            try:
                process = process or started()
                return process.call(job)
            except WorkerDiedError:
                process = None
                if stopped.is_set():
                    raise
            finally:
                idle.append(process)
        raise WorkerDiedError(f"its process died {TRIES} times, as one does that is killed or lacks memory")

    threads = ThreadPoolExecutor(len(idle))
    try:
        yield lambda job: threads.submit(attempt, job), lambda: None
    finally:
        stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
        for process in everyone:
            process.process.kill()
        threads.shutdown()
        for process in everyone:
            process.process.join()


class _Process:
    """A process that computes cells, one after another."""

    def __init__(self) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()  # so that its end closes the pipe

    def call(self, job: Job) -> Result:
        try:
            self.pipe.send(job)
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise WorkerDiedError("its process was killed") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Any) -> None:
    """Answer jobs with results or exceptions until the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        job = pipe.recv()
        try:
            answer: Result | Exception = work(job)
        except Exception as error:
            answer = _portable(error)
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """The exception, or one with its words where it cannot travel between processes."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _dask(address: str, jobs: Sequence[Job]) -> Iterator[Opened]:
    """`submit` and `check` for a Dask cluster; a cell whose worker dies goes to another by itself."""
    try:
        import distributed
    except ImportError:
        raise RuntimeError("dask needs the package distributed: pip install 'cleanprio_lib[sweep]'") from None
    with ExitStack() as stack:
        scheduler: dict[str, Any] = {"address": address}
        if address.endswith(".json"):
            scheduler = {"scheduler_file": address}
        elif address.startswith("local:"):
            count = _local_workers(address)
            _check_budget(count, jobs)
            local = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=None, dashboard_address=None
            )
            scheduler = {"address": stack.enter_context(local)}
        client = distributed.Client(**scheduler, set_as_default=False, timeout=2 * ALIVE_SECONDS)
        stack.callback(client.close, timeout=ALIVE_SECONDS)
        executor = client.get_executor(pure=False, retries=0)

        def check() -> None:
            if client.status != "running":
                raise RuntimeError(f"the Dask scheduler at {address} is gone")

        yield lambda job: executor.submit(work, job), check


def _local_workers(address: str) -> int:
    count = address.removeprefix("local:")
    if not count.isdigit() or int(count) < 1:
        raise ValueError(f"dask must be an address, a file, or like local:4, got {address!r}")
    return int(count)


def _check_budget(workers: int, jobs: Sequence[Job]) -> None:
    threads = max((job.threads or 1 for job in jobs), default=1)
    if workers < 1 or workers * threads > cores():
        raise ValueError(
            f"workers must lie in [1, {cores() // threads}], the {cores()} cores of this machine by the "
            f"{threads} of a cell, got {workers}"
        )
