"""Text of pages, figures and explorers: numbers, subscripts, and the room a line of text takes."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

SUBSCRIPT = re.compile(r"(?<![^\W_])([^\W\d_])_(?:\{([^{}]+)\}|([^\W_]+))")
EQUALS = re.compile(r"(?<=[^\W_]) ([=≈]) (?=[−-]?\.?\d)")
BETWEEN_NUMBERS = re.compile(r"(?<=\d) ([±×]) (?=\.?\d)")
BRACKET = re.compile(r"\([^() ]{1,4} [−+/=] [^() ]{1,4}\)")
MARKUP = re.compile(r"(<code>.*?</code>|<[^>]*>)", re.DOTALL)
SMALL = 11  # Font size of subscripts, in the picture's own pixels.
DROP = 3


def number_text(value: float) -> str:
    """A number as people write it: no needless digits, a true minus sign."""
    return f"{value:g}".replace("-", "−")


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """The ticks' numbers, all with as many decimals as the finest of them needs (six at most)."""
    decimals = next(
        (digits for digits in range(6) if all(abs(tick - round(tick, digits)) < 1e-9 for tick in ticks)), 6
    )
    return [f"{tick:.{decimals}f}".replace("-", "−") for tick in ticks]


def in_html(text: str) -> str:
    """Escaped text with its subscripts: `θ_d` becomes θ<sub>d</sub>, `h_{i,j}` and `g_clean` work too."""
    return "".join(f"<sub>{part}</sub>" if below else part for part, below in _parts(text))


def within_html(text: str) -> str:
    """HTML with subscripts as in `in_html` and "δ = 0.4" in one piece, but for code and tags."""
    return "".join(
        part
        if MARKUP.fullmatch(part)
        else SUBSCRIPT.sub(lambda found: f"{found[1]}<sub>{found[2] or found[3]}</sub>", unbroken(part))
        for part in MARKUP.split(text)
    )


def unbroken(text: str) -> str:
    """Text in which "δ = 0.4", "15 ± 2", "2 × 10⁻⁸" and "(1 − δ)" are never broken over two lines."""
    for operation in (EQUALS, BETWEEN_NUMBERS):
        text = operation.sub("\u00a0\\1\u00a0", text)
    return BRACKET.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


def in_mathtext(text: str) -> str:
    """The same for matplotlib; text that has mathematics of its own stays as it is."""
    if "$" in text:
        return text
    return SUBSCRIPT.sub(lambda found: f"{found[1]}$_{{\\mathregular{{{found[2] or found[3]}}}}}$", text)


def in_svg(text: str) -> str:
    """The same as the content of an SVG text element."""
    content, dropped = "", False
    for part, below in _parts(text):
        shift = (DROP if below else -DROP) if below != dropped else 0
        size = f' font-size="{SMALL}"' if below else ""
        content += f'<tspan dy="{shift}"{size}>{part}</tspan>' if shift else part
        dropped = below
    return content


def plain(text: str) -> str:
    """The same for attributes: escaped, without the underscores."""
    return "".join(part for part, _ in _parts(text))


def width(text: str, *, size: float) -> float:
    """About how wide a line of text is, in the unit of its font size; sans-serif fonts differ by a tenth."""
    return (
        0.57 * size * sum(len(html.unescape(part)) * (0.85 if below else 1) for part, below in _parts(text))
    )


def _parts(text: str) -> list[tuple[str, bool]]:
    """Escaped pieces of the text, and whether each is a subscript."""
    parts, end = [], 0
    for match in SUBSCRIPT.finditer(text):
        parts += [(text[end : match.end(1)], False), (match[2] or match[3], True)]
        end = match.end()
    return [(html.escape(part), below) for part, below in [*parts, (text[end:], False)] if part]
