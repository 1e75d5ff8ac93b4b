"""Search for an address: no chance finds one, and no writing hides one."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kombo.reconciliation.url_search import Seen, search

URL = "https://results.example/r/1?score=95&lang=de"
SAFE = "abcdefgABC0123456789-_~"
PATHS = st.lists(st.text(SAFE, min_size=1, max_size=8), min_size=1, max_size=4).map("/".join)
URLS = st.builds(
    lambda path, query: f"https://results.example/{path}" + (f"?{query}" if query else ""),
    PATHS,
    st.sampled_from(
        ["", "a=1", "a=1&b=2", "q=%C3%BC&x='y'", "name=ü", "x=(1)", "to=https://a.b/c"]
    ),
)
AROUND = st.text(st.sampled_from(' \n\t"<>éa1.,'), max_size=10)
WRITINGS = {
    "plain": lambda url: url,
    "anchor": lambda url: f'<a href="{escape(url)}">Result</a>',
    "twice": lambda url: escape(f'<a href="{escape(url)}">Result</a>'),
    "sentence": lambda url: f"See {url}.",
    "brackets": lambda url: f"({url})",
    "markdown": lambda url: f"[Result]({url})",
    "redirect": lambda url: f"https://safe.example/?url={quote(url, safe='')}&data=1",
    "lower": lambda url: f"https://safe.example/?url={quote(url, safe='')}".replace("%3A", "%3a"),
    "ascii": lambda url: quote(url, safe="%!#$&'()*+,/:;=?@[]~"),
}


@pytest.mark.parametrize("writing", WRITINGS)
@given(url=URLS, before=AROUND, after=st.sampled_from(["", " ", "\n", '"', "<br>"]))
def test_an_address_is_found_in_any_writing(writing, url, before, after):
    """Escapes of HTML, percent-encoding and a sentence around it hide no address."""
    assert search(url, ["", f"{before} {WRITINGS[writing](url)}{after}"]) is Seen.FOUND


@given(url=URLS, more=st.text(SAFE, min_size=1, max_size=5))
def test_a_longer_address_is_not_found(url, more):
    """An address that goes on is another one, but may be the same one changed."""
    for writing in ("plain", "anchor", "redirect"):
        assert search(url, [WRITINGS[writing](url + more)]) is Seen.SIMILAR


@given(url=URLS, other=URLS)
def test_another_address_is_not_found(url, other):
    """Only the address itself is found."""
    texts = [writing(other) for writing in WRITINGS.values()]
    assert (search(url, texts) is Seen.FOUND) == (url == other)


@pytest.mark.parametrize(
    "text",
    [
        f"{URL}/",
        URL[:-3],
        URL.upper(),
        URL.replace("https://", "http://"),
        f"{URL}&utm_source=ats",
        f"{URL}2",
        "https://results.example/r/1",
        f"https://safe.example/?url={quote(URL + '2', safe='')}",
    ],
)
def test_another_form_of_an_address_proves_nothing(text):
    """A cut, longer or rewritten address is neither found nor absent."""
    assert search(URL, [f"See {text} there"]) is Seen.SIMILAR


@pytest.mark.parametrize(
    "text", ["", "no address", "https://results.example/r/2?score=95", "https://other.example/r/1"]
)
def test_an_absent_address_is_absent(text):
    """Other texts do not hide an absence."""
    assert search(URL, [text]) is Seen.ABSENT
