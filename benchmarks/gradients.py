"""Angles of per-sample gradients against every other way to have them: time, peak memory, digits.

    python benchmarks/gradients.py [--samples N] [--repeats K] [--nets NAME ...] [--out FILE.json]

Three quantities, on a 784-512-512-1 ReLU net, the MNIST CNN and ResNet-9, each trained for a few steps on
the built-in stand-in data:

- *a*: the angle of each sample's gradient with the sum of a subset's, one logit;
- *d*: the same for each of ten logits;
- *c*: the angles between the derivatives of two sets of samples, one logit.

What they are compared with, all of them in the same batches of samples, float32:

- **floor**: nothing but one forward and, for each logit, one ordinary backward pass over the same samples;
- **floor, at once**: the same with all samples in one batch. Slower, but the measure for memory: as the
  engine does, it holds every sample's activations;
- **norms + jvp**: the subset's gradient from an ordinary backward pass, inner products with it from
  `torch.func.jvp`, norms from this library. It is half our own and gets faster as the engine does, so its
  ratio is shown and nothing is claimed of it;
- **Opacus norms + jvp** and **BackPACK norms + jvp**: norms from Opacus (ghost clipping) or BackPACK
  (`BatchL2Grad`) instead;
- **vmap + sum**, **Opacus**, **BackPACK**: all gradients of a few samples written out by `vmap(grad)`, by
  Opacus or by BackPACK (`BatchGrad`), the subset's gradient again from an ordinary backward pass;
- **vmap twice**: `vmap(grad)` alone, first for the subset's gradient and again for the angles;
- for *c*, **Jacobian product**: the matrix of all gradients by `vmap(grad)`, times its transpose.

Peers are given the cheapest way known to use them: an ordinary pass for the sum instead of a second one of
their own, and Opacus one forward pass for both. All take turns in one process; what is claimed is the ratio
of the fastest repeats' wall times, and the process's CPU time stands beside it. A peer more than eight times
slower than the floor in the first repeat takes part in one more only: no claim hangs on its third digit.
Peak memory is measured in a process of its own for each, above what it held before. A peer that is not
installed (`pip install cleanprio_lib[bench]`), or that refuses the net, is reported in words.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from cleanprio_lib import data, gradients, models, provenance
from cleanprio_lib.gradients.capture import CapturedNet

SEED = 0
SAMPLES = 512
SLOW, SLOW_REPEATS = 8.0, 2
WRITTEN_OUT = 16  # samples whose gradients a peer writes out at once
TRAINING_STEPS, TRAINING_BATCH = 8, 32
CHECKED = 8
SINGLE_PRECISION = 1e-6
FLOOR_AT_ONCE = "floor, at once"
FLOORS = ("floor", FLOOR_AT_ONCE)
HALF_OURS = "norms + jvp"
Run = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """A quantity on a net, and what is claimed of it.

    Attributes:
        name: quantity and net, for the table.
        kind: "a", "c" or "d".
        net: a key of `NETS`.
        logits: of the net.
        share: of the samples asked for, so that every case takes seconds.
        over_floor: at most so many times the floor's time.
        over_peers: at least so many times the speed of the fastest peer that has nothing of this library.
        over_vmap: at least so many times the speed of vmap alone.
        memory: at most so many times the memory of the floor at once.
    """

    name: str
    kind: str
    net: str
    logits: int
    share: float
    over_floor: float | None = None
    over_peers: float | None = None
    over_vmap: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Problem:
    """A net in evaluation mode, inputs (n, ...), labels and a subset, taken `batch` samples at a time."""

    net: nn.Module
    x: Tensor
    y: Tensor
    mask: Tensor
    logits: int
    batch: int

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        for start in range(0, len(self.x), self.batch):
            rows = slice(start, start + self.batch)
            yield rows, self.x[rows]

    def weights(self, logits: Tensor, rows: slice) -> Tensor:
        """(n, C) residuals in the subset, 0 outside."""
        return (gradients.residuals(logits.detach(), self.y[rows]) * self.mask[rows, None]).float()


NETS: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    "784-512-512-1": (
        "mnist",
        lambda logits: models.fully_connected(784, 512, depth=3, num_outputs=logits, seed=SEED),
    ),
    "MNIST CNN": ("mnist", lambda logits: models.mnist_cnn(num_classes=logits, seed=SEED)),
    "ResNet-9": ("cifar10", lambda logits: models.resnet9(num_classes=logits, seed=SEED)),
}
FCN, CNN, RESNET = NETS
CASES = (
    Case("a, 784-512-512-1", "a", FCN, 1, 4, over_floor=1.6, over_peers=2, memory=2),
    Case("a, MNIST CNN", "a", CNN, 1, 1, over_floor=1.6, over_peers=2, over_vmap=5, memory=2),
    Case("a, ResNet-9", "a", RESNET, 1, 1 / 16, over_floor=1.6, over_peers=1.7, memory=2),
    Case("d, MNIST CNN", "d", CNN, 10, 1 / 4, over_floor=1.8, over_peers=3),
    Case("d, ResNet-9", "d", RESNET, 10, 1 / 32, over_floor=1.8, over_peers=2.5),
    Case("c, 784-512-512-1", "c", FCN, 1, 1, over_floor=1.0, over_peers=50),
    Case("c, MNIST CNN", "c", CNN, 1, 1 / 4, over_peers=3),
    Case("c, ResNet-9", "c", RESNET, 1, 1 / 16),
)


def problem_of(case: Case, samples: int, *, steps: int = TRAINING_STEPS) -> Problem:
    """The case's net after a few steps of training; labels are digits, or whether a digit is at least 5."""
    name, make = NETS[case.net]
    split = data.load(name, origin="stand-in")
    count = max(2, round(samples * case.share))
    x = torch.from_numpy(split.x_train).float() / 255
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    y = torch.from_numpy(split.y_train.astype(np.int64))
    y = y if case.logits > 1 else (y >= 5).long()
    net = make(case.logits)
    _train(net, x[-TRAINING_BATCH * TRAINING_STEPS :], y[-TRAINING_BATCH * TRAINING_STEPS :], steps)
    x = x[:count].contiguous()
    batch = CapturedNet(net.eval(), torch.float32).batch
    return Problem(net, x, y[:count], torch.arange(count) % 5 < 3, case.logits, batch)


def _train(net: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    """Steps small enough for logits of order one: BatchNorm's running means lag behind larger ones."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    for rows in torch.arange(len(x)).split(TRAINING_BATCH)[:steps]:
        logits = net(x[rows])
        one = logits.shape[1] == 1
        loss = (
            F.binary_cross_entropy_with_logits(logits[:, 0], y[rows].float())
            if one
            else F.cross_entropy(logits, y[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.zero_grad()


def floor(problem: Problem) -> Run:
    """One forward and C backward passes, and nothing kept."""

    def run() -> Tensor:
        for _, x in problem.parts():
            logits = problem.net(x)
            for c in range(problem.logits):
                _backward(problem.net, logits[:, c].sum(), last=c == problem.logits - 1)
        return logits

    return run


def floor_at_once(problem: Problem) -> Run:
    return floor(replace(problem, batch=len(problem.x)))


def ours(problem: Problem) -> Run:
    def run() -> Tensor:
        angles = gradients.sample_gradient_angles(problem.net, problem.x, problem.y, problem.mask)
        return angles.reshape(len(problem.x), problem.logits).cos()

    return run


def norms_and_jvp(problem: Problem) -> Run:
    """Norms from the library's records, which come from the same forward pass as the sums."""
    captured = CapturedNet(problem.net, torch.float32)
    unit = torch.eye(problem.logits)

    def visit(rows: slice, x: Tensor) -> tuple[list[Any], Tensor]:
        caught = captured.forward(x, with_parameters=True)
        weights = problem.weights(caught.logits, rows)
        sums = [list(caught.parameter_gradients(weights * row).values()) for row in unit]
        with torch.no_grad():
            records = caught.records(unit[:, None].expand(-1, len(x), -1))
            return sums, sum(record.square_norms() for record in records.values())  # type: ignore[return-value]

    return partial(_with_jvp, problem, visit)


def opacus_and_jvp(problem: Problem) -> Run:
    """Ghost norms of Opacus; with one logit, one forward pass serves the sum too."""
    module = importlib.import_module("opacus.grad_sample.grad_sample_module_fast_gradient_clipping")
    wrapped = module.GradSampleModuleFastGradientClipping(
        copy.deepcopy(problem.net), loss_reduction="sum", max_grad_norm=1.0, use_ghost_clipping=True
    )

    wrapped.train()  # the only mode Opacus works in; a net with BatchNorm it refuses

    def visit(rows: slice, x: Tensor) -> tuple[list[Any], Tensor]:
        sums, norms = [], []
        for c in range(problem.logits):
            logits = wrapped(x)
            wrapped.disable_hooks()
            weighted = (problem.weights(logits, rows) * logits)[:, c].sum()
            sums.append(_backward(wrapped, weighted, last=False))
            wrapped.enable_hooks()
            logits[:, c].sum().backward()
            norms.append(wrapped.get_norm_sample().double().square())
            wrapped.zero_grad()
        return sums, torch.stack(norms, dim=1)

    return partial(_with_jvp, problem, visit)


def backpack_and_jvp(problem: Problem) -> Run:
    """Norms of BackPACK's BatchL2Grad, which needs a forward pass for each backward pass."""
    extended, extension, backpack = _backpack(problem, "BatchL2Grad")

    def visit(rows: slice, x: Tensor) -> tuple[list[Any], Tensor]:
        norms = []
        for c in range(problem.logits):
            with backpack(extension()):
                extended(x)[:, c].sum().backward()
            parameters = list(extended.parameters())
            norms.append(torch.stack([p.batch_l2 for p in parameters]).double().sum(0))
            _forget(parameters, "batch_l2")
        return _sums(problem, rows, x), torch.stack(norms, dim=1)

    return partial(_with_jvp, problem, visit)


def vmap_and_sum(problem: Problem) -> Run:
    return partial(_written_out, problem, partial(_vmap_gradients, problem))


def vmap_twice(problem: Problem) -> Run:
    return partial(_written_out, problem, partial(_vmap_gradients, problem), twice=True)


def opacus(problem: Problem) -> Run:
    module = importlib.import_module("opacus.grad_sample")
    wrapped = module.GradSampleModule(copy.deepcopy(problem.net), loss_reduction="sum").train()

    def gradients_of(x: Tensor, c: int) -> list[Tensor]:
        wrapped(x)[:, c].sum().backward()
        parameters = list(wrapped.parameters())
        each = [p.grad_sample for p in parameters]
        _forget(parameters, "grad_sample")
        return each

    return partial(_written_out, problem, gradients_of)


def backpack(problem: Problem) -> Run:
    extended, extension, context = _backpack(problem, "BatchGrad")

    def gradients_of(x: Tensor, c: int) -> list[Tensor]:
        with context(extension()):
            extended(x)[:, c].sum().backward()
        parameters = list(extended.parameters())
        each = [p.grad_batch for p in parameters]
        _forget(parameters, "grad_batch")
        return each

    return partial(_written_out, problem, gradients_of)


def our_pairs(problem: Problem) -> Run:
    half = len(problem.x) // 2
    return lambda: gradients.derivative_angles(problem.net, problem.x[:half], problem.x[half:]).cos()


def jacobian_product(problem: Problem) -> Run:
    """The matrices of all gradients of both halves, multiplied."""

    def jacobian(x: Tensor) -> Tensor:
        p = sum(map(torch.numel, problem.net.parameters()))
        rows = torch.empty(len(x), p)
        for start in range(0, len(x), WRITTEN_OUT):
            parts = _vmap_gradients(problem, x[start : start + WRITTEN_OUT], 0)
            torch.cat([part.flatten(1) for part in parts], dim=1, out=rows[start : start + WRITTEN_OUT])
        return rows

    def run() -> Tensor:
        half = len(problem.x) // 2
        one, two = jacobian(problem.x[:half]), jacobian(problem.x[half:])
        return one @ two.t() / (_norms(one)[:, None] * _norms(two))

    return run


METHODS: dict[str, Callable[[Problem], Run]] = {
    "floor": floor,
    FLOOR_AT_ONCE: floor_at_once,
    "ours": ours,
    HALF_OURS: norms_and_jvp,
    "Opacus norms + jvp": opacus_and_jvp,
    "BackPACK norms + jvp": backpack_and_jvp,
    "vmap + sum": vmap_and_sum,
    "vmap twice": vmap_twice,
    "Opacus": opacus,
    "BackPACK": backpack,
}
PAIR_METHODS = {"floor": floor, "ours": our_pairs, "Jacobian product": jacobian_product}


def methods_of(case: Case) -> dict[str, Callable[[Problem], Run]]:
    return PAIR_METHODS if case.kind == "c" else METHODS


def prepared(case: Case, samples: int) -> tuple[dict[str, Run], dict[str, str]]:
    """What can run the case, and why the others cannot, in words."""
    problem = problem_of(case, samples)
    tiny = replace(problem, x=problem.x[:4], y=problem.y[:4], mask=problem.mask[:4])
    able, unable = {}, {}
    for name, prepare in methods_of(case).items():
        try:
            prepare(tiny)()
            able[name] = prepare(problem)
        except ImportError:
            unable[name] = "is not installed"
        except NotImplementedError:
            unable[name] = "refuses the net"
    return able, unable


def measure(runs: dict[str, Run], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of each run in each repeat, all in turn, each repeat beginning with another."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    names = list(runs)
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            slow = repeat > 0 and seconds[name][0][0] > SLOW * seconds["floor"][0][0]
            if not slow or repeat < SLOW_REPEATS:
                cpu, wall = time.process_time(), time.perf_counter()
                runs[name]()
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def errors(case: Case, runs: dict[str, Callable[[Problem], Run]]) -> dict[str, float]:
    """Largest error of a cosine of each method on a few samples, against all gradients in float64.

    Ours also has the relative error of squared norms, under the name "squared norms".
    """
    problem = problem_of(replace(case, share=1), CHECKED)
    double = replace(problem, net=copy.deepcopy(problem.net).double(), x=problem.x.double())
    each = torch.stack([_flat(_vmap_gradients(double, double.x, c)) for c in range(case.logits)], dim=1)
    residuals = gradients.residuals(double.net(double.x).detach(), problem.y)
    half = len(problem.x) // 2
    if case.kind == "c":
        unit = F.normalize(each[:, 0], dim=1)
        wanted = unit[:half] @ unit[half:].t()
    else:
        sums = torch.einsum("n,nc,ncp->cp", problem.mask.double(), residuals, each)
        wanted = F.cosine_similarity(each, sums, dim=2, eps=0) * residuals.sign()
    found = {name: float((prepare(problem)() - wanted).abs().max()) for name, prepare in runs.items()}
    alone = torch.eye(len(problem.x), dtype=torch.bool)
    norms = gradients.subset_gradients(problem.net, problem.x, problem.y, alone).norms
    squares = (residuals * each.norm(dim=2)).square().t()
    return found | {"squared norms": float((norms.square() / squares.reshape(norms.shape) - 1).abs().max())}


def peak_memory(case: Case, name: str, samples: int) -> float | None:
    """MiB that a method takes at most above what its process held before; None where that is not known."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_above_rest, (case, name, samples, torch.get_num_threads()))


def _peak_above_rest(case: Case, name: str, samples: int, threads: int) -> float | None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    problem = problem_of(case, samples, steps=0)
    run = methods_of(case)[name](problem)
    methods_of(case)[name](replace(problem, x=problem.x[:4], y=problem.y[:4], mask=problem.mask[:4]))()
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def benchmark(cases: Sequence[Case], samples: int, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """All claims, and the times, memory and errors behind them; a row for each case and method."""
    claims, rows = [], []
    for case in cases:
        runs, unable = prepared(case, samples)
        seconds = measure(runs, repeats)
        exact = errors(case, {name: methods_of(case)[name] for name in runs if name not in FLOORS})
        memory = {name: peak_memory(case, name, samples) for name in runs}
        claims += compare(case, seconds, memory, exact)
        size = max(2, round(samples * case.share))
        for name in methods_of(case):
            row: dict[str, Any] = {"case": case.name, "samples": size, "method": name}
            if name in unable:
                rows.append(row | {"remark": unable[name]})
                continue
            wall, cpu = (min(clock) for clock in zip(*seconds[name], strict=True))
            base_wall, base_cpu = (min(clock) for clock in zip(*seconds["floor"], strict=True))
            rows.append(
                row
                | {"seconds": wall, "x floor": wall / base_wall, "x floor, CPU": cpu / base_cpu}
                | {"MiB": memory[name], "error": exact.get(name), "repeats": len(seconds[name]), "remark": ""}
            )
        print(f"{case.name}: measured", flush=True)
    return {"claims": claims, "measurements": rows}


def compare(
    case: Case,
    seconds: dict[str, list[tuple[float, float]]],
    memory: dict[str, float | None],
    exact: dict[str, float],
) -> list[dict[str, Any]]:
    """A row for each claim about a case."""
    peers = [name for name in seconds if name not in (*FLOORS, "ours", HALF_OURS)]
    best = min(peers, key=lambda name: min(seconds[name]))
    row = partial(_row, case.name)
    times = {name: [min(clock) for clock in zip(*both, strict=True)] for name, both in seconds.items()}
    rows = [
        row("time, over the floor", times["ours"], times["floor"], most=case.over_floor),
        row(f"speed, over the best peer: {best}", times[best], times["ours"], least=case.over_peers),
    ]
    if HALF_OURS in times:
        rows.append(row(f"speed, over {HALF_OURS}, half our own", times[HALF_OURS], times["ours"]))
    if case.over_vmap:
        rows.append(row("speed, over vmap twice", times["vmap twice"], times["ours"], least=case.over_vmap))
    mine, base = memory["ours"], memory.get(FLOOR_AT_ONCE)
    if case.memory and mine is not None and base:
        rows.append(row("peak memory, over the floor at once", [mine], [base], most=case.memory))
    rows.append(row("error of a cosine", [exact["ours"]], [1], most=SINGLE_PRECISION))
    return [
        *rows,
        row("relative error of a squared norm", [exact["squared norms"]], [1], most=SINGLE_PRECISION),
    ]


def _row(
    case: str,
    what: str,
    above: Sequence[float],
    below: Sequence[float],
    *,
    least: float | None = None,
    most: float | None = None,
) -> dict[str, Any]:
    """Claims are about the first pair, wall times; CPU times, where there are any, are the second."""
    value = above[0] / below[0]
    bound = f"≥ {least:g}" if least is not None else f"≤ {most:g}" if most is not None else "no claim"
    reached = (least is None or value >= least) and (most is None or value <= most)
    return {
        "what": f"{case}: {what}",
        "value": value,
        "must": bound,
        "reached": "–" if bound == "no claim" else "yes" if reached else "no",
        "of CPU times": above[1] / below[1] if len(above) > 1 else None,
    }


def _backward(net: nn.Module, value: Tensor, *, last: bool = True) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, list(net.parameters()), retain_graph=not last)


def _sums(problem: Problem, rows: slice, x: Tensor) -> list[tuple[Tensor, ...]]:
    """The subset's gradient in one batch, for each logit."""
    logits = problem.net(x)
    weighted = (problem.weights(logits, rows) * logits).sum(0)
    return [_backward(problem.net, value, last=c == len(weighted) - 1) for c, value in enumerate(weighted)]


def _add(total: list[list[Tensor]], sums: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    return [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(total, sums, strict=True)] or [
        list(own) for own in sums
    ]


def _with_jvp(problem: Problem, visit: Callable[[slice, Tensor], tuple[list[Any], Tensor]]) -> Tensor:
    """(n, C) cosines: sums and norms from `visit`, inner products from forward-mode derivatives."""
    total: list[list[Tensor]] = []
    norms, dots = [], []
    for rows, x in problem.parts():
        sums, square_norms = visit(rows, x)
        total = _add(total, sums) if total else [list(own) for own in sums]
        norms.append(square_norms)
    names = [name for name, _ in problem.net.named_parameters()]
    weights = {name: value.detach() for name, value in problem.net.named_parameters()}
    signs = gradients.residuals(torch.zeros(len(problem.x), problem.logits), problem.y).sign()
    for _, x in problem.parts():
        function = partial(functional_call, problem.net, args=(x,))
        along = [
            jvp(function, (weights,), (dict(zip(names, own, strict=True)),))[1][:, c]
            for c, own in enumerate(total)
        ]
        dots.append(torch.stack(along, dim=1).detach().double())
    return signs * torch.cat(dots) / (torch.cat(norms).sqrt() * _total_norms(total))


def _written_out(
    problem: Problem, gradients_of: Callable[[Tensor, int], list[Tensor]], *, twice: bool = False
) -> Tensor:
    """(n, C) cosines from gradients that are written out, some samples at a time."""
    small = replace(problem, batch=min(problem.batch, WRITTEN_OUT))
    total: list[list[Tensor]] = []
    for rows, x in (small if twice else problem).parts():
        if twice:
            with torch.no_grad():
                weights = problem.weights(problem.net(x), rows)
            sums: Any = [
                [torch.tensordot(weights[:, c], part, 1) for part in gradients_of(x, c)]
                for c in range(problem.logits)
            ]
        else:
            sums = _sums(problem, rows, x)
        total = _add(total, sums) if total else [list(own) for own in sums]
    signs = gradients.residuals(torch.zeros(len(problem.x), problem.logits), problem.y).sign()
    dots, norms = [], []
    for _, x in small.parts():
        for c, own in enumerate(total):
            each = gradients_of(x, c)
            dots.append(sum((e.flatten(1) @ g.flatten()).double() for e, g in zip(each, own, strict=True)))
            norms.append(sum(e.flatten(1).square().sum(1).double() for e in each))
    return signs * _by_logit(dots, problem) / (_by_logit(norms, problem).sqrt() * _total_norms(total))


def _by_logit(parts: list[Any], problem: Problem) -> Tensor:
    """(n, C) from a list of batches, each logit by logit."""
    return torch.cat(
        [torch.stack(parts[i : i + problem.logits], 1) for i in range(0, len(parts), problem.logits)]
    )


def _total_norms(total: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack([g.double().square().sum() for g in own]).sum().sqrt() for own in total])


def _vmap_gradients(problem: Problem, x: Tensor, c: int) -> list[Tensor]:
    """(n, ...) derivatives of logit c by each parameter, all samples at once."""
    weights = {name: value.detach() for name, value in problem.net.named_parameters()}

    def logit(own: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(problem.net, own, (sample[None],))[0, c]

    return list(vmap(grad(logit), (None, 0))(weights, x).values())


def _backpack(problem: Problem, extension: str) -> tuple[nn.Module, Any, Any]:
    package = importlib.import_module("backpack")
    extended = package.extend(copy.deepcopy(problem.net))
    return extended, getattr(importlib.import_module("backpack.extensions"), extension), package.backpack


def _forget(parameters: Sequence[nn.Parameter], name: str) -> None:
    for parameter in parameters:
        parameter.grad = None
        setattr(parameter, name, None)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def _norms(rows: Tensor) -> Tensor:
    return rows.square().sum(1).sqrt()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description="Angles of per-sample gradients against every other way.")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="of the MNIST CNN (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each method (default: %(default)s)")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="(default: all)")
    parser.add_argument("--out", type=Path, help="also write everything to this .json")
    chosen = parser.parse_args(arguments)
    if chosen.out and chosen.out.suffix != ".json":
        parser.error(f"--out must end in .json, got {chosen.out.name}")
    warnings.simplefilter("ignore")
    facts = {
        "machine": provenance.describe_device("cpu"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "repeats": chosen.repeats,
    }
    print(", ".join(f"{key}: {value}" for key, value in facts.items()), flush=True)
    cases = [case for case in CASES if case.net in chosen.nets]
    result = benchmark(cases, chosen.samples, chosen.repeats)
    claims, rows = pd.DataFrame(result["claims"]), pd.DataFrame(result["measurements"])
    print("\nTimes are of the fastest repeat; errors are the largest of a cosine:")
    print(_text(rows), "\n\nThe claims:", _text(claims), sep="\n")
    short = claims[claims["reached"] == "no"]
    print("\nAll claims hold here." if short.empty else "\nFalls short here:")
    for _, row in short.iterrows():
        print(f"  {row['what']}: {row['value']:.3g}, must be {row['must']}")
    if chosen.out:
        chosen.out.write_text(json.dumps(facts | result, indent=1, ensure_ascii=False) + "\n", "utf8")


def _text(frame: pd.DataFrame) -> str:
    return frame.fillna("").to_string(index=False, float_format="{:.3g}".format)


if __name__ == "__main__":
    main()
