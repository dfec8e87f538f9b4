"""A role for links that open a notebook of the repository in Colab: {colab}`Open it <1-angles.ipynb>`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from docutils import nodes
from docutils.nodes import Node, system_message
from sphinx.application import Sphinx
from sphinx.util.docutils import ReferenceRole


class ColabLink(ReferenceRole):
    """A link to a notebook in Colab; the notebook is named as it is seen from the page."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """The link, or an error if there is no such notebook."""
        folder = PurePosixPath(self.env.docname).parent
        path = folder / self.target
        if not (Path(self.env.srcdir) / path).is_file():
            problem = self.inliner.reporter.error(f"there is no notebook {path}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, problem)], [problem]
        address = colab_address(self.config.html_theme_options, str(path))
        return [nodes.reference(self.rawtext, self.title, refuri=address, internal=False)], []


def colab_address(options: dict[str, object], path: str) -> str:
    """Where Colab opens a file of the repository, by the theme's options."""
    buttons = options["launch_buttons"]
    assert isinstance(buttons, dict)
    owner, name = str(options["repository_url"]).rstrip("/").rsplit("/", 2)[-2:]
    return f"{buttons['colab_url']}/github/{owner}/{name}/blob/{options['repository_branch']}/{path}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("colab", ColabLink())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
