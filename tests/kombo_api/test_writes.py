"""Requests, checked strictly before they are sent, and responses, read leniently."""

import json
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api import writes as models
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse, clean
from airflow_kombo.kombo_api.result_link import RESULT_LINKS, ResultLink
from airflow_kombo.kombo_api.verdicts import Verdict

LINK = {"label": "Coding", "url": "https://example.com/r/1"}
FULL = {
    **LINK,
    "details": {
        "custom_field_name_prefix": "Acme:",
        "attributes": [{"key": "Score", "value": "95%"}, {"key": "Time", "value": "2:30h"}],
    },
    "remote_fields": {
        "icims": {"assessment_package_id": "p1"},
        "oracle": {
            "override_document_category": "MISC",
            "multi_post_to_all_current_applications": False,
        },
        "greenhouse": {"post_headers": {"On-Behalf-Of": "u1"}},
        "workable": {"on_behalf_of_user_remote_id": "u2"},
        "talent360": {"user_id": "u3"},
    },
}
WRONG_TYPES = [1, 1.5, True, ["x"], {"x": "y"}]
HALF = "\ud83d"  # half of an emoji: text in Python, no text in UTF-8

# Explicit nulls and any depth of members belong to it: what an ATS makes of them is not ours.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
HOSTILE_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\x00", HALF, "a\x00\udfffb", HALF * 3_000, "x" * 5_000, "\N{GRINNING FACE}" * 2_000]
)
HOSTILE_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE_TEXT, inner, max_size=3),
    max_leaves=5,
)
ERROR_BODY = st.fixed_dictionaries(
    {"status": st.sampled_from(["error", "success"]) | HOSTILE_JSON},
    optional={
        "error": HOSTILE_JSON
        | st.dictionaries(st.sampled_from(["code", "title", "message", "log_url"]), HOSTILE_JSON),
        "warnings": HOSTILE_JSON
        | st.lists(st.fixed_dictionaries({"message": HOSTILE_JSON}), max_size=3),
        "data": HOSTILE_JSON,
    },
)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def link(**changes):
    return ResultLink.model_validate({**LINK, **changes})


def response(body, http_status=400):
    return KomboResponse.of(http_status, {}, json.dumps(body).encode())


def error_body(**error):
    return {"status": "error", "error": error}


# What is sent --------------------------------------------------------------------------------


def test_the_smallest_body_says_nothing_that_is_not_set():
    """A label and a URL are the whole body: unset members are absent, not null."""
    assert link().body() == b'{"label":"Coding","url":"https://example.com/r/1"}'


def test_a_full_body_is_exactly_what_was_asked_for():
    """Every documented member is sent under the documented name, also a false one."""
    assert json.loads(ResultLink.model_validate(FULL).body()) == FULL


def test_a_body_is_utf_8():
    """Text beyond ASCII is sent as UTF-8, not as escapes."""
    assert (
        '"label":"Prüfung 試験 \N{GRINNING FACE}"'.encode()
        in link(label="Prüfung 試験 \N{GRINNING FACE}").body()
    )


@unhurried
@given(st.dictionaries(st.text(max_size=8).map("x-{}".format), JSON, max_size=3))
@example({"x-ats": None})
@example({"x-ats": {"member": None, "list": [None]}})
def test_members_of_unknown_systems_travel_untouched(members):
    """Below an unknown key of `remote_fields` any JSON is sent unchanged, null too."""
    assert json.loads(link(remote_fields=members).body())["remote_fields"] == members


@unhurried
@given(JSON)
@pytest.mark.parametrize("system", ["icims", "oracle", "greenhouse", "workable"])
def test_unknown_members_of_a_known_system_travel_untouched(system, value):
    """A new member of a known system is sent without a change of ours."""
    fields = {system: {"brand_new": value}}
    assert json.loads(link(remote_fields=fields).body())["remote_fields"] == fields


def test_a_null_that_is_asked_for_is_sent():
    """`On-Behalf-Of: null` is sent as null: absent would mean Kombo's own default."""
    fields = {"greenhouse": {"post_headers": {"On-Behalf-Of": None}}}
    assert json.loads(link(remote_fields=fields).body())["remote_fields"] == fields


@pytest.mark.parametrize(
    ("system", "member"),
    [
        ("icims", "assessment_package_id"),
        ("oracle", "override_document_category"),
        ("oracle", "multi_post_to_all_current_applications"),
        ("greenhouse", "post_headers"),
        ("greenhouse", "post_headers.On-Behalf-Of"),
        ("workable", "on_behalf_of_user_remote_id"),
        ("talent360", "user_id"),
    ],
)
@pytest.mark.parametrize("value", [*WRONG_TYPES, "text", None])
def test_a_documented_member_refuses_a_wrong_type(system, member, value):
    """A documented member is checked before the request, and 1 is not turned into "1" or true."""
    right = {
        "multi_post_to_all_current_applications": bool,
        "post_headers": dict,
        "override_document_category": (),  # a few words only
        "post_headers.On-Behalf-Of": (str, type(None)),
    }.get(member, str)
    first, _, second = member.partition(".")
    fields = {system: {first: {second: value} if second else value}}
    if isinstance(value, right):
        assert json.loads(link(remote_fields=fields).body())["remote_fields"] == fields
    else:
        with pytest.raises(ValidationError):
            link(remote_fields=fields)


@pytest.mark.parametrize("system", ["icims", "oracle", "greenhouse", "workable", "talent360"])
@pytest.mark.parametrize("value", ["text", 1, True, ["x"]])
def test_a_known_system_takes_an_object_only(system, value):
    """A known system's fields are an object, never a text or a list."""
    with pytest.raises(ValidationError):
        link(remote_fields={system: value})


def test_talent360_needs_its_user():
    """`user_id` is required inside `talent360`."""
    with pytest.raises(ValidationError, match=r"talent360\.user_id"):
        link(remote_fields={"talent360": {}})


@pytest.mark.parametrize("value", [100, 95.5, True, None, ["95%"], b"95%"])
def test_an_attributes_value_is_text_only(value):
    """Kombo takes "100", not 100, and nothing is turned into text on the way."""
    details = {"custom_field_name_prefix": "", "attributes": [{"key": "Score", "value": value}]}
    with pytest.raises(ValidationError):
        link(details=details)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": ""},
        {"label": " \t\n"},
        {"label": 7},
        {"label": None},
        {"lable": "Coding"},
        {"details": {"attributes": []}},
        {"details": {"custom_field_name_prefix": "A"}},
        {"details": {"custom_field_name_prefix": "A", "attributes": {"Score": "1"}}},
        {"details": {"custom_field_name_prefix": "A", "attributes": [], "more": 1}},
        {"details": {"custom_field_name_prefix": "A", "attributes": [{"key": " ", "value": "1"}]}},
        {"remote_fields": ["icims"]},
    ],
)
def test_a_body_that_the_api_would_refuse_is_not_made(changes):
    """Blank labels and keys, missing, misspelt or wrong members are our errors, not Kombo's."""
    with pytest.raises(ValidationError):
        link(**changes)


@pytest.mark.parametrize("missing", ["label", "url"])
def test_label_and_url_are_required(missing):
    """A link has a label and a URL."""
    with pytest.raises(ValidationError, match=missing):
        ResultLink.model_validate({name: text for name, text in LINK.items() if name != missing})


@pytest.mark.parametrize(
    "changes",
    [
        {"label": f"a{HALF}"},
        {"url": f"https://example.com/{HALF}"},
        {"details": {"custom_field_name_prefix": HALF, "attributes": []}},
        {"details": {"custom_field_name_prefix": "", "attributes": [{"key": "k", "value": HALF}]}},
        {"remote_fields": {"x-ats": {"member": HALF}}},
    ],
)
def test_half_a_surrogate_pair_never_becomes_a_body(changes):
    """Text without bytes is an error, and never a question mark in the ATS."""
    with pytest.raises(ValueError, match=r"surrogates|unicode"):
        link(**changes).body()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com/",
        "HTTPS://Example.COM:443/a/../b//c?q=%7e&r=a+b#Frag",
        "https://user:word@example.com:8443/",
        "http://[2001:db8::1]:8080/x",
        "https://bücher.example/größe?x=試",
        "https://example.com/?next=javascript:alert(1)",
        "https://localhost:65535",
    ],
)
def test_a_url_is_sent_byte_for_byte(url):
    """No slash is added, no case or escape changed: signed addresses break by less."""
    assert json.loads(link(url=url).body())["url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "example.com/r/1",
        "//example.com/r/1",
        "/r/1",
        "https://",
        "https:///r/1",
        "https://:443/r/1",
        "https:example.com",
        "https:\\\\example.com",
        "javascript:alert(1)",
        "javascript://example.com/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "mailto:a@example.com",
        "https://example.com/a b",
        " https://example.com/",
        "https://example.com/\n",
        "https://example.com/\r\nX-Evil: 1",
        "https://exam\tple.com/",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://example.com/\u2028",
        "https://example.com/\u00a0",
        "https://[::1",
        "https://[not-an-address]/",
        "https://example.com:port/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:0/",
        7,
    ],
)
def test_what_is_no_web_address_is_refused(url):
    """Other schemes, a missing host and blanks are refused: a link must lead to a web page."""
    with pytest.raises(ValidationError):
        link(url=url)


@given(st.from_regex(models._USUAL_URL, fullmatch=True))
def test_what_is_usable_at_first_sight_is_so_at_second(url):
    """The quick check of an address accepts only addresses of the thorough check."""
    parts = urlsplit(url)
    assert parts.scheme in {"http", "https"}
    assert parts.hostname
    assert parts.port is None
    assert not models._NOT_IN_A_URL.search(url)


# To whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target_type", "target_id", "path"),
    [
        ("candidate", "8Xi6iZrwusZqJmDG", "/ats/candidates/8Xi6iZrwusZqJmDG/result-links"),
        ("application", "8Xi6iZrwusZqJmDG", "/ats/applications/8Xi6iZrwusZqJmDG/result-links"),
        ("candidate", "a/b", "/ats/candidates/a%2Fb/result-links"),
        ("candidate", "a?b=c", "/ats/candidates/a%3Fb%3Dc/result-links"),
        ("candidate", "a#b", "/ats/candidates/a%23b/result-links"),
        ("candidate", "a%2Fb", "/ats/candidates/a%252Fb/result-links"),
        ("candidate", "../x", "/ats/candidates/..%2Fx/result-links"),
        ("candidate", "a b+c", "/ats/candidates/a%20b%2Bc/result-links"),
        ("candidate", "größe", "/ats/candidates/gr%C3%B6%C3%9Fe/result-links"),
        ("candidate", "\\", "/ats/candidates/%5C/result-links"),
    ],
)
def test_an_id_is_one_segment_of_the_path(target_type, target_id, path):
    """An id with any characters stays one part of the path."""
    key = LinkKey("workday:1", target_type, target_id, "r1")
    assert RESULT_LINKS.path_of(key) == path


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_id_can_be_read_back_from_its_path(target_id):
    """Escaping loses nothing and leaves ASCII without a separator."""
    path = RESULT_LINKS.path_of(LinkKey("workday:1", "candidate", target_id, "r1"))
    before, ats, target, segment, action = path.split("/")
    assert (before, ats, target, action) == ("", "ats", "candidates", "result-links")
    assert unquote(segment) == target_id
    assert segment.isascii()
    assert not set(segment) & set("?# \r\n\\")


def test_the_targets_type_belongs_to_the_key():
    """A candidate and an application with the same id are two targets."""
    assert LinkKey("i", "candidate", "1", "r") != LinkKey("i", "application", "1", "r")


def test_hashes_tell_changed_requests_and_equal_links():
    """The request's hash changes with any byte; the URL's only with the URL."""
    key = LinkKey("i", "candidate", "1", "r")
    first, second = (RowRequest(key, None, "https://a", body) for body in (b"{}", b"{ }"))
    assert first.request_hash != second.request_hash
    assert first.url_hash == second.url_hash
    assert first.url_hash != RowRequest(key, None, "https://a/", b"{}").url_hash


# What comes back -----------------------------------------------------------------------------


def test_an_error_is_read_whole():
    """Code, title, message and log address come out of an error as Kombo wrote them."""
    log_url = "https://app.kombo.dev/logs/1"
    got = response(
        error_body(code="ATS.JOB_CLOSED", title="Closed", message="No.", log_url=log_url)
    )
    assert got.from_kombo
    assert (got.error_code, got.error_title, got.error_message, got.log_url) == (
        "ATS.JOB_CLOSED",
        "Closed",
        "No.",
        log_url,
    )


@pytest.mark.parametrize(
    ("warnings", "expected"),
    [
        ([{"message": "one"}, {"message": "two"}], ("one", "two")),
        ([], ()),
        (None, ()),
        ("text", ()),
        ({"message": "no list"}, ()),
        (["plain", {"message": "ok", "code": 1}], ("plain", "ok")),
        ([{"message": ""}, {"message": None}, {"message": 7}, {}, None, 7, [], {"a": 1}], ()),
        ([7, {"message": "kept"}], ("kept",)),
    ],
)
def test_warnings_are_kept_whatever_lies_between_them(warnings, expected):
    """A malformed warning costs no other one, and a malformed list no success."""
    got = response({"status": "success", "data": {}, "warnings": warnings}, 200)
    assert (got.verdict, got.from_kombo, got.warnings) == (Verdict.CREATED, True, expected)


@pytest.mark.parametrize("extra", [{}, {"error": {}}, {"data": None}, {"error": None}])
def test_a_success_needs_neither_warnings_nor_data(extra):
    """Successes with missing members are Kombo's too, and warnings are read."""
    got = response({"status": "success", "warnings": [{"message": "w"}], **extra}, 200)
    assert (got.from_kombo, got.warnings, got.error_code) == (True, ("w",), None)
    assert response({"status": "success", **extra}, 200).from_kombo


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>502</h1></html>",
        b"upstream connect error",
        b'{"status":"error","error":{"code":"ATS.JOB_',
        b"null",
        b"[]",
        b'"error"',
        b"{}",
        b'{"status":"ok"}',
        b'{"status":["error"]}',
        b'{"message":"Forbidden"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5_000,
    ],
)
def test_a_foreign_body_is_named_and_not_quoted(body):
    """Another server's body becomes a message with status and type, and no text of the body."""
    got = KomboResponse.of(502, {"Content-Type": "text/html"}, body)
    assert (got.from_kombo, got.error_code, got.verdict) == (False, None, Verdict.UNKNOWN)
    assert got.error_message == "HTTP 502 with a body that is not Kombo's (text/html)"


@pytest.mark.parametrize(
    "message",
    [HALF, f"\N{GRINNING FACE}{HALF}", "a\x00b", "x" * 100_000, None, 7, ["a"], {"a": {"b": 1}}],
)
def test_a_broken_message_does_not_cost_the_code(message):
    """Half an emoji, a NUL or a wrong type in the message leaves the code unchanged."""
    got = response(error_body(code="ATS.JOB_CLOSED", title=message, message=message))
    assert (got.error_code, got.verdict) == ("ATS.JOB_CLOSED", Verdict.REFUSED)


def test_bytes_that_are_no_utf_8_do_not_cost_the_code():
    """A message in another encoding leaves the code unchanged."""
    body = b'{"status":"error","error":{"code":"ATS.JOB_CLOSED","message":"gr\xf6\xdfe"}}'
    got = KomboResponse.of(400, {}, body)
    assert (got.error_code, got.error_message) == ("ATS.JOB_CLOSED", "gr\ufffd\ufffde")


def assert_clean(got):
    texts = [got.error_code, got.error_title, got.error_message, got.log_url, *got.warnings]
    for text in texts:
        if text is not None:
            assert "\x00" not in text
            assert len(text.encode()) <= 4 * 2_000  # and it has bytes: no half surrogate
    assert got.verdict in Verdict


@unhurried
@given(st.integers(100, 599), st.binary(max_size=200), HOSTILE_TEXT)
def test_any_bytes_are_a_response(http_status, body, content_type):
    """Random bytes never raise, and the kept parts can be stored."""
    assert_clean(KomboResponse.of(http_status, {"Content-Type": content_type}, body))


@unhurried
@given(st.integers(100, 599), HOSTILE_JSON | ERROR_BODY)
def test_any_json_is_a_response(http_status, body):
    """Random JSON, even in Kombo's shape, never raises, and the kept parts can be stored."""
    assert_clean(response(body, http_status))


@unhurried
@given(HOSTILE_TEXT, st.integers(1, 50))
def test_clean_text_fits_a_database(text, longest):
    """Clean text has no NUL and no half surrogate, is bounded, and clean again is the same."""
    cleaned = clean(text, longest)
    assert len(cleaned) <= longest
    assert "\x00" not in cleaned
    assert cleaned.encode().decode() == cleaned == clean(cleaned, longest)
