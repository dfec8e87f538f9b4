"""Benchmark of gradients, at a size that measures nothing: that it times and judges what it says."""

import contextlib
import copy
import io
import itertools
import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from benchmarks import gradients as bench
from cleanprio_lib import runs

SMALL = tuple(case for case in bench.CASES if case.net in (bench.FCN, bench.CNN))
PEERS = {"Opacus": "opacus", "BackPACK": "backpack"}


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory):
    """What is written and what is printed; memory, which takes a process a method, is 3 MiB for all."""
    path = tmp_path_factory.mktemp("bench") / "gradients.json"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(bench, "peak_memory", lambda case, name, samples: 3.0)
        arguments = ["--samples", "8", "--repeats", "1", "--nets", bench.FCN, bench.CNN, "--out", str(path)]
        bench.main(arguments)
    return json.loads(path.read_text(encoding="utf-8")), printed.getvalue()


@pytest.fixture(scope="module")
def rows(benchmarked):
    return pd.DataFrame(benchmarked[0]["measurements"])


def test_every_method_of_every_case_has_a_row(rows):
    wanted = [(case.name, name) for case in SMALL for name in bench.methods_of(case)]
    assert list(zip(rows.case, rows.method, strict=True)) == wanted
    assert rows.groupby("case").samples.unique().map(list).to_dict() == {
        case.name: [max(2, round(8 * case.share))] for case in SMALL
    }
    able = rows[rows.remark == ""]
    assert (able[["seconds", "x floor", "x floor, CPU", "MiB", "repeats"]] > 0).all(axis=None)
    assert (able.loc[able.method == "floor", ["x floor", "x floor, CPU"]] == 1).all(axis=None)
    assert set(able.method) >= {"floor", "ours", "norms + jvp", "vmap + sum", "vmap twice"}


def test_all_methods_have_the_same_cosines(rows):
    able = rows[(rows.remark == "") & (~rows.method.isin(bench.FLOORS))]
    for row in able.itertuples():
        case = next(case for case in SMALL if case.name == row.case)
        parameters = sum(p.numel() for p in bench.NETS[case.net][1](case.logits).parameters())
        # Sums of as many float32 products, whose roundings add up as a random walk's steps do.
        bound = bench.SINGLE_PRECISION if row.method == "ours" else math.sqrt(parameters) * 2.0**-23
        assert row.error <= bound, (row.case, row.method)


def test_a_peer_that_is_not_there_is_said_not_to_be(rows):
    for name, module in PEERS.items():
        own = rows[rows.method.isin([name, f"{name} norms + jvp"])]
        assert len(own) == 2 * sum(case.kind != "c" for case in SMALL)
        try:
            __import__(module)
        except ImportError:
            assert set(own.remark) == {"is not installed"}
            assert own.seconds.isna().all()
        else:
            assert set(own.remark) == {""}
    assert not rows.loc[~rows.method.str.contains("Opacus|BackPACK"), "remark"].any()


def test_claims_are_judged_and_what_falls_short_is_said(benchmarked):
    written, printed = benchmarked
    claims = pd.DataFrame(written["claims"])
    names = [case.name for case in SMALL]
    assert claims.what.str.split(": ").str[0].unique().tolist() == names
    for row in claims[claims.reached != "–"].itertuples():
        sign, bound = row.must.split()
        holds = row.value >= float(bound) if sign == "≥" else row.value <= float(bound)
        assert row.reached == ("yes" if holds else "no")
    short = claims[claims.reached == "no"]
    said = [f"  {row.what}: {row.value:.3g}, must be {row.must}" for row in short.itertuples()]
    assert printed.endswith(
        "\n".join(["Falls short here:", *said, ""]) if said else "All claims hold here.\n"
    )


def _by_hand(case):
    """A method of the benchmark: cosines in float64, an ordinary backward pass for each sample and logit."""

    def prepare(problem):
        net, x = copy.deepcopy(problem.net).double(), problem.x.double()

        def derivatives(logits):
            each = (torch.autograd.grad(h, list(net.parameters()), retain_graph=True) for h in logits)
            return torch.stack([torch.cat([part.flatten() for part in parts]) for parts in each])

        def gradients(point, label):
            logits = net(point[None])[0]
            alone = len(logits) == 1
            f = logits.sigmoid() if alone else logits.softmax(0)
            target = label[None] if alone else F.one_hot(label, len(logits))
            return (f - target).detach()[:, None] * derivatives(logits)

        def run():
            half = len(x) // 2
            if case.kind == "c":
                unit = F.normalize(torch.cat([derivatives(net(point[None])[0]) for point in x]), dim=1)
                return unit[:half] @ unit[half:].t()
            each = torch.stack([gradients(*pair) for pair in zip(x, problem.y, strict=True)])
            return F.cosine_similarity(each, each[problem.mask].sum(dim=0), dim=2, eps=0)

        return run

    return prepare


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_errors_are_measured_from_gradients_written_out(case, monkeypatch):
    monkeypatch.setattr(bench, "CHECKED", 4)

    def off(problem):
        run = _by_hand(case)(problem)
        return lambda: run() + 1e-3

    found = bench.errors(case, {"by hand": _by_hand(case), "off": off})
    assert found["by hand"] < 1e-12
    assert found["off"] == pytest.approx(1e-3, abs=1e-12)
    assert 0 < found["squared norms"] < bench.SINGLE_PRECISION


@pytest.mark.parametrize("case", [SMALL[0], SMALL[2]], ids=lambda case: case.name)
def test_batches_are_added_up(case):
    """What the benchmark checks fits into one batch; what it times does not."""
    samples = round(5 / case.share)
    problem = replace(bench.problem_of(case, samples), batch=2)
    wanted = _by_hand(case)(problem)()
    bound = math.sqrt(sum(p.numel() for p in problem.net.parameters())) * 2.0**-23
    for name, prepare in bench.METHODS.items():
        try:
            found = prepare(problem)()
        except ImportError:
            continue  # that this is said, another test checks
        if name in bench.FLOORS:
            continue
        assert (found - wanted).abs().max() < bound, name


def test_the_problem_is_trained_and_cut_as_said(stand_in):
    case = SMALL[0]
    problem, start = bench.problem_of(case, 5), bench.problem_of(case, 5, steps=0)
    assert (len(problem.x), len(problem.y)) == (20, 20)
    assert problem.mask.tolist() == [True, True, True, False, False] * 4
    assert problem.y.tolist() == [int(digit >= 5) for digit in stand_in.y_train[:20]]
    assert problem.x.mul(255).round()[:, 0].int().tolist() == stand_in.x_train[:20].tolist()
    assert not problem.net.training
    changed = [
        not torch.equal(one, two)
        for one, two in zip(problem.net.parameters(), start.net.parameters(), strict=True)
    ]
    assert all(changed)
    assert torch.equal(torch.cat([x for _, x in problem.parts()]), problem.x)


@pytest.mark.parametrize(
    ("value", "bounds", "must", "reached"),
    [
        (2.0, {"least": 2}, "≥ 2", "yes"),
        (1.99, {"least": 2}, "≥ 2", "no"),
        (2.0, {"most": 2}, "≤ 2", "yes"),
        (2.01, {"most": 2}, "≤ 2", "no"),
        (9.0, {}, "no claim", "–"),
    ],
)
def test_a_claim_is_judged_in_its_direction(value, bounds, must, reached):
    row = bench._row("case", "what", [3 * value, 10.0], [3.0, 4.0], **bounds)
    assert row == {
        "what": "case: what",
        "value": pytest.approx(value),
        "must": must,
        "reached": reached,
        "of CPU times": 2.5,
    }
    assert bench._row("case", "what", [1e-7], [1], most=1e-6)["of CPU times"] is None


def _claims(**changes):
    """Of a case in which all claims hold, seconds as (wall, CPU) repeats, with some methods' changed."""
    case = bench.Case("x", "a", bench.FCN, 1, 1, over_floor=1.6, over_peers=2, over_vmap=5, memory=2)
    seconds = {
        "floor": [(1.0, 2.0), (3.0, 1.0)],
        "ours": [(1.5, 9.0), (9.0, 1.25)],
        "slower": [(4.0, 8.0)],
        "best": [(9.0, 1.0), (3.0, 5.0)],
        "norms + jvp": [(2.25, 5.0)],
        "vmap twice": [(7.5, 7.5)],
    } | changes.pop("seconds", {})
    memory = {"floor": 1.0, "floor, at once": 10.0, "ours": 20.0, "best": 1.0} | changes.pop("memory", {})
    exact = {"ours": 1e-6, "squared norms": 1e-6, "best": 1.0} | changes
    rows = bench.compare(case, seconds, memory, exact)
    return {row["what"].removeprefix("x: "): row for row in rows}


def test_claims_compare_what_they_say():
    claims = _claims()
    assert {what: (row["value"], row["must"], row["of CPU times"]) for what, row in claims.items()} == {
        "time, over the floor": (1.5, "≤ 1.6", 1.25),
        "speed, over the best peer: best": (2, "≥ 2", 1 / 1.25),
        "speed, over norms + jvp, half our own": (1.5, "no claim", 5 / 1.25),
        "speed, over vmap twice": (5, "≥ 5", 7.5 / 1.25),
        "peak memory, over the floor at once": (2, "≤ 2", None),
        "error of a cosine": (1e-6, "≤ 1e-06", None),
        "relative error of a squared norm": (1e-6, "≤ 1e-06", None),
    }
    assert {row["reached"] for row in claims.values() if row["must"] != "no claim"} == {"yes"}


@pytest.mark.parametrize(
    ("change", "falls"),
    [
        ({"seconds": {"floor": [(0.9, 1.0)]}}, "time, over the floor"),
        ({"seconds": {"slower": [(2.9, 9.0)]}}, "speed, over the best peer: slower"),
        ({"seconds": {"vmap twice": [(7.4, 1.0)]}}, "speed, over vmap twice"),
        ({"memory": {"ours": 20.1}}, "peak memory, over the floor at once"),
        ({"ours": 1.1e-6}, "error of a cosine"),
        ({"squared norms": 1.1e-6}, "relative error of a squared norm"),
    ],
)
def test_what_is_too_slow_too_large_or_too_wrong_falls_short(change, falls):
    assert [what for what, row in _claims(**change).items() if row["reached"] == "no"] == [falls]


def test_no_claim_about_memory_that_is_not_known():
    assert "peak memory, over the floor at once" not in _claims(memory={"ours": None})
    assert "peak memory, over the floor at once" not in _claims(memory={"floor, at once": None})


def _absent(monkeypatch, *names):
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_peer_that_is_not_installed_is_reported_in_words(monkeypatch):
    _absent(monkeypatch, "opacus", "opacus.grad_sample", "backpack", "backpack.extensions")
    _absent(monkeypatch, "opacus.grad_sample.grad_sample_module_fast_gradient_clipping")
    able, unable = bench.prepared(SMALL[0], 1)
    assert unable == dict.fromkeys(
        ["Opacus norms + jvp", "BackPACK norms + jvp", "Opacus", "BackPACK"], "is not installed"
    )
    assert set(able) == set(bench.METHODS) - set(unable)


def test_a_peer_that_refuses_the_net_is_reported_in_words(monkeypatch):
    def refuse(*arguments, **options):
        raise NotImplementedError("BatchNorm")

    stub = SimpleNamespace(GradSampleModule=refuse)
    monkeypatch.setitem(sys.modules, "opacus.grad_sample", stub)
    able, unable = bench.prepared(SMALL[0], 1)
    assert unable["Opacus"] == "refuses the net"
    assert "Opacus" not in able


def test_a_method_that_breaks_is_not_called_uninstalled(monkeypatch):
    def broken(problem):
        raise RuntimeError("a mistake of the benchmark's own")

    monkeypatch.setitem(bench.METHODS, "ours", broken)
    with pytest.raises(RuntimeError, match="own"):
        bench.prepared(SMALL[0], 1)


def test_all_take_turns_and_a_slow_peer_only_twice(monkeypatch):
    now, order = {"wall": 0.0, "cpu": 0.0}, []
    clock = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["cpu"])
    monkeypatch.setattr(bench, "time", clock)

    def taking(name, seconds):
        def run():
            order.append(name)
            now["wall"] += seconds
            now["cpu"] += 2 * seconds

        return run

    # Powers of two, so that differences of the clock are exact.
    runs = {name: taking(name, s) for name, s in (("floor", 0.25), ("ours", 0.5), ("slow", 4.0))}
    seconds = bench.measure(runs, 4)
    assert seconds == {"floor": [(0.25, 0.5)] * 4, "ours": [(0.5, 1.0)] * 4, "slow": [(4.0, 8.0)] * 2}
    turns = [["floor", "ours", "slow"], ["ours", "slow", "floor"], ["floor", "ours"], ["floor", "ours"]]
    assert order == [*itertools.chain.from_iterable(turns)]


def test_peak_memory_holds_the_matrices_that_must_be_in_memory():
    case = next(case for case in SMALL if (case.kind, case.net) == ("c", bench.FCN))
    found = bench.peak_memory(case, "Jacobian product", 64)
    if found is None:
        pytest.skip("the kernel does not say how much memory was in use")
    parameters = sum(p.numel() for p in bench.NETS[case.net][1](1).parameters())
    both = 64 * parameters * 4 / 2**20
    # Both halves' gradients at the end; beside them one more copy of a half, and a few samples' at most.
    assert both < found < 2.5 * both


def test_only_json_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "benchmark", lambda *arguments: pytest.fail("measured first"))
    with pytest.raises(SystemExit):
        bench.main(["--out", str(tmp_path / "claims.csv")])
    assert "--out must end in .json, got claims.csv" in capsys.readouterr().err


def test_the_recorded_benchmark_is_the_one_that_is_here():
    """At full size, with every peer: cases, methods and bounds as they stand in the code."""
    recorded = json.loads((runs.recorded_folder() / "benchmarks" / "gradients.json").read_text("utf8"))
    assert recorded["repeats"] >= 5
    assert recorded["machine"].endswith("-core CPU")
    rows = pd.DataFrame(recorded["measurements"])
    wanted = [(case.name, name) for case in bench.CASES for name in bench.methods_of(case)]
    assert list(zip(rows.case, rows.method, strict=True)) == wanted
    sizes = {case.name: max(2, round(bench.SAMPLES * case.share)) for case in bench.CASES}
    assert rows.groupby("case").samples.first().to_dict() == sizes
    assert set(rows.remark) <= {"", "refuses the net"}
    bounds = {row["what"]: row["must"] for row in recorded["claims"]}
    for case in bench.CASES:
        if case.over_floor:
            assert bounds[f"{case.name}: time, over the floor"] == f"≤ {case.over_floor:g}"
        if case.over_peers:
            (best,) = [
                must for what, must in bounds.items() if what.startswith(f"{case.name}: speed, over the best")
            ]
            assert best == f"≥ {case.over_peers:g}"
