"""Split MyST text into plain text, listings and directives, each with the line at which it begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,}|:{3,})(?:\{(?P<name>[^}]*)\})?(?P<rest>.*)$")
OPTION = re.compile(r"^:(?P<key>[\w-]+):[ \t]*(?P<value>.*)$")
HEADING = re.compile(r"^#+ +(?P<title>.+?) *$", re.MULTILINE)


class MystError(ValueError):
    """MyST text that there is no rule for; the message begins with the line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")


@dataclass(frozen=True)
class Text:
    """Lines between fences."""

    text: str
    line: int


@dataclass(frozen=True)
class Listing:
    """A fenced block of code that is shown as it stands, fences included."""

    text: str
    line: int


@dataclass(frozen=True)
class Directive:
    """A fenced block ` ```{name} argument `, its options and its body, which begins at `body_line`."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""
    line: int = 1
    body_line: int = 1
    indent: str = ""


Block = Text | Listing | Directive


def blocks(text: str, first_line: int = 1) -> Iterator[Block]:
    """All blocks of a text in order; nested directives stay in the bodies of the outer ones.

    Raises:
        MystError: a fence is never closed, or is one of colons without a name.
    """
    lines = text.split("\n")
    plain_from = at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        if plain_from < at:
            yield Text("\n".join(lines[plain_from:at]), first_line + plain_from)
        end = _closing(lines, at, opening, first_line)
        yield _fenced(lines[at : end + 1], opening, first_line + at)
        plain_from = at = end + 1
    if plain_from < len(lines):
        yield Text("\n".join(lines[plain_from:]), first_line + plain_from)


def _closing(lines: list[str], start: int, opening: re.Match[str], first_line: int) -> int:
    """Index of the line that closes the fence opened at `start`."""
    mark = opening["mark"]
    closing = re.compile(rf"^ *{re.escape(mark[0])}{{{len(mark)},}} *$")
    for at in range(start + 1, len(lines)):
        if closing.match(lines[at]):
            return at
    raise MystError(first_line + start, f"this fence is never closed: {lines[start].strip()}")


def _fenced(lines: list[str], opening: re.Match[str], line: int) -> Listing | Directive:
    name, indent = opening["name"], opening["indent"]
    if name is None or name == "code-cell":
        if opening["mark"].startswith(":"):
            raise MystError(line, "a fence of colons must name a directive")
        return Listing("\n".join(lines), line)
    inner = [content.removeprefix(indent) for content in lines[1:-1]]
    options, taken = _options(inner, line)
    body = "\n".join(inner[taken:])
    return Directive(name, opening["rest"].strip(), options, body, line, line + 1 + taken, indent)


def _options(lines: list[str], line: int) -> tuple[dict[str, str], int]:
    """A directive's options, and how many lines they take: `:key: value` lines, or YAML between `---`."""
    if lines and lines[0].strip() == "---":
        if "---" not in lines[1:]:
            raise MystError(line, "the options that begin with --- do not end with ---")
        end = lines.index("---", 1)
        values = yaml.safe_load("\n".join(lines[1:end])) or {}
        return {str(key): str(value) for key, value in values.items()}, end + 1
    options: dict[str, str] = {}
    for content in lines:
        option = OPTION.match(content)
        if option is None:
            break
        options[option["key"]] = option["value"].strip()
    return options, len(options)
