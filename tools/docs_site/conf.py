"""Configuration of Sphinx for `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
# The API reference imports the code, and so Airflow; the tools of this environment come first.
sys.path += [str(path) for path in (ROOT / ".venv" / "lib").glob("python*/site-packages")]

from tools.docs_site.navigation import START, toctrees  # noqa: E402 - needs the path

project = "airflow-provider-kombo"
author = "the maintainers"
version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
html_title = f"{project} {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []
root_doc = START
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4
# A word in single backticks of a docstring is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
add_module_names = False


def _add_navigation(_app: Any, page: str, source: list[str]) -> None:
    """Append the contents of a page, and lead links to a folder to its first page."""
    text = re.sub(r"\]\(((?:docs/)?[a-z]+/)\)", r"](\1README.md)", source[0])
    contents = "" if page.startswith("api/") else toctrees(page, ROOT)
    source[0] = f"{text}\n\n{contents}\n"


def setup(app: Any) -> None:
    """Connect our part to Sphinx."""
    app.connect("source-read", _add_navigation)
