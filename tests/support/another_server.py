"""Server on a real socket with any response, in the place of Kombo."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PAGE = (200, {"Content-Type": "text/html"}, b"<html>Welcome to the hotel's network</html>")
KNOWN = (200, {}, b'{"status":"success","data":{}}')
LIMITS = {"Concurrency-Limit": "30", "Concurrency-Remaining": "29"}
CREATED = (200, LIMITS, b'{"status":"success","data":{},"warnings":[]}')


def kombo_error(status, code):
    """Build an error in Kombo's format."""
    body = {"status": "error", "error": {"code": code, "title": None, "message": "Text."}}
    return (status, LIMITS, json.dumps(body).encode())


def foreign(status, body=b"<html>Nothing of Kombo's</html>", **headers):
    """Build a response of another server than Kombo."""
    return (status, {"Content-Type": "text/html", **headers}, body)


@dataclass
class ReceivedRequests:
    """Methods and paths of the received requests, in their order."""

    url: str
    requests: list = field(default_factory=list)

    def count(self, method):
        """Count the requests of a method."""
        return sum(one[0] == method for one in self.requests)


@contextmanager
def another_server(get, post):
    """Run a server; `get` and `post` are a response, or build one from number and path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.answer(get)

        def do_POST(self):
            self.answer(post)

        def answer(self, with_):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            number = asked.count(self.command)
            asked.requests.append((self.command, self.path))
            status, headers, body = with_(number, self.path) if callable(with_) else with_
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Keep pytest's output for the test."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        asked = ReceivedRequests(f"http://127.0.0.1:{server.server_port}/v1")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
