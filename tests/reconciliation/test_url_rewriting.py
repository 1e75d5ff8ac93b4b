"""Search for an address that a system has rewritten, and in texts that make a search slow."""

from __future__ import annotations

from time import monotonic
from urllib.parse import quote

import pytest

from airflow_kombo.reconciliation.url_search import Seen, search

URL = "https://results.example/r/1"
WITH_QUERY = "https://results.example/r?id=1&lang=de&name=a+b"


@pytest.mark.parametrize("more", ["(2)", "'b", "[2]", "{2}", ")2", "'2'", "()", "!b"])
def test_an_address_that_goes_on_with_any_sign_is_another_one(more):
    """Brackets and quotes may be a part of an address, so they end none by themselves."""
    for text in (URL + more, f'<a href="{URL}{more}">x</a>', f"See {URL}{more}."):
        assert search(URL, [text]) is Seen.SIMILAR
    javascript = quote(URL + more, safe="!'()*")  # as encodeURIComponent does
    for encoded in (quote(URL + more, safe=""), javascript):
        assert search(URL, [f"https://safe.example/?url={encoded}"]) is Seen.SIMILAR


@pytest.mark.parametrize(
    "text",
    [
        "https://results.example/r?lang=de&id=1&name=a+b",
        "https://results.example/r?utm_source=ats&id=1&lang=de&name=a+b",
        "https://results.example/r?id=1&name=a+b",
        "https://results.example/r/?lang=de&name=a+b&id=1#top",
        "https://results.example/r?id=1&lang=de&name=a%20b",
        "https://results.example/r?id=1&lang=de&name=a b",
    ],
)
def test_another_order_of_parameters_is_another_form(text):
    """A system that sorts, adds or removes parameters does not make a link absent."""
    for writing in (text, f"https://safe.example/?url={quote(text, safe='')}"):
        assert search(WITH_QUERY, [writing]) is Seen.SIMILAR


def test_another_writing_of_a_character_is_another_form():
    """Unicode has two writings of some characters."""
    composed, decomposed = "https://results.example/m\u00fc", "https://results.example/mu\u0308"
    assert search(composed, [decomposed]) is Seen.SIMILAR
    assert search(composed, [quote(decomposed, safe=":/")]) is Seen.SIMILAR


def test_other_parameters_are_another_address():
    """Addresses that differ in a value are told apart, also with the same path."""
    other = "https://results.example/r?id=2&lang=de&name=a+b"
    assert search(WITH_QUERY, [other]) is Seen.ABSENT


@pytest.mark.parametrize(
    "entry", ["http://other.example/a,", "https:/", "http://http:", f"{URL}0,"]
)
def test_a_text_of_nothing_but_addresses_is_searched_fast(entry):
    """A page of a megabyte takes seconds at most: the search holds up all integrations."""
    began = monotonic()
    search("https://results.example/2", [entry * (1_000_000 // len(entry))])
    assert monotonic() - began < 10
