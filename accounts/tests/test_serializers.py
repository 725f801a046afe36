"""A person as JSON: the plain dictionary says what the fields of the serializer say."""

import json
from datetime import UTC, datetime

import pytest
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from accounts.models import Role, User
from accounts.serializers import UserSerializer


@pytest.mark.parametrize(
    ("roles", "values"),
    [
        ([], {}),
        (["support", "admin", "z"], {"date_joined": datetime(2026, 1, 1, tzinfo=UTC)}),
        (["z"], {"date_joined": datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)}),
        (["admin"], {"email_verified_at": None, "is_active": False}),
    ],
)
def test_person_says_what_the_fields_say(alice, bob, roles, values, django_assert_num_queries):
    Role.objects.create(name="z")
    bob.roles.set(Role.objects.all())
    alice.roles.set(Role.objects.filter(name__in=roles))
    User.objects.filter(pk=alice.pk).update(**values)
    user, serializer = User.objects.get(pk=alice.pk), UserSerializer()
    expected = serializers.Serializer.to_representation(serializer, user)

    with django_assert_num_queries(1):
        said = serializer.to_representation(user)

    assert list(said.items()) == list(expected.items())
    assert said["roles"] == sorted(roles)
    assert json.loads(JSONRenderer().render(said)) == json.loads(JSONRenderer().render(expected))


def test_prefetched_roles_are_not_asked_for(alice, django_assert_num_queries):
    alice.roles.set(Role.objects.all())
    [user] = User.objects.filter(pk=alice.pk).prefetch_related("roles")

    with django_assert_num_queries(0):
        assert UserSerializer(user).data["roles"] == ["admin", "support"]
