"""What pages show: escaped, captioned, and loud about stand-in data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cleanprio_lib import experiments, pages
from cleanprio_lib.claims import CLAIMS, Measured, judge
from cleanprio_lib.runs import Recorded

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(pages, "display", outputs.append)
    return outputs


def _run(**facts):
    curve = {"epoch": [0, 1, 2], "test_error": [0.9, 0.05, 0.2]}
    frame = pd.concat([pd.DataFrame({"seed": seed, **curve}) for seed in range(3)], ignore_index=True)
    settings = {
        "level": 0.3,
        "train_samples": 2400,
        "training": {"epochs": 15, "batch_size": 32, "learning_rate": 0.1},
    }
    provenance = {"data": {"source": "MNIST"}, "settings": settings, "seeds": {"0": {"device": "2-core CPU"}}}
    return Recorded("fig-01-mnist-cnn", "laptop", frame, {**provenance, **facts}, True)


def test_a_stand_in_gets_a_banner(shown, stand_in):
    pages.banner(stand_in)
    assert "stand-in-banner" in shown[0].data
    assert "not results on MNIST" in shown[0].data


def test_real_data_get_none(shown, stand_in):
    pages.banner(replace(stand_in, origin="folder", source="MNIST"))
    assert "stand-in-banner" not in shown[0].data
    assert "MNIST was read from the folder" in shown[0].data


def test_a_figure_carries_its_caption_and_escaped_alt_text(shown):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    pages.show(figure, name="fig-x", caption="A <em>line</em>.", alt='rises from "0" to 1')
    assert '<figure class="book-figure" style="margin: 1em 0" id="fig-x">' in shown[0].data
    assert "<figcaption>A <em>line</em>.</figcaption>" in shown[0].data
    assert 'alt="rises from &quot;0&quot; to 1"' in shown[0].data
    assert not plt.get_fignums()


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([0, 1])
        pages.show(figure, name="a", caption="b", alt="c")
    assert shown[0].data == shown[1].data


@pytest.mark.parametrize("missing", ["name", "caption", "alt"])
def test_a_figure_without_words_is_an_error(shown, missing):
    words = {"name": "a", "caption": "b", "alt": "c", missing: " "}
    with pytest.raises(ValueError, match="must not be empty"):
        pages.show(plt.figure(), **words)


def test_a_card_says_claim_numbers_verdict_and_where_the_data_are(shown):
    pages.card(judge(CLAIMS["fig-1"], _run()))
    content = shown[0].data
    for words in (
        "Claim <code>fig-1</code>", "✓ Holds", "<td>0.05</td>", "2,400 training images", "2-core CPU",
        "book/recorded/fig-01-mnist-cnn-laptop.csv", "needs true test labels",
    ):  # fmt: skip
        assert words in content


def test_a_card_speaks_of_early_stopping_only_where_something_is_stopped(shown):
    for rule in (CLAIMS["fig-1"].rule, None):
        pages.card(judge(replace(CLAIMS["fig-1"], rule=rule), _run()))
    assert ["Early stopping" in card.data for card in shown] == [True, False]


def test_a_card_shows_no_numbers_on_a_stand_in(shown):
    pages.card(judge(CLAIMS["fig-1"], _run(data={"source": "built-in stand-in for MNIST"})))
    assert "Not tested at this scale" in shown[0].data
    assert "<table" not in shown[0].data


def test_a_card_writes_subscripts_and_ranges_of_seeds(shown):
    run = _run(seeds={str(seed): {"device": "2-core CPU"} for seed in (0, 1, 2, 4, 6, 7)})
    pages.card(judge(replace(CLAIMS["fig-1"], statement="θ_h < θ_d & so on"), run))
    content = shown[0].data
    assert "θ<sub>h</sub> &lt; θ<sub>d</sub> &amp; so on" in content
    assert "6 seeds, on a 2-core CPU. Seeds 0–2, 4, 6–7. " in content


def test_a_card_writes_numbers_as_people_do(shown):
    def measure(run):
        return (Measured("error", 4.52e-8, -1e-8, 174.84, "below 1e-05 or -1e+03", True),)

    pages.card(judge(replace(CLAIMS["fig-1"], measure=measure), _run()))
    assert "<td>below 10⁻⁵ or −10³</td>" in shown[0].data
    assert "<td>4.52\u00a0×\u00a010⁻⁸ <span class='interval'>[−10⁻⁸, 174.8]</span></td>" in shown[0].data


def test_a_card_says_which_numbers_are_premises(shown):
    numbers = [replace(Measured(f"q{i}", 1, 1, 1, "1", True), premise=i == 1) for i in range(2)]
    pages.card(judge(replace(CLAIMS["fig-1"], measure=lambda run: tuple(numbers)), _run()))
    assert re.findall(r"row'>(.*?)</th>", shown[0].data) == ["q0", "q1 (a premise)"]


@pytest.mark.parametrize(
    ("agree", "disagree", "summary"),
    [(4, 0, None), (4, 9, None), (5, 0, "All 5 numbers agree"), (5, 1, "The other 5 numbers agree")],
)
def test_a_card_folds_many_numbers_that_agree_and_none_that_does_not(shown, agree, disagree, summary):
    numbers = [Measured(f"q{i}", 1, 1, 1, "1", i < agree) for i in range(agree + disagree)]
    pages.card(judge(replace(CLAIMS["fig-1"], measure=lambda run: tuple(numbers)), _run()))
    open_part, _, folded = shown[0].data.partition("<details>")
    assert [f">q{i}<" in open_part for i in range(len(numbers))] == [
        summary is None or not number.agrees for number in numbers
    ]
    if summary is not None:
        assert folded.startswith(f"<summary>{summary}</summary><table>")
        assert [f">q{i}<" in folded for i in range(len(numbers))] == [number.agrees for number in numbers]


def test_a_card_shows_every_run_and_what_is_missing(shown):
    claim = replace(CLAIMS["fig-1"], experiments=("one", "other"), measure=lambda one, other: ())
    runs = [replace(_run(), name=name) for name in claim.experiments]
    for recorded in (runs, runs[:1], []):
        pages.card(judge(claim, *recorded))
    both, first, none = (card.data for card in shown)
    for name in claim.experiments:
        assert f"verify {name} --scale laptop" in re.sub(r"</?span>", "", both)
        assert f"book/recorded/{name}-laptop.csv" in both
    summary, _, folded = both.partition("</summary>")
    assert summary.endswith("<summary>Recorded at laptop scale, one seed")  # once, for both
    assert folded.count("<p>") == 3  # the rule, and a line for each run
    assert "other-laptop" not in first
    assert "Not tested at this scale</strong>: no run recorded yet" in first
    assert "To be recorded: <code>one</code>, <code>other</code>." in none


def test_a_card_of_formulas_says_how_to_compute_them_again(shown):
    number = Measured("x", 1.0, 1.0, 1.0, "1", True)
    formula = replace(CLAIMS["fig-1"], experiments=(), rule=None, measure=lambda: (number,))
    pages.card(judge(formula))
    pages.card(judge(replace(formula, measure=None)))
    again = re.sub(r"</?span>", "", shown[0].data)
    assert "<code>python -m cleanprio_lib claims fig-1</code>" in again
    assert "<summary>Computed from formulas and small nets when this page was made</summary>" in again
    assert "a hypothesis" in shown[1].data
    assert not any("Recorded at" in card.data or "<code>book/" in card.data for card in shown)


def _facts(**training):
    """Facts of a recorded run of two digits, as JSON gives them back."""
    settings = {"level": 0.4, "classes": [7, 9], "train_samples": None, "net": [["width", 512]]}
    return {"settings": {**settings, "training": {"epochs": 800, "learning_rate": 0.01, **training}}}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "MNIST, 2,400 training images, 15 epochs of SGD (batch 32, η = 0.1), one seed"),
        (
            _facts(batch_size=256),
            "MNIST, all training images of 7 and 9, 800 epochs of SGD (batch 256, η = 0.01), one seed",
        ),
        (
            _facts(batch_size=None, epochs=2_000, learning_rate=0.1),
            "MNIST, all training images of 7 and 9, 2,000 steps of gradient descent (η = 0.1), one seed",
        ),
        (
            _facts(batch_size=256, measured=4_000),
            "MNIST, all training images of 7 and 9 (measured on 4,000 of them), 800 epochs of SGD "
            "(batch 256, η = 0.01), one seed",
        ),
    ],
)
def test_recorded_runs_say_their_images_classes_and_steps(facts, words):
    assert pages.describe(_run(**facts)).startswith(f"Recorded at laptop scale: {words}, which is ")


def test_a_grid_with_more_seeds_at_some_values_says_so():
    facts = {"settings": {"swept": "level"}, "data": {"source": "MNIST"}}
    cells = [{"level": level, "seed": seed, "device": "PC"} for level, seed in ((0.1, 0), (0.1, 1), (0.2, 0))]
    run = Recorded("fig-13-noise", "laptop", pd.DataFrame(), {**facts, "cells": cells}, True)
    assert pages.describe(run) == "Recorded at laptop scale: MNIST, 1 to 2 seeds, on a PC."
    run = Recorded("fig-13-noise", "laptop", pd.DataFrame(), {**facts, "cells": cells[::2]}, True)
    assert ", one seed, which is" in pages.describe(run)


def test_recorded_measurements_without_training_say_their_data(stand_in):
    facts = {
        "settings": {"classes": [7, 9], "training_batch": 256},
        "seeds": {"0": {"device": "PC"}, "1": {"device": "PC"}},
    }
    assert pages.describe(_run(**facts)) == "Recorded at laptop scale: MNIST, 2 seeds, on a PC."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "fig-05-mnist-7v9",
            "1,000 training images of 7 and 9, 90 epochs of SGD (batch 64, η = 0.03)",
        ),
        (
            "thm-4.5-wide",
            "500 training images of 7 and 9, 200 steps of gradient descent (η = 0.03)",
        ),
        (
            "fig-01-mnist-cnn",
            "1,500 training images (measured on 500 of them) and 1,000 test images, 18 epochs of SGD "
            "(batch 32, η = 0.1)",
        ),
    ],
)
def test_live_runs_say_their_images_classes_and_steps(stand_in, name, words):
    found = pages.describe_live(name, "quick", stand_in, seeds=(0, 1, 2))
    assert found == f"Run for this page at quick scale: {stand_in.source}, {words}, 3 seeds."


def test_minus_signs_are_true_but_in_code_and_mathematics():
    text = "from -0.5 to (-.25), 3-5, $x = -1$ and `f(-1)`: [-2, -3] - 4"
    assert pages.typeset(text) == "from −0.5 to (−.25), 3-5, $x = -1$ and `f(-1)`: [−2, −3] - 4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("at δ = 0.4, x ≈ -.5", "at δ\u00a0=\u00a00.4, x\u00a0≈\u00a0−.5"),
        ("$x = 1$ `x = 1` a = b", "$x = 1$ `x = 1` a = b"),
        ("15 ± 2 of 2 × 10⁻⁸", "15\u00a0±\u00a02 of 2\u00a0×\u00a010⁻⁸"),
        (
            "(1 − δ)/δ and (C − 1)(1 − α_t), (a longer − sum)",
            "(1\u00a0−\u00a0δ)/δ and (C\u00a0−\u00a01)(1\u00a0−\u00a0α_t), (a longer − sum)",
        ),
    ],
)
def test_equations_stay_in_one_piece_but_in_code_and_mathematics(text, words):
    assert pages.typeset(text) == words


def test_tables_keep_equations_in_their_heads_in_one_piece():
    table = pages.tidy(pd.DataFrame({"C = 2, δ = 0.4": [1.0], "test_error": [2.0]}, index=["δ = 0.1"]))
    assert list(table.columns) == ["C\u00a0=\u00a02, δ\u00a0=\u00a00.4", "test error"]
    assert list(table.index) == ["δ\u00a0=\u00a00.1"]


def test_captions_keep_equations_in_one_piece_but_in_tags(shown):
    pages.show(plt.figure(), name="a", caption="at p = 1 <a title='x = 1'>x</a>", alt="c")
    assert "<figcaption>at p\u00a0=\u00a01 <a title='x = 1'>x</a></figcaption>" in shown[0].data


def test_captions_write_subscripts_but_in_code(shown):
    pages.show(
        plt.figure(), name="a", caption="g_clean in <code>g_clean</code> <a href='#f_c'>x</a>", alt="c"
    )
    assert "g<sub>clean</sub> in <code>g_clean</code> <a href='#f_c'>x</a>" in shown[0].data


def test_found_is_markdown(shown):
    pages.found("error **5%**")
    assert json.loads(json.dumps(shown[0].data)) == "error **5%**"


def _rows(table):
    """For each setting its values at the three scales, from cells that may stand for several."""
    rows = {}
    for name, cells in re.findall(r"<tr><th scope='row'>(.+?)</th>(.*?)</tr>", table):
        found = re.findall(r"<td(?: colspan=(\d))?>(.*?)</td>", cells)
        rows[name] = [value for width, value in found for _ in range(int(width or 1))]
    return rows


def test_settings_show_every_scale_and_what_was_chosen(shown):
    pages.settings(experiments.EXPERIMENTS["fig-05-mnist-7v9"], experiments.EXPERIMENTS["fig-12-width"])
    own, grid = (table.data for table in shown)
    rows = _rows(own)
    paper, quick = (experiments.settings_of("fig-05-mnist-7v9", scale) for scale in ("paper", "quick"))
    epochs = f"{paper.training.epochs:,}"
    assert rows["epochs"] == [f"{quick.training.epochs}", epochs, epochs]
    assert rows["train_samples"] == ["1,000", "–", "–"]
    assert rows["classes"] == ["7, 9"] * 3
    assert (rows["width"][2], rows["gradients"][2], rows["learning_rate"][2]) == ("512", "yes", "0.01")
    assert all(len(values) == 3 for values in [*rows.values(), *_rows(grid).values()])
    assert "<td colspan=3>7, 9</td>" in own
    assert "steps of 0.01" in own.lower()
    assert "swept: width" in grid
    assert ">width<" not in grid


def test_nested_settings_are_told_apart(shown):
    pages.settings(experiments.EXPERIMENTS["fig-02-derivative-angles"])
    assert "<td colspan=3>relu 2, relu 3, relu 5, linear 2, linear 3, linear 5</td>" in shown[0].data
    pages.settings(experiments.EXPERIMENTS["beyond-departure"], experiments.EXPERIMENTS["practice-methods"])
    assert "<td colspan=3>0, 1; 7, 9; all</td>" in shown[1].data
    rows = _rows(shown[2].data)
    assert (rows["momentum"], rows["problem: momentum"]) == (["0.7"] * 3, ["0"] * 3)


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_every_experiment_says_what_was_chosen(name):
    chosen = experiments.EXPERIMENTS[name].chosen
    assert chosen.endswith(".")
    assert len(chosen) > 20


def test_every_experiment_is_on_the_page_of_settings():
    page = (ROOT / "book/appendix/settings.md").read_text("utf8")
    shown = set(re.findall(r"pages\.settings\(\*experiments\.(\w+)\.EXPERIMENTS\)", page))
    listed = {one.name for module in shown for one in getattr(experiments, module).EXPERIMENTS}
    assert listed == set(experiments.EXPERIMENTS)


@pytest.mark.parametrize(
    ("values", "form", "unit", "words"),
    [
        ([1, 3, 2], ".1f", "", "1.0 to 3.0"),
        ([13.41, 13.44], ".1f", "", "13.4"),
        ([-0.998, -0.5], ".2f", "", "−1.00 to −0.50"),
        ([0.521, 0.524], ".0%", "", "52%"),
        ([171.2, float("nan"), 176.44], ".1f", "°", "171.2° to 176.4°"),
        ([-0.001, 0.004], ".2f", "", "0.00"),
        (pd.DataFrame({"a": [0.1, 0.2], "b": [0.05, 0.3]}), ".2f", "", "0.05 to 0.30"),
    ],
)
def test_a_span_whose_ends_are_written_alike_is_one_number(values, form, unit, words):
    assert pages.span(values, form, unit) == words


def test_a_tidy_table_writes_each_column_in_one_way():
    table = pd.DataFrame(
        {
            "whole": [48.0, 2449418.0],
            "noisy_error": [0.5274, 0.0781],
            "test_error": [0.0536, 0.0496],
            "speed": [0.0011, 0.00204],
            "ratio": [20.695, 0.8842],
            "time": [4124.626, 345.511],
            "cosine": [-0.99751, float("nan")],
            "chance": [0.18, 4.1e-11],
            "name": ["T4", "A100"],
        },
        index=pd.Index([0.1, 0.2], name="δ"),
    )
    tidy = pages.tidy(table)
    assert tidy.to_dict("list") == {
        "whole": ["48", "2,449,418"],
        "noisy error": ["0.527", "0.078"],
        "test error": ["0.054", "0.050"],
        "speed": ["0.00110", "0.00204"],
        "ratio": ["20.7", "0.884"],
        "time": ["4,125", "346"],
        "cosine": ["−0.998", "–"],
        "chance": ["0.180", "4 × 10⁻¹¹"],
        "name": ["T4", "A100"],
    }
    assert tidy.index.equals(table.index)


def test_a_tidy_table_joins_the_levels_of_its_columns_names_even_if_they_come_twice():
    columns = pd.MultiIndex.from_tuples([("clean_error", 0.5), ("clean_error", 0.5), ("b", "δ = 1")])
    tidy = pages.tidy(pd.DataFrame([[1, 0.0, float("nan")]], columns=columns))
    assert tidy.columns.tolist() == ["clean error, 0.5", "clean error, 0.5", "b, δ = 1"]
    assert tidy.iloc[0].tolist() == ["1", "0", "–"]


@pytest.mark.parametrize(
    ("machine", "article"),
    [("2-core CPU", "a"), ("8-core CPU", "an"), ("NVIDIA H100 80GB HBM3", "an"), ("Tesla T4", "a")],
)
def test_a_machine_has_its_article(machine, article):
    seeds = {str(seed): {"device": machine} for seed in range(3)}
    assert pages.describe(_run(settings={}, seeds=seeds)).endswith(f", 3 seeds, on {article} {machine}.")
