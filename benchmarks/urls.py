"""The project's URLs, those of the contender, and a trivial view that every contender guards."""

from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.settings import CONTENDER
from config.urls import urlpatterns as project


class WhoView(APIView):
    """The id of who is asking."""

    def get(self, request):
        return Response({"user": str(request.user.pk)})


urlpatterns = [path("who", WhoView.as_view()), *CONTENDER.urls(), *project]
