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

from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from cleanprio_lib import experiments, figures, provenance
from cleanprio_lib.claims import Judged
from cleanprio_lib.data import Split
from cleanprio_lib.explorers.lettering import in_html
from cleanprio_lib.runs import Recorded, ranges

POWER = re.compile(r"\b(\d(?:\.\d+)?)e([+-]\d+)\b")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKS = {"holds": "✓", "holds in part": "◐", "does not hold": "✗", "not tested at this scale": "–"}


def found(markdown: str) -> None:
    """Show a sentence whose numbers were computed by the cell that calls this.

    Args:
        markdown: text in Markdown, with mathematics between dollar signs.
    """
    display(Markdown(markdown))


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
        caption: what it is and what to see, able to stand alone; Markdown is not read, HTML is.
        alt: what is to be seen, for those who cannot see it.
    """
    if not (name.strip() and caption.strip() and alt.strip()):
        raise ValueError(f"name, caption and alt must not be empty, got {name!r}, {caption!r}, {alt!r}")
    source = base64.b64encode(figures.svg(figure, salt=name)).decode()
    display(
        HTML(
            f'<figure class="book-figure" style="margin: 1em 0" id="{html.escape(name)}">'
            f'<img src="data:image/svg+xml;base64,{source}" alt="{html.escape(alt)}" style="{_IMAGE}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    )


def answer(text: str, *, summary: str = "Compare with your guess") -> None:
    """Show a computed answer folded away, to be opened after the guess.

    Args:
        text: HTML.
        summary: what is seen before it is opened.
    """
    display(HTML(f"<details class='answer'><summary>{html.escape(summary)}</summary><p>{text}</p></details>"))


def describe(run: Recorded) -> str:
    """What a caption says of a recorded run: scale, data, sizes, epochs, seeds, machine."""
    setting = _setting(run.settings, run.source)
    return f"Recorded at {run.scale} scale: {setting}, {_seeds(run.seeds)}, on a {run.devices}."


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
    rate = f"η = {training['learning_rate']:g}"
    steps = (
        f"epochs of SGD (batch {training['batch_size']}, {rate})"
        if "batch_size" in training
        else f"steps of gradient descent ({rate})"
    )
    return f"{source}, {images} training images{of}, {training['epochs']:,} {steps}"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return "one seed, which is an example and not evidence"
    return f"{len(seeds)} seeds"


def card(judged: Judged) -> None:
    """Show a claim: its statement, what it needs, what was measured, the verdict, and where the data are."""
    rows = "".join(
        f"<tr><th scope='row'>{in_html(number.quantity)}</th><td>{with_powers(in_html(number.needed))}</td>"
        f"<td>{number_text(number.mean)} [{number_text(number.low)}, {number_text(number.high)}]</td>"
        f"<td>{'yes' if number.agrees else 'no'}</td></tr>"
        for number in judged.measured
    )
    table = (
        "<table><thead><tr><th scope='col'>quantity</th><th scope='col'>claimed</th>"
        f"<th scope='col'>measured: mean [range over seeds]</th><th scope='col'>agrees</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    claim = judged.claim
    because = f": {html.escape(judged.reason)}" if judged.reason else ""
    stopping = f"<p>Early stopping: {html.escape(claim.rule)}.</p>" if claim.rule else ""
    display(
        HTML(
            f'<section class="claim-card" id="claim-{claim.id}" aria-label="Claim {claim.id}" '
            f'style="{_CARD}">'
            f"<p><strong>Claim <code>{claim.id}</code></strong> ({html.escape(claim.where)}): "
            f"{in_html(claim.statement)}</p>"
            f"<p><strong>{MARKS[judged.verdict]} {judged.verdict.capitalize()}</strong>{because}</p>"
            f"{table if judged.measured else ''}{stopping}{_evidence(judged)}</section>"
        )
    )


def _evidence(judged: Judged) -> str:
    """Where the numbers of a claim come from, and how to compute them again."""
    if judged.runs:
        return "".join(
            f"<p>{html.escape(describe(run))} Seeds {ranges(run.seeds)}. "
            f"Data: <code>book/recorded/{run.name}-{run.scale}.csv</code>; "
            f"verify: <code>python -m cleanprio_lib verify {run.name} --scale {run.scale}</code>.</p>"
            for run in judged.runs
        )
    if judged.claim.experiments:
        names = ", ".join(f"<code>{name}</code>" for name in judged.claim.experiments)
        return f"<p>To be recorded: {names}.</p>"
    if judged.measured:
        again = f"<code>python -m cleanprio_lib claims {judged.claim.id}</code>"
        return f"<p>Computed from formulas and small nets when this page was made; once more: {again}.</p>"
    return ""


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
    inner = {**dict(values.pop("net", ())), **values.pop("training", {})}
    name, swept = experiments.swept(settings)
    values = {**values, **inner, **({f"swept: {name}": swept} if name else {})}
    values.pop("swept", None)
    return {key: _in_words(value) for key, value in values.items()}


def _in_words(value: Any, separator: str = ", ") -> str:
    if isinstance(value, list | tuple):
        return separator.join(_in_words(one, " ") for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, "," if isinstance(value, int) else "g" if isinstance(value, float) else "")


def number_text(value: float) -> str:
    """A measured number with four digits, as people write it; a dash for none."""
    return with_powers(f"{value:.4g}").replace("-", "−") if math.isfinite(value) else "–"


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
