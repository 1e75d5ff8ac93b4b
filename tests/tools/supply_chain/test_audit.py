"""Known vulnerabilities of the locks: pip-audit, with data from this machine."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from support.harness import ROOT

from tools.supply_chain.audit import NOTHING, Findings, accepted, ask, findings_of, report

PYTHON = ROOT / ".tools" / "audit" / "bin" / "python"
KNOWN = {
    "id": "PYSEC-1",
    "aliases": ["CVE-1"],
    "affected": [
        {
            "package": {"name": "tenacity", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}
needs_pip_audit = pytest.mark.skipif(
    not PYTHON.exists(), reason="pip-audit is not installed: make audit"
)


class Source(BaseHTTPRequestHandler):
    """Source of data with one vulnerability, of tenacity."""

    def do_POST(self):
        """Answer a query as OSV does."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = query["package"]["name"] == "tenacity"
        body = json.dumps({"vulns": [KNOWN]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Write nothing."""


@contextmanager
def source():
    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def lock_of(folder, *names):
    """Write a lock of some packages of requirements.txt."""
    text = (ROOT / "requirements.txt").read_text()
    pins = [
        re.search(rf"^{name}==.*(?:\n    --hash.*)+\n", text, re.MULTILINE)[0] for name in names
    ]
    (folder / "lock.txt").write_text("".join(pins))
    return folder / "lock.txt"


@needs_pip_audit
def test_a_known_vulnerability_is_found(tmp_path):
    """The vulnerability is named with package, other names and fixed version."""
    lock = lock_of(tmp_path, "tenacity", "yarl")
    with source() as url:
        found = ask("osv", [str(lock)], ["--osv-url", url], str(PYTHON))
    (line,) = found.vulnerabilities
    assert (found.checked, found.unchecked) == (2, [])
    assert re.fullmatch(r"tenacity [\d.]+: PYSEC-1, CVE-1; fixed in 99\.0", line)
    assert list(report(found))[:2] == ["2 packages checked, 1 vulnerabilities found.", line]


@needs_pip_audit
def test_a_source_that_cannot_be_reached_is_no_clean_bill(tmp_path):
    """Without data, the only statement is: not checked."""
    lock = lock_of(tmp_path, "tenacity")
    nowhere = ["--osv-url", "http://127.0.0.1:9/v1/query"]
    assert ask("osv", [str(lock)], nowhere, str(PYTHON)) is None
    assert list(report(None)) == [NOTHING]


def test_packages_that_the_source_does_not_know_are_named():
    """A source without any package is as good as none; unknown packages are named."""
    unknown = {"name": "a", "skip_reason": "Dependency not found"}
    assert list(report(findings_of({"dependencies": [unknown]}))) == [NOTHING]
    found = findings_of({"dependencies": [unknown, {"name": "b", "version": "1", "vulns": []}]})
    assert found == Findings(1, ["a"], [])
    assert [line.endswith(": a") for line in report(found)] == [True, False]


def test_accepted_vulnerabilities_have_a_reason(tmp_path):
    """The file has an id a line, and comments."""
    path = tmp_path / "accepted.conf"
    path.write_text("# why\n\nCVE-2  # until 2027\n")
    assert accepted(path) == ["CVE-2"]
    lines = (ROOT / "tools/supply_chain/accepted.conf").read_text().splitlines()
    assert [line for line in lines if line and "#" not in line] == []
