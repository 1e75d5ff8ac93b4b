"""Navigation of the site, from the lists of links that readers of the Markdown use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath

START = "README"
"""The first page, by its name without a suffix."""
INDEX = "docs/README"
"""The page with all others, in the reader's order."""
API, REFERENCE = "api/index", "Look up"
"""The reference from docstrings, which only the site has, and the section that it is in."""
_LINK = re.compile(r"\]\(([^)#:]+\.md)\)")


def sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the headings of a page, each with the links of its list, as they are written."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        items = re.findall(r"^- .*$", body, re.MULTILINE)
        yield heading.strip(), [link[1] for item in items if (link := _LINK.search(item))]


def pages_below(page: str, text: str) -> list[str]:
    """Return the pages of the same folder that a folder's first page links to, in its order."""
    folder = PurePosixPath(page).parent
    links = dict.fromkeys(_page(page, link) for link in _LINK.findall(text))
    return [one for one in links if PurePosixPath(one).parent == folder and one != page]


def _page(page: str, link: str) -> str:
    """Return the name of the page that a page links to."""
    path = normpath(str(PurePosixPath(page).parent / link))
    return path.removesuffix(".md")


def toctrees(page: str, root: Path) -> str:
    """Return the hidden tables of contents of a page: for the first page, all of the index."""
    if page == START:
        text = (root / f"{INDEX}.md").read_text(encoding="utf-8")
        named = [(name, [_page(INDEX, link) for link in links]) for name, links in sections(text)]
        dict(named)[REFERENCE].insert(0, API)
        named[0][1].append(INDEX)
        trees = [_toctree([one for one in pages if one != START], name) for name, pages in named]
        return "\n\n".join(trees)
    is_first = PurePosixPath(page).name == "README" and page != INDEX
    below = pages_below(page, (root / f"{page}.md").read_text("utf-8")) if is_first else []
    return _toctree(below) if below else ""


def _toctree(pages: list[str], caption: str = "") -> str:
    lines = ["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), ""]
    return "\n".join([*lines, *(f"/{page}" for page in pages), "```"])
