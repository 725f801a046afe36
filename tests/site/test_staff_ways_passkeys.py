"""Every way to a passkey that counts for staff, taken by a thief or by staff with malice.

The ways past such a passkey are in test_staff_ways.py, and docs/security.md has all of them.
"""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Passkey, PasskeyDeadline, Role, User
from accounts.passkeys import MAX_PASSKEYS
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.staff import add, codes_of, link_of, made_link, prove, refused

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("staff_need_passkeys")]
ADMIN = "/admin/tokens/issuedtoken/"
RECOVER = "/account/passkeys/recover"


def open_link(tab, link, key=None):
    return add(tab, link, key, link=link.rpartition("/")[2])


def recover(tab, code):
    return add(tab, RECOVER, recovery_code=code)


def page_of(user):
    return f"/admin/accounts/user/{user.pk}/passkeys/"


# Links


def test_a_link_of_another_account(support, manager, browser):
    link = link_of(made_link(manager))
    tab = browser(support)
    assert tab.get(link).status_code == 403
    assert open_link(tab, link).status_code == 400
    mine = link_of(made_link(support))  # the options with one's own link, the page with the other
    token = mine.rpartition("/")[2]
    options = tab.post("/account/passkeys/options", {"link": token}).json()
    answer = tab.post(link, {"passkey": Authenticator().make(options), "link": token})
    assert answer.status_code == 200
    assert not Passkey.objects.exists()


def test_a_link_is_dead_once_it_was_used(support, browser):
    link = link_of(made_link(support))
    assert open_link(browser(support), link).status_code == 302
    assert open_link(browser(support), link).status_code == 400
    Passkey.objects.all().delete()  # by hand, in the database
    assert open_link(browser(support), link).status_code == 400


def test_a_link_is_dead_after_a_reset(support, browser):
    link = link_of(made_link(support))
    flows.reset_passkeys(support, by=None)
    tab = browser(support)
    assert tab.get(link).status_code == 403
    assert open_link(tab, link).status_code == 400


def test_planted_passkeys_leave_room_for_the_first_one(alice, browser):
    """A removal would end the link."""
    for _ in range(MAX_PASSKEYS):
        give_passkey(alice)
    alice.roles.add(Role.objects.get(name="support"))
    assert open_link(browser(alice), link_of(made_link(alice))).status_code == 302
    assert alice.passkeys.get().vouched


def test_a_link_needs_the_sign_in(support):
    link = link_of(made_link(support))
    tab = Client()
    assert tab.get(link).url.startswith("/login?")
    assert tab.post("/account/passkeys/options", {"link": link}).status_code == 302
    assert not Passkey.objects.exists()


def test_a_thief_with_the_password_and_the_link(
    support, root, browser, django_capture_on_commit_callbacks
):
    """Open by design: this is what the link is for. The person is mailed, superusers as well."""
    with django_capture_on_commit_callbacks(execute=True):
        link = link_of(made_link(support))
        assert open_link(browser(support), link).status_code == 302
    told = {(to, one.subject.partition(": ")[2]) for one in mail.outbox for to in one.to}
    assert ("root@example.org", "A link for a first passkey was made") in told
    assert ("support@example.org", "A passkey was added to your account") in told


# Recovery codes


def test_a_code_of_somebody_else(desk, browser, support, manager):
    [code, *_] = codes_of(desk)
    tab = browser(manager)
    assert recover(tab, code).status_code == 400
    assert not manager.passkeys.exists()
    assert support.recovery_codes.count() == 10


def test_a_code_that_was_used(desk, browser, support):
    [code, *_] = codes_of(desk)
    assert recover(browser(support), code).status_code == 302
    assert recover(browser(support), code).status_code == 400
    assert (support.passkeys.count(), support.recovery_codes.count()) == (2, 9)


def test_a_code_after_new_ones_were_made(desk, browser, support):
    [old, *_] = codes_of(desk)
    assert len(codes_of(desk)) == 10
    assert recover(browser(support), old).status_code == 400


def test_a_code_after_the_account_was_deactivated(desk, browser, support):
    [code, *_] = codes_of(desk)
    tab = browser(support)
    User.objects.filter(pk=support.pk).update(is_active=False)
    assert recover(tab, code).status_code == 302  # to the sign-in page
    assert support.passkeys.count() == 1


def test_a_code_without_the_password(desk, browser, support, age):
    """On a device where the password is old, as a stolen cookie may be."""
    [code, *_] = codes_of(desk)
    tab = browser(support)
    for device in support.devices.all():
        age(device, minutes=16)
    assert recover(tab, code).status_code == 200  # asks for the password
    assert (support.passkeys.count(), support.recovery_codes.count()) == (1, 10)


FIELDS = [
    ("/login", {"username": "support", "password": "{}"}),
    ("/admin/login/", {"username": "support", "password": "{}"}),
    ("/account/passkeys/", {"password": "{}", "recovery_code": "{}"}),
    ("/account/passkeys/add", {"password": "{}", "recovery_code": "{}"}),
    ("/account/names", {"username": "mallory", "email": "m@example.org", "current_password": "{}"}),
    ("/account/delete", {"password": "{}"}),
    (
        "/password/change",
        {"old_password": "{}", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD},
    ),
    (ADMIN, {"step_up_password": "{}", "current_password": "{}", "passkey": "{}"}),
]
BODIES = [
    ("login", {"username": "support", "password": "{}"}),
    ("reauthenticate", {"password": "{}"}),
    ("reauthenticate", {"passkey": "{}"}),
    ("password", {"current_password": "{}", "new_password": NEW_PASSWORD}),
    ("login", {"passkey": "{}"}),
]


def test_a_code_in_every_field_that_takes_a_password(desk, browser, api, support):
    [code, *_] = codes_of(desk)
    tab, app = browser(support), api(support)
    for device in support.devices.all():  # so that a step-up is asked for
        IssuedToken.objects.filter(pk=device.pk).update(authenticated_at=None)
    before = list(User.objects.values())
    for path, body in FIELDS:
        typed = {name: value.format(code) for name, value in body.items()}
        assert tab.post(path, typed).status_code in (200, 403, 404, 405), path
        assert tab.get(ADMIN).status_code == 403
    for path, body in BODIES:
        typed = {name: value.format(code) for name, value in body.items()}
        assert app.post(path, typed).status_code in (400, 401, 403, 429), path
    assert list(User.objects.values()) == before
    assert support.recovery_codes.count() == 10
    assert not support.devices.filter(authenticated_at__isnull=False).exists()


# Taking passkeys away


def test_a_password_alone_removes_no_passkey_that_counts(browser, api, support, key):
    tab, app = browser(support), api(support)
    url = f"/account/passkeys/{support.passkeys.get().pk}/remove"
    assert tab.post(url, {"password": PASSWORD}).url == "/account/passkeys/"
    assert refused(app.delete(f"me/passkeys/{support.passkeys.get().pk}")) == (
        403,
        "passkey_required",
    )
    assert support.passkeys.exists()
    give_passkey(support, vouched=True)
    prove(tab, key)
    assert tab.post(url).status_code == 302
    assert support.passkeys.count() == 1


def test_other_devices_wait_again_when_a_passkey_is_removed(desk, browser, api, support, key):
    """It may have been used there by somebody else."""
    app = api()
    app.keep(app.post("login", {"passkey": key.use(app.post("login/options").json())}).json())
    assert app.get("users").status_code == 200
    desk.post(f"/account/passkeys/{support.passkeys.get().pk}/remove")
    assert not support.passkeys.exists()
    assert refused(app.get("users")) == (403, "passkey_required")
    assert refused(app.post("me/passkeys/options")) == (403, "passkey_required")


def test_a_reset_ends_every_device(desk, browser, support, key):
    flows.reset_passkeys(support, by=None)
    assert desk.get("/devices/").status_code == 302
    assert browser(support).get(ADMIN).status_code == 403


# Staff with malice


def test_staff_who_are_no_superusers(browser, manager, support):
    key = give_passkey(manager, vouched=True)
    tab = browser(manager)
    prove(tab, key)
    proof = {"current_password": PASSWORD, "note": "Please."}
    for act in ("link", "reset", "other"):
        assert tab.post(page_of(support), {"act": act, **proof}).status_code == 403
    assert tab.get(page_of(support)).status_code == 403
    assert not LogEntry.objects.filter(object_id=support.pk).exists()


def test_a_superuser_with_a_password_alone(browser, root, support):
    """Also before the deadline, while a password opens the admin."""
    PasskeyDeadline.objects.create(at=timezone.now() + timedelta(days=30))
    give_passkey(support, vouched=True)
    tab = browser(root)
    assert tab.get("/admin/").status_code == 200
    proof = {"current_password": PASSWORD, "note": "Please."}
    for act in ("link", "reset"):
        assert tab.post(page_of(support), {"act": act, **proof}).status_code == 403
    assert tab.get(page_of(support)).status_code == 403
    assert support.passkeys.exists()
    assert not LogEntry.objects.filter(change_message__contains="link").exists()


def test_a_superuser_and_their_own_account(browser, root):
    key = give_passkey(root, vouched=True)
    tab = browser(root)
    prove(tab, key)
    for act in ("link", "reset"):
        answer = tab.post(page_of(root), {"act": act, "current_password": PASSWORD, "note": "x"})
        assert answer.status_code == 403


def test_a_link_is_for_staff_alone(browser, root, alice):
    key = give_passkey(root, vouched=True)
    tab = browser(root)
    prove(tab, key)
    page = tab.post(page_of(alice), {"act": "link", "current_password": PASSWORD})
    assert "/first/" not in page.content.decode()


def test_staff_who_take_the_address_of_another(browser, manager, support):
    """They may change it, and reset the password by mail. The passkey stays where it is."""
    give_passkey(support, vouched=True)
    mine = give_passkey(manager, vouched=True)
    tab = browser(manager)
    prove(tab, mine)
    typed = {"username": "support", "email": "m@example.net", "is_active": "on", "is_staff": "on"}
    typed["roles"] = [Role.objects.get(name="support").pk]
    assert tab.post(f"/admin/accounts/user/{support.pk}/change/", typed).status_code == 302
    support.refresh_from_db()
    assert support.email == "m@example.net"
    support.set_password(NEW_PASSWORD)
    support.save()
    thief = Client()
    thief.post("/login", {"username": "support", "password": NEW_PASSWORD})
    assert thief.get(ADMIN).status_code == 403
    assert add(thief).status_code == 400


def test_commands_are_for_who_runs_the_site(support, browser, capsys):
    """Open by design: `reset_passkeys` and `create_admin` print a link."""
    call_command("reset_passkeys", "support")
    link = link_of(capsys.readouterr().out)
    assert open_link(browser(support), link).status_code == 302
