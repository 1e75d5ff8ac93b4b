"""Check of a built site: its links lead somewhere, and it asks no other host for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script", "img", "source", "iframe", "link", "video", "audio", "object", "embed"}
"""Elements whose address a browser loads by itself."""


class Page(HTMLParser):
    """The links and anchors of a page.

    :param path: The HTML file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors = {"", "top"}
        self.links: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the anchor and the addresses of an element."""
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.anchors.add(value)
            elif name in {"href", "src", "srcset", "data"} and value:
                self.links.append((tag, value))


def faults(site: Path) -> Iterator[str]:
    """Yield each broken link and each request to another host, with its file."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for tag, link in page.links:
            if fault := _fault(tag, link, path, pages):
                yield f"{path.relative_to(site)}: {fault}: {link}"
    for path in sorted(site.rglob("*.css")):
        for link in re.findall(
            r"""(?:url\(|@import )\s*["']?([^"')\s]+)""", path.read_text("utf-8")
        ):
            if _is_foreign(link):
                yield f"{path.relative_to(site)}: asks another host: {link}"


def _is_foreign(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.netloc) or parts.scheme in {"http", "https"}


def _fault(tag: str, link: str, path: Path, pages: dict[Path, Page]) -> str | None:
    if _is_foreign(link):
        return "asks another host" if tag in _LOADED else None
    parts = urlsplit(link)
    if parts.scheme:
        return None  # data: and mailto:
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "no such file"
    if tag == "a" and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "no such anchor"
    return None
