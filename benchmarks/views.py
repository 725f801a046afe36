"""The trivial view that every contender guards, and what a peer's documentation has one write."""

from rest_framework.response import Response
from rest_framework.views import APIView


class WhoView(APIView):
    """The id of who is asking."""

    def get(self, request):
        return Response({"user": str(request.user.pk)})
