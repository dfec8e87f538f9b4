"""The README's picture, drawn from the recorded run: write it, or with --check say whether it is stale."""

from __future__ import annotations

import sys

import matplotlib
from matplotlib.figure import Figure

from tools.book import Book


def main(arguments: list[str]) -> int:
    """Write or check `book/_static/u-curve.svg`; returns the exit code."""
    path = Book().root / "book" / "_static" / "u-curve.svg"
    drawn = draw()
    if "--check" in arguments:
        stale = not path.exists() or path.read_bytes() != drawn
        if stale:
            print(f"{path.name} is not what the recorded run gives: run `make sync`", file=sys.stderr)
        return int(stale)
    path.write_bytes(drawn)
    return 0


def draw() -> bytes:
    """The picture as SVG."""
    from cleanprio_lib import figures

    return figures.svg(figure(), salt="u-curve")


def figure() -> Figure:
    """The U-curve of the largest recorded run."""
    matplotlib.use("svg")
    from cleanprio_lib import figures, runs

    figures.set_style()
    recorded = runs.load("fig-01-mnist-cnn")
    return figures.total_errors(recorded.frame, level=recorded.settings["level"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
