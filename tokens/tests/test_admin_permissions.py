"""Who may do what in the admin: one table of every URL, by GET and by POST, for everybody.

The URLs come from the URL resolver, so that one that is added fails until it stands in the table.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from accounts.built_in_roles import declared_permissions
from accounts.models import QueuedMail, Role, Throttle, User
from accounts.tests.admin import hidden, make_role, permission, stored_form
from accounts.throttling import subjects
from tests.plugins.guestlist import PASSWORD, make_user, revoke_shown, undone
from tokens.models import IssuedToken
from tokens.step_up import FIELD

ADMIN = "/admin/"
REVOKE = "tokens.revoke_issuedtoken"
# `bare` is staff without any permission; `keeper` has those of the role admin, but for revoking.
STAFF = ["bare", "support", "keeper", "manager", "root"]
PEOPLE = ["nobody", "user", *STAFF]

pytestmark = pytest.mark.no_cover


# What an answer is, in a word:
#   page   200, and nothing changed
#   file   200, to be saved, and nothing changed
#   done   the effect of the row is there
#   leads  on to another page, and nothing changed
#   login  on to the sign-in page, and nothing changed
#   no     403
#   none   404
#   method 405
ANSWERS = {403: "no", 404: "none", 405: "method"}


class Row(NamedTuple):
    """A request, the answers to STAFF, and what it does when it is `done`.

    `{names}` in the path are those of `world`, `{me}` is whoever asks. `asks`: the password, when
    the last one is old.
    """

    method: str
    path: str
    answers: str
    data: Callable[[SimpleNamespace], dict] = lambda world: {}
    effect: Callable[[SimpleNamespace], bool] = lambda world: False
    asks: bool = False
    strangers: str = "login login"

    def url(self, world):
        keys = {name: getattr(item, "pk", item) for name, item in vars(world).items()}
        return ADMIN + self.path.format(**keys)

    def expected(self):
        return dict(zip(PEOPLE, self.strangers.split() + self.answers.split(), strict=True))

    def label(self):
        return f"{self.method} {self.path or '.'}"


def get(path, answers, **more):
    return [Row("GET", path, answers, **more)]


def post(path, answers, data, effect=lambda world: False, **more):
    return [Row("POST", path, answers, data, effect, **more)]


def both(path, answers, **more):
    """A page that takes a POST for a GET."""
    return [*get(path, answers, **more), *post(path, answers, lambda world: {}, **more)]


# What is posted, and what it does


def fields(**values):
    return lambda world: values


def form_of(name, /, *, without=(), **changes):
    """The change page of something in `world`, with some fields typed over."""

    def data(world):
        given = {
            field: value(world) if callable(value) else value for field, value in changes.items()
        }
        form = stored_form(getattr(world, name)) | given
        return {field: value for field, value in form.items() if field not in without}

    return data


def action(name, /, *chosen, **more):
    return lambda world: {
        "action": name,
        "_selected_action": [str(getattr(world, item).pk) for item in chosen],
        **more,
    }


def keys(*names):
    return lambda world: [getattr(world, name).pk for name in names]


def stored(name):
    """The row as it is now, of something in `world`; None when it is gone."""

    def read(world):
        item = getattr(world, name)
        return type(item)._default_manager.filter(pk=item.pk).first()

    return read


def is_now(name, /, **values):
    return lambda world: all(
        getattr(stored(name)(world), field) == value for field, value in values.items()
    )


def is_gone(name):
    return lambda world: stored(name)(world) is None


def has_ended(*names):
    return lambda world: not IssuedToken.objects.live().filter(pk__in=keys(*names)(world)).exists()


def has_role(name, role):
    return lambda world: getattr(world, name).roles.filter(pk=getattr(world, role).pk).exists()


def may(role, label):
    return lambda world: label in stored(role)(world).permission_labels()


def exists(model, **values):
    return lambda world: model.objects.filter(**values).exists()


def got_link(name):
    return lambda world: LogEntry.objects.filter(
        object_id=str(getattr(world, name).pk), change_message="Sent a password reset link."
    ).exists()


USERS, ROLES = "accounts/user/", "accounts/role/"
DEVICES, ENTRIES = "tokens/issuedtoken/", "admin/logentry/"
LOCKS, MAILS = "accounts/throttle/", "accounts/queuedmail/"
CAROL = {"username": "carol", "email": "carol@example.org"}
CHOSEN = {"password1": "a sentence by staff", "password2": "a sentence by staff"}
DELETE = fields(post="yes")
CONFIRM = fields(confirmed="yes", note="Lost.")
CONFIRMED = {"confirmed": "yes", "note": "Lost."}
ROLES_FOR_USERS = "autocomplete/?app_label=accounts&model_name=user&field_name=roles"

# fmt: off
TABLE = [
    #                                            bare    support keeper  manager root
    *both("",                                   "page    page    page    page    page"),
    *both("accounts/",                          "none    page    page    page    page"),
    *both("tokens/",                            "none    page    page    page    page"),
    *both("admin/",                             "none    none    page    page    page"),
    *both("no/such/page/",                      "none    none    none    none    none"),
    *get("jsi18n/",                             "page    page    page    page    page"),
    *post("jsi18n/",                            "method  method  method  method  method", fields()),
    *both("r/{type}/{alice}/",                  "none    none    none    none    none"),
    *both("password_change/",                   "leads   leads   leads   leads   leads",
          strangers="leads leads"),
    *get("password_change/done/",               "page    page    page    page    page"),
    *post("password_change/done/",              "method  method  method  method  method", fields()),
    *get(ROLES_FOR_USERS,                       "no      no      page    page    page"),
    *post(ROLES_FOR_USERS,                      "method  method  method  method  method", fields()),
    *get("login/",                              "page    page    page    page    page",
         strangers="page page"),
    *post("login/",                             "page    page    page    page    page",
          fields(username="alice", password="not hers"), strangers="page page"),
    *get("logout/",                             "method  method  method  method  method",
         strangers="method method"),
    *post("logout/",                            "done    done    done    done    done",
          fields(), has_ended("mine"),
          strangers="leads done"),

    # Users
    *get(USERS,                                 "no      page    page    page    page"),
    *post(USERS,                                "no      page    page    page    page",
          fields(), asks=True),
    *get(USERS + "add/",                        "no      no      page    page    page"),
    *post(USERS + "add/",                       "no      no      done    done    done",
          fields(**CAROL, is_superuser="on", is_staff="on", password="x" * 20),
          lambda world: User.objects.filter(**CAROL, is_staff=False, is_superuser=False).exists(),
          asks=True),
    *get(USERS + "{alice}/",                    "leads   leads   leads   leads   leads"),
    *post(USERS + "{alice}/",                   "leads   leads   leads   leads   leads", fields()),
    *get(USERS + "{alice}/change/",             "no      page    page    page    page"),
    *get(USERS + "{boss}/change/",              "no      page    page    page    page"),
    *get(USERS + "{auditor}/change/",           "no      page    page    page    page"),
    *post(USERS + "{alice}/change/",            "no      no      done    done    done",
          form_of("alice", username="alicia"), is_now("alice", username="alicia"), asks=True),
    *post(USERS + "{alice}/change/",            "no      no      done    done    done",
          form_of("alice", without=["is_active"]), has_ended("phone", "laptop"), asks=True),
    *post(USERS + "{alice}/change/",            "no      no      leads   leads   done",
          form_of("alice", is_superuser="on", current_password=PASSWORD),
          is_now("alice", is_superuser=True)),
    *post(USERS + "{alice}/change/",            "no      no      leads   leads   page",
          form_of("alice", is_superuser="on"), asks=True),
    *post(USERS + "{alice}/change/",            "no      no      done    done    done",
          form_of("alice", roles=keys("helpers"), current_password=PASSWORD),
          has_role("alice", "helpers")),
    *post(USERS + "{alice}/change/",            "no      no      page    page    page",
          form_of("alice", roles=keys("helpers")), asks=True),
    *post(USERS + "{alice}/change/",            "no      no      page    done    done",
          form_of("alice", roles=keys("built_in"), current_password=PASSWORD),
          has_role("alice", "built_in")),
    *post(USERS + "{alice}/change/",            "no      no      page    page    done",
          form_of("alice", roles=keys("powers"), current_password=PASSWORD),
          has_role("alice", "powers")),
    *post(USERS + "{alice}/change/",            "no      no      leads   leads   leads",
          form_of("alice", password=PASSWORD, **CHOSEN), asks=True),
    *post(USERS + "{auditor}/change/",          "no      no      no      no      done",
          form_of("auditor", username="audrey"), is_now("auditor", username="audrey"), asks=True),
    *post(USERS + "{auditor}/change/",          "no      no      no      no      done",
          form_of("auditor", roles=[]), lambda world: not world.auditor.roles.exists(), asks=True),
    *post(USERS + "{boss}/change/",             "no      no      no      no      done",
          form_of("boss", username="chief"), is_now("boss", username="chief"), asks=True),
    *post(USERS + "{boss}/change/",             "no      no      no      no      done",
          form_of("boss", without=["is_active"]), is_now("boss", is_active=False), asks=True),
    *post(USERS + "{boss}/change/",             "no      no      no      no      done",
          form_of("boss", without=["is_superuser"]), is_now("boss", is_superuser=False),
          asks=True),
    *post(USERS + "{me}/change/",               "no      no      page    page    done",
          form_of("me", roles=keys("powers"), current_password=PASSWORD),
          has_role("me", "powers")),
    *post(USERS + "{me}/change/",               "no      no      leads   leads   leads",
          form_of("me", is_superuser="on"), asks=True),
    *get(USERS + "{alice}/delete/",             "no      no      page    page    page"),
    *get(USERS + "{auditor}/delete/",           "no      no      no      no      page"),
    *get(USERS + "{boss}/delete/",              "no      no      no      no      page"),
    *post(USERS + "{alice}/delete/",            "no      no      done    done    done",
          DELETE, is_gone("alice"), asks=True),
    *post(USERS + "{auditor}/delete/",          "no      no      no      no      done",
          DELETE, is_gone("auditor"), asks=True),
    *post(USERS + "{boss}/delete/",             "no      no      no      no      done",
          DELETE, is_gone("boss"), asks=True),
    *post(USERS + "{scribe}/delete/",           "no      no      no      no      no",
          DELETE, asks=True),
    *get(USERS + "{alice}/history/",            "no      page    page    page    page"),
    *post(USERS + "{alice}/history/",           "no      page    page    page    page",
          fields(), asks=True),
    *get(USERS + "{alice}/password/",           "no      no      no      no      no"),
    *post(USERS + "{alice}/password/",          "no      no      no      no      no",
          fields(**CHOSEN)),
    *post(USERS + "{boss}/password/",           "no      no      no      no      no",
          fields(**CHOSEN)),
    *get(USERS + "{alice}/revoke/",             "no      page    no      page    page"),
    *get(USERS + "{boss}/revoke/",              "no      no      no      no      page"),
    *post(USERS + "{alice}/revoke/",            "no      page    no      page    page", fields()),
    *post(USERS + "{alice}/revoke/",            "no      done    no      done    done",
          CONFIRM, has_ended("phone", "laptop")),
    *post(USERS + "{auditor}/revoke/",          "no      done    no      done    done",
          CONFIRM, has_ended("auditor_phone")),
    *post(USERS + "{boss}/revoke/",             "no      no      no      no      done",
          CONFIRM, has_ended("boss_phone")),
    *post(USERS,                                "no      page    done    done    done",
          action("send_reset_link", "alice"), got_link("alice"), asks=True),
    *post(USERS,                                "no      page    leads   leads   done",
          action("send_reset_link", "boss"), got_link("boss"), asks=True),
    *post(USERS,                                "no      page    leads   leads   done",
          action("send_reset_link", "auditor"), got_link("auditor"), asks=True),
    *post(USERS,                                "no      page    page    page    page",
          action("delete_selected", "alice"), asks=True),
    *post(USERS,                                "no      page    done    done    done",
          action("delete_selected", "alice", post="yes"), is_gone("alice"), asks=True),
    *post(USERS,                                "no      page    no      no      done",
          action("delete_selected", "alice", "auditor", post="yes"), is_gone("auditor"),
          asks=True),
    *post(USERS,                                "no      page    no      no      done",
          action("delete_selected", "alice", "boss", post="yes"), is_gone("boss"), asks=True),
    *post(USERS,                                "no      page    page    page    page",
          action("delete_selected", "alice", "boss", "root", post="yes"), asks=True),

    # Roles
    *get(ROLES,                                 "no      no      page    page    page"),
    *post(ROLES,                                "no      no      page    page    page",
          fields(), asks=True),
    *get(ROLES + "add/",                        "no      no      page    page    page"),
    *post(ROLES + "add/",                       "no      no      done    done    done",
          lambda world: {"name": "new", "permissions": [permission("accounts.view_user").pk]},
          exists(Role, name="new"), asks=True),
    *post(ROLES + "add/",                       "no      no      page    done    done",
          lambda world: {"name": "new", "permissions": [permission(REVOKE).pk]},
          exists(Role, name="new"), asks=True),
    *post(ROLES + "add/",                       "no      no      page    page    done",
          lambda world: {"name": "new", "permissions": [permission("auth.add_permission").pk]},
          exists(Role, name="new"), asks=True),
    *get(ROLES + "{helpers}/",                  "leads   leads   leads   leads   leads"),
    *post(ROLES + "{helpers}/",                 "leads   leads   leads   leads   leads", fields()),
    *get(ROLES + "{helpers}/change/",           "no      no      page    page    page"),
    *get(ROLES + "{built_in}/change/",          "no      no      page    page    page"),
    *post(ROLES + "{helpers}/change/",          "no      no      done    done    done",
          form_of("helpers", name="friends"), is_now("helpers", name="friends"), asks=True),
    *post(ROLES + "{built_in}/change/",         "no      no      no      done    done",
          form_of("built_in", description="Ends devices."),
          is_now("built_in", description="Ends devices."), asks=True),
    *post(ROLES + "{built_in}/change/",         "no      no      no      leads   leads",
          form_of("built_in", name="friends"), asks=True),
    *post(ROLES + "{helpers}/change/",          "no      no      page    done    done",
          form_of("helpers", permissions=lambda world: [permission(REVOKE).pk],
                  current_password=PASSWORD),
          may("helpers", REVOKE)),
    *post(ROLES + "{helpers}/change/",          "no      no      page    page    done",
          form_of("helpers", permissions=lambda world: [permission("auth.add_permission").pk],
                  current_password=PASSWORD),
          may("helpers", "auth.add_permission")),
    *post(ROLES + "{built_in}/change/",         "no      no      no      page    done",
          form_of("built_in", permissions=lambda world: [permission("auth.add_permission").pk],
                  current_password=PASSWORD),
          may("built_in", "auth.add_permission")),
    *get(ROLES + "{helpers}/delete/",           "no      no      page    page    page"),
    *get(ROLES + "{built_in}/delete/",          "no      no      no      no      no"),
    *post(ROLES + "{helpers}/delete/",          "no      no      done    done    done",
          DELETE, is_gone("helpers"), asks=True),
    *post(ROLES + "{built_in}/delete/",         "no      no      no      no      no",
          DELETE, asks=True),
    *get(ROLES + "{helpers}/history/",          "no      no      page    page    page"),
    *post(ROLES + "{helpers}/history/",         "no      no      page    page    page",
          fields(), asks=True),
    *post(ROLES,                                "no      no      page    page    page",
          action("delete_selected", "helpers"), asks=True),
    *post(ROLES,                                "no      no      done    done    done",
          action("delete_selected", "helpers", post="yes"), is_gone("helpers"), asks=True),
    *post(ROLES,                                "no      no      no      no      no",
          action("delete_selected", "helpers", "built_in", post="yes"), asks=True),

    # Locks on signing in
    *get(LOCKS,                                 "no      page    page    page    page"),
    *post(LOCKS,                                "no      page    page    page    page",
          fields(), asks=True),
    *get(LOCKS + "add/",                        "no      no      no      no      no"),
    *post(LOCKS + "add/",                       "no      no      no      no      no",
          fields(kind="reset", count=0), asks=True),
    *get(LOCKS + "{lock}/",                     "leads   leads   leads   leads   leads"),
    *post(LOCKS + "{lock}/",                    "leads   leads   leads   leads   leads", fields()),
    *get(LOCKS + "{lock}/change/",              "no      page    page    page    page"),
    *post(LOCKS + "{lock}/change/",             "no      no      no      no      no",
          fields(count=0), asks=True),
    *get(LOCKS + "{lock}/delete/",              "no      no      no      no      no"),
    *post(LOCKS + "{lock}/delete/",             "no      no      no      no      no",
          DELETE, asks=True),
    *get(LOCKS + "{lock}/history/",             "no      page    page    page    page"),
    *post(LOCKS + "{lock}/history/",            "no      page    page    page    page",
          fields(), asks=True),
    *post(LOCKS,                                "no      done    done    done    done",
          action("lift", "lock"), is_gone("lock"), asks=True),
    *post(LOCKS,                                "no      leads   leads   leads   done",
          action("lift", "boss_lock"), is_gone("boss_lock"), asks=True),
    *post(LOCKS,                                "no      leads   leads   leads   done",
          action("lift", "boss_phone_lock"), is_gone("boss_phone_lock"), asks=True),
    *post(LOCKS,                                "no      leads   leads   leads   leads",
          action("delete_selected", "lock", post="yes"), asks=True),

    # Mails that are not sent
    *get(MAILS,                                 "no      no      page    page    page"),
    *post(MAILS,                                "no      no      page    page    page",
          fields(), asks=True),
    *get(MAILS + "add/",                        "no      no      no      no      no"),
    *post(MAILS + "add/",                       "no      no      no      no      no",
          fields(kind="revoked", attempts=0), asks=True),
    *get(MAILS + "{mail}/",                     "leads   leads   leads   leads   leads"),
    *post(MAILS + "{mail}/",                    "leads   leads   leads   leads   leads", fields()),
    *get(MAILS + "{mail}/change/",              "no      no      page    page    page"),
    *post(MAILS + "{mail}/change/",             "no      no      no      no      no",
          fields(attempts=0), asks=True),
    *get(MAILS + "{mail}/delete/",              "no      no      no      no      no"),
    *post(MAILS + "{mail}/delete/",             "no      no      no      no      no",
          DELETE, asks=True),
    *get(MAILS + "{mail}/history/",             "no      no      page    page    page"),
    *post(MAILS + "{mail}/history/",            "no      no      page    page    page",
          fields(), asks=True),
    *post(MAILS,                                "no      no      done    done    done",
          action("retry", "mail"), is_now("mail", given_up_at=None), asks=True),
    *post(MAILS,                                "no      no      leads   leads   leads",
          action("delete_selected", "mail", post="yes"), asks=True),

    # Locks of one user
    *get(USERS + "{alice}/lift/",               "no      page    page    page    page"),
    *get(USERS + "{boss}/lift/",                "no      no      no      no      page"),
    *post(USERS + "{alice}/lift/",              "no      done    done    done    done",
          fields(), is_gone("lock"), asks=True),
    *post(USERS + "{boss}/lift/",               "no      no      no      no      done",
          fields(), is_gone("boss_lock"), asks=True),

    # Passkeys of one user
    *get(USERS + "{alice}/passkeys/",           "no      no      no      no      page"),
    *post(USERS + "{alice}/passkeys/",          "no      no      no      no      done",
          fields(act="reset", note="Lost.", current_password=PASSWORD), has_ended("phone")),

    # Devices
    *both(DEVICES,                              "no      page    page    page    page"),
    *both(DEVICES + "add/",                     "no      no      no      no      no"),
    *both(DEVICES + "find/?q=ali",              "no      leads   leads   leads   leads"),
    *both(DEVICES + "{phone}/",                 "leads   leads   leads   leads   leads"),
    *get(DEVICES + "{phone}/change/",           "no      page    page    page    page"),
    *get(DEVICES + "{boss_phone}/change/",      "no      page    page    page    page"),
    *post(DEVICES + "{phone}/change/",          "no      no      done    done    done",
          fields(name="Hers"), is_now("phone", name="Hers")),
    *post(DEVICES + "{boss_phone}/change/",     "no      no      no      no      done",
          fields(name="Mine"), is_now("boss_phone", name="Mine")),
    *both(DEVICES + "{old}/delete/",            "no      no      no      no      no"),
    *post(DEVICES + "{old}/delete/",            "no      no      no      no      no", DELETE),
    *both(DEVICES + "{phone}/history/",         "no      page    page    page    page"),
    *get(DEVICES + "{phone}/revoke/",           "no      page    no      page    page"),
    *get(DEVICES + "{boss_phone}/revoke/",      "no      no      no      no      page"),
    *post(DEVICES + "{phone}/revoke/",          "no      page    no      page    page", fields()),
    *post(DEVICES + "{phone}/revoke/",          "no      done    no      done    done",
          CONFIRM, has_ended("phone")),
    *post(DEVICES + "{boss_phone}/revoke/",     "no      no      no      no      done",
          CONFIRM, has_ended("boss_phone")),
    *post(DEVICES,                              "no      page    leads   page    page",
          action("revoke_selected", "phone")),
    *post(DEVICES,                              "no      done    leads   done    done",
          action("revoke_selected", "phone", "laptop", **CONFIRMED), has_ended("phone", "laptop")),
    *post(DEVICES,                              "no      done    leads   done    done",
          action("revoke_selected", "phone", "auditor_phone", **CONFIRMED),
          has_ended("phone", "auditor_phone"), asks=True),
    *post(DEVICES,                              "no      page    leads   page    done",
          action("revoke_selected", "boss_phone", **CONFIRMED), has_ended("boss_phone")),
    *post(DEVICES,                              "no      done    leads   done    done",
          lambda world: action("revoke_selected", "phone", **CONFIRMED)(world) | {
              "select_across": "1", "index": "0", "current_password": PASSWORD},
          has_ended("phone", "laptop", "auditor_phone")),
    *post(DEVICES,                              "no      done    leads   done    done",
          action("revoke_selected", "phone", "mine", include_current="yes", **CONFIRMED),
          has_ended("phone", "mine"), asks=True),
    *post(DEVICES,                              "no      leads   done    done    done",
          action("purge_selected", "old", "phone"), is_gone("old")),
    *post(DEVICES,                              "no      leads   leads   leads   leads",
          action("purge_selected", "phone")),
    *post(DEVICES,                              "no      leads   leads   leads   leads",
          action("delete_selected", "old", post="yes")),
    *post(DEVICES,                              "no      file    file    file    file",
          action("export_csv", "phone", current_password=PASSWORD)),
    *post(DEVICES,                              "no      file    file    file    file",
          action("export_json", "phone", current_password=PASSWORD)),
    *both(DEVICES + "incident/",                "no      page    no      page    page"),
    *both(DEVICES + "incident/?network=203.0.113.7",
                                                "no      page    no      page    page"),
    *post(DEVICES + "incident/?network=203.0.113.7",
                                                "no      done    no      done    done",
          CONFIRM, has_ended("phone", "auditor_phone"), asks=True),
    *post(DEVICES + "incident/?network=203.0.113.7&os=Windows",
                                                "no      done    no      done    done",
          CONFIRM, has_ended("phone")),
    *post(DEVICES + "incident/?network=198.51.100.7",
                                                "no      page    no      page    done",
          CONFIRM, has_ended("boss_phone")),
    *post(DEVICES + "incident/?network=here",   "no      page    no      page    page", CONFIRM),
    *post(DEVICES + "incident/",                "no      page    no      page    page", CONFIRM),

    # The record of what staff did
    *both(ENTRIES,                              "no      no      page    page    page"),
    *both(ENTRIES + "add/",                     "no      no      no      no      no"),
    *both(ENTRIES + "{entry}/",                 "leads   leads   leads   leads   leads"),
    *get(ENTRIES + "{entry}/change/",           "no      no      page    page    page"),
    *post(ENTRIES + "{entry}/change/",          "no      no      no      no      no",
          fields(change_message="Nothing.")),
    *get(ENTRIES + "{entry}/delete/",           "no      no      no      no      no"),
    *post(ENTRIES + "{entry}/delete/",          "no      no      no      no      no", DELETE),
    *both(ENTRIES + "{entry}/history/",         "no      no      page    page    page"),
    *post(ENTRIES,                              "no      no      page    page    page",
          action("delete_selected", "entry", post="yes")),
]
# fmt: on


# The people and what they could change


@pytest.fixture
def world(api, browser, alice, support, manager, root, age):
    """Everybody and everything in the table, by name."""
    bare = make_user("bare", is_staff=True)
    keeper, scribe = (make_user(name, is_staff=True) for name in ("keeper", "scribe"))
    boss = make_user("boss", is_staff=True, is_superuser=True)
    auditor = make_user("auditor", is_staff=True)
    auditor.roles.add(make_role("powers", "accounts.view_user", "auth.change_permission"))
    labels = declared_permissions("admin") - {REVOKE}
    keeper.roles.add(make_role("keepers", *labels))
    User.objects.update(email_verified_at=alice.date_joined)
    thieves = {"REMOTE_ADDR": "203.0.113.7"}
    windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
    old = api(alice).device
    alice.devices.filter(pk=old.pk).revoke(reason="logout")
    age(old, days=29)
    entry = LogEntry.objects.create(
        user=scribe,
        content_type=ContentType.objects.get_for_model(User),
        object_id="1",
        object_repr="somebody",
        action_flag=CHANGE,
        change_message="Something.",
    )
    boss_phone = api(boss, REMOTE_ADDR="198.51.100.7").device
    return SimpleNamespace(
        user=make_user("user"),
        bare=bare,
        support=support,
        keeper=keeper,
        manager=manager,
        root=root,
        alice=alice,
        boss=boss,
        auditor=auditor,
        scribe=scribe,
        entry=entry,
        type=entry.content_type,
        old=old,
        helpers=make_role("helpers", "accounts.view_user"),
        built_in=Role.objects.get(name="support"),
        powers=Role.objects.get(name="powers"),
        phone=api(alice, HTTP_USER_AGENT=windows, **thieves).device,
        laptop=api(alice, REMOTE_ADDR="192.0.2.1").device,
        auditor_phone=api(auditor, **thieves).device,
        boss_phone=boss_phone,
        mail=QueuedMail.objects.create(
            kind="revoked", person=alice, error="SMTPDataError 554", given_up_at=timezone.now()
        ),
        lock=lock_on("reset", subjects.subject_of_user(alice)),
        boss_lock=lock_on("reset", subjects.subject_of_user(boss)),
        boss_phone_lock=lock_on("password", subjects.subject_of_device(boss_phone.pk)),
    )


def lock_on(kind, subject):
    until = timezone.now() + timedelta(hours=1)
    return Throttle.objects.create(
        kind=kind, subject=subject, count=7, locked_until=until, expires_at=until
    )


@pytest.fixture
def enter(world, browser):
    """`enter("support")` signs that person in, whom `world` knows as `me` from then on, and their
    browser's device as `mine`. It returns what makes browsers with the cookie of then: nobody's
    has none."""

    def browsers_of(person):
        world.me, world.mine = getattr(world, person, world.alice), world.laptop
        if person == "nobody":
            return Client
        cookies = browser(world.me).cookies
        world.mine = world.me.devices.get(kind="browser")
        return lambda: Client(headers={"cookie": cookies.output(header="", sep=";", attrs=[])})

    return browsers_of


def contents():
    """Everything that the admin could change, but for new lines in its record."""
    users = User.objects.order_by("pk").values_list(
        *("pk", "username", "email", "email_verified_at", "password", "password_changed_at"),
        *("is_active", "is_staff", "is_superuser"),
    )
    roles = [
        (role.pk, role.name, role.description, role.permission_labels())
        for role in Role.objects.prefetch_related("permissions")
    ]
    devices = IssuedToken.objects.order_by("pk").values_list(
        *("pk", "user", "name", "expires_at", "revoked_at", "revoked_reason", "revoked_note")
    )
    entries = LogEntry.objects.filter(user__username="scribe").values_list()
    locks = Throttle.objects.filter(count=7).order_by("pk").values_list("pk", "locked_until")
    mails = QueuedMail.objects.exclude(error="").values_list("pk", "given_up_at")
    given = User.roles.through.objects.order_by("pk").values_list()
    own = User.user_permissions.through.objects.order_by("pk").values_list()
    return [list(rows) for rows in (users, roles, devices, entries, locks, mails, given, own)]


def send(row, page, data, world):
    if row.method == "GET":
        return page.get(row.url(world))
    post = revoke_shown if "confirmed" in data else Client.post
    return post(page, row.url(world), data)


def outcome(row, answer, before, world):
    """What came of the request, in a word of the table."""
    if row.effect(world):
        return "done" if answer.status_code == 302 else f"done, and {answer.status_code}"
    if contents() != before:
        return f"half done, and {answer.status_code}"
    if answer.status_code == 302:
        return "login" if answer.url.startswith(f"{ADMIN}login/?next=") else "leads"
    if answer.status_code == 200:
        return "file" if "Content-Disposition" in answer.headers else "page"
    return ANSWERS.get(answer.status_code, f"{answer.status_code}")


def asks_for_password(answer):
    return "admin/step_up.html" in [template.name for template in answer.templates]


# The tests of the table


def routes():
    """The routes of the admin site, as `resolve()` names them."""

    def walk(patterns, before):
        for pattern in patterns:
            route = before + str(pattern.pattern).removeprefix("^")
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, route)
            else:
                yield route

    return set(walk(admin.site.urls[0], ADMIN.lstrip("/")))


@pytest.mark.asvs("8.2.1")
def test_every_url_stands_in_the_table(world):
    world.me = world.root
    rows = {(row.method, resolve(row.url(world).partition("?")[0]).route) for row in TABLE}
    assert rows == {(method, route) for method in ("GET", "POST") for route in routes()}


@pytest.mark.asvs("8.2.1", "8.2.2")
@pytest.mark.parametrize("person", PEOPLE)
def test_who_may_do_what(person, world, enter):
    new_browser, before, wrong = enter(person), contents(), []
    for row in TABLE:
        assert not row.effect(world), row.label()
        with undone():
            answer = send(row, new_browser(), row.data(world), world)
            got, expected = outcome(row, answer, before, world), row.expected()[person]
        if got != expected:
            wrong.append((row.label(), row.data(world), got, f"expected {expected}"))
    assert wrong == []


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("person", STAFF)
def test_an_old_password_is_asked_for_and_nothing_typed_is_lost(person, world, enter, age):
    """On the pages of users and roles of everybody, before whether they may; when devices of more
    than one user end of those who may. On no other page."""
    new_browser = enter(person)
    age(world.mine, minutes=16)
    before, wrong = contents(), []
    for row in TABLE:
        expected = row.expected()[person]
        page, data = new_browser(), row.data(world)
        with undone():
            answer = send(row, page, data, world)
            asked = asks_for_password(answer)
            if asked:
                assert contents() == before, row.label()
                data = hidden(answer)
                answer = send(row, page, data | {FIELD: PASSWORD}, world)
            got = outcome(row, answer, before, world)
        asks = row.asks and (row.path.startswith("accounts/") or expected == "done")
        if (asked, got) != (asks, expected):
            wrong.append((row.label(), data, (asked, got), f"expected {asks, expected}"))
    assert wrong == []


# What the pages offer


def pages_of(person, page, world):
    """The URL and the HTML of every page in the table that this person may open."""
    for row in TABLE:
        if row.method == "GET" and row.expected()[person] == "page":
            url = row.url(world)
            yield url, unescape(page.get(url).content.decode())


@pytest.mark.parametrize("person", ["bare", "keeper"])
def test_without_the_permission_there_is_no_button_anywhere(person, world, enter):
    for url, html in pages_of(person, enter(person)(), world):
        assert not re.search(r"/revoke/|revoke_selected|/incident/", html), url


def test_with_the_permission_there_are_buttons_for_all_but_superusers(world, enter):
    pages = dict(pages_of("manager", enter("manager")(), world))
    boss, alice = (f"{ADMIN}{USERS}{user.pk}/" for user in (world.boss, world.alice))
    phone, theirs = (f"{ADMIN}{DEVICES}{device.pk}/" for device in (world.phone, world.boss_phone))
    assert f"{alice}revoke/" in pages[f"{alice}change/"]
    assert f"{phone}revoke/" in pages[f"{alice}change/"]
    assert f"{phone}revoke/" in pages[f"{phone}change/"]
    devices = pages[ADMIN + DEVICES]
    assert f"{phone}revoke/" in devices
    assert "revoke_selected" in devices
    assert f"{ADMIN}{DEVICES}incident/" in devices
    for html in pages.values():
        assert f"{boss}revoke/" not in html
        assert f"{theirs}revoke/" not in html


@pytest.mark.parametrize("person", STAFF)
def test_no_page_links_to_what_is_refused(person, world, enter):
    page = enter(person)()
    links = {
        (link, url)
        for url, html in pages_of(person, page, world)
        for link in re.findall(rf'href="({ADMIN}[^"]*)"', html)
    }
    found = {link: page.get(link).status_code for link, _ in links}
    assert {(*pair, found[pair[0]]) for pair in links if found[pair[0]] not in (200, 302)} == set()


# The last superuser


def at(page, **data):
    return lambda user: (f"{ADMIN}{USERS}{user.pk}/{page}/", stored_form(user) | data)


def unticked(name):
    def form(user):
        url, data = at("change")(user)
        return url, {field: value for field, value in data.items() if field != name}

    return form


def selected(user):
    data = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    return ADMIN + USERS, data


def own_account(user):
    return "/account/delete", {"password": PASSWORD}


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(unticked("is_active"), id="is_active"),
        pytest.param(unticked("is_staff"), id="is_staff"),
        pytest.param(unticked("is_superuser"), id="is_superuser"),
        pytest.param(at("delete", post="yes"), id="deletion"),
        pytest.param(selected, id="selection"),
        pytest.param(own_account, id="own account"),
    ],
)
def test_a_superuser_removes_themselves_unless_they_are_the_last(browser, root, way):
    superusers = User.objects.filter(is_superuser=True, is_active=True, is_staff=True)
    page = browser(root)
    url, data = way(root)

    assert page.post(url, data).status_code in (200, 403)
    assert superusers.get() == root

    boss = make_user("boss", is_staff=True, is_superuser=True)
    assert page.post(url, data).status_code == 302
    assert superusers.get() == boss
