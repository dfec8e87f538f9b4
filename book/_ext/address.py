"""Where the book is published, derived from the repository's address; what others show of a link to it."""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

CARD = "_static/social-card.png"
WORDS = 40


def published(repository: str) -> str:
    """Address of a repository's pages, with a slash at its end."""
    owner, name = repository.rstrip("/").rsplit("/", 2)[-2:]
    return f"https://{owner}.github.io/{name}/"


def set_address(app: Sphinx, config: Config) -> None:
    """Give Sphinx the address, from which it makes each page's canonical one."""
    repository = config.html_theme_options.get("repository_url")
    if repository and not config.html_baseurl:
        config.html_baseurl = published(repository)


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add what social networks and messengers show of a page: title, first words, the U-curve."""
    if doctree is None or not app.config.html_baseurl:
        return
    facts = {
        "og:type": "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": nodes.Text(context.get("title", "")).astext(),
        "og:description": first_words(doctree),
        "og:url": f"{app.config.html_baseurl}{pagename}.html",
        "og:image": f"{app.config.html_baseurl}{CARD}",
        "og:image:alt": "Test error over training on wrong labels: it falls far below the noise, then rises.",
    }
    tags = [f'<meta property="{name}" content="{html.escape(text)}">' for name, text in facts.items()]
    tags.append(f'<meta name="description" content="{html.escape(facts["og:description"])}">')
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def first_words(doctree: nodes.document) -> str:
    """The beginning of a page's first paragraph that has no formula."""
    for paragraph in doctree.findall(nodes.paragraph):
        if not list(paragraph.findall(nodes.math)):
            words = paragraph.astext().split()
            if len(words) > 5:
                return " ".join(words[:WORDS]) + ("…" if len(words) > WORDS else "")
    return ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", set_address, priority=900)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
