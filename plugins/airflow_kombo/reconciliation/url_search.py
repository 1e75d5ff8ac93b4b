"""Search a text of an applicant tracking system for the address of a link.

A text may hold the address as it was sent, with HTML's escapes, or percent-encoded within another
address. It may also hold only a part of it, or more than it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from html import unescape
from typing import Final
from urllib.parse import quote, unquote

_ENDS: Final = r"(?=$|[\s\"'<>()\[\]{}|\\^`]|[.,;:!?]+(?:$|[\s\"'<>)\]}]))"
"""The end of an address in a text; a sentence's point is none of the address."""
_ENDS_ENCODED: Final = r"(?![A-Za-z0-9_.~-]|%(?!22|27|3C|3E|20|0A|0D))"
"""The end of an address that is a value within another one."""
_ADDRESS: Final = re.compile(r"(?=(https?:/+[^\s\"'<>\\]+))", re.IGNORECASE)
"""An address, also one within another."""
_TRAILING: Final = ".,;:!?)]}"
_LEAST_IN_COMMON: Final = 12
"""Characters after the scheme that make a part of an address a form of it."""


class Seen(Enum):
    """Result of a search for an address."""

    FOUND = auto()
    SIMILAR = auto()
    """A shorter, a longer or a changed form of the address is there: this proves nothing."""
    ABSENT = auto()


def search(url: str, texts: Iterable[str]) -> Seen:
    """Search texts for an address.

    :param url: The address as it was sent.
    """
    needles, plain, seen = _needles(url), _plain(url), Seen.ABSENT
    for text in texts:
        forms = list(_forms(text))
        if any(needle.search(form) for needle in needles for form in forms):
            return Seen.FOUND
        if any(_has_similar(plain, form) for form in forms):
            seen = Seen.SIMILAR
    return seen


def _forms(text: str) -> Iterator[str]:
    """Yield a text, and the text without HTML's escapes, which some systems write twice."""
    yield text
    once = unescape(text)
    if once != text:
        yield once
        if (twice := unescape(once)) != once:
            yield twice


def _needles(url: str) -> list[re.Pattern[str]]:
    encoded, ascii_only = quote(url, safe=""), quote(url, safe="%!#$&'()*+,/:;=?@[]~")
    return [
        re.compile(re.escape(url) + _ENDS),
        re.compile(re.escape(ascii_only) + _ENDS),
        re.compile(re.escape(encoded) + _ENDS_ENCODED, re.IGNORECASE),
    ]


def _has_similar(plain: str, text: str) -> bool:
    """Return True if a text has a part of an address, or more than it.

    :param plain: The address by `_plain`.
    """
    once = unquote(text)
    for form in (text, once, unquote(once)):
        if plain in form.lower():
            return True
        for match in _ADDRESS.finditer(form):
            other = _plain(match[1].rstrip(_TRAILING))
            shorter = min(len(other), len(plain))
            if shorter >= min(len(plain), _LEAST_IN_COMMON) and other[:shorter] == plain[:shorter]:
                return True
    return False


def _plain(url: str) -> str:
    """Return an address without its scheme, and without what does not distinguish addresses."""
    return unquote(url).lower().partition(":")[2].strip("/")
