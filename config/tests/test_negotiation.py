"""JSON, unless a browser asks for a page."""

import pytest

JSON, HTML = "application/json", "text/html"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (CHROME, HTML),
        (FIREFOX, HTML),
        (FIREFOX.upper(), HTML),
        (HTML, HTML),
        ("text/*", HTML),
        ("text/html, application/json;q=0.5", HTML),
        ("text/html, */*;q=0", HTML),
        (None, JSON),
        ("", JSON),
        (" , ;q=1", JSON),
        ("*/*", JSON),
        ("*", JSON),
        (JAVA, JSON),
        ("text/html, image/gif, image/jpeg, */*; q=0.2", JSON),
        ("text/html;q=0, */*", JSON),
        ("application/json", JSON),
        ("application/*", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/json, text/plain, */*", JSON),
        ("text/html, application/json", JSON),
        ("text/html;q=0.5, application/xhtml+xml;q=0.5, application/json;q=0.9", JSON),
        ("text/html;q=many", JSON),
        ("application/json;q=0.001, text/html;q=0", JSON),
        ("application/xml", None),
        ("*/*;q=0", None),
        ("application/json;q=0, text/html;q=0, */*", None),
        ("image/*", None),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/me"])
def test_form_of_an_answer(browser, alice, accept, form, path):
    answer = browser(alice).get(path, headers={} if accept is None else {"accept": accept})
    if form is None:
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    else:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].partition(";")[0] == form
        assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize(("name", "form"), [("json", JSON), ("api", HTML)])
def test_form_in_the_address_is_the_only_one_left(browser, alice, name, form):
    tab = browser(alice)
    answer = tab.get(f"/api/v1/me?format={name}", headers={"accept": f"{form}, */*;q=0.1"})
    assert answer.headers["Content-Type"].partition(";")[0] == form
    assert tab.get("/api/v1/me?format=nothing").status_code == 404


@pytest.mark.parametrize("accept", [None, "", "*/*"])
def test_form_in_the_address_counts_for_programs_too(browser, alice, accept):
    headers = {} if accept is None else {"accept": accept}
    answer = browser(alice).get("/api/v1/me?%66ormat=api", headers=headers)
    assert answer.headers["Content-Type"].partition(";")[0] == HTML


def test_file_that_has_no_json_is_sent_to_programs_too(client, db):
    answer = client.get("/api/v1/schema", headers={"accept": "*/*"})
    assert answer.headers["Content-Type"].partition(";")[0] == "application/vnd.oai.openapi"
