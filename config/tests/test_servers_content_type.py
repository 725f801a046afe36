"""The entrances of a server: what is refused here never reaches a view."""

import io

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.test import AsyncRequestFactory, RequestFactory

UNREADABLE = "application/json; charset*=x'y'z"


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("path", ["/api/v1/login", "/login", "/nothing"])
def test_unreadable_content_type_over_wsgi(db, body, path):
    from config.wsgi import application

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
    from config.asgi import application

    headers = {"content-type": UNREADABLE, "content-length": str(len(body)), "host": "testserver"}
    scope = AsyncRequestFactory()._base_scope(
        method="POST",
        path=path,
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )

    async def status():
        server = ApplicationCommunicator(application, scope)
        await server.send_input({"type": "http.request", "body": body})
        start = await server.receive_output(timeout=10)
        await server.receive_output(timeout=10)
        await server.wait(timeout=10)
        return start["status"]

    assert 400 <= async_to_sync(status)() < 500
