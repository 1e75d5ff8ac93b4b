"""Images pinned by digest, against a registry on this machine with the HTTP API."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from support.harness import ROOT
from support.ports import free_port

from tools.supply_chain.images import Image, ImageError, pin

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


class Registry(BaseHTTPRequestHandler):
    """Registry with the repositories `open`, `token` and `bare`, each with the tag 1."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        """Answer as for GET, without the body."""
        self.do_GET()

    def do_GET(self):
        """Answer for a manifest, or for a token."""
        address = urlsplit(self.path)
        if address.path == "/token":
            asked = parse_qs(address.query)
            assert asked == {"service": ["here"], "scope": ["repository:team/token:pull"]}
            self.answer(200, json.dumps({"token": "t0"}).encode(), {})
        elif address.path == "/v2/team/token/manifests/1" and "Authorization" not in self.headers:
            realm = f"http://127.0.0.1:{self.server.server_port}/token"
            scope = 'service="here",scope="repository:team/token:pull"'
            self.answer(401, b"", {"WWW-Authenticate": f'Bearer realm="{realm}",{scope}'})
        elif address.path.endswith("/manifests/1"):
            self.manifest(address.path)
        else:
            self.answer(404, b"", {})

    def manifest(self, path):
        """Answer with the manifest; `bare` names no digest."""
        assert INDEX in self.headers["Accept"]
        assert self.headers["Authorization"] in {None, "Bearer t0"}
        named = {} if "/bare/" in path else {"Docker-Content-Digest": DIGEST}
        self.answer(200, MANIFEST, {"Content-Type": INDEX} | named)

    def answer(self, status, body, headers):
        """Send an answer."""
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        """Write nothing."""


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def registry():
    with serving() as host:
        yield host


@pytest.fixture
def client():
    with httpx.Client() as one:
        yield one


def compose(folder, *images):
    """Write a compose file with these images and a built one, and return the path."""
    services = {str(number): {"image": one} for number, one in enumerate(images)}
    services["own"] = {"image": "own:1", "build": "."}
    path = folder / "docker-compose.yaml"
    path.write_text(yaml.safe_dump({"services": services}))
    return path


def test_images_are_pinned_by_the_registry_s_digest(registry, client, tmp_path):
    """Each image gets the registry's digest; one with a build gets none."""
    names = [f"{registry}/team/{name}:1" for name in ("open", "token", "bare")]
    path = compose(tmp_path, *names)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"# base\nFROM {names[0]}\nRUN true\n")
    pins = [f"{name}@{DIGEST}" for name in names]
    assert sorted(pin([path, dockerfile], client)) == sorted(pins)
    services = yaml.safe_load(path.read_text())["services"]
    assert [one["image"] for one in services.values()] == [*pins, "own:1"]
    assert dockerfile.read_text() == f"# base\nFROM {pins[0]}\nRUN true\n"


def test_an_older_digest_is_replaced(registry, client, tmp_path):
    """A second run asks for the tag again, and writes today's digest."""
    name = f"{registry}/team/open:1"
    path = compose(tmp_path, f"{name}@sha256:{'0' * 64}")
    for _ in range(2):
        assert pin([path], client) == [f"{name}@{DIGEST}"]
        assert path.read_text().count("@") == 1
        assert DIGEST in path.read_text()


@pytest.mark.parametrize("tag", ["open:2", "elsewhere"])
def test_nothing_is_pinned_if_one_digest_cannot_be_read(registry, client, tmp_path, tag):
    """A missing tag, or a registry without an answer, leaves all files as they are."""
    host = registry if tag == "open:2" else f"127.0.0.1:{free_port()}"
    path = compose(tmp_path, f"{registry}/team/open:1", f"{host}/team/{tag}")
    before = path.read_bytes()
    with pytest.raises(ImageError, match=f"team/{tag}"):
        pin([path], client)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("postgres:17", "https://registry-1.docker.io/v2/library/postgres/manifests/17"),
        ("apache/airflow", "https://registry-1.docker.io/v2/apache/airflow/manifests/latest"),
        ("reg.example:5000/a/b:c", "https://reg.example:5000/v2/a/b/manifests/c"),
        ("localhost:5000/a", "http://localhost:5000/v2/a/manifests/latest"),
    ],
)
def test_the_registry_of_a_name(name, url):
    """A name without a host is Docker's; a registry on this machine has no TLS."""
    assert Image(name).url == url


def test_the_files_of_this_repository_are_found(registry, client, tmp_path):
    """All images of docker-compose.yaml and Dockerfile are pinned, but the built ones."""
    for name in ("docker-compose.yaml", "Dockerfile"):
        shutil.copy(ROOT / name, tmp_path)
    paths = [tmp_path / "docker-compose.yaml", tmp_path / "Dockerfile"]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    named = {line.split()[1] for line in lines if re.match(r"\s+image: |FROM ", line)}
    found = {one for one in named if not one.startswith("airflow-kombo")}
    assert {one.split(":")[0] for one in found} == {"postgres", "redis", "apache/airflow"}
    for path in paths:
        text = path.read_text()
        for one in found:
            text = text.replace(f" {one}", f" {registry}/team/open:1")
        path.write_text(text)
    assert pin(paths, client) == [f"{registry}/team/open:1@{DIGEST}"]
    assert paths[0].read_text().count(DIGEST) == 3
    assert paths[1].read_text().count(DIGEST) == 1
