"""The index of the API."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.api import OpenView


class IndexView(OpenView):
    """The URLs of the API, by name."""

    @extend_schema(responses={200: dict[str, str]})
    def get(self, request):
        names = (
            "schema docs signup login refresh reauthenticate logout logout-others logout-all "
            "me password devices roles users"
        )
        return Response({name: reverse(f"api:{name}", request=request) for name in names.split()})
