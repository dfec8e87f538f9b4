"""Numbers in a page's prose that look like results, and what the page says they are.

A result is computed where it is shown, never typed. What is typed all the same must be something else, and a
page's front matter says what: a setting, a number of the paper, or mathematics.

    cleanprio:
      stated:
        settings: ["30%", "0.4"]
        paper: ["180 epochs"]
        mathematics: ["1.5", "80.84°"]

Looked at are text, headings, tables, admonitions and exercises, formulas included, and the words that a code
cell shows through `pages`; not code, links, nor numbers of theorems, figures, equations, steps and chapters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tools.myst import Listing, Text, blocks

KINDS = ("settings", "paper", "mathematics")
SHOWN = {"found", "answer", "show"}  # functions of `pages` whose strings readers see

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
PLACES = re.compile(
    r"\b(?:theorems?|thm|corollar(?:y|ies)|remarks?|lemmas?|propositions?|prop|assumptions?|equations?|eqs?|figures?"
    r"|figs?|sections?|chapters?|steps?(?=\s+[A-Z]?\.?\d+\.\d)|appendix|tables?|parts?"
    r"|layers? of|python|exercise)\.?\s+"
    r"[A-Z]?\.?\d[\d.]*+[a-d]?(?:(?:\s*(?:,|and|to|or|–)\s*)+[A-Z]?\.?\d[\d.]*+[a-d]?(?!\s*[°%]))*",
    re.IGNORECASE,
)
HIDDEN = re.compile(
    r"`[^`]*`|\{[\w:-]+\}`[^`]*`|\]\([^)]*\)|</?[a-z][^>\n]*>|https?://\S+|^\([\w.-]+\)=$|^:[\w-]+:.*$|\b[SLAE]\.?\d[\d.]*",
    re.MULTILINE,
)
UNITS = r"epochs?|steps?|seeds?|seconds?|minutes?|hours?|times|images|samples|degrees|parameters|GiB|MiB"
TENS = "ten|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
ONES = "one|two|three|four|five|six|seven|eight|nine"
RESULT = re.compile(
    r"(?<![\w.^_{/])(?:"
    r"\d[\d,]*(?:\.\d+)?\s*(?:\\?%|°|\^?\\circ|\s*per cent)"  # a percentage or an angle
    r"|\d+\.\d+"  # a decimal fraction
    rf"|\d[\d,]*(?:\s+(?:to|and)\s+\d[\d,]*)?\s+(?:{UNITS})\b"  # a count of something measured
    r"|(?:epochs?|seeds?)\s+\d[\d,]*"
    rf"|(?:(?:{TENS})(?:-(?:{ONES}))?|{ONES}) per cent"
    r")"
)


@dataclass(frozen=True)
class Number:
    """A number in prose: as it stands, and its line."""

    text: str
    line: int


def undeclared(text: str) -> list[Number]:
    """Numbers of a page, given as MyST text, that its front matter does not account for."""
    stated = {number for numbers in declared(text).values() for number in numbers}
    return [number for number in numbers(text) if number.text not in stated]


def stale(text: str) -> list[str]:
    """Numbers that the front matter accounts for and that are not, or no longer, in the prose."""
    found = {number.text for number in numbers(text)}
    return [number for kind in declared(text).values() for number in kind if number not in found]


def declared(text: str) -> dict[str, list[str]]:
    """What a page's front matter says of its numbers.

    Raises:
        ValueError: a kind that is not one of `KINDS`.
    """
    matter = FRONT_MATTER.match(text)
    facts: Any = (yaml.safe_load(matter[1]) or {}).get("cleanprio", {}) if matter else {}
    stated = facts.get("stated", {})
    if unknown := set(stated) - set(KINDS):
        raise ValueError(f"cleanprio: stated: must have the keys {', '.join(KINDS)}, got {sorted(unknown)}")
    return {kind: [_plain(str(number)) for number in found] for kind, found in stated.items()}


def numbers(text: str) -> list[Number]:
    """Numbers of a page that look like results, in order."""
    matter = FRONT_MATTER.match(text)
    start = matter.end() if matter else 0
    first = text.count("\n", 0, start) + 1
    return [number for prose, line in _prose(text[start:], first) for number in _in(prose, line)]


def _prose(text: str, first_line: int) -> Iterator[tuple[str, int]]:
    """Passages that readers see as words, with the lines they begin at."""
    for block in blocks(text, first_line):
        if isinstance(block, Text):
            yield block.text, block.line
        elif isinstance(block, Listing):
            if block.text.lstrip("`").startswith("{code-cell}"):
                code = block.text.split("\n")[1:-1]
                yield from _shown("\n".join(code), block.line + 1)
        else:
            yield block.argument, block.line
            yield from _prose(block.body, block.body_line)


def _shown(code: str, first_line: int) -> Iterator[tuple[str, int]]:
    """Constant parts of the strings that a cell hands to `pages`."""
    lines = code.split("\n")
    plain = "\n".join("" if line.lstrip().startswith(("%", "!", ":")) else line for line in lines)
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SHOWN:
            for part in ast.walk(node):
                if not isinstance(part, ast.Constant) or not isinstance(part.value, str):
                    continue
                if not _is_format(part, node):
                    yield part.value, first_line + part.lineno - 1


def _is_format(part: ast.AST, call: ast.Call) -> bool:
    """Whether a constant is the format of a number in an f-string, such as the `.2f` of `{x:.2f}`."""
    return any(
        part in ast.walk(node.format_spec)
        for node in ast.walk(call)
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
    )


def _in(prose: str, first_line: int) -> Iterator[Number]:
    visible = HIDDEN.sub(_blank, PLACES.sub(_blank, HIDDEN.sub(_blank, prose)))
    for found in RESULT.finditer(visible):
        yield Number(_plain(found[0]), first_line + prose.count("\n", 0, found.start()))


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _plain(number: str) -> str:
    """One spelling: single spaces, and none before ° and %."""
    text = re.sub(r"\s+", " ", number.replace("^", "").replace("\\", "").replace("circ", "°")).strip()
    return re.sub(r"\s*([°%])", r"\1", text)
