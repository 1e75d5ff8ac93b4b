"""The check of a built site: links, and requests to other hosts."""

from __future__ import annotations

import pytest

from tools.docs_site.check import faults


@pytest.fixture
def site(tmp_path):
    """Return a maker of sites of two pages and a style, for the faults of each."""

    def make(body, style=""):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "other.html").write_text('<h1 id="there">Other</h1>')
        (tmp_path / "site.css").write_text(style)
        (tmp_path / "index.html").write_text(f'<link href="site.css"><p id="here">{body}')
        return list(faults(tmp_path))

    return make


@pytest.mark.parametrize(
    "body",
    [
        '<a href="#here">x</a>',
        '<a href="#">top</a>',
        '<a href="sub/other.html#there">x</a>',
        '<a href="sub/other.html?q=1">x</a>',
        '<a href="https://example.com/#x">a person follows it</a>',
        '<a href="mailto:a@example.com">x</a>',
        '<img src="data:image/png;base64,AA">',
        '<script src="site.css"></script>',
    ],
)
def test_a_sound_link(site, body):
    """Files and anchors of the site are found, and links to other sites are a person's choice."""
    assert site(body) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "no such file: gone.html"),
        ('<a href="sub/">x</a>', "no such file: sub/"),
        ('<img src="gone.png">', "no such file: gone.png"),
        ('<a href="#gone">x</a>', "no such anchor: #gone"),
        ('<a href="sub/other.html#here">x</a>', "no such anchor: sub/other.html#here"),
        ('<script src="https://cdn.example/x.js"></script>', "asks another host: https://cdn"),
        ('<link href="//fonts.example/f.css">', "asks another host: //fonts"),
        ('<img srcset="http://cdn.example/x.png">', "asks another host: http://cdn"),
    ],
)
def test_a_fault_is_named_with_its_page(site, body, fault):
    """A missing file or anchor, and a request to another host, are faults."""
    (found,) = site(body)
    assert found.startswith(f"index.html: {fault}")


@pytest.mark.parametrize(
    "style", ['@import "https://fonts.example/a.css"', "a { b: url(//cdn.example/f.woff2) }"]
)
def test_styles_ask_no_other_host(site, style):
    """Fonts and styles of another host are faults; those of the site and data are not."""
    (found,) = site("", style=f"x {{ y: url('a.svg') url(data:image/png;base64,AA) }} {style}")
    assert found.startswith("site.css: asks another host: ")
