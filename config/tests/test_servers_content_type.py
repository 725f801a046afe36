"""The entrances of a server: what is refused here never reaches a view.

The applications are made here. An import of `config.asgi` gives the process, and so every later
test, the connections of a server.
"""

import io

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
