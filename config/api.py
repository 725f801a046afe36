"""The index of the API, and its description as a file."""

import threading
import time
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.api import OpenView


class IndexView(OpenView):
    """The URLs of the API, by name."""

    @extend_schema(responses={200: dict[str, str]})
    def get(self, request):
        names = (
            "schema docs signup login refresh reauthenticate logout logout-others logout-all "
            "me passkeys password devices roles users"
        )
        return Response({name: reverse(f"api:{name}", request=request) for name in names.split()})


class SchemaView(SpectacularAPIView):
    """The OpenAPI description, made once in each process.

    Making it takes long, and drf-spectacular cannot make two at the same time. It is sent as a file
    with validators, so a client that has it already gets a 304.
    """

    @extend_schema(exclude=True)
    def get(self, request, *args, **kwargs):
        file = schema_file(type(request.accepted_renderer))
        answer = HttpResponse(
            file.content,
            content_type=request.accepted_renderer.media_type,
            headers={
                "ETag": file.etag,
                "Last-Modified": http_date(file.made_at),
                "Cache-Control": "no-cache",
                "Content-Disposition": f'inline; filename="{self._get_filename(request, "")}"',
            },
        )
        return get_conditional_response(request, file.etag, file.made_at, answer)


class File(NamedTuple):
    content: bytes
    etag: str
    made_at: int  # seconds since the epoch


def schema_file(renderer: type) -> File:
    """The description in the form of this renderer."""
    with _making:
        return _render(renderer)


_making = threading.Lock()


@cache
def _render(renderer: type) -> File:
    content = renderer().render(_schema(), renderer_context={})
    return File(content, f'"{sha256(content).hexdigest()[:32]}"', int(time.time()))


@cache
def _schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)
