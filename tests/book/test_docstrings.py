"""The library reference: complete, and docstrings in Markdown as Sphinx must have them."""

import importlib.util
import re

import pytest

from tools.book import ROOT

spec = importlib.util.spec_from_file_location("docstrings", ROOT / "book/_ext/docstrings.py")
docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstrings)

PACKAGE = ROOT / "cleanprio_lib"
# Packages are documented by what they export, each statement of the command line by --help.
WHOLE = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"measurements"}
LEFT_OUT = {"checkpoints", "archives", "stand_in"}


def test_every_public_module_is_in_the_reference():
    pages = "".join(path.read_text("utf8") for path in (ROOT / "book/appendix/reference").glob("*.md"))
    listed = re.findall(r"automodule:: cleanprio_lib\.([\w.]+)\n", pages)
    modules = {path.stem for path in PACKAGE.glob("[a-z]*.py")} - LEFT_OUT
    measured = {f"measurements.{path.stem}" for path in PACKAGE.glob("measurements/[a-z]*.py")}
    assert len(listed) == len(set(listed))
    assert set(listed) == modules | WHOLE | measured


def rst(text):
    return "\n".join(docstrings.as_rst(text.split("\n")))


@pytest.mark.parametrize(
    ("markdown", "wanted"),
    [
        ("An angle $\\theta_h$.", "An angle :math:`\\theta_h`."),
        ("Over two\nlines $a\n+ b$ here.", "Over two\nlines :math:`a + b` here."),
        ("Of `shape` and `a b`.", "Of ``shape`` and ``a b``."),
        ("The size |f - y| of 2 * 3.", "The size \\|f - y\\| of 2 \\* 3."),
        ("$|f - y|_2$ and `a|b`", ":math:`|f - y|_2` and ``a|b``"),
        ("columns `noisy_true_*`", "columns ``noisy_true_*``"),
        ("a name_ that ends so", "a name\\_ that ends so"),
        ("    x_train, x_test: images.", "    x_train,x_test: images."),
        ("    x: (n, d) a, b: c.", "    x: (n, d) a, b: c."),
    ],
)
def test_marks_become_those_of_rst(markdown, wanted):
    assert rst(markdown) == wanted


def test_displayed_formulas_become_directives():
    assert rst("Text.\n\n    $$a = b,\n    c$$\n\nMore.") == "Text.\n\n    .. math:: a = b, c\n\nMore."


def test_listings_stay_as_they_are():
    text = "Do so::\n\n    a = f(*b) | c_\n\n    d = `e`\n\nThen $x$.\n"
    assert rst(text) == text.replace("$x$", ":math:`x`")
