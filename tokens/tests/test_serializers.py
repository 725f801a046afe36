"""A device as JSON: the plain dictionary says what the fields of the serializer say."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from accounts.models import User
from tests.plugins.guestlist import FIREFOX
from tokens import flows
from tokens.api.sign_in import PairSerializer
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.serializers import DeviceSerializer
from tokens.tests.test_statements import MOMENTS, full, new_device


def assert_as_the_fields_say(serializer, instance):
    said = serializer.to_representation(instance)
    expected = serializers.Serializer.to_representation(serializer, instance)

    assert list(said.items()) == list(expected.items())
    assert json.loads(JSONRenderer().render(said)) == json.loads(JSONRenderer().render(expected))


@pytest.mark.parametrize(
    "values",
    [
        {"name": "Ana's phone", "browser": "Firefox", "os": "Linux", "device_type": "desktop"},
        {"kind": "browser", "ip_address": "203.0.113.9", "last_ip": "2001:db8::1"},
        {"created_at": MOMENTS[0], "last_seen_at": MOMENTS[1]},
        {"idle_at": MOMENTS[0]},
        {"expires_at": MOMENTS[1]},
        {"password_epoch": MOMENTS[0]},
        {"was_staff": False, "was_superuser": False},
        {"revoked_at": MOMENTS[0], "revoked_reason": "staff", "revoked_note": "Lost."},
        {"revoked_at": MOMENTS[1], "revoked_reason": "reuse", "alarm": "reuse"},
    ],
)
@pytest.mark.parametrize("is_current", [True, False])
def test_device_in_any_state(alice, values, is_current):
    new_device(alice, **values)
    device = alice.devices.with_state().get()
    current = device if is_current else new_device(alice, hash=b"another")

    assert_as_the_fields_say(DeviceSerializer(context={"current": current}), device)
    assert_as_the_fields_say(DeviceSerializer(), device)


def test_device_with_everything(alice, support):
    full(alice, support)
    assert_as_the_fields_say(DeviceSerializer(), IssuedToken.objects.with_state().get())


def test_device_of_a_deactivated_user(alice):
    new_device(alice, idle_at=timezone.now() + timedelta(days=1))
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert_as_the_fields_say(DeviceSerializer(), alice.devices.with_state().get())


def test_pair(alice):
    pair = flows.log_in(alice, Client(ip_address="203.0.113.9", user_agent=FIREFOX))
    said = PairSerializer().to_representation(pair)

    expected = PairSerializer(context={"current": pair.device})
    assert said == serializers.Serializer.to_representation(expected, pair)
    assert list(said) == list(expected.fields)


def test_serializer_with_more_fields_says_them_too(alice):
    class Owned(DeviceSerializer):
        username = serializers.CharField(source="user.username")

    new_device(alice)
    device = alice.devices.with_state().get()

    assert Owned().to_representation(device)["username"] == "alice"
    assert_as_the_fields_say(Owned(), device)
