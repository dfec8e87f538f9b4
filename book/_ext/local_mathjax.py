"""Put MathJax on the site itself, so that formulas are drawn with no network.

The files come from the package `sphinx-mathjax-offline`. Used as an extension it would copy all of its 24 MB;
the pages need one bundle, the fonts and the TeX extensions that the bundle loads on demand: 3 MB.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path, PurePosixPath
from shutil import copyfile

from sphinx.application import Sphinx

PACKAGE = "sphinx-mathjax-offline"
INSIDE = PurePosixPath("sphinx-mathjax-offline/static/mathjax")
BUNDLE = "tex-chtml.js"
NEEDED = (BUNDLE, "output/chtml/fonts/", "input/tex/extensions/")


def needed_files() -> dict[str, Path]:
    """The files to copy: path on the site below `_static/mathjax` → path on this machine."""
    found = {}
    for file in distribution(PACKAGE).files or ():
        if file.is_relative_to(INSIDE):
            name = str(file.relative_to(INSIDE))
            if name.startswith(NEEDED):
                found[name] = Path(str(file.locate()))
    return found


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy what is not there yet, once the pages are written."""
    if exception is not None or app.builder.format != "html":
        return
    for name, source in needed_files().items():
        target = Path(app.outdir, "_static", "mathjax", name)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.config.mathjax_path = f"mathjax/{BUNDLE}"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
