"""Every question about permissions that Django has, asked without a passkey on the device."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.context_processors import PermWrapper
from django.contrib.auth.models import Permission
from django.db import connection
from django.template import Context, Template
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Role, User

VIEW = "accounts.view_user"

# Each is true of somebody who has the permission.
QUESTIONS = {
    "has_perm": lambda user: user.has_perm(VIEW),
    "has_perms": lambda user: user.has_perms([VIEW]),
    "has_module_perms": lambda user: user.has_module_perms("accounts"),
    "get_all_permissions": lambda user: VIEW in user.get_all_permissions(),
    "permissions of roles": lambda user: VIEW in user.get_group_permissions(),
    "permissions of the user": lambda user: VIEW in user.get_user_permissions(),
    "has_role": lambda user: user.has_role("support"),
    "template": lambda user: show("{% if perms.accounts.view_user %}yes{% endif %}", user),
    "module in a template": lambda user: show("{% if perms.accounts %}yes{% endif %}", user),
    "label in a template": lambda user: show("{% if VIEW in perms %}yes{% endif %}", user),
    "ahas_perm": lambda user: asked(user.ahas_perm(VIEW)),
    "ahas_perms": lambda user: asked(user.ahas_perms([VIEW])),
    "ahas_module_perms": lambda user: asked(user.ahas_module_perms("accounts")),
    "aget_all_permissions": lambda user: VIEW in asked(user.aget_all_permissions()),
    "async permissions of roles": lambda user: VIEW in asked(user.aget_group_permissions()),
    "async permissions of the user": lambda user: VIEW in asked(user.aget_user_permissions()),
}
ASYNC = {name for name in QUESTIONS if name.startswith(("a", "async"))}


def show(template, user):
    context = Context({"perms": PermWrapper(user), "VIEW": VIEW})
    return Template(template).render(context) == "yes"


def asked(question):
    return async_to_sync(answer)(question)


async def answer(question):
    return await question


@pytest.fixture
def holder(support):
    """Has the permission by a role and directly."""
    support.user_permissions.add(Permission.objects.get(codename="view_user"))
    return support


def on_device(user, *, proven):
    """The user, as a request on a device has them, where they used a passkey or did not."""
    loaded = User.objects.get(pk=user.pk)
    loaded.acts_at = timezone.now()
    loaded.proven_at = loaded.acts_at if proven else None
    return loaded


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("is_superuser", [False, True], ids=["staff", "superuser"])
def test_each_question_waits_for_the_passkey(holder, settings, question, is_superuser):
    User.objects.filter(pk=holder.pk).update(is_superuser=is_superuser)
    ask = QUESTIONS[question]
    settings.STAFF_NEEDS_PASSKEY = True
    assert ask(on_device(holder, proven=True))
    assert not ask(on_device(holder, proven=False))
    assert ask(User.objects.get(pk=holder.pk))  # in a command
    settings.STAFF_NEEDS_PASSKEY = False
    assert ask(on_device(holder, proven=False))


def test_no_method_of_django_that_asks_is_left_out():
    """A new release of Django may have one more."""
    of_django = {
        name
        for name in dir(User)
        if "perm" in name and name.startswith(("has_", "ahas_", "get_", "aget_"))
    }
    assert of_django == {
        f"{prefix}{name}"
        for prefix in ("", "a")
        for name in (
            "has_perm",
            "has_perms",
            "has_module_perms",
            "get_all_permissions",
            "get_group_permissions",
            "get_user_permissions",
        )
    }


@pytest.mark.parametrize("question", sorted(QUESTIONS.keys() - ASYNC))
def test_staff_who_used_their_passkey_cost_no_query_more(holder, settings, question):
    counts = []
    for needs_passkey in (False, True):
        settings.STAFF_NEEDS_PASSKEY = needs_passkey
        user = on_device(holder, proven=True)
        with CaptureQueriesContext(connection) as captured:
            assert QUESTIONS[question](user)
        counts.append(len(captured))
    assert counts[0] == counts[1] > 0


def test_a_superuser_costs_no_query(root, settings, django_assert_num_queries):
    settings.STAFF_NEEDS_PASSKEY = True
    user = on_device(root, proven=True)
    with django_assert_num_queries(0):
        assert user.has_module_perms("accounts")
        assert user.has_perm(VIEW)


def test_what_an_app_does_not_declare_for_staff_waits_for_staff_alone(alice, support, settings):
    settings.STAFF_NEEDS_PASSKEY = True
    role = Role.objects.create(name="editors")
    role.permissions.add(Permission.objects.get(codename="add_contenttype"))
    for user, has_it in [(alice, True), (support, False)]:
        user.roles.add(role)
        one = on_device(user, proven=False)
        assert one.has_perm("contenttypes.add_contenttype") is has_it
        assert one.has_role("editors") is has_it


def test_a_passkey_counts_for_so_long_and_no_longer(support, settings):
    settings.STAFF_NEEDS_PASSKEY = True
    user = on_device(support, proven=True)
    user.acts_at = user.proven_at + settings.STAFF_BROWSER_LIFETIME
    assert user.has_perm(VIEW)
    user.acts_at += timedelta(microseconds=1)
    assert not user.has_perm(VIEW)
