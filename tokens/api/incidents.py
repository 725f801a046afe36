"""The API that finds and ends the devices of an incident."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.response import Response

from accounts.models import Role
from accounts.permissions import HasPermission, credential_of, require_fresh
from accounts.proof import require_proof
from accounts.serializers import PasskeyField, PasswordField
from tokens.api.staff import NoteSerializer
from tokens.client import parse_network
from tokens.flows import incident
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.serializers import DeviceSerializer
from tokens.user_agents import CLIENT_LENGTH

SAMPLE_SIZE = 20  # devices that a dry run shows


class OwnedDeviceSerializer(DeviceSerializer):
    """A device with the username of its owner, for a list of many people's devices."""

    username = serializers.CharField(source="user.username", read_only=True)


@extend_schema_field({"type": "string", "example": "203.0.113.0/24"})
class NetworkField(serializers.CharField):
    """An IP address or a CIDR block, as a network of `ipaddress`."""

    def to_internal_value(self, data):
        try:
            return parse_network(super().to_internal_value(data))
        except ValueError:
            raise serializers.ValidationError(
                "Write an IP address or a network, 203.0.113.0/24."
            ) from None


class IncidentSerializer(NoteSerializer):
    """Which devices to end: those that meet all criteria, or with `all` every device.

    Devices end only if `dry_run` is false.
    """

    network = NetworkField(required=False, help_text="Signed in from it, or last seen there.")
    signed_in_after = serializers.DateTimeField(required=False)
    signed_in_before = serializers.DateTimeField(required=False)
    not_seen_since = serializers.DateTimeField(required=False)
    os = serializers.CharField(
        max_length=CLIENT_LENGTH, required=False, help_text="As lists name it: Android, iOS."
    )
    client = serializers.CharField(
        max_length=CLIENT_LENGTH, required=False, help_text="As lists name it: Firefox."
    )
    method = serializers.ChoiceField(
        IssuedToken.Method.choices, required=False, help_text="What the person signed in by."
    )
    role = serializers.SlugRelatedField(
        slug_field="name", queryset=Role.objects.all(), required=False
    )
    all = serializers.BooleanField(default=False, help_text="Every device of everybody.")
    dry_run = serializers.BooleanField(default=True)
    current_password = PasswordField(
        required=False, help_text="Needed to end every device of everybody."
    )
    passkey = PasskeyField(required=False)

    def validate_role(self, role):
        return role.name

    def validate(self, attrs):
        note, everybody, dry_run = (attrs.pop(name) for name in ("note", "all", "dry_run"))
        for proof in ("current_password", "passkey"):
            attrs.pop(proof, None)
        if everybody == bool(attrs):
            raise serializers.ValidationError(
                "Say which devices in at least one field, or send all alone for every device."
            )
        return {"criteria": attrs, "note": note, "all": everybody, "dry_run": dry_run}


class GroupSerializer(serializers.Serializer):
    name = serializers.CharField()
    count = serializers.IntegerField()


class IncidentResultSerializer(serializers.Serializer):
    """How many live devices were found, and how many ended.

    A dry run also shows the newest devices, and what the devices have in common.
    """

    matched = serializers.IntegerField(help_text="Live devices before this request.")
    people = serializers.IntegerField()
    revoked = serializers.IntegerField()
    remaining = serializers.IntegerField(help_text="Repeat the request until it is 0.")
    breakdown = serializers.DictField(child=GroupSerializer(many=True), required=False)
    sample = OwnedDeviceSerializer(many=True, required=False)


class IncidentView(generics.GenericAPIView):
    """Find the live devices of many people by what they have in common, and end them.

    One request ends at most 10,000 devices, to stay within the time limit of a server. Repeat the
    request until `remaining` is 0. Give `signed_in_before`, so that people who sign in again
    meanwhile stay. People are mailed if the request finds at most 1,000 devices.
    """

    serializer_class = IncidentSerializer
    refuses = {"POST": (429,)}
    permission_classes = [HasPermission("tokens.revoke_issuedtoken")]

    @extend_schema(
        operation_id="users_devices_revoke_matching",
        request=IncidentSerializer,
        responses={200: IncidentResultSerializer},
    )
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        if asked["all"] and not asked["dry_run"]:
            require_proof(request)
        else:
            require_fresh(request)
        devices = IssuedToken.objects.matching(**asked["criteria"])
        devices = devices.touchable_by(request.user).exclude(pk=credential_of(request).pk)
        found = incident.find(devices)
        result = {"matched": found.devices, "people": found.people}
        result |= {"revoked": 0, "remaining": found.devices}
        if asked["dry_run"]:
            result |= look_at(devices.live())
        elif found.devices:
            ends = incident.end(
                devices, found, by=request.user, note=asked["note"], limit=incident.PIECE_SIZE
            )
            result["revoked"] = sum(ended for _, ended in ends)
            result["remaining"] = incident.left_of(devices, found).count()
        return Response(IncidentResultSerializer(result).data)


def look_at(devices: IssuedTokenQuerySet) -> dict[str, Any]:
    """What a dry run shows besides the counts: a sample and a breakdown."""
    groups = {
        title: [{"name": name, "count": count} for name, count in largest]
        for title, largest in devices.breakdown().items()
    }
    return {
        "sample": devices.with_state().order_by("-created_at", "-pk")[:SAMPLE_SIZE],
        "breakdown": groups,
    }
