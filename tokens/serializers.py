from rest_framework import serializers

from accounts.serializers import iso
from accounts.text import clean_text
from tokens.models import NAME_LENGTH, IssuedToken, State
from tokens.stories import ended_note
from tokens.user_agents import DeviceType


class DeviceNameField(serializers.CharField):
    """A name that a person gives a device. Unprintable characters are removed."""

    def __init__(self, **kwargs):
        super().__init__(max_length=NAME_LENGTH, allow_blank=True, **kwargs)

    def to_internal_value(self, data):
        name = super().to_internal_value(data)
        return clean_text(name, len(name))  # not cut: a validator refuses a name that is too long


class DeviceSerializer(serializers.Serializer):
    """A device as its owner and staff see it. Needs devices from `with_state()`."""

    # Not a ModelSerializer, because that one inspects the model again for each response.
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
    method = serializers.ChoiceField(
        IssuedToken.Method.choices, read_only=True, help_text='"" if it is not known.'
    )
    passkey_at = serializers.DateTimeField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_seen_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)
    state = serializers.ChoiceField(State, read_only=True)
    is_current = serializers.SerializerMethodField()
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoked_reason = serializers.CharField(source="ended_reason", read_only=True)
    revoked_note = serializers.SerializerMethodField()

    def to_representation(self, device):
        """What the fields say, which a test compares. DRF would copy them for each answer."""
        if type(self) is not DeviceSerializer:
            return super().to_representation(device)  # a subclass may have more of them
        return {
            "id": str(device.pk),
            "kind": device.kind,
            "name": device.name,
            "label": device.label,
            "browser": device.browser,
            "os": device.os,
            "device_type": device.device_type,
            "ip_address": device.ip_address,
            "last_ip": device.last_ip,
            "location": device.location,
            "method": device.method,
            "passkey_at": iso(device.passkey_at) if device.passkey_at else None,
            "created_at": iso(device.created_at),
            "last_seen_at": iso(device.last_seen_at),
            "expires_at": iso(device.expires_at),
            "state": device.state,
            "is_current": self.get_is_current(device),
            "revoked_at": iso(device.revoked_at),
            "revoked_reason": device.ended_reason,
            "revoked_note": self.get_revoked_note(device),
        }

    def get_revoked_note(self, device) -> str:
        return ended_note(device)

    def get_is_current(self, device) -> bool:
        current = self.context.get("current")
        return current is not None and device.pk == current.pk
