"""Our request and the official client's, side by side on a real socket."""

import asyncio
import json
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kombo import Kombo

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.result_link import RESULT_LINKS, ResultLink
from airflow_kombo.kombo_api.verdicts import Verdict
from tools.kombo_standin.client import DEFAULT_KEY, running

# The official client is a peer within its limits only: it leaves slashes in ids, so ids are of
# Kombo's own alphabet; it drops `remote_fields` that it does not know, so all of them are known.
# What lies beyond is specified in test_writes.py.
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
IDS = st.text(BASE58, min_size=1, max_size=24)
INTEGRATIONS = ["workday:HWUTwvyx2wLoSUHphiWVrp28", "greenhouse:1", "icims:2zR"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SHOWN = TEXT.filter(str.strip)
URLS = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["https", "http", "HTTPS"]),
    st.sampled_from(["example.com", "Example.COM:8443", "user@example.com", "[2001:db8::1]"]),
    st.sampled_from(["", "r/1?a=b&c=%C3%BC#Top", "a/../b//c", "%7e+x?next=https%3A%2F%2Fa"]),
)
DETAILS = st.fixed_dictionaries(
    {
        "custom_field_name_prefix": TEXT,
        "attributes": st.lists(st.fixed_dictionaries({"key": SHOWN, "value": TEXT}), max_size=3),
    }
)
CATEGORIES = ["IRC_CANDIDATE_RESUME", "IRC_CANDIDATE_COVERLETTER", "MISC", "IRC_INTERNAL"]
REMOTE_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "icims": st.fixed_dictionaries({}, optional={"assessment_package_id": TEXT}),
        "oracle": st.fixed_dictionaries(
            {},
            optional={
                "override_document_category": st.sampled_from(CATEGORIES),
                "multi_post_to_all_current_applications": st.booleans(),
            },
        ),
        "greenhouse": st.fixed_dictionaries(
            {},
            optional={
                "post_headers": st.fixed_dictionaries(
                    {}, optional={"On-Behalf-Of": TEXT | st.none()}
                )
            },
        ),
        "workable": st.fixed_dictionaries({}, optional={"on_behalf_of_user_remote_id": TEXT}),
        "talent360": st.fixed_dictionaries({"user_id": TEXT}),
    },
)
LINKS = st.fixed_dictionaries(
    {"label": SHOWN, "url": URLS}, optional={"details": DETAILS, "remote_fields": REMOTE_FIELDS}
)


@pytest.fixture(scope="module")
def standin():
    with running() as standin, pytest.MonkeyPatch.context() as environment:
        connection = {"conn_type": "http", "host": standin.url, "password": DEFAULT_KEY}
        environment.setenv("AIRFLOW_CONN_KOMBO_DEFAULT", json.dumps(connection))
        environment.setenv("NO_PROXY", "127.0.0.1")
        yield standin


@pytest.fixture(scope="module")
def official(standin):
    """Build one client an integration: to build one takes longer than to send."""
    with ExitStack() as clients:
        yield {
            name: clients.enter_context(Kombo(DEFAULT_KEY, name, server_url=standin.url))
            for name in INTEGRATIONS
        }


def post_ours(key, link):
    async def post():
        body = ResultLink.model_validate(link).body()
        async with KomboHook().client() as client:
            return await client.send(RowRequest(key, None, link["url"], body))

    return asyncio.run(post())


def post_theirs(client, key, link):
    target = {f"{key.target_type}_id": key.target_id}
    return getattr(client.ats, f"add_{key.target_type}_result_link")(**target, **link)


def essence(request):
    """Return the parts of a request for Kombo's handler."""
    names = ("authorization", "x-integration-id", "content-type")
    headers = [(name.lower(), value) for name, value in request["headers"]]
    kept = sorted(header for header in headers if header[0] in names)
    return request["raw_path"], kept, json.loads(request["body"])


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(INTEGRATIONS), st.sampled_from(["candidate", "application"]), IDS, LINKS)
@example(
    INTEGRATIONS[0],
    "candidate",
    "8Xi6iZrwusZqJmDGXs49GBmJ",
    {
        "label": "Prüfung",
        "url": "https://example.com/r/1",
        "details": {"custom_field_name_prefix": "", "attributes": [{"key": "A", "value": ""}]},
        "remote_fields": {
            "greenhouse": {"post_headers": {"On-Behalf-Of": None}},
            "oracle": {"multi_post_to_all_current_applications": False},
        },
    },
)
def test_our_request_is_the_official_clients(
    standin, official, integration_id, target_type, target_id, link
):
    """Path, headers and JSON of any valid link are the same as the official client's."""
    key = LinkKey(integration_id, target_type, target_id, "r1")
    assert post_ours(key, link).verdict is Verdict.CREATED
    assert post_theirs(official[integration_id], key, link).STATUS == "success"
    ours, theirs = standin.requests(last=2)
    assert essence(ours) == essence(theirs)
    assert len(essence(ours)[1]) == 3


def test_the_request_is_what_the_api_documents(standin):
    """Key, integration, target and body are in the documented places."""
    key = LinkKey(
        "workday:HWUTwvyx2wLoSUHphiWVrp28", "application", "8Xi6iZrwusZqJmDGXs49GBmJ", "r"
    )
    link = {"label": "Coding", "url": "https://example.com/r/1"}
    assert post_ours(key, link).from_kombo
    (request,) = standin.requests(last=1)
    assert essence(request) == (
        "/v1/ats/applications/8Xi6iZrwusZqJmDGXs49GBmJ/result-links",
        [
            ("authorization", f"Bearer {DEFAULT_KEY}"),
            ("content-type", "application/json"),
            ("x-integration-id", "workday:HWUTwvyx2wLoSUHphiWVrp28"),
        ],
        link,
    )


@pytest.mark.parametrize("target_id", ["a/b", "..%2Fx", "a?b#c", "a%2Fb", "größe", "../../x"])
def test_a_hostile_id_stays_in_its_segment_on_the_wire(standin, target_id):
    """No layer below ours unescapes an id or resolves dots: the raw path is the key's."""
    key = LinkKey("workday:1", "candidate", target_id, "r1")
    post_ours(key, {"label": "Coding", "url": "https://example.com/r/1"})
    (request,) = standin.requests(last=1)
    assert request["raw_path"] == f"/v1{RESULT_LINKS.path_of(key)}"
