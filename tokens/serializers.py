from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Role, User
from accounts.serializers import (
    PasswordField,
    UniqueNames,
    UsernameField,
    validate_new_password,
)
from accounts.throttling import check_password
from tokens.client import DeviceType, clean_text, parse_network
from tokens.flows import NAME_LENGTH, NOTE_LENGTH
from tokens.models import IssuedToken, State


class DeviceNameField(serializers.CharField):
    """A name that a person gave a device, without control characters."""

    def __init__(self, **kwargs):
        super().__init__(max_length=NAME_LENGTH, allow_blank=True, **kwargs)

    def to_internal_value(self, data):
        name = super().to_internal_value(data)
        return clean_text(name, len(name))  # the validators see to its length


class DeviceSerializer(serializers.Serializer):
    """A device as its owner and staff see it. Needs devices from `with_state()`."""

    # Field by field and not from the model, which DRF would look through anew for each answer.
    id = serializers.UUIDField(read_only=True)
    kind = serializers.ChoiceField(IssuedToken.Kind.choices, read_only=True)
    name = DeviceNameField()
    label = serializers.CharField(read_only=True)
    browser = serializers.CharField(read_only=True)
    os = serializers.CharField(read_only=True)
    device_type = serializers.ChoiceField(DeviceType.choices, read_only=True)
    ip_address = serializers.IPAddressField(read_only=True, allow_null=True)
    last_ip = serializers.IPAddressField(read_only=True, allow_null=True)
    location = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_seen_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)
    state = serializers.ChoiceField(State, read_only=True)
    is_current = serializers.SerializerMethodField()
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoked_reason = serializers.CharField(source="ended_reason", read_only=True)
    revoked_note = serializers.CharField(source="ended_note", read_only=True)

    def get_is_current(self, device) -> bool:
        current = self.context.get("current")
        return current is not None and device.pk == current.pk


class LoginSerializer(serializers.Serializer):
    username = serializers.CharField(help_text="Username, or a verified email address.")
    password = PasswordField()
    device_name = DeviceNameField(required=False, default="")


class PairSerializer(serializers.Serializer):
    """The token answer of RFC 6749, section 5.1, and the device it belongs to."""

    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds.")
    device = DeviceSerializer()

    def to_representation(self, pair):
        answer = super().to_representation(pair)
        answer["device"]["is_current"] = True
        return answer


class RefreshSerializer(serializers.Serializer):
    refresh_token = serializers.CharField(write_only=True)


class CurrentPasswordSerializer(serializers.Serializer):
    """Checks a password against the one of the person who asks, as a field error.

    Raise TooManyAttempts after too many wrong ones on the device.
    """

    def check_password(self, password: str) -> str:
        request = self.context["request"]
        if not check_password(request.user, password, device=request.auth.pk):
            raise serializers.ValidationError("This is not your password.")
        return password


class ReauthenticateSerializer(CurrentPasswordSerializer):
    password = PasswordField()

    def validate_password(self, password):
        return self.check_password(password)


class PasswordSerializer(CurrentPasswordSerializer):
    current_password = PasswordField()
    new_password = PasswordField()

    def validate_current_password(self, password):
        return self.check_password(password)

    def validate(self, attrs):
        validate_new_password(
            attrs["new_password"], self.context["request"].user, field="new_password"
        )
        return attrs


class ProfileSerializer(CurrentPasswordSerializer, UniqueNames, serializers.ModelSerializer):
    """A change of one's own username or e-mail address."""

    username = UsernameField(required=False)
    current_password = PasswordField()

    class Meta:
        model = User
        fields = ["username", "email", "current_password"]
        extra_kwargs = {"email": {"required": False}}

    def validate_current_password(self, password):
        return self.check_password(password)


class NoteSerializer(serializers.Serializer):
    note = serializers.CharField(
        max_length=NOTE_LENGTH,
        allow_blank=True,
        required=False,
        default="",
        help_text="Shown to the person.",
    )


class OwnedDeviceSerializer(DeviceSerializer):
    """A device among those of many people."""

    username = serializers.CharField(source="user.username", read_only=True)


@extend_schema_field({"type": "string", "example": "203.0.113.0/24"})
class NetworkField(serializers.CharField):
    """An address or a CIDR block, as `ipaddress.ip_network`."""

    def to_internal_value(self, data):
        try:
            return parse_network(super().to_internal_value(data))
        except ValueError:
            raise serializers.ValidationError(
                "Write an IP address or a network, 203.0.113.0/24."
            ) from None


class IncidentSerializer(NoteSerializer):
    """Which devices, all that is given must hold; or all of them. A dry run unless told."""

    network = NetworkField(required=False, help_text="Signed in from it, or last seen there.")
    signed_in_after = serializers.DateTimeField(required=False)
    signed_in_before = serializers.DateTimeField(required=False)
    not_seen_since = serializers.DateTimeField(required=False)
    os = serializers.CharField(
        max_length=NAME_LENGTH, required=False, help_text="As lists name it: Android, iOS."
    )
    client = serializers.CharField(
        max_length=NAME_LENGTH, required=False, help_text="As lists name it: Firefox."
    )
    role = serializers.SlugRelatedField(
        slug_field="name", queryset=Role.objects.all(), required=False
    )
    all = serializers.BooleanField(default=False, help_text="Every device of everybody.")
    dry_run = serializers.BooleanField(default=True)

    def validate_role(self, role):
        return role.name

    def validate(self, attrs):
        note, everybody, dry_run = (attrs.pop(name) for name in ("note", "all", "dry_run"))
        if everybody == bool(attrs):
            raise serializers.ValidationError(
                "Say which devices by at least one field, or all of them by all alone."
            )
        return {"criteria": attrs, "note": note, "dry_run": dry_run}


class GroupSerializer(serializers.Serializer):
    name = serializers.CharField()
    count = serializers.IntegerField()


class IncidentResultSerializer(serializers.Serializer):
    """What was found, live. A dry run shows the newest of them and what they have in common."""

    matched = serializers.IntegerField(help_text="Live devices before this request.")
    people = serializers.IntegerField()
    revoked = serializers.IntegerField()
    remaining = serializers.IntegerField(help_text="Repeat the request until it is 0.")
    breakdown = serializers.DictField(child=GroupSerializer(many=True), required=False)
    sample = OwnedDeviceSerializer(many=True, required=False)


class RevokedSerializer(serializers.Serializer):
    revoked = serializers.IntegerField(help_text="How many devices it ended.")
