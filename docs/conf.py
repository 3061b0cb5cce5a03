"""How Sphinx builds the documentation: `make docs`, with every warning an error."""

from __future__ import annotations

from typing import Any

from bandweave import __version__

project = "bandweave"
author = "The bandweave authors"
project_copyright = "the bandweave authors, Apache-2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build"]

# The pages are plain Markdown that a code host shows as well: links are relative paths, anchors are
# the host's slugs of the headings.
myst_heading_anchors = 4

# Docstrings write `code` with single backticks.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# Other libraries' types, whose documentation is not at hand when this one is built, and two
# abbreviations of `bandweave.fuse`: a path, and a function that takes a sentence.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|affine|xarray|collections|pathlib|os|typing)\..*"),
    (r"py:.*", r"NDArray|DataArray|FilePath|Tell"),
    # Parts of the report and of a sensor that are read, not made, by who calls `fuse`.
    (r"py:.*", r"(bandweave\..*\.)?(Consistency(Effect)?|InstrumentEstimate|PointSpread)"),
]

linkcheck_timeout = 20

html_theme = "furo"
html_title = f"bandweave {__version__}"
html_copy_source = False
html_show_sphinx = False


def _as_text(_app: Any, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Keep what docstrings write from being read as reStructuredText.

    Bars are absolute values, not substitutions. And "Rows, columns: those of the scene." below a
    field is a sentence; Napoleon takes it for a type and its description unless the line ends
    behind the colon.
    """
    for k, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [text.replace("|", r"\|") for text in parts[::2]]
        lines[k] = "`".join(parts)
    if what == "attribute" and ": " in lines[0]:
        head, tail = lines[0].split(": ", 1)
        lines[:1] = [f"{head}:", tail]


def _examples(_app: Any, _context: Any, lines: list[str]) -> None:
    """Show the indented examples of a command's help line by line."""
    for k in range(len(lines) - 1, 0, -1):
        if lines[k].startswith("    ") and not lines[k - 1].strip():
            lines[k:k] = ["::", ""]


def setup(app: Any) -> None:
    """Connect what Sphinx calls; 400 comes before Napoleon."""
    app.connect("sphinx-click-process-description", _examples)
    app.connect("autodoc-process-docstring", _as_text, priority=400)
