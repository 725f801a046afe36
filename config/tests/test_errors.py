"""Pages for what was refused: they say what happened, and lead on."""

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.plugins.guestlist import PASSWORD


@pytest.fixture
def strict(browser, alice):
    """Her browser, signed in, and every form of it needs a token against forgery."""
    page = browser(alice)
    page.handler.enforce_csrf_checks = True
    return page


def without_database():
    def gone(*args):
        raise OperationalError

    return connection.execute_wrapper(gone)


@pytest.mark.parametrize("url", ["/logout", "/admin/logout/"])
def test_address_that_takes_only_a_form_is_a_page_with_a_way_on(client, browser, alice, url):
    for page in (client, browser(alice)):
        answer = page.get(url)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
        assert "<h1>Nothing was done</h1>" in answer.content.decode()
        assert '<a href="/">' in answer.content.decode()


def test_sign_out_on_the_page_of_a_refused_method_works(strict):
    page = strict.get("/logout")
    token = page.context["csrf_token"]
    assert strict.post("/logout", {"csrfmiddlewaretoken": str(token)}).status_code == 302
    assert strict.get("/account/").status_code == 302


def test_refused_method_of_the_api_stays_json(client):
    answer = client.get("/api/v1/login")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_refused_method_without_a_database(browser, alice):
    page = browser(alice)
    with without_database():
        assert page.get("/logout").status_code == 503


@pytest.mark.parametrize("stale", [{}, {"csrfmiddlewaretoken": "x" * 64}])
@pytest.mark.parametrize(
    ("url", "next_url", "onward"),
    [
        ("/login", "", "/"),
        ("/login", "/account/", "/account/"),
        ("/login", "https://evil.example/", "/"),
        ("/admin/login/", "", "/admin/"),
        ("/admin/login/", "/admin/tokens/", "/admin/tokens/"),
    ],
)
def test_stale_sign_in_by_somebody_signed_in_goes_on(strict, alice, url, next_url, onward, stale):
    fields = {"username": "alice", "password": PASSWORD, "next": next_url}
    answer = strict.post(
        url, fields | stale, secure=True, headers={"referer": "https://testserver/"}
    )
    assert (answer.status_code, answer.headers.get("Location")) == (302, onward)
    assert alice.devices.count() == 1


def test_stale_sign_in_by_nobody_is_refused(alice):
    fields = {"username": "alice", "password": PASSWORD}
    answer = Client(enforce_csrf_checks=True).post("/login", fields)
    assert answer.status_code == 403
    assert "That form is too old" in answer.content.decode()
    assert not alice.devices.exists()


@pytest.mark.parametrize("url", ["/logout", "/password/change"])
def test_other_stale_form_is_refused(strict, alice, url):
    assert strict.post(url, {}).status_code == 403
    assert alice.devices.live().count() == 1


def test_stale_sign_in_without_a_database(strict):
    with without_database():
        assert strict.post("/login", {}).status_code == 503


def test_password_managers_find_where_the_password_is_changed(client, strict):
    for page in (client, strict):
        answer = page.get("/.well-known/change-password")
        assert (answer.status_code, answer.url) == (302, "/password/change")
