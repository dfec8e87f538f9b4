"""The first figure of one's own: train a small net on noisy labels now, and draw what happens.

    python -m tools.first_figure        writes `_build/first-figure.svg`

It is chapter 1's live experiment, so that what comes out can be held against the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.book import Book

NAME, SCALE, SEED = "fig-01-mnist-cnn", "quick", 0


def main() -> int:
    """Train, draw, and say in words what is to be seen and where."""
    path = Book().build / "first-figure.svg"
    print(
        f"{draw(path)}\nOpen {path.relative_to(Book().root)}. Chapter 1 says why, `make book` makes the rest."
    )
    return 0


def draw(path: Path) -> str:
    """Write the figure of a fresh run; returns what is to be seen on it."""
    import matplotlib as mpl

    mpl.use("svg")
    from cleanprio_lib import data, experiments, figures

    settings = experiments.settings_of(NAME, SCALE)
    split = data.load(settings.dataset)
    frame = experiments.run(NAME, SCALE, seed=SEED, split=split)
    figures.set_style()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figures.svg(figures.total_errors(frame, level=settings.level), salt=path.stem))
    return f"{split.provenance} {figures.words_total_errors(frame)}"


if __name__ == "__main__":
    sys.exit(main())
