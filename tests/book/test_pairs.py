"""Every piece of MyST that a chapter may hold becomes Markdown or HTML; all else is an error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from small_book import MakeBook, code_cell, notebook_page

from tools import pairs
from tools.book import Book
from tools.colab import SHOWN_AS_CODE, Chapter, Converter
from tools.myst import MystError
from tools.references import Index, Target, Work, index

WORK = Work(
    "Liu et al.", "2023", "C. Liu (2023). [Title](https://arxiv.org/abs/1).", "https://arxiv.org/abs/1"
)
OTHER = Work("Li and Wu", "2020", "A. Li (2020). [Other](https://doi.org/2).", "https://doi.org/2")
REFERENCES = Index(
    targets={
        "sec-here": Target("book/01-a", "sec-here", "Here"),
        "sec-there": Target("book/02-b", "sec-there", "There"),
        "sec-bare": Target("book/01-a", "sec-bare", ""),
        "fig-u": Target("book/02-b", "fig-u", "Fig. 3", 3),
        "eq-loss": Target("book/01-a", "equation-eq-loss", "(2)", 2),
        "ex-trap": Target("book/01-a", "ex-trap", "Exercise 4", 4),
    },
    titles={"book/index": "The book", "book/01-a": "Chapter A", "book/02-b": "Chapter B"},
    works={"liu2023": WORK, "li2020": OTHER},
)
SITE = "https://someone.github.io/some-book"
FILES = "https://raw.example.org/book"


def convert(text: str, cited: tuple[str, ...] = ("liu2023",)) -> str:
    return Converter(Chapter("book/01-a", REFERENCES, SITE, FILES, cited)).cell(text)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        # References
        ("See {ref}`sec-here`.", "See [Here](#sec-here)."),
        ("See {ref}`sec-there`.", f"See [There]({SITE}/book/02-b.html#sec-there)."),
        ("See {ref}`this <sec-bare>`.", "See [this](#sec-bare)."),
        ("See {numref}`fig-u`.", f"See [Fig. 3]({SITE}/book/02-b.html#fig-u)."),
        ("See {numref}`Picture %s <fig-u>`.", f"See [Picture 3]({SITE}/book/02-b.html#fig-u)."),
        ("See {numref}`No. {number} <fig-u>`.", f"See [No. 3]({SITE}/book/02-b.html#fig-u)."),
        ("By {eq}`eq-loss`.", "By [(2)](#eq-loss)."),
        ("In {doc}`02-b`.", f"In [Chapter B]({SITE}/book/02-b.html)."),
        ("In {doc}`/book/02-b`.", f"In [Chapter B]({SITE}/book/02-b.html)."),
        ("In {doc}`the next <02-b>`.", f"In [the next]({SITE}/book/02-b.html)."),
        ("[next](02-b.md#sec-there)", f"[next]({SITE}/book/02-b.html#sec-there)"),
        ("[here](#sec-here) [out](https://x.org/a)", "[here](#sec-here) [out](https://x.org/a)"),
        ("![A curve](u.svg)", f"![A curve]({FILES}/u.svg)"),
        ("A {term}`residual` is", "A *residual* is"),
        # Citations
        ("{cite:p}`liu2023`", "([Liu et al., 2023](https://arxiv.org/abs/1))"),
        ("{cite}`liu2023`", "([Liu et al., 2023](https://arxiv.org/abs/1))"),
        (
            "{cite:p}`liu2023,\nli2020`",
            "([Liu et al., 2023](https://arxiv.org/abs/1); [Li and Wu, 2020](https://doi.org/2))",
        ),
        ("{cite:t}`li2020` say", "Li and Wu ([2020](https://doi.org/2)) say"),
        ("```{bibliography}\n:filter: docname in docnames\n```", f"- {WORK.entry}"),
        # Formulas
        ("{math}`x^2` and $y_{ref}$", "$x^2$ and $y_{ref}$"),
        ("```{math}\nx = y\n```", "$$\nx = y\n$$"),
        ("```{math}\n:label: eq-loss\nx\n```", '<a name="eq-loss"></a>\n\n$$\nx\n\\tag{2}\n$$'),
        ("$$ x $$ (eq-loss)", '<a name="eq-loss"></a>\n\n$$\nx\n\\tag{2}\n$$'),
        ("$$\na \\\\\nb\n$$", "$$\n\\begin{split}\na \\\\\nb\n\\end{split}\n$$"),
        ("$a[1](2)$ and [x](#y)", "$a[1](2)$ and [x](#y)"),
        # Labels, comments, code
        ("(sec-here)=\n# Here", '<a name="sec-here"></a>\n\n# Here'),
        ("% a comment\nText", "Text"),
        ("Write `{cite}` or ``{ref}`x` ``.", "Write `{cite}` or ``{ref}`x` ``."),
        ("```python\n:::{note}\n```", "```python\n:::{note}\n```"),
        ("```{code-block} bash\nmake book\n```", "```bash\nmake book\n```"),
        # Admonitions and asides
        ("```{note}\nText\n```", "> **Note**\n>\n> Text"),
        (":::{warning} Mind\nText\n:::", "> **Mind**\n>\n> Text"),
        (":::{margin}\nText\n:::", "> Text"),
        (":::{note}\n$$\na\nb\n$$\n:::", "> **Note**\n>\n> $$ a b $$"),
        (
            "::::{note}\n:::{tip}\nInner {eq}`eq-loss`\n:::\n::::",
            "> **Note**\n>\n> > **Tip**\n> >\n> > Inner [(2)](#eq-loss)",
        ),
        (
            ":::{tip}\n:class: dropdown\nText\n:::",
            "<details>\n<summary>Tip</summary>\n\nText\n\n</details>",
        ),
        (":::{dropdown} More\nText\n:::", "<details>\n<summary>More</summary>\n\nText\n\n</details>"),
        ("- item\n\n  ```{note}\n  Text\n  ```", "- item\n\n  > **Note**\n  >\n  > Text"),
        ("```{note}\n---\nclass: x\n---\nText\n```", "> **Note**\n>\n> Text"),
        # Exercises and figures
        (
            ":::{exercise} The trap\n:label: ex-trap\nCount.\n:::",
            '<a name="ex-trap"></a>\n\n**Exercise 4 (The trap)**\n\nCount.',
        ),
        (
            ":::{solution} ex-trap\n:class: dropdown\nTen.\n:::",
            "<details>\n<summary>Solution to Exercise 4</summary>\n\nTen.\n\n</details>",
        ),
        (
            "```{figure} u.svg\n:name: fig-u\n:alt: A curve\nThe *U*.\n```",
            f'<a name="fig-u"></a>\n\n![A curve]({FILES}/u.svg)\n\n**Fig. 3** The *U*.',
        ),
        ("```{image} u.svg\n:alt: A curve\n```", f"![A curve]({FILES}/u.svg)"),
        ("```{tableofcontents}\n```", ""),
    ],
)
def test_each_rule(myst: str, markdown: str) -> None:
    assert convert(myst) == markdown


@pytest.mark.parametrize(
    ("myst", "line", "what"),
    [
        ("Text\n\n{glue}`x`", 3, "no rule for the role {glue}"),
        ("{nonsense}`x`", 1, "no rule for the role {nonsense}"),
        ("Text\n\n```{eval-rst}\nx\n```", 3, "no rule for the directive {eval-rst}"),
        ("::::{note}\nText\n\n:::{nonsense}\nx\n:::\n::::", 4, "no rule for the directive {nonsense}"),
        (":::{note}\nText\n\n{glue:text}`x`\n:::", 4, "no rule for the role {glue:text}"),
        ("Text\n:::{note}\nText", 2, "this fence is never closed"),
        ("::: note\nText\n:::", 1, "a fence of colons must name a directive"),
        ("{ref}`nowhere`", 1, "no page has the label 'nowhere'"),
        ("{ref}`sec-bare`", 1, "no heading follows (sec-bare)="),
        ("{doc}`09-z`", 1, "there is no page 'book/09-z'"),
        ("[x](09-z.md)", 1, "there is no page 'book/09-z'"),
        ("[](#sec-here)", 1, "needs a text"),
        ("{cite:p}`nobody1999`", 1, "the bibliography has no entry 'nobody1999'"),
        ("```{math}\n:label: eq-none\nx\n```", 1, "no page has the label 'eq-none'"),
        ("```{image} u.svg\n```", 1, "needs an :alt: text"),
        ("Text {{ variable }}", 1, "no rule for {{ variable }}"),
        ("```{note}\n---\nclass: x\nText\n```", 1, "do not end with ---"),
        (":::{solution-end}\n:::", 1, "a solution ends that has not begun"),
        (
            ":::{solution-start} ex-trap\n:::\n:::{solution-start} ex-trap\n:::",
            3,
            "a solution begins inside another one",
        ),
    ],
)
def test_what_has_no_rule_is_an_error_with_its_line(myst: str, line: int, what: str) -> None:
    with pytest.raises(MystError, match=rf"^{line}: .*{re.escape(what)}"):
        convert(myst)


def test_a_solution_reaches_over_code_cells() -> None:
    converter = Converter(Chapter("book/01-a", REFERENCES, SITE, FILES))
    begin = "<details>\n<summary>Solution to Exercise 4</summary>\n\n"
    opened = converter.cell("Before.\n\n:::{solution-start} ex-trap\n:::\n\nFirst.")
    assert opened == f"Before.\n\n{begin}First.\n\n</details>"
    assert converter.solution == "Solution to Exercise 4"
    assert converter.cell("Between.") == f"{begin}Between.\n\n</details>"
    assert converter.cell(":::{solution-end}\n:::\n\nAfter.") == "After."
    assert converter.solution == ""


def test_labels_are_numbered_as_sphinx_does_through_all_pages(make_book: MakeBook) -> None:
    text = (
        "(page-{0})=\n# Page {0}\n\n```{{math}}\n:label: eq-{0}\nx\n```\n\n"
        "$$ unnumbered $$\n\n$$ y $$ (eq2-{0})\n\n"
        ":::{{exercise}} Title\n:label: ex-{0}\nDo.\n:::\n\n"
        "```{{code-cell}} ipython3\n---\nmystnb:\n  figure: {{caption: A, name: Fig_{0}}}\n---\n1\n```\n\n"
        "```{{figure}} u.svg\n:name: pic-{0}\nCaption\n```\n"
    )
    pages = {f"0{n}-{name}": notebook_page(text.format(name)) for n, name in enumerate("ab", start=1)}
    references = index(make_book(pages))
    first = {"page-a": "Page a", "eq-a": "(1)", "eq2-a": "(2)", "ex-a": "Exercise 1"}
    second = {"page-b": "Page b", "eq-b": "(3)", "eq2-b": "(4)", "ex-b": "Exercise 2"}
    figures = {"Fig_a": "Fig. 1", "pic-a": "Fig. 2", "Fig_b": "Fig. 3", "pic-b": "Fig. 4"}
    assert {label: target.text for label, target in references.targets.items()} == first | second | figures
    assert references.targets["Fig_b"].anchor == "fig-b"
    assert references.targets["eq2-b"].anchor == "equation-eq2-b"


def test_works_are_cited_by_name() -> None:
    works = index(Book()).works
    assert works["liu2023clean"].authors == "Liu et al."
    assert works["liu2023clean"].url == "https://arxiv.org/abs/2306.02533"
    assert "Stanisław Jastrzębski" in works["arpit2017memorization"].entry
    assert works["lecun1998gradient"].url == "https://doi.org/10.1109/5.726791"


@pytest.fixture
def chapter(make_book: MakeBook) -> Book:
    """A book of one chapter."""
    figure = "---\nmystnb:\n  figure: {caption: 'By {eq}`eq-x`', name: fig-x}\n---\n"
    page = notebook_page(
        "(top)=\n# Title\n\nOpening.\n\n$$ x $$ (eq-x)\n\n"
        + code_cell("draw()", figure)
        + "\n"
        + code_cell("told()", ":tags: [remove-input]\n")
        + "\n:::{exercise}\n:label: ex-x\nDo.\n:::\n\n:::{solution-start} ex-x\n:::\n\n"
        + code_cell("solve()")
        + "\n:::{solution-end}\n:::\n"
    )
    return make_book({"01-a": page})


def test_a_pair_as_a_whole(chapter: Book) -> None:
    text = pairs.pair_text(chapter, "book/01-a", index(chapter))
    assert text == pairs.pair_text(chapter, "book/01-a", index(chapter)), "a pair must not vary"
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    title, setup, opening, drawn, caption, told, exercise, solved = notebook.cells
    address = f"{chapter.published}/book/01-a.html"
    assert title.source.startswith(
        '<a name="top"></a>\n\n# Title\n\n*In Colab this chapter takes about 2 minutes'
    )
    assert f"on a CPU and 1 minute on a GPU. [The page on the web]({address})" in title.source
    assert opening.source.startswith("Opening.")
    assert caption.source == '<a name="fig-x"></a>\n\n**Fig. 1** By [(1)](#eq-x)'
    assert drawn.source == "draw()"
    assert told.source == "# @title Code\ntold()"
    assert told.metadata.cellView == "form"
    assert exercise.source.endswith("Do.")
    assert solved.source == "# @title Solution to Exercise 1\nsolve()"
    assert solved.metadata.jupyter.source_hidden
    assert [cell.id for cell in notebook.cells] == [f"cell-{number:03d}" for number in range(8)]
    assert len(setup.source.splitlines()) <= 6
    assert f'--no-deps "git+{chapter.repository}@v' in setup.source


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("minutes_gpu: 1", "minutes: 1", "01-a.md:1: the front matter lacks cleanprio: {minutes_gpu}"),
        ("# Title", "Title", "01-a.md:1: a chapter begins with its title"),
        ("Opening.", "{glue}`x`", "01-a.md:10: no rule for the role {glue}"),
        (":::{solution-end}\n:::", "", "never ended: Solution to Exercise 1"),
    ],
)
def test_errors_name_the_page(chapter: Book, old: str, new: str, what: str) -> None:
    source = chapter.source("book/01-a")
    source.write_text(source.read_text().replace(old, new))
    with pytest.raises(pairs.PairError, match=re.escape(what)):
        pairs.pair_text(chapter, "book/01-a", index(chapter))


def test_stale_missing_and_left_over_pairs_are_found(
    chapter: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "Book", lambda: chapter)
    assert pairs.main(["--check"]) == 1
    assert "book/01-a.ipynb is missing" in capsys.readouterr().out
    assert not chapter.pair("book/01-a").exists(), "a check must change nothing"
    assert pairs.main() == 0
    assert pairs.main(["--check"]) == 0
    source = chapter.source("book/01-a")
    source.write_text(source.read_text().replace("Opening.", "Another opening."))
    assert pairs.main(["--check"]) == 1
    assert "book/01-a.ipynb is stale" in capsys.readouterr().out
    assert pairs.main() == 0
    (chapter.root / "book" / "07-old.ipynb").write_text("{}")
    assert pairs.main(["--check"]) == 1
    assert "book/07-old.ipynb belongs to no chapter" in capsys.readouterr().out
    source.write_text(source.read_text().replace("Another", "{glue}`x`"))
    assert pairs.main() == 1
    assert "book/01-a.md:10: no rule for the role {glue}" in capsys.readouterr().out


# This project's own pairs


def test_no_pair_is_stale() -> None:
    assert pairs.problems(Book(), write=False) == []


@pytest.mark.parametrize("page", Book().chapters)
def test_a_pair_holds_no_outputs_and_no_raw_markup(page: str) -> None:
    notebook = nbformat.reads(Book().pair(page).read_text(encoding="utf-8"), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        else:
            shown = SHOWN_AS_CODE.sub("", cell.source)
            assert not re.search(r":::|\{[a-z:-]+\}`|^\([\w-]+\)=|^```\{|^%", shown, re.MULTILINE), (
                cell.source
            )


def test_the_set_up_cell_is_the_same_everywhere() -> None:
    notebooks = [json.loads(Book().pair(page).read_text(encoding="utf-8")) for page in Book().chapters]
    assert len({"".join(notebook["cells"][1]["source"]) for notebook in notebooks}) == 1


def test_every_chapter_is_in_the_table_of_contents() -> None:
    book = Book()
    assert sorted(book.source(page) for page in book.chapters) == sorted(
        book.root.glob("book/[0-9][0-9]-*.md")
    )


def test_the_repository_address_stands_in_one_place() -> None:
    book = Book()
    address = "/".join(book.owner_and_name)
    kinds = {".py", ".md", ".yml", ".toml", ".txt", ".cff", ".bib", ".css", ".js"}
    made = {".venv", "_build", ".exec", ".git"}
    files = [
        path for path in book.root.rglob("*") if path.suffix in kinds or path.name in {"Makefile", "run"}
    ]
    own = [path for path in files if path.is_file() and not made & set(path.relative_to(book.root).parts)]
    assert [path.name for path in own if address in path.read_text(encoding="utf-8")] == ["_config.yml"]


def test_the_version_to_install_is_the_one_that_is_here() -> None:
    import cleanprio_lib

    text = Path(Book().pair(Book().chapters[0])).read_text(encoding="utf-8")
    assert f"@v{cleanprio_lib.__version__}" in text
