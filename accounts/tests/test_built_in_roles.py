"""What `migrate` does to the roles that exist on every site."""

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command

from accounts.built_in_roles import declared_permissions
from accounts.models import Role

pytestmark = pytest.mark.django_db(transaction=True)
NEW = {"accounts.view_queuedmail", "accounts.retry_queuedmail"}


@pytest.fixture
def admin_role(db):
    return Role.objects.get(name="admin")


def migrate():
    call_command("migrate", verbosity=0, interactive=False)


def forget_new_permissions():
    """Leave the permissions as a release before left them."""
    Permission.objects.filter(codename__endswith="queuedmail").delete()


def test_new_permissions_are_given_to_a_role_that_exists(admin_role):
    forget_new_permissions()
    assert NEW.isdisjoint(admin_role.permission_labels())

    migrate()

    admin_role = Role.objects.get(name="admin")
    assert set(admin_role.permission_labels()) == declared_permissions("admin")


def test_new_permissions_are_given_once(admin_role):
    forget_new_permissions()
    migrate()
    admin_role.permissions.remove(Permission.objects.get(codename="retry_queuedmail"))

    migrate()

    labels = set(Role.objects.get(name="admin").permission_labels())
    assert labels == declared_permissions("admin") - {"accounts.retry_queuedmail"}


def test_what_staff_took_and_gave_stays_when_something_new_is_given(admin_role):
    taken, given = (
        Permission.objects.get(codename=name) for name in ("delete_user", "view_permission")
    )
    admin_role.permissions.remove(taken)
    admin_role.permissions.add(given)
    forget_new_permissions()

    migrate()

    labels = set(Role.objects.get(name="admin").permission_labels())
    expected = declared_permissions("admin") - {"accounts.delete_user"} | {"auth.view_permission"}
    assert labels == expected


def test_role_without_new_permissions_is_left_alone(admin_role):
    before = set(Role.objects.get(name="support").permission_labels())
    forget_new_permissions()

    migrate()

    assert set(Role.objects.get(name="support").permission_labels()) == before
