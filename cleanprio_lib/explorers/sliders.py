"""What a reader of an explorer moves: sliders, or a few choices side by side."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from cleanprio_lib.lettering import in_html, number_text

KINDS = ("range", "choice")


@dataclass(frozen=True)
class Slider:
    """One thing that the reader moves.

    Args:
        name: the argument of `draw` that it sets.
        label: what the page calls it, with its symbol: `θ_d` is shown with a subscript.
        values: all the values it takes, in order: numbers or strings.
        labels: what the page shows for each value; by default the value with its unit.
        start: the value it starts from; by default the first.
        unit: written behind the value, such as "°" or "epochs".
        kind: "range" for a slider, "choice" for a few buttons side by side.

    Raises:
        ValueError: if the name is no argument's name, there are no values or one twice, `labels` has another
            length, `start` is not among the values, or the kind is unknown.
    """

    name: str
    label: str
    values: Sequence[Any]
    labels: Sequence[str] | None = None
    start: Any = None
    unit: str = ""
    kind: str = "range"

    def __post_init__(self) -> None:
        where = f"slider {self.name!r}"
        values = list(self.values)
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise ValueError(f"a slider's name must be the name of an argument of draw, got {self.name!r}")
        if not self.label.strip():
            raise ValueError(f"{where}: label must not be empty")
        if not values:
            raise ValueError(f"{where}: values must not be empty")
        if any(_same(a, b) for i, a in enumerate(values) for b in values[:i]):
            raise ValueError(f"{where}: values must differ from each other, got {values}")
        if self.labels is not None and len(self.labels) != len(values):
            raise ValueError(
                f"{where}: labels must name all {len(values)} values, got {len(self.labels)} labels"
            )
        if self.start is not None and not any(_same(self.start, value) for value in values):
            raise ValueError(f"{where}: start must be one of the values {values}, got {self.start!r}")
        if self.kind not in KINDS:
            raise ValueError(f"{where}: kind must be one of {KINDS}, got {self.kind!r}")


def start_of(slider: Slider) -> int:
    """Where among its values a slider starts."""
    if slider.start is None:
        return 0
    return next(i for i, value in enumerate(slider.values) if _same(slider.start, value))


def texts(slider: Slider) -> list[str]:
    """What the page shows, and a screen reader says, for each value."""
    if slider.labels is not None:
        return [str(label) for label in slider.labels]
    gap = "" if slider.unit in {"", "°"} else "\N{NO-BREAK SPACE}"
    finest = 1e-12 * max((abs(float(value)) for value in slider.values if _is_number(value)), default=0)
    return [_text(value, finest=finest) + gap + slider.unit for value in slider.values]


def control(slider: Slider, *, prefix: str) -> str:
    """The slider, or its buttons, as HTML; `prefix` keeps the ids of two explorers apart."""
    return (_choice if slider.kind == "choice" else _range)(slider, f"{prefix}-{slider.name}")


def _range(slider: Slider, name: str) -> str:
    start, shown = start_of(slider), [html.escape(text) for text in texts(slider)]
    return (
        f'<div class="explorer-control"><label for="{name}">{in_html(slider.label)}</label>'
        f'<output for="{name}" aria-live="off">{shown[start]}</output>'
        f'<input type="range" id="{name}" data-slider min="0" max="{len(shown) - 1}" step="1" '
        f'value="{start}" autocomplete="off" aria-valuetext="{shown[start]}"></div>'
    )


def _choice(slider: Slider, name: str) -> str:
    buttons = "".join(
        f'<label><input type="radio" name="{name}" value="{i}" autocomplete="off"'
        f"{' checked' if i == start_of(slider) else ''}><span>{in_html(text)}</span></label>"
        for i, text in enumerate(texts(slider))
    )
    return (
        f'<fieldset class="explorer-control" id="{name}" data-slider><legend>{in_html(slider.label)}</legend>'
        f"{buttons}</fieldset>"
    )


def _text(value: Any, *, finest: float) -> str:
    if not _is_number(value):
        return str(value)
    return number_text(0 if abs(value) < finest else float(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    """Equal; numbers up to rounding, so that 0.3 is found among the tenths."""
    if _is_number(a) and _is_number(b):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
