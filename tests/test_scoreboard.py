"""The scoreboard: every claim once, verdicts that follow the recorded numbers, files after their schema."""

import json
import re
import shutil
from dataclasses import replace

import jsonschema
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import __main__ as cli
from cleanprio_lib import listing, provenance, recordings, runs, scoreboard
from cleanprio_lib.claims import BOOK, CLAIMS, PAPER, VERDICTS, Listed, Measured, judge
from cleanprio_lib.recordings import Recorded
from cleanprio_lib.scoreboard import evidence, showing

CHANGED = "fig-05-mnist-7v9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the recorded runs, which other processes do not add to."""
    copy = tmp_path_factory.mktemp("runs") / "recorded"
    shutil.copytree(runs.recorded_folder(), copy)
    return copy


@pytest.fixture(scope="module")
def rows(folder):
    return scoreboard.judge_all(folder=folder)


def test_every_claim_is_there_once_in_the_papers_order(rows):
    assert [row.listed.id for row in rows] == [listed.id for listed in (*PAPER, *BOOK)]
    assert all(row.judged.claim is CLAIMS[row.listed.id] for row in rows)
    assert [row.part for row in rows] == ["paper"] * len(PAPER) + ["book"] * len(BOOK)


def test_verdicts_are_those_of_the_cards(rows):
    by_id = {row.listed.id: row for row in rows}
    for name in ("fig-5-left", "eq-10", "sec6-tempered", "eq-4"):
        claim = CLAIMS[name]
        judged = judge(claim, *map(runs.load, claim.experiments))
        assert (judged.verdict, judged.measured) == (
            by_id[name].judged.verdict,
            by_id[name].judged.measured,
        )


def test_totals_add_up_and_are_said(rows):
    paper, book = (scoreboard.parted(rows, part) for part in ("paper", "book"))
    counts = scoreboard.totals(paper)
    assert list(counts) == list(VERDICTS)
    assert sum(counts.values()) == len(paper) == len(PAPER)
    assert sum(scoreboard.totals(book).values()) == len(book) == len(BOOK)
    said = [int(number) for number in re.findall(r"\d+", scoreboard.said(rows))]
    assert said == [len(paper), *counts.values()]


def test_untested_claims_say_why_and_show_no_numbers(rows):
    for row in rows:
        untested = row.judged.verdict == VERDICTS[-1]
        assert untested == bool(row.judged.reason) == (not row.judged.measured)


def _edited(rows, folder, tmp_path, *, renew):
    """Verdicts and reasons once one run's noisy error is turned round, with or without a new checksum."""
    copy = tmp_path / "recorded"
    shutil.copytree(folder, copy)
    csv, facts = recordings.paths(CHANGED, runs.load(CHANGED, folder=folder).scale, copy)
    frame = recordings.read_csv(csv)
    frame.assign(noisy_error=1 - frame.noisy_error).to_csv(csv, index=False)
    if renew:
        content = json.loads(facts.read_text("utf8"))
        facts.write_text(json.dumps({**content, "csv_sha256": provenance.sha256(csv.read_bytes())}))
    return copy, scoreboard.judge_all(folder=copy)


def _resting(rows):
    return {row.listed.id for row in rows if CHANGED in row.judged.claim.experiments}


def test_an_edited_csv_tests_nothing_and_is_told(rows, folder, tmp_path):
    copy, after = _edited(rows, folder, tmp_path, renew=False)
    reason = re.compile(rf"{CHANGED}-\w+\.csv no longer has the checksum it was recorded with")
    assert len(_resting(rows)) >= 10
    for row, before in zip(after, rows, strict=True):
        if row.listed.id in _resting(rows):
            assert (row.judged.verdict, row.judged.measured) == (VERDICTS[-1], ())
            assert reason.fullmatch(row.judged.reason)
        else:
            assert (row.judged.verdict, row.judged.measured) == (
                before.judged.verdict,
                before.judged.measured,
            )
    table = listing.table(copy, tmp_path / "checkpoints").set_index(["experiment", "scale"])
    scale = runs.load(CHANGED, folder=copy).scale
    assert table.status[CHANGED, scale] == "EDITED: the CSV does not match its sha256"
    assert table.status["thm-4.4-full-batch", "paper"].startswith("recorded")


def test_a_forged_checksum_does_not_help_the_claims_on_noisy_errors(rows, folder, tmp_path):
    after = _edited(rows, folder, tmp_path, renew=True)[1]
    different = {
        row.listed.id
        for row, before in zip(after, rows, strict=True)
        if row.judged.verdict != before.judged.verdict
    }
    assert {"fig-5-left", "sec4.2-late"} <= different <= _resting(rows)
    by_id = {row.listed.id: row.judged for row in after}
    failing = {number.quantity for number in by_id["fig-5-left"].measured if not number.agrees}
    assert "rank correlation of the noisy error with time, up to the stop" in failing


def _run(name="fig-01-mnist-cnn", *, scale="paper", seeds=(0, 1, 2)):
    frame = pd.concat(
        [pd.DataFrame({"seed": seed, "epoch": [0, 1, 2], "test_error": [0.9, 0.05, 0.2]}) for seed in seeds]
    )
    facts = {
        "data": {"source": "MNIST"},
        "settings": {"level": 0.3, "train_samples": 2400},
        "seeds": {str(seed): {"device": "PC"} for seed in seeds},
        "csv_sha256": "0" * 64,
    }
    return Recorded(name, scale, frame, facts, True)


@pytest.mark.parametrize(
    ("scales", "wanted"),
    [
        (["paper"], "paper"),
        (["paper", "laptop"], "laptop"),
        (["quick", "paper"], "quick"),
        ([], "computed on the spot"),
        (["paper", None], "not recorded"),
    ],
)
def test_the_smallest_scale_is_told(scales, wanted):
    recorded = [_run(scale=scale) for scale in scales if scale]
    names = tuple(f"run {number}" for number in range(len(scales)))
    number = Measured("x", 1, 1, 1, "1", True)
    claim = replace(CLAIMS["fig-1"], experiments=names, measure=lambda *runs: (number,))
    row = evidence.Row(Listed("fig-1", "Figure 1", "01-clean-priority"), judge(claim, *recorded), "paper")
    assert row.scale == wanted


def test_addresses_lead_to_the_chapter(rows):
    by_id = {row.listed.id: row for row in rows}
    assert by_id["eq-10"].card == "04-early-stage.html#claim-eq-10"
    assert by_id["eq-10"].figure == "04-early-stage.html#eq-10"
    assert by_id["eq-10"].errata == {1: "appendix/errata.html#erratum-1"}
    assert by_id["eq-10"].code == "evidence/early_stage.py"
    assert by_id["fig-9"].code == "evidence/kernel_machines.py"
    assert len(by_id["fig-9"].data) == 2
    for row in rows:
        assert row.card == f"{row.listed.page}.html#claim-{row.listed.id}"
        assert (row.figure is None) == (not row.listed.figure)


def test_the_document_fits_its_schema_and_every_field_is_described(rows):
    schema = scoreboard.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(scoreboard.document(rows), schema)
    for definition in ("claim", "number", "run"):
        properties = schema["$defs"][definition]["properties"]
        assert set(schema["$defs"][definition]["required"]) == set(properties)
        assert all(field["description"] for field in properties.values())


@pytest.mark.parametrize("wrong", [{"verdict": "holds well"}, {"id": 3}, {"more": 1}, {"measured": [{}]}])
def test_the_schema_refuses(rows, wrong):
    document = scoreboard.document(rows)
    document["claims"][0] |= wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, scoreboard.schema())


def test_numbers_that_are_none_are_null(rows):
    number = Measured("x", np.nan, -np.inf, 0.123456789, "1", False)
    row = replace(rows[0], judged=replace(rows[0].judged, measured=(number,)))
    (claim,) = scoreboard.document([row])["claims"]
    assert claim["measured"] == [
        {
            "quantity": "x",
            "needed": "1",
            "mean": None,
            "low": None,
            "high": 0.123457,
            "agrees": False,
            "premise": False,
        }
    ]
    assert json.loads(scoreboard.as_json(claim)) == claim


def test_the_table_has_a_line_for_each_number(rows):
    table = scoreboard.frame(rows)
    lines = table.groupby("id", sort=False).size()
    assert list(lines.index) == [row.listed.id for row in rows]
    assert list(lines) == [max(1, len(row.judged.measured)) for row in rows]
    untested = table[table.verdict == VERDICTS[-1]]
    assert untested[["quantity", "mean", "agrees"]].isna().all(axis=None)
    two = table[table.id == "sec6-tempered"].iloc[0]
    assert (two.run_name, two.run_seeds) == ("fig-01-mnist-cnn; fig-05-mnist-7v9", "0–2; 0–4")


def test_published_files_and_all_that_they_lead_to(rows, folder, tmp_path):
    scoreboard.publish(tmp_path, recorded=folder)
    assert json.loads((tmp_path / "claims.json").read_text("utf8")) == scoreboard.document(rows)
    assert len(pd.read_csv(tmp_path / "claims.csv")) == len(scoreboard.frame(rows))
    assert json.loads((tmp_path / "claims.schema.json").read_text("utf8")) == scoreboard.schema()
    for row in rows:
        assert (tmp_path / row.code).read_text("utf8").count(f'"{row.listed.id}"') >= 1
        for address, run in zip(row.data, row.judged.runs, strict=True):
            content = (tmp_path / address).read_bytes()
            assert provenance.sha256(content) == run.provenance["csv_sha256"]
            assert (tmp_path / address).with_suffix(".json").exists()
    (tmp_path / "evidence" / "old.csv").write_text("")
    scoreboard.publish(tmp_path, recorded=folder)
    assert not (tmp_path / "evidence" / "old.csv").exists()


@pytest.fixture
def command(rows, monkeypatch, capsys):
    monkeypatch.setattr(scoreboard, "judge_all", lambda: rows)

    def call(*arguments):
        code = cli.main(["claims", *arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_the_command_lists_all_claims_and_the_totals(command, rows):
    code, out, _ = command()
    assert code == 0
    for row in rows:
        assert re.search(rf"^ *{re.escape(row.listed.id)} +{row.judged.verdict} ", out, re.MULTILINE)
    counts = scoreboard.totals(scoreboard.parted(rows, "paper"))
    assert "the paper: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) in out


def test_the_command_prints_one_claim_in_full(command, rows):
    code, out, _ = command("abstract-no-impact")
    assert code == 0
    row = next(row for row in rows if row.listed.id == "abstract-no-impact")
    assert all(number.quantity in out for number in row.judged.measured)
    for words in (row.judged.verdict.upper(), "Early stopping", "verify sec-4.1-true-labels", "overall.py"):
        assert words in out
    assert "HYPOTHESIS" in command("sec6-second")[1].upper()


def test_the_command_prints_json_of_all_or_of_one(command, rows):
    assert json.loads(command("--json")[1]) == scoreboard.document(rows)
    claim = json.loads(command("--json", "eq-8")[1])
    assert claim == next(one for one in scoreboard.document(rows)["claims"] if one["id"] == "eq-8")


def test_the_command_names_an_unknown_claim(command):
    code, _, err = command("eq-99")
    assert code == 1
    assert "ID must be one of sec1-a, " in err
    assert "got 'eq-99'" in err


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(showing, "display", outputs.append)
    return outputs


def test_the_table_has_a_row_for_each_claim_with_verdict_numbers_and_links(rows, shown):
    scoreboard.show(rows)
    page = shown[0].data
    assert re.findall(r'<tr role="row" id="row-([^"]+)"', page) == [row.listed.id for row in rows]
    for row in rows:
        own = page.split(f'id="row-{row.listed.id}"')[1].split("</tr>")[0]
        assert f"{showing.MARKS[row.judged.verdict]} {row.judged.verdict}" in own
        for address in (row.card, row.code, *row.data, *row.errata.values()):
            assert f'href="{address}"' in own
        assert own.count("<li>") == (len(row.judged.measured) if len(row.judged.measured) > 1 else 0)
        assert row.judged.measured or row.judged.reason in own


def test_what_decided_is_shown_first(shown, rows):
    numbers = tuple(Measured(name, 1, 1, 1, "1", name != "no") for name in ("yes", "no", "also"))
    assert showing._deciding(numbers).quantity == "no"
    assert showing._deciding(numbers[::2]).quantity == "yes"
    judged = replace(rows[0].judged, verdict="holds in part", measured=numbers)
    scoreboard.show_reasons([replace(rows[0], judged=judged)], "holds in part")
    assert "): no: <b>1</b>; needed: 1" in shown[0].data
    scoreboard.show_reasons([], "holds")
    assert shown[1].data == "<p>None.</p>"


def test_claims_that_hold_are_folded_and_no_others(shown, rows):
    for verdict in ("holds", "holds in part", "does not hold"):
        scoreboard.show_reasons([replace(rows[0], judged=replace(rows[0].judged, verdict=verdict))], verdict)
    assert ["<details><summary>1 claim," in each.data for each in shown] == [True, False, False]


def test_a_range_is_shown_where_there_is_one():
    assert "<b>1 [0.5, 2]</b>; needed: below −1" in showing._number(
        Measured("x", 1, 0.5, 2, "below -1", True)
    )


def test_fields_and_files_are_told(shown):
    scoreboard.show_fields()
    scoreboard.show_files()
    fields = re.findall(r"<code>(\w+)</code>", shown[0].data)
    known = [
        name
        for kind in ("claim", "number", "run")
        for name in scoreboard.schema()["$defs"][kind]["properties"]
    ]
    assert fields == known
    files = re.findall(r'href="([^"]+)"', shown[1].data)
    assert files == ["claims.json", "claims.csv", "claims.schema.json"]


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        (
            '{"url": "https://github.com/owner/a-book", "vcs_info": {}}',
            "https://owner.github.io/a-book/book/",
        ),
        ('{"url": "https://github.com/owner/a-book.git"}', "https://owner.github.io/a-book/book/"),
        ('{"url": "file:///home/me/a-book", "dir_info": {"editable": true}}', ""),
        (None, ""),
    ],
)
def test_links_lead_to_the_published_pages_where_the_library_was_installed_from_a_repository(
    monkeypatch, installed, wanted
):
    class Distribution:
        def read_text(self, name):
            assert name == "direct_url.json"
            return installed

    monkeypatch.setattr(showing.metadata, "distribution", lambda name: Distribution())
    showing.home.cache_clear()
    assert showing.home() == wanted
    showing.home.cache_clear()
