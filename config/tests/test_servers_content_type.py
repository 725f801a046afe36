"""The entrances of a server: what is refused here never reaches a view.

The applications are made here. An import of `config.asgi` gives the process, and so every later
test, the connections of a server.
"""

import io
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import AsyncRequestFactory, RequestFactory

from config.servers import ASGIRequest, WSGIRequest

UNREADABLE = "application/json; charset*=x'y'z"


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("path", ["/api/v1/login", "/login", "/nothing"])
def test_unreadable_content_type_over_wsgi(db, body, path):
    application = get_wsgi_application()
    application.request_class = WSGIRequest
    environ = RequestFactory()._base_environ(
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        CONTENT_TYPE=UNREADABLE,
        CONTENT_LENGTH=str(len(body)),
        **{"wsgi.input": io.BytesIO(body)},
    )
    answered = []

    b"".join(application(environ, lambda status, headers: answered.append(int(status[:3]))))

    assert 400 <= answered[0] < 500


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("path", ["/api/v1/login", "/login", "/nothing"])
def test_unreadable_content_type_over_asgi(db, body, path):
    application = get_asgi_application()
    application.request_class = ASGIRequest
    headers = {"content-type": UNREADABLE, "content-length": str(len(body)), "host": "testserver"}
    scope = AsyncRequestFactory()._base_scope(
        method="POST",
        path=path,
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )

    async def status():
        server = ApplicationCommunicator(application, scope)
        await server.send_input({"type": "http.request", "body": body})
        start = await server.receive_output(timeout=100)
        await server.receive_output(timeout=100)
        await server.wait(timeout=100)
        return start["status"]

    assert 400 <= async_to_sync(status)() < 500


UTF_7 = 'multipart/form-data; boundary="b"; charset="utf-7"'


@pytest.mark.parametrize("request_class", [WSGIRequest, ASGIRequest])
@pytest.mark.parametrize("text", ["+2AA-", "+3/8-:+2AA-"])
def test_text_is_read_as_utf_8_whatever_it_says(request_class, text):
    """UTF-7 would make a lone surrogate of it."""
    body = f'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n{text}\r\n--b--\r\n'.encode()
    request = make(request_class, body, QUERY_STRING=f"text={quote(text)}")
    assert (request.GET["text"], request.POST["text"]) == (text, text)


def make(request_class, body, **environ):
    if request_class is WSGIRequest:
        whole = RequestFactory()._base_environ(
            REQUEST_METHOD="POST",
            CONTENT_TYPE=UTF_7,
            CONTENT_LENGTH=str(len(body)),
            **{"wsgi.input": io.BytesIO(body)},
            **environ,
        )
        return WSGIRequest(whole)
    headers = [(b"content-type", UTF_7.encode()), (b"content-length", str(len(body)).encode())]
    query = environ["QUERY_STRING"].encode()
    scope = AsyncRequestFactory()._base_scope(
        method="POST", path="/", headers=headers, query_string=query
    )
    return ASGIRequest(scope, io.BytesIO(body))
