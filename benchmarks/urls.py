"""The project's URLs, those of the contender, and two views that every contender guards."""

from typing import Any

from django.urls import path
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from benchmarks.settings import CONTENDER
from config.urls import urlpatterns as project


class WhoView(APIView):
    """The id of who is asking."""

    def get(self, request):
        return Response({"user": str(request.user.pk)})


class ProfileSerializer(serializers.ModelSerializer):
    roles: Any = serializers.SlugRelatedField("name", many=True, read_only=True)

    class Meta:
        model = User
        fields = ["id", "username", "email", "email_verified_at", "roles", "date_joined"]


class ProfileView(generics.RetrieveAPIView):
    """What `/api/v1/me` says, as REST framework's tutorial would write it."""

    serializer_class = ProfileSerializer

    def get_object(self):
        return self.request.user


urlpatterns = [
    path("who", WhoView.as_view()),
    path("profile", ProfileView.as_view()),
    *CONTENDER.urls(),
    *project,
]
