"""Turn a chapter's MyST text into what Colab can show: Markdown with a little HTML.

Every role and directive that a page may use has a rule here; one without a rule is an error that names the
line, so that no reader ever meets raw mark-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nbformat import NotebookNode

from tools.myst import Block, Directive, Listing, MystError, Text, blocks
from tools.references import CITATION, Index, Target, Work

ADMONITIONS = {
    "attention",
    "caution",
    "danger",
    "error",
    "hint",
    "important",
    "note",
    "seealso",
    "tip",
    "warning",
}
ASIDES = {"admonition", "margin", "sidebar", "topic", "dropdown", "epigraph"}
# Pieces of text with a meaning of their own, in the order in which they are looked for at each place.
PIECES = re.compile(
    r"""
      (?:\{(?P<role>[^{}`\s]+)\})?(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)
    | \$\$(?P<display>.+?)\$\$(?:[ \t]*\((?P<label>[\w:.-]+)\))?
    | (?<![\\$\w])(?P<inline>\$(?![\s$])(?:\\.|[^$\\])+\$)
    | (?P<image>!?)\[(?P<caption>[^\]]*)\]\((?P<url>[^)\s]*)\)
    | ^\((?P<anchor>[\w:.-]+)\)=[ \t]*$
    | ^(?P<comment>%[^\n]*\n?)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
EXPLICIT = re.compile(r"(?P<text>.+?)\s*<(?P<label>[^<>]+)>", re.DOTALL)
LEFT_OVER = re.compile(r":::|```\{|\{[A-Za-z][\w:.+-]*\}`|\{\{.*?\}\}")
SHOWN_AS_CODE = re.compile(
    r"^( *(?:> )*)(`{3,}|~{3,}).*?^\1\2 *$|(?<!`)(`+)(?!`).+?(?<!`)\3(?!`)", re.M | re.S
)
DISPLAY = re.compile(r"\$\$.+?\$\$", re.DOTALL)
EMPTY_DETAILS = re.compile(r"<details>\n<summary>[^\n]*</summary>\s*</details>")


@dataclass(frozen=True)
class Chapter:
    """What the rules need to know: the page, what it can refer to, where pages and files are found."""

    page: str
    references: Index
    published: str
    files: str
    cited: tuple[str, ...] = ()

    def target(self, label: str, line: int) -> Target:
        """What a label stands for."""
        if label not in self.references.targets:
            raise MystError(line, f"no page has the label {label!r}")
        return self.references.targets[label]

    def work(self, key: str, line: int) -> Work:
        """A work by its key."""
        if key not in self.references.works:
            raise MystError(line, f"the bibliography has no entry {key!r}")
        return self.references.works[key]

    def link(self, target: Target, label: str, text: str) -> str:
        """A link within the notebook, or to the published page."""
        elsewhere = f"{self.published}/{target.page}.html#{target.anchor}"
        return f"[{text}]({f'#{label}' if target.page == self.page else elsewhere})"


class Converter:
    """Converts the Markdown cells of one chapter in their order (a solution may reach over several cells)."""

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.solution = ""

    def cell(self, text: str, first_line: int = 1) -> str:
        """A Markdown cell for Colab.

        Raises:
            MystError: there is no rule for something in it.
        """
        opened = details_begin(self.solution) if self.solution else ""
        converted = opened + self.text(text, first_line)
        if self.solution:
            converted += "\n\n</details>"
        converted = EMPTY_DETAILS.sub("", converted)
        left_over = LEFT_OVER.search(SHOWN_AS_CODE.sub("", converted))
        if left_over:
            raise MystError(first_line, f"in the cell that begins here, no rule for {left_over[0]}")
        return re.sub(r"\n{3,}", "\n\n", converted).strip("\n")

    def text(self, text: str, first_line: int) -> str:
        """Any text: a cell's, or a directive's body."""
        return "\n".join(self.block(block) for block in blocks(text, first_line))

    def block(self, block: Block) -> str:
        """One block."""
        if isinstance(block, Listing):
            return block.text
        if isinstance(block, Text):
            return PIECES.sub(lambda match: self.piece(match, block), block.text)
        rule = self.rule_of(block)
        if rule is None:
            raise MystError(block.line, f"no rule for the directive {{{block.name}}}")
        converted = rule(self, block)
        return "\n".join(f"{block.indent}{line}".rstrip() for line in converted.split("\n"))

    def rule_of(self, block: Directive) -> Callable[[Converter, Directive], str] | None:
        """The rule for a directive."""
        if block.name in ADMONITIONS | ASIDES:
            return details if "dropdown" in (block.name, *block.options.get("class", "").split()) else quote
        return DIRECTIVES.get(block.name)

    def piece(self, match: re.Match[str], block: Text) -> str:
        """One piece of running text."""
        line = block.line + block.text.count("\n", 0, match.start())
        if match["role"]:
            return self.role(match["role"], " ".join(match["content"].split()), line)
        if match["display"]:
            return self.display(match["display"], match["label"], line)
        if match["url"] is not None:
            return f"{match['image']}[{match['caption']}]({self.address(match, line)})"
        if match["anchor"]:
            return f"{anchor(match['anchor'])}\n"
        return "" if match["comment"] else match[0]

    def role(self, name: str, content: str, line: int) -> str:
        """A role's text."""
        if name == "cite" or name.startswith("cite:"):
            return self.citation(name, content, line)
        rule = ROLES.get(name)
        if rule is None:
            raise MystError(line, f"no rule for the role {{{name}}}")
        return rule(self, content, line)

    def citation(self, name: str, content: str, line: int) -> str:
        """Authors and year, linked to the work itself."""
        works = [self.chapter.work(key.strip(), line) for key in content.split(",")]
        if name == "cite:t":
            return ", ".join(f"{work.authors} ([{work.year}]({work.url}))" for work in works)
        return f"({'; '.join(f'[{work.authors}, {work.year}]({work.url})' for work in works)})"

    def reference(self, content: str, line: int) -> str:
        """A link to a label, with the text given or the target's own."""
        explicit = EXPLICIT.fullmatch(content)
        label = explicit["label"] if explicit else content
        target = self.chapter.target(label, line)
        number = str(target.number) if target.number else ""
        text = re.sub(r"%s|\{number\}", number, explicit["text"]) if explicit else target.text
        if not text:
            raise MystError(line, f"no heading follows ({label})=: give a text, {{ref}}`text <{label}>`")
        return self.chapter.link(target, label, text)

    def document(self, content: str, line: int) -> str:
        """A link to a whole page."""
        explicit = EXPLICIT.fullmatch(content)
        page = self.resolve(explicit["label"] if explicit else content, line)
        text = explicit["text"] if explicit else self.chapter.references.titles[page]
        return f"[{text}]({self.chapter.published}/{page}.html)"

    def resolve(self, name: str, line: int) -> str:
        """The page that a name means, seen from this one; `/` begins at the root."""
        folder = self.chapter.page.rpartition("/")[0]
        name = name.removesuffix(".md")
        page = name[1:] if name.startswith("/") else f"{folder}/{name}".removeprefix("/")
        if page not in self.chapter.references.titles:
            raise MystError(line, f"there is no page {page!r}")
        return page

    def address(self, match: re.Match[str], line: int) -> str:
        """Where a Markdown link or image leads in Colab."""
        url = str(match["url"])
        if re.match(r"[a-z]+:|#", url):
            if url.startswith("#") and not match["caption"]:
                raise MystError(line, f"the link []({url}) needs a text")
            return url
        path, hash_mark, fragment = url.partition("#")
        if path.endswith(".md"):
            return f"{self.chapter.published}/{self.resolve(path, line)}.html{hash_mark}{fragment}"
        return f"{self.chapter.files}/{path}"

    def display(self, formula: str, label: str | None, line: int) -> str:
        """A display formula, with the number that the built page shows."""
        lines = [part for part in formula.strip().split("\n") if part.strip()]
        body = "\n".join(lines)
        # As Sphinx does: several rows, aligned where they say so.
        body = f"\\begin{{split}}\n{body}\n\\end{{split}}" if "\\\\" in body else body
        if not label:
            return f"$$\n{body}\n$$"
        return f"{anchor(label)}\n\n$$\n{body}\n\\tag{{{self.chapter.target(label, line).number}}}\n$$"


# Directives


def quote(converter: Converter, block: Directive) -> str:
    """An admonition or aside, set off as a quotation with a title."""
    body = converter.text(block.body, block.body_line).strip("\n")
    # A formula of several lines inside a quotation would show the quotation marks.
    body = DISPLAY.sub(lambda match: " ".join(match[0].split()), body)
    title = block.argument or ("" if block.name in {"margin", "epigraph"} else block.name.capitalize())
    lines = ([f"**{title}**", ""] if title else []) + body.split("\n")
    return "\n" + "\n".join(f"> {line}".rstrip() for line in lines) + "\n"


def details(converter: Converter, block: Directive) -> str:
    """Something folded away."""
    return folded(converter, block, block.argument or block.name.capitalize())


def folded(converter: Converter, block: Directive, summary: str) -> str:
    """A directive's body under a summary that unfolds it."""
    return f"{details_begin(summary)}{converter.text(block.body, block.body_line)}\n\n</details>"


def details_begin(summary: str) -> str:
    """The opening of something folded away."""
    return f"<details>\n<summary>{summary}</summary>\n\n"


def math(converter: Converter, block: Directive) -> str:
    """A display formula."""
    return converter.display(block.body, block.options.get("label"), block.line)


def exercise(converter: Converter, block: Directive) -> str:
    """An exercise under its number and title."""
    body = "" if block.name == "exercise-start" else converter.text(block.body, block.body_line)
    label = block.options.get("label", "")
    name = converter.chapter.target(label, block.line).text if label else "Exercise"
    title = f"**{name} ({block.argument})**" if block.argument else f"**{name}**"
    return f"{anchor(label)}\n\n{title}\n\n{body}" if label else f"{title}\n\n{body}"


def solution(converter: Converter, block: Directive) -> str:
    """A solution, folded away."""
    return folded(converter, block, solution_title(converter, block))


def solution_start(converter: Converter, block: Directive) -> str:
    """From here on, over code cells too, all is the solution."""
    if converter.solution:
        raise MystError(block.line, "a solution begins inside another one")
    converter.solution = solution_title(converter, block)
    return details_begin(converter.solution)


def solution_end(converter: Converter, block: Directive) -> str:
    """The end of what `solution-start` began."""
    if not converter.solution:
        raise MystError(block.line, "a solution ends that has not begun")
    converter.solution = ""
    return "\n\n</details>"


def solution_title(converter: Converter, block: Directive) -> str:
    """Whose solution it is."""
    return f"Solution to {converter.chapter.target(block.argument, block.line).text}"


def figure(converter: Converter, block: Directive) -> str:
    """A picture from a file, with its number and caption."""
    label = block.options.get("name", "")
    number = f"**{converter.chapter.target(label, block.line).text}** " if label else ""
    caption = converter.text(block.body, block.body_line).strip()
    return f"{anchor(label) if label else ''}\n\n{picture(converter, block)}\n\n{number}{caption}\n"


def picture(converter: Converter, block: Directive) -> str:
    """An image from a file of the book."""
    if not block.options.get("alt"):
        raise MystError(block.line, f"the picture {block.argument} needs an :alt: text")
    return f"![{block.options['alt']}]({converter.chapter.files}/{block.argument})"


def bibliography(converter: Converter, block: Directive) -> str:
    """The works cited in the chapter, by author."""
    works = {converter.chapter.work(key, block.line) for key in converter.chapter.cited}
    return "\n".join(f"- {entry}" for entry in sorted(work.entry for work in works))


def listing(converter: Converter, block: Directive) -> str:
    """Code that is shown and not run."""
    return f"```{block.argument}\n{block.body}\n```"


def nothing(converter: Converter, block: Directive) -> str:
    """What has a meaning on the built page only."""
    return ""


def anchor(label: str) -> str:
    """A place that links can lead to."""
    return f'<a name="{label}"></a>'


DIRECTIVES: dict[str, Callable[[Converter, Directive], str]] = {
    "bibliography": bibliography,
    "code": listing,
    "code-block": listing,
    "contents": nothing,
    "exercise": exercise,
    "exercise-end": nothing,
    "exercise-start": exercise,
    "figure": figure,
    "image": picture,
    "math": math,
    "solution": solution,
    "solution-end": solution_end,
    "solution-start": solution_start,
    "tableofcontents": nothing,
}

# Roles

ROLES: dict[str, Callable[[Converter, str, int], str]] = {
    "abbr": lambda converter, content, line: content,
    "doc": Converter.document,
    "eq": Converter.reference,
    "math": lambda converter, content, line: f"${content}$",
    "numref": Converter.reference,
    "ref": Converter.reference,
    "sub": lambda converter, content, line: f"<sub>{content}</sub>",
    "sup": lambda converter, content, line: f"<sup>{content}</sup>",
    "term": lambda converter, content, line: f"*{content}*",
}


# Code cells


def caption_of(cell: NotebookNode, converter: Converter, line: int) -> str:
    """The caption that a figure's cell carries in metadata, which Colab does not show; or nothing."""
    named = cell.metadata.get("mystnb", {}).get("figure", {})
    if "caption" not in named:
        return ""
    label = named.get("name", "")
    number = f"**{converter.chapter.target(label, line).text}** " if label else ""
    return (f"{anchor(label)}\n\n" if label else "") + number + converter.cell(named["caption"], line)


def cited_keys(text: str) -> tuple[str, ...]:
    """The keys of all works cited in a text, without repetition."""
    keys = [key.strip() for match in CITATION.finditer(text) for key in match["keys"].split(",")]
    return tuple(dict.fromkeys(keys))
