"""The API of a person's own devices."""

import uuid

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics

from accounts.models import User
from accounts.permissions import credential_of, require_fresh
from tokens import flows
from tokens.browser import forget_handle
from tokens.models import IssuedToken, State
from tokens.serializers import DeviceSerializer
from tokens.statements import DevicesOf, find_device_of

STATE_PARAMETER = OpenApiParameter(
    "state", enum=[*State.values, "all"], default=State.LIVE, description="Which devices."
)


class DeviceListView(generics.ListAPIView):
    """The devices of one person: the current one first, then the most recently seen."""

    serializer_class = DeviceSerializer

    @extend_schema(parameters=[STATE_PARAMETER])
    def get(self, request, *args, **kwargs):
        return super().get(request, *args, **kwargs)

    def get_owner(self):
        return self.request.user

    def get_queryset(self):
        if getattr(self, "swagger_fake_view", False):
            return IssuedToken.objects.none()
        state = self.request.query_params.get("state", State.LIVE)
        if state not in (*State.values, "all"):
            raise exceptions.ValidationError(
                {"state": [f"Write {', '.join(State.values)} or all."]}
            )
        return DevicesOf(self.get_owner().pk, state, self.request.auth)

    def get_serializer_context(self):
        return {**super().get_serializer_context(), "current": self.request.auth}


class DeviceView(generics.RetrieveUpdateDestroyAPIView):
    """One device of the person who asks."""

    question, answer = "Sign this device out?", "Sign out"
    serializer_class = DeviceSerializer
    http_method_names = ["get", "patch", "delete", "head", "options"]

    def get_object(self):
        return get_device_of(self.request.user, self.kwargs["id"])

    def get_serializer_context(self):
        return {**super().get_serializer_context(), "current": self.request.auth}

    def perform_update(self, serializer):
        device = serializer.instance
        device.name = serializer.validated_data.get("name", device.name)
        IssuedToken.objects.filter(pk=device.pk).update(name=device.name)

    def perform_destroy(self, device):
        """End the device if it is live. Only a fresh device may end another one."""
        if device.state != State.LIVE:
            return
        current = credential_of(self.request)
        if device.pk != current.pk:
            require_fresh(self.request)
        flows.end_own_device(current, device)
        if device.pk == current.pk:
            forget_handle(self.request, device)


def get_device_of(user: User, id: str) -> IssuedToken:
    """The user's device with that id. Raise Http404 for any other text."""
    device = find_device_of(user.pk, read_id(id))
    if device is None:
        raise Http404
    return device


def read_id(id: str) -> uuid.UUID:
    """The id of a device or a passkey: a UUID with hyphens. Raise Http404 for any other text.

    Its letters may be in lower or upper case.
    """
    try:
        key = uuid.UUID(id)
    except ValueError:
        raise Http404 from None
    if str(key) != id.lower():  # UUID() also reads other spellings.
        raise Http404
    return key
