"""The page in this process: a client without a login, and a parser of its documents."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser

import httpx
import pytest

from airflow_kombo.web import app as app_module
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.run_starts import no_starters
from airflow_kombo.web.schedules import no_schedule


class Document(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._space(tag)

    def handle_endtag(self, tag):
        self._space(tag)

    def handle_data(self, data):
        self.words.append(data)

    def _space(self, tag):
        if tag != "time":  # which stands in the midst of a sentence
            self.words.append(" ")

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def all(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


class Browser:
    """Client of the app in this process, without a login."""

    def __init__(self, app):
        self.app = app

    @classmethod
    def of(cls, engine, tables, schedules=no_schedule, starters=no_starters):
        """Build a client of the page over tables.

        The permission is left out: tests/web/test_page_in_airflow.py has a real login.
        """
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app_module, "permission", lambda: lambda: None)
            return cls(app_module.make_app(Warehouse(engine, tables), schedules, starters))

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, **body):
        return self.request("POST", path, **body)

    def request(self, method, path, **body):
        async def request():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://page/") as client:
                return await client.request(method, path, **body)

        return asyncio.run(request())
