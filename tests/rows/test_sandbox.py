"""Limits of a mapping's templates."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from support.harness import requests_of, row

from airflow_kombo.exceptions import MappingError
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping

COLUMNS = {
    "x": "text",
    "n": 12_345_678,
    "share": Decimal("0.123456"),
    "many": 10**9,
    "day": date(2026, 11, 3),
    "skills": [{"name": "SQL", "_id": 7}, {"name": "Go", "_id": 8}],
    "word": "__class__",
    "wide": "%999999d",
}


def mapped(template):
    """Return a mapping with one attribute of that template, checked like in a run."""
    declared = {"label": "L", "url": {"column": "result_url"}, "attributes": {"A": template}}
    mapping = ResultLinkMapping.parse(declared)
    mapping.check([*row("r1"), *COLUMNS])
    return mapping


def made_of(template):
    requests, invalid = requests_of(mapped(template), [row("r1", **COLUMNS)])
    return requests, [str(one.error) for one in invalid]


def shown(template):
    (request,), _ = made_of(template)
    return json.loads(request.body)["details"]["attributes"][0]["value"]


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{{ ''.__class__.__mro__ }}", "__mro__"),
        ("{{ x.__class__ }}", "__class__"),
        ("{{ x.upper.__self__ }}", "__self__"),
        ("{{ ().__class__.__bases__[0].__subclasses__() }}", "__subclasses__"),
        ("{% if x.__doc__ %}a{% endif %}", "__doc__"),
        ("{{ self._TemplateReference__context.__class__ }}", "__class__"),
        ("{{ cycler('a') }}", "'cycler'"),
        ("{{ joiner('a') }}", "'joiner'"),
        ("{{ lipsum(n=100000) }}", "'lipsum'"),
        ("{% set ns = namespace(a='a') %}{{ ns.a }}", "'namespace'"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macro"),
        ("{% call x.upper() %}{% endcall %}", "callblock"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}{{ y }}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block x %}{% endblock %}", "block"),
        ("{% for a in x %}{% for b in x %}{{ a }}{% endfor %}{% endfor %}", "a loop in a loop"),
        ("{% for a in x %}{% if a %}{% for b in x %}{% endfor %}{% endif %}{% endfor %}", "a loop"),
        ("{% for a in skills recursive %}{{ loop([a]) }}{% endfor %}", "a loop in a loop"),
    ],
)
def test_a_template_that_reaches_beyond_a_row_is_refused_before_a_row_is_read(template, named):
    """Python's internals, and statements beyond one line of text, are named."""
    with pytest.raises(MappingError, match=named):
        mapped(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ x[word] }}",
        "{{ x|attr(word) }}",
        "{{ x['__cla' ~ 'ss__'] }}",
        "{{ ['', x]|map(attribute='__class__')|join }}",
        "{{ dict.mro() }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ '{0.__class__}'|replace('', '') and ('{0.__cla' ~ 'ss__}').format(x) }}",
        "{{ skills.append(x) }}",
        "{{ skills.clear() }}",
        "{{ skills[0].update({'a': x}) }}",
    ],
)
def test_what_only_a_row_shows_makes_the_row_invalid(template):
    """A computed way into Python's internals, or a change of a value, is refused."""
    requests, (message,) = made_of(template)
    assert requests == []
    assert message.startswith("attributes.A: its template is not allowed")
    assert "change the mapping" in message
    assert COLUMNS["word"] not in message


@pytest.mark.parametrize(
    "template",
    [
        "{{ x * 2000 }}",
        "{{ 2000 * x }}",
        "{{ x * many }}",
        "{{ 'a' * 900 * 900 }}",
        "{{ ([x] * 2000)|join }}",
        "{{ 9 ** 9999 }}",
        "{{ many ** many }}",
        "{{ (2 ** 2000) ** 2000 }}",
        "{{ range(2000)|join }}",
        "{{ range(many)|join }}",
        "{{ range(10 ** 40)|join }}",
        "{% for i in range(many) %}{% endfor %}",
        "{{ x|center(2000) }}",
        "{{ x|center(width=2000) }}",
        "{{ [x]|map('center', 2000)|join }}",
        "{{ x|indent(2000, true) }}",
        "{{ [x]|batch(2000, x)|list|length }}",
        "{{ [x]|slice(2000)|list|length }}",
        "{{ 2.5|round(2000) }}",
        "{{ 2.5|round(many, 'ceil') }}",
        "{{ skills|tojson(2000) }}",
        "{{ x.center(2000) }}",
        "{{ x.ljust(many) }}",
        "{{ x.rjust(2000) }}",
        "{{ x.zfill(2000) }}",
        "{{ '\\t'.expandtabs(2000) }}",
        "{{ 1|int and n.to_bytes(2000, 'big') }}",
        "{% set f = x.center %}{{ f(2000) }}",
        "{{ '%2000d' % n }}",
        "{{ '%*d' % (2000, n) }}",
        "{{ '%(n)02000d' % {'n': n} }}",
        "{{ '%.2000f' % n }}",
        "{{ wide % n }}",
        "{{ wide|format(n) }}",
        "{{ '%*d'|format(2000, n) }}",
        "{{ '{:2000}'.format(n) }}",
        "{{ '{:.2000f}'.format(n) }}",
        "{{ '{:{}}'.format(n, 2000) }}",
        "{{ '{a:>{w}}'.format_map({'a': n, 'w': 2000}) }}",
    ],
)
def test_a_number_never_makes_something_huge(template):
    """No number makes more than a thousand characters or items."""
    requests, (message,) = made_of(template)
    assert requests == []
    assert "more than 1000 characters or items" in message


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ x.upper() }}", "TEXT"),
        ("{{ x|upper|center(8)|trim }}", "TEXT"),
        ("{{ '7'.zfill(3) }}", "007"),
        ("{{ '★' * 4 }}", "★★★★"),
        ("{% for i in range(3) %}★{% endfor %}", "★★★"),
        ("{% for i in range(1000) if i > 997 %}{{ i }} {% endfor %}", "998 999 "),
        (
            "{% for s in skills %}{{ s.name }}{{ ', ' if not loop.last else '' }}{% endfor %}",
            "SQL, Go",
        ),
        ("{{ skills[0]._id }}", "7"),
        ("{{ skills|map(attribute='name')|join('/') }}", "SQL/Go"),
        ("{{ '{:,}'.format(n) }}", "12,345,678"),
        ("{{ '{0.year}'.format(day) }}", "2026"),
        ("{{ '{:%d.%m.%Y}'.format(day) }}", "03.11.2026"),
        ("{{ '%d' % n }}", "12345678"),
        ("{{ '%.1f'|format(n) }}", "12345678.0"),
        ("{{ '100 %' }}", "100 %"),
        ("{{ n % 7 }}", "2"),
        ("{{ n * n }}", "152415765279684"),
        ("{{ 2 ** 10 }}", "1024"),
        ("{{ share ** 2 > 0 }}", "true"),
        ("{{ share|round(2) }}", "0.12"),
        ("{{ n|round }}", "12345678"),
        ("{{ {'a': n}|tojson }}", '{"a": 12345678}'),
        ("{{ n|tojson }}", "12345678"),
        ("{{ missing|default(n) if missing is defined else n }}", "12345678"),
        ("{{ dict(a=x).a }}", "text"),
        ("{% set y %}{{ x }}!{% endset %}{{ y }}", "text!"),
    ],
)
def test_what_a_mapping_needs_works(template, text):
    """Methods, filters, conditions, loops and formats of usual sizes work as in Jinja."""
    mapping = ResultLinkMapping.parse(
        {"label": "L", "url": {"column": "result_url"}, "attributes": {"A": template}}
    )
    (request,), invalid = requests_of(mapping, [row("r1", **COLUMNS)])
    assert invalid == []
    assert json.loads(request.body)["details"]["attributes"][0]["value"] == text


def test_a_value_that_is_too_deep_costs_its_row_only():
    """A template over too deep JSON makes only the row `invalid`."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    mapping = mapped("{{ skills|tojson }}")
    requests, (bad,) = requests_of(
        mapping, [row("r1", **COLUMNS), row("r2", **COLUMNS | {"skills": deep})]
    )
    assert [one.key.result_id for one in requests] == ["r1"]
    assert (bad.key.result_id, bad.error.field) == ("r2", "attributes.A")
