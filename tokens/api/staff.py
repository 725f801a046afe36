"""The API with which staff see and revoke the devices of one user."""

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics, serializers
from rest_framework.response import Response

from accounts.api import get_user
from accounts.models import User
from accounts.permissions import HasPermission
from tokens import flows
from tokens.api.devices import DeviceListView, get_device_of
from tokens.api.sign_in import RevokedSerializer
from tokens.models import NOTE_LENGTH, IssuedTokenQuerySet


class NoteSerializer(serializers.Serializer):
    note = serializers.CharField(
        max_length=NOTE_LENGTH,
        allow_blank=True,
        required=False,
        default="",
        help_text="Shown to the person.",
    )


class UserDeviceListView(DeviceListView):
    """The devices of a user, for staff."""

    permission_classes = [HasPermission("tokens.view_issuedtoken")]

    def get_owner(self):
        return get_user(self.kwargs["username"])


class UserDevicesRevokeView(generics.GenericAPIView):
    """Revoke all live devices of a user, as staff."""

    question = "Revoke all devices of this person?"
    serializer_class = NoteSerializer
    permission_classes = [HasPermission("tokens.revoke_issuedtoken")]

    @extend_schema(
        operation_id="users_devices_revoke_all",
        request=NoteSerializer,
        responses={200: RevokedSerializer},
    )
    def post(self, request, username):
        user = get_user(username)
        return revoke_as_staff(request, user, user.devices.all())


class UserDeviceRevokeView(generics.GenericAPIView):
    """Revoke one device of a user, as staff."""

    question = "Revoke this device?"
    serializer_class = NoteSerializer
    permission_classes = [HasPermission("tokens.revoke_issuedtoken")]

    @extend_schema(request=NoteSerializer, responses={200: RevokedSerializer})
    def post(self, request, username, id):
        user = get_user(username)
        device = get_device_of(user, id)
        return revoke_as_staff(request, user, user.devices.filter(pk=device.pk))


def revoke_as_staff(request, user: User, devices: IssuedTokenQuerySet) -> Response:
    """End those of the user's live devices that are in `devices`, and answer how many ended."""
    if not request.user.may_touch(user):
        raise exceptions.PermissionDenied("Only a superuser may revoke a superuser's devices.")
    serializer = NoteSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    note = serializer.validated_data["note"]
    revoked = flows.revoke_for_user(user, devices, by=request.user, note=note)
    return Response({"revoked": revoked})
