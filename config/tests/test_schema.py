"""The description of the API is made once, and sent as a file with validators."""

import json
import threading

import pytest
import yaml
from django.test import Client

from config import api

URL = "/api/v1/schema"


@pytest.fixture
def not_made(settings):
    for made in (api._render, api._schema):
        made.cache_clear()


@pytest.mark.parametrize(
    ("accept", "kind", "read"),
    [
        ("*/*", "application/vnd.oai.openapi", yaml.safe_load),
        ("application/yaml", "application/yaml", yaml.safe_load),
        ("application/json", "application/json", json.loads),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json", json.loads),
    ],
)
def test_schema_is_a_file_with_validators(client, accept, kind, read):
    answer = client.get(URL, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "/api/v1/login" in read(answer.content)["paths"]

    for validator in (
        {"if-none-match": answer.headers["ETag"]},
        {"if-modified-since": answer.headers["Last-Modified"]},
    ):
        again = client.get(URL, headers={"accept": accept, **validator})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]
    changed = client.get(URL, headers={"accept": accept, "if-none-match": '"other"'})
    assert changed.content == answer.content


def test_sixteen_at_the_same_time_get_the_same_file(not_made):
    answers, start = [], threading.Barrier(16)

    def ask():
        start.wait()
        answers.append(Client(raise_request_exception=False).get(URL))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 16
    assert len({answer.content for answer in answers}) == 1
    assert api._schema.cache_info().misses == 1
