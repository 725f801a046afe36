"""Refusals: a sentence and a word, the same everywhere under /api/, whatever went wrong."""

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404
from django.urls import path
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from accounts.models import Role
from config import urls
from config.urls import handler400, handler403, handler404, handler500  # noqa: F401


def view_raising(error):
    class View(APIView):
        authentication_classes = ()
        permission_classes = [AllowAny]

        def get(self, request):
            raise error

    return View.as_view()


def page_raising(error):
    def page(request):
        raise error

    return page


class WriteThenFailView(APIView):
    authentication_classes = ()
    permission_classes = [AllowAny]

    def get(self, request):
        Role.objects.create(name="half-done")
        raise OperationalError


ERRORS = {
    "not-found": (Http404("a secret of ours"), 404, "not_found"),
    "drf-not-found": (exceptions.NotFound(), 404, "not_found"),
    "denied": (PermissionDenied("a secret of ours"), 403, "permission_denied"),
    "drf-denied": (exceptions.PermissionDenied(), 403, "permission_denied"),
    "throttled": (exceptions.Throttled(wait=7), 429, "throttled"),
    "gone": (OperationalError("a secret of ours"), 503, "unavailable"),
    "closed": (InterfaceError("a secret of ours"), 503, "unavailable"),
    "bad-request": (BadRequest("a secret of ours"), 400, "bad_request"),
    "suspicious": (SuspiciousOperation("a secret of ours"), 400, "bad_request"),
    "bug": (RuntimeError("a secret of ours"), 500, "error"),
}
urlpatterns = [
    *(path(f"api/v1/test/{name}", view_raising(error)) for name, (error, *_) in ERRORS.items()),
    *(path(f"test/{name}", page_raising(error)) for name, (error, *_) in ERRORS.items()),
    *(path(f"api/plain/{name}", page_raising(error)) for name, (error, *_) in ERRORS.items()),
    path("api/v1/test/half-done", WriteThenFailView.as_view()),
    *urls.urlpatterns,
]


@pytest.fixture
def ask(client, db):
    client.raise_request_exception = False
    return client


@pytest.mark.asvs("16.5.1", "16.5.4")
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ERRORS)
def test_refusal_of_the_api(ask, name):
    _, status, code = ERRORS[name]

    answer = ask.get(f"/api/v1/test/{name}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"detail", "code"}
    assert answer.json()["code"] == code
    assert answer.json()["detail"].endswith((".", "!"))
    assert "secret" not in answer.content.decode()
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


PLAIN = ["not-found", "denied", "gone", "closed", "bad-request", "suspicious", "bug"]


@pytest.mark.asvs("16.5.1", "16.5.4")
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", PLAIN)
def test_refusal_of_a_view_under_api_that_is_not_of_drf(ask, name):
    _, status, code = ERRORS[name]

    answer = ask.get(f"/api/plain/{name}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"detail", "code"}
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)


@pytest.mark.asvs("16.5.1", "16.5.4")
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", PLAIN)
def test_refusal_of_a_page(ask, name):
    _, status, _ = ERRORS[name]
    answer = ask.get(f"/test/{name}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(("text/html", "text/plain"))
    assert "secret" not in answer.content.decode()
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("path", ["/test", "/api/plain"])
def test_unavailable_page_says_so_and_the_log_why(ask, path, caplog):
    answer = ask.get(f"{path}/gone")

    said = "This site cannot answer at the moment. Try again in a few seconds."
    if path == "/test":
        assert answer.headers["Content-Type"] == "text/plain"
        number = answer.headers["X-Request-ID"]
        assert answer.content.decode() == f"{said} If it goes on, tell us this number: {number}\n"
    else:
        assert answer.json()["detail"] == said
    [line] = [line for line in caplog.records if line.message == "unavailable"]
    assert (line.exc_info, line.error, line.reason) == (
        None,
        "OperationalError",
        "a secret of ours",
    )


@pytest.mark.urls(__name__)
def test_wait_is_told(ask):
    assert ask.get("/api/v1/test/throttled").headers["Retry-After"] == "7"
    assert ask.get("/api/v1/test/gone").headers["Retry-After"] == "5"


@pytest.mark.asvs("2.3.3", "16.5.3")
@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
def test_nothing_half_done_stays_when_the_database_goes(client, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    client.raise_request_exception = False

    assert client.get("/api/v1/test/half-done").status_code == 503

    assert not Role.objects.filter(name="half-done").exists()


@pytest.mark.parametrize(
    "url",
    [
        "/api",
        "/api/",
        "/api/v1/none",
        "/api/v1/login/",
        "/api/v2/login",
        "/api/v1/users//",
        "/api/v1/%00",
        "/api/v1/é",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
def test_what_is_no_endpoint_is_404_in_json(ask, url, method):
    answer = getattr(ask, method)(url)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not found.", "code": "not_found"}


@pytest.mark.parametrize("url", ["/none", "/admin/none/", "/apis", "/static/none.css"])
def test_what_is_no_page_is_404_in_html(ask, url):
    answer = ask.get(url, follow=True)
    assert answer.status_code in (200, 404)
    assert answer.headers["Content-Type"].startswith("text/html")


def test_api_without_its_slash_leads_there(ask):
    answer = ask.get("/api/v1")
    assert (answer.status_code, answer.url) == (302, "/api/v1/")


@pytest.mark.parametrize(
    ("method", "url"), [("put", "/api/v1/login"), ("get", "/api/v1/login"), ("post", "/api/v1/")]
)
def test_method_that_is_not_offered(ask, method, url):
    answer = getattr(ask, method)(url)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "Allow" in answer.headers


def test_form_that_is_not_offered(ask):
    answer = ask.get("/api/v1/", headers={"accept": "application/xml"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_field_errors_stay_by_field(ask):
    answer = ask.post("/api/v1/login", {"username": "a"}, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json() == {"password": ["This field is required."]}


def test_foreign_host_is_refused(ask):
    answer = ask.get("/api/v1/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"
