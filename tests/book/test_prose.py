"""No typed results: numbers in prose are computed, or a page says what else they are."""

from pathlib import Path

import pytest

from tools import prose
from tools.book import Book

BOOK = Book()
TEXTS = {page: (BOOK.root / f"{page}.md").read_text("utf8") for page in BOOK.pages}


@pytest.mark.parametrize("page", BOOK.pages)
def test_every_number_in_prose_is_computed_or_accounted_for(page):
    lines = [f"{page}.md:{number.line}: {number.text}" for number in prose.undeclared(TEXTS[page])]
    assert not lines, "typed results, or numbers the front matter (cleanprio: stated) lacks: " + "; ".join(
        lines
    )


@pytest.mark.parametrize("page", BOOK.pages)
def test_what_is_accounted_for_is_there(page):
    assert prose.stale(TEXTS[page]) == []


def found(text):
    return [(number.line, number.text) for number in prose.numbers(text)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("The test error is 0.057.", ["0.057"]),
        ("It fell by 12 % and 3.5%.", ["12%", "3.5%"]),
        ("Lowest after 16 epochs, or epoch 20.", ["16 epochs", "epoch 20"]),
        ("an angle of $93^\\circ$, or 80.84°", ["93°", "80.84°"]),
        ("1.5 times as long; 21 times as long", ["1.5", "21 times"]),
        ("at $\\alpha = 0.9965$ it turns", ["0.9965"]),
        ("over 5 seeds and 12,214 images", ["5 seeds", "12,214 images"]),
        ("It took 3 to 4 minutes.", ["3 to 4 minutes"]),
        ("forty per cent are wrong, and twenty-one per cent", ["forty per cent", "twenty-one per cent"]),
        ("| δ | error |\n| --- | --- |\n| a | 0.31 |", ["0.31"]),
        ("It falls to −0.25.", ["0.25"]),
        ("by step 3.2.5, and 4.39° exactly", ["4.39°"]),
    ],
)
def test_results_are_found(text, numbers):
    assert [number for _, number in found(text)] == numbers


@pytest.mark.parametrize(
    "text",
    [
        "By theorem 4.5 and figures 5 and 6, left, of section 4.2; equation 10, Eq. 14a and corollary 3.2.",
        "By step 3.2.5, and 4.4.1.",
        "See {ref}`step 4.4.2 <proof-thm-4-4>`, steps 4.4.2 to 4.4.5 and **Step 10.10** (two points).",
        "Sevens and nines; 7 against 9; ten classes; two layers; 784-512-512-1; a 3 × 3 kernel; one half.",
        "The file `fig-05-0.3.csv` and [a page](https://example.org/0.4/12%25) from 2023.",
        "Names such as $w_{0.5}$, $x^{2.5}$ and E8, A.2, S.12.",
        "Where $a < b$ and $c > d$.",
        "```{code-cell} ipython3\nx = 0.057  # 12% of 16 epochs\nprint(f'{x:.3f}', '0.25')\n```",
        "```python\nlevel = 0.4\n```",
        "a last per cent",
    ],
)
def test_what_is_no_result_is_left_alone(text):
    assert found(text) == []


def test_words_that_a_cell_shows_are_read_and_their_formats_are_not():
    cell = """Text.

```{code-cell} ipython3
:tags: [hide-input]

pages.found(
    f"It is {low:.3f}, "
    "and not 0.25."
)
pages.show(figure, name="a-0.1", caption="With ε = 0.2.", alt=f"{share:.0%} of 30%")
```
"""
    # Of `show`, names are no prose; but a name that looks like a result would better be another.
    assert sorted(number for _, number in found(cell)) == ["0.1", "0.2", "0.25", "30%"]


def test_numbers_of_exercises_and_admonitions_are_read_with_their_lines():
    exercise = "# Title\n\n:::{exercise} By 5%\n:label: ex-0.5\n\nIs it 0.7?\n:::\n\n"
    text = exercise + "```{admonition} A guess\n:class: tip\n\n8%\n```\n"
    assert found(text) == [(3, "5%"), (6, "0.7"), (12, "8%")]


FRONT = "---\ncleanprio:\n  stated:\n    settings: ['0.4', '30\\\\ %']\n---\n\n"


def test_a_page_accounts_for_its_numbers():
    text = FRONT.replace("30\\\\ %", "30%") + "With 0.4 and 30%, error 0.05."
    assert [number.text for number in prose.undeclared(text)] == ["0.05"]
    assert prose.undeclared(text)[0].line == 7
    assert prose.stale(text) == []
    assert prose.stale(text.replace("0.4 and", "")) == ["0.4"]


def test_a_kind_that_does_not_exist_is_an_error():
    with pytest.raises(
        ValueError, match=r"must have the keys settings, paper, mathematics, got \['results'\]"
    ):
        prose.declared("---\ncleanprio:\n  stated:\n    results: ['0.1']\n---\n0.1\n")


def test_the_project_has_no_page_without_this_test():
    folder = Path(BOOK.root) / "book"
    written = {str(path.relative_to(BOOK.root).with_suffix("")) for path in folder.glob("[0-9]*.md")}
    assert written >= set(BOOK.chapters)
