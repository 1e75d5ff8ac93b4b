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
from unicodedata import normalize
from urllib.parse import quote, unquote

_CLOSED: Final = r"[.,;:!?')\]}]+(?:$|[\s\"'<>)\]}|\\])"
"""Signs that are none of the address where nothing follows them: a sentence's point, a bracket."""
_ENDS: Final = rf"(?=$|[\s\"<>|\\^`]|{_CLOSED})"
"""The end of an address in a text."""
_ENDS_ENCODED: Final = rf"(?=$|[\s\"<>|\\&#;]|%(?:22|3C|3E|20|0A|0D)|{_CLOSED})"
"""The end of an address that is a value within another one."""
_TRAILING: Final = ".,;:!?)]}/"
_LEAST_IN_COMMON: Final = 12
"""Characters after the scheme that make a part of an address a form of it."""
_MOST_DECODINGS: Final = 4
_MORE_COMPARED: Final = 500
"""Characters beyond an address's own that are compared of another one."""


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
    needles, address, seen = _needles(url), _Address(_plain(url)), Seen.ABSENT
    for text in texts:
        forms = list(_forms(text))
        if any(needle.search(form) for needle in needles for form in forms):
            return Seen.FOUND
        if any(_has_similar(address, form) for form in forms):
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


class _Address:
    """An address without its scheme, and the pattern of addresses that begin as it does.

    :param plain: The address by `_plain`.
    """

    def __init__(self, plain: str) -> None:
        self.plain = plain
        self._path, self._parameters = _parts(plain)
        begin, more = re.escape(self._path[:_LEAST_IN_COMMON]), len(plain) + _MORE_COMPARED
        self.others = re.compile(rf"(?=https?:/+({begin}[^\s\"'<>\\]{{0,{more}}}))")

    def is_form_of(self, other: str) -> bool:
        """Return True for a part of the address, more than it, or its parts in another order."""
        other = other.rstrip(_TRAILING)
        shorter = min(len(other), len(self.plain))
        if other[:shorter] == self.plain[:shorter]:
            return shorter >= min(len(self.plain), _LEAST_IN_COMMON)
        if not other.startswith(self._path):
            return False
        path, parameters = _parts(other)
        is_part = parameters <= self._parameters or self._parameters <= parameters
        return path == self._path and is_part


def _has_similar(address: _Address, text: str) -> bool:
    """Return True if a text has another form of an address."""
    form = _folded(text)
    for _ in range(_MOST_DECODINGS):
        others = (match[1] for match in address.others.finditer(form))
        if address.plain in form or any(map(address.is_form_of, others)):
            return True
        form, before = _decoded(form), form
        if form == before:
            break
    return False


def _parts(plain: str) -> tuple[str, set[str]]:
    """Return the path of an address, and its parameters."""
    path, *parameters = re.split("[?#&;]+", plain)
    return path.rstrip("/"), set(parameters)


def _plain(url: str) -> str:
    """Return an address without its scheme, and without what does not distinguish addresses."""
    return _decoded(_folded(url)).partition(":")[2].strip("/")


def _folded(text: str) -> str:
    """Return a text in one case, and in one of Unicode's writings of the same characters."""
    return normalize("NFC", text).lower()


def _decoded(form: str) -> str:
    """Return a folded text with its percent-encoding decoded once. A space is a plus sign."""
    return _folded(unquote(form.replace("%20", "+")))
