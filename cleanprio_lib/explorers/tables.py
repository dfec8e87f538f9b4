"""The states of an explorer as small tables: each value once, and only along the sliders that matter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from cleanprio_lib.lettering import in_html


def column(values: Sequence[Any], sizes: Sequence[int]) -> dict[str, Any]:
    """One thing that changes with the state.

    The value of the state at positions p is `data[of[p · step]]`, without `of` where that is the identity.

    Args:
        values: one for each state, the last slider changing fastest.
        sizes: how many values each slider has.
    """
    place = {value: i for i, value in enumerate(dict.fromkeys(values))}
    index = np.array([place[value] for value in values]).reshape(sizes)
    for axis in range(index.ndim):
        first = index.take([0], axis)
        if (index == first).all():
            index = first
    step = [int(np.prod(index.shape[axis + 1 :])) if size > 1 else 0 for axis, size in enumerate(index.shape)]
    of = index.ravel().tolist()
    table: dict[str, Any] = {"step": step, "data": list(place)}
    return table if of == list(range(len(of))) else {**table, "of": of}


def at(table: dict[str, Any], positions: Sequence[int]) -> Any:
    """The value at the sliders' positions, read from the table as the page's script reads it."""
    index = sum(step * position for step, position in zip(table["step"], positions, strict=True))
    return table["data"][table["of"][index] if "of" in table else index]


def sentence(words: Sequence[str], sizes: Sequence[int]) -> list[Any]:
    """All states' sentences, joined by spaces: what never changes as text, the rest word by word as columns.

    Args:
        words: one sentence for each state, the last slider changing fastest.
        sizes: how many values each slider has.
    """
    split = [in_html(text).split(" ") for text in words]
    if len({len(parts) for parts in split}) > 1:
        split = [[" ".join(parts)] for parts in split]
    by_word = list(zip(*split, strict=True))
    pieces: list[Any] = []
    for still, group in groupby(by_word, lambda texts: len(set(texts)) == 1):
        if still:
            pieces.append(" ".join(texts[0] for texts in group))
        else:
            pieces += [column(texts, sizes) for texts in group]
    return pieces
