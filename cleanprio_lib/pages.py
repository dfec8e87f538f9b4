"""What a chapter shows beside its figures' lines: computed sentences, captions, banners and claim cards.

All is made by code when the page is built, as HTML or Markdown that looks the same on the page and in Colab.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from cleanprio_lib import experiments, figures, provenance
from cleanprio_lib.claims import Judged, Measured
from cleanprio_lib.data import Split
from cleanprio_lib.lettering import in_html, unbroken, within_html
from cleanprio_lib.runs import Recorded, ranges

POWER = re.compile(r"\b(\d(?:\.\d+)?)e([+-]\d+)\b")
NEGATIVE = re.compile(r"(?<![^\s(\[])-(?=\.?\d)")
VERBATIM = re.compile(r"(`[^`]*`|\$[^$]*\$)")
UNFOLDED = 4  # numbers that agree: so many a card shows, more it folds
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKS = {"holds": "✓", "holds in part": "◐", "does not hold": "✗", "not tested at this scale": "–"}


def found(markdown: str) -> None:
    """Show a sentence whose numbers were computed by the cell that calls this.

    Args:
        markdown: text in Markdown, with mathematics between dollar signs; elsewhere numbers get true minus
            signs, and "δ = 0.4" stays together.
    """
    display(Markdown(typeset(markdown)))


def banner(*splits: Split) -> None:
    """Say where the page's live data come from: a warning for a stand-in, a line for the real thing."""
    for split in splits:
        if split.is_stand_in:
            text = (
                "<strong>This page ran on stand-in data.</strong> "
                f"{html.escape(split.provenance)} Its live results are not results on {_real_name(split)}."
            )
            display(HTML(f'<aside class="stand-in-banner" role="note" style="{_BANNER}">{text}</aside>'))
        else:
            display(HTML(f'<p class="data-source">{html.escape(split.provenance)}</p>'))


def show(figure: Figure, *, name: str, caption: str, alt: str) -> None:
    """Show a figure with its caption, as an image that can be linked to.

    Args:
        figure: drawn by `figures`; closed afterwards.
        name: its anchor on the page, such as "fig-1-live".
        caption: what it is and what to see, able to stand alone; Markdown is not read, HTML and subscripts,
            as in `g_clean`, are.
        alt: what is to be seen, for those who cannot see it.
    """
    if not (name.strip() and caption.strip() and alt.strip()):
        raise ValueError(f"name, caption and alt must not be empty, got {name!r}, {caption!r}, {alt!r}")
    source = base64.b64encode(figures.svg(figure, salt=name)).decode()
    display(
        HTML(
            f'<figure class="book-figure" style="margin: 1em 0" id="{html.escape(name)}">'
            f'<img src="data:image/svg+xml;base64,{source}" alt="{html.escape(alt)}" style="{_IMAGE}">'
            f"<figcaption>{within_html(caption)}</figcaption></figure>"
        )
    )


def answer(text: str, *, summary: str = "Compare with your guess") -> None:
    """Show a computed answer folded away, to be opened after the guess.

    Args:
        text: HTML.
        summary: what is seen before it is opened.
    """
    question = html.escape(summary)
    display(HTML(f"<details class='answer'><summary>{question}</summary><p>{unbroken(text)}</p></details>"))


def describe(run: Recorded) -> str:
    """What a caption says of a recorded run: scale, data, sizes, epochs, seeds, machine."""
    setting = _setting(run.settings, run.source)
    counts = {sum(cell.value == value for cell in run.cells) for value in run.values}
    seeds = f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else _seeds(run.seeds)
    return f"Recorded at {run.scale} scale: {setting}, {seeds}, on {_an(run.devices)} {run.devices}."


def _an(name: str) -> str:
    """The article of a machine: a 2-core CPU, an NVIDIA H100."""
    return "an" if name.startswith(("A", "I", "NVIDIA", "8", "11-", "18-")) else "a"


def describe_live(name: str, scale: str, split: Split | None, *, seeds: Sequence[int]) -> str:
    """What a caption says of a run made while the page was built."""
    source = split.source if split else provenance.MADE
    setting = _setting(experiments.as_dict(experiments.settings_of(name, scale)), source)
    return f"Run for this page at {scale} scale: {setting}, {_seeds(seeds)}."


def _setting(settings: dict[str, Any], source: str) -> str:
    training = settings.get("training")
    if training is None:
        return source
    images = f"{settings['train_samples']:,}" if "train_samples" in settings else "all"
    of = " of {} and {}".format(*settings["classes"]) if "classes" in settings else ""
    measured = training.get("measured", np.inf)
    if measured < settings.get("train_samples", np.inf):
        of += f" (measured on {measured:,} of them)"
    if "test_samples" in settings:
        of += f" and {settings['test_samples']:,} test images"
    rate = f"η = {training['learning_rate']:g}"
    steps = (
        f"epochs of SGD (batch {training['batch_size']}, {rate})"
        if "batch_size" in training
        else f"steps of gradient descent ({rate})"
    )
    return f"{source}, {images} training images{of}, {training['epochs']:,} {steps}"


def _seeds(seeds: Sequence[int]) -> str:
    return _counted(seeds) + (", which is an example and not evidence" if len(seeds) == 1 else "")


def _counted(seeds: Sequence[int]) -> str:
    return "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def card(judged: Judged) -> None:
    """Show a claim: its statement, what it needs, what was measured, the verdict, and where the data are."""
    claim = judged.claim
    because = f": {html.escape(judged.reason)}" if judged.reason else ""
    display(
        HTML(
            f'<section class="claim-card" id="claim-{claim.id}" aria-label="Claim {claim.id}" '
            f'style="{_CARD}">'
            f"<p><strong>Claim <code>{claim.id}</code></strong> ({in_html(claim.where)}): "
            f"{typeset(in_html(claim.statement))}</p>"
            f"<p><strong>{MARKS[judged.verdict]} {judged.verdict.capitalize()}</strong>{because}</p>"
            f"{_numbers(judged.measured)}{_evidence(judged)}</section>"
        )
    )


def _numbers(measured: Sequence[Measured]) -> str:
    """A claim's numbers as a table; of many, those that agree are folded, those that do not never are."""
    agree = [number for number in measured if number.agrees]
    if len(agree) <= UNFOLDED:
        return _table(measured)
    which = "All" if len(agree) == len(measured) else "The other"
    return (
        _table([number for number in measured if not number.agrees])
        + f"<details><summary>{which} {len(agree)} numbers agree</summary>{_table(agree)}</details>"
    )


def _table(measured: Sequence[Measured]) -> str:
    if not measured:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{typeset(in_html(number.quantity))}{' (a premise)' * number.premise}</th>"
        f"<td>{typeset(with_powers(in_html(number.needed)))}</td>"
        f"<td>{_measured(number)}</td><td>{'yes' if number.agrees else 'no'}</td></tr>"
        for number in measured
    )
    return (
        "<table><thead><tr><th scope='col'>quantity</th><th scope='col'>claimed</th>"
        "<th scope='col'>measured: mean [range over seeds]</th><th scope='col'>agrees</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _measured(number: Measured) -> str:
    """Mean and range, the latter where it is one."""
    mean, low, high = (unbroken(number_text(value)) for value in (number.mean, number.low, number.high))
    return mean if low == high == mean else f"{mean} <span class='interval'>[{low}, {high}]</span>"


def _code(command: str) -> str:
    """A command that breaks between its words only."""
    return f"<code>{' '.join(f'<span>{html.escape(word)}</span>' for word in command.split())}</code>"


def _evidence(judged: Judged) -> str:
    """Where the numbers of a claim come from, and how to compute them again: in short, the rest folded."""
    claim, runs = judged.claim, judged.runs
    told = [f"Early stopping: {html.escape(claim.rule)}."] if claim.rule else []
    told += [
        f"{html.escape(describe(run))} Seeds {ranges(run.seeds)}. "
        f"Data: <code>book/recorded/{run.name}-{run.scale}.csv</code>; "
        f"verify: {_code(f'python -m cleanprio_lib verify {run.name} --scale {run.scale}')}."
        for run in runs
    ]
    if runs:
        scales = [f"at {run.scale} scale, {_counted(run.seeds)}" for run in runs]
        short = "Recorded " + "; ".join(dict.fromkeys(scales))
    elif claim.experiments:
        names = ", ".join(f"<code>{name}</code>" for name in claim.experiments)
        return f"<p class='evidence'>To be recorded: {names}.</p>"
    elif judged.measured:
        short = "Computed from formulas and small nets when this page was made"
        told.append(f"Once more: {_code(f'python -m cleanprio_lib claims {claim.id}')}.")
    else:
        return ""
    lines = "".join(f"<p>{line}</p>" for line in told)
    return f"<details class='evidence'><summary>{short}</summary>{lines}</details>"


def settings(*chosen: experiments.Experiment) -> None:
    """Show each experiment's settings at every scale as a table, and what the paper leaves open."""
    for experiment in chosen:
        columns = {scale: _flat(experiment.scales[scale]) for scale in experiments.SCALES}
        names = dict.fromkeys(name for column in columns.values() for name in column)
        head = "".join(f"<th scope='col'>{scale}</th>" for scale in columns)
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th>"
            + _merged([column.get(name, "–") for column in columns.values()])
            + "</tr>"
            for name in names
        )
        display(
            HTML(
                f'<section class="settings" id="settings-{experiment.name}">'
                f"<h3><code>{experiment.name}</code></h3>"
                f"<p>{in_html(experiment.reproduces)}. {in_html(experiment.chosen)}</p>"
                f"<table class='dataframe'><thead><tr><th scope='col'>setting</th>{head}</tr></thead>"
                f"<tbody>{rows}</tbody></table></section>"
            )
        )


def _merged(values: Sequence[str]) -> str:
    """Cells of a row, equal neighbours as one."""
    cells = [(value, len(list(own))) for value, own in groupby(values)]
    return "".join(
        f"<td{f' colspan={width!r}' if width > 1 else ''}>{html.escape(value)}</td>" for value, width in cells
    )


def _flat(settings: Any) -> dict[str, str]:
    """Settings by name, options of the net and of the training among them, as text."""
    values = experiments.as_dict(settings)
    problem = values.pop("problem", {})
    name, swept = experiments.swept(settings)
    values.pop("swept", None)
    chosen = {
        **{f"problem: {key}": value for key, value in _with_inner(problem).items()},
        **_with_inner(values),
        **({f"swept: {name}": swept} if name else {}),
    }
    return {key: _in_words(value) for key, value in chosen.items()}


def _with_inner(values: dict[str, Any]) -> dict[str, Any]:
    """Settings with the options of net and training beside the others."""
    outer = {key: value for key, value in values.items() if key not in {"net", "training"}}
    return {**outer, **dict(values.get("net", ())), **values.get("training", {})}


def _in_words(value: Any) -> str:
    """A setting as text; of several choices, one that names nothing is that of all."""
    if isinstance(value, list | tuple):
        parts = [_of_choice(one) if isinstance(one, list | tuple) else _in_words(one) for one in value]
        return ("; " if any(", " in part for part in parts) else ", ").join(parts)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, "," if isinstance(value, int) else ",g" if isinstance(value, float) else "")


def _of_choice(parts: Sequence[Any]) -> str:
    """One of several choices that have parts: "relu 2", "7, 9"."""
    named = any(isinstance(part, str) for part in parts)
    return (" " if named else ", ").join(_in_words(part) for part in parts) or "all"


def number_text(value: float, digits: int = 4) -> str:
    """A measured number with so many digits, as people write it; a dash for none."""
    return with_powers(f"{value:.{digits}g}").replace("-", "−") if math.isfinite(value) else "–"


def typeset(text: str) -> str:
    """Text with true minus signs and "δ = 0.4" in one piece, but for code and mathematics."""
    return "".join(
        part if VERBATIM.fullmatch(part) else unbroken(NEGATIVE.sub("−", part))
        for part in VERBATIM.split(text)
    )


def span(values: Any, form: str, unit: str = "") -> str:
    """From the lowest to the highest of some numbers, or only one of them where both are written alike.

    Args:
        values: numbers in any container that numpy reads; NaN does not count.
        form: how each is written, as in an f-string: ".2f".
        unit: what follows each of them: "°".

    Returns:
        "0.12 to 0.34", or "0.12", with true minus signs.
    """
    low, high = (_signed(end, form) + unit for end in (np.nanmin(values), np.nanmax(values)))
    return low if low == high else f"{low} to {high}"


def tidy(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """A table whose numbers are written as people write them, each column in one way.

    Whole numbers get commas. In a column with fractions all numbers have the decimals that give the largest
    so many digits, and no more decimals than digits where two of these are left: errors have three, 0.918 as
    well as 0.050. If the largest is ten or more, each number has so many digits of its own. One that is too
    small for all that is written with a power of ten, and none (NaN) as a dash. A name of a row or a column
    becomes words, which may break, `noisy_error` is "noisy error", and "δ = 0.4" in one does not. Names of
    columns that have several levels are joined, from the outer to the inner, so that they stand in one row.

    Args:
        table: columns of numbers; others are left alone.
        digits: of a number in a column that has fractions.

    Returns:
        Text in the same rows and columns.
    """
    columns = [_column(table.iloc[:, place], digits) for place in range(table.shape[1])]
    names = table.columns
    if isinstance(names, pd.MultiIndex):
        names = pd.Index([", ".join(str(_words(part)) for part in name) for name in names])
    whole = pd.concat(columns, axis=1).set_axis(names, axis=1)
    return whole.rename(columns=_words, index=_words)


def _words(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    return name.replace("_", " ") if name.isidentifier() else unbroken(name)


def _column(column: pd.Series, digits: int) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column
    numbers = column[np.isfinite(column)]
    size = numbers.abs().max()
    whole = bool((numbers == numbers.round()).all())

    def decimals(value: float) -> int:
        return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value and not whole else 0

    def written(value: float) -> str:
        if math.isnan(value):
            return "–"
        places = decimals(value if size >= 10 else size)
        if size >= 10.0 ** (1 - digits):
            places = min(places, digits)
        lost = value != 0 and round(value, places) == 0
        return number_text(value, digits=1) if lost else _signed(value, f",.{places}f")

    return column.map(written)


def _signed(value: float, form: str) -> str:
    """A number with a true minus sign, and with none before a zero."""
    text = format(value, form)
    return (text if re.search("[1-9]", text) else text.lstrip("-")).replace("-", "−")


def with_powers(text: str) -> str:
    """Text with powers of ten as people write them: 4.5e-08 becomes 4.5 × 10⁻⁸, and 1e-05 becomes 10⁻⁵."""
    return POWER.sub(
        lambda found: (
            ("" if found[1] == "1" else f"{found[1]} × ") + f"10{str(int(found[2])).translate(SUPERSCRIPTS)}"
        ),
        text,
    )


def _real_name(split: Split) -> str:
    return "CIFAR-10" if split.name == "cifar10" else "MNIST"


_BANNER = "border: 2px solid #D55E00; border-radius: 6px; padding: .6em 1em; margin: 0 0 1em"
_CARD = "border: 1px solid #888; border-left: 6px solid #0072B2; border-radius: 6px; padding: .6em 1em"
_IMAGE = "background: white; border-radius: 6px; max-width: 100%; height: auto"
