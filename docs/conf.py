"""How the documentation site is built: sphinx-build -W -b html docs build/docs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["COLUMNS"] = "122"

project = "smearcount"
author = "the smearcount authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "240px", "fixed_sidebar": True}
html_show_sourcelink = False
html_copy_source = False

myst_heading_anchors = 3
myst_enable_extensions = ["tasklist"]

# Docstrings use single backticks for code.
default_role = "code"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


class CommandHelp(SphinxDirective):
    """The help of a command, from its own parser."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A section with the help as text."""
        name = self.arguments[0]
        text = import_module(name).parser().format_help()
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title(name, name)
        block = nodes.literal_block(text, text)
        block["language"] = "text"
        section += block
        return [section]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commandhelp", CommandHelp)
    return {"parallel_read_safe": True}
