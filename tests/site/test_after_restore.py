"""An older database is restored, and `after_restore` takes away again what the log says was taken.

The database is really copied, and really put back: SQLite's file, or PostgreSQL's whole database.
"""

import io
import json
import logging
import shutil
from pathlib import Path

import psycopg
import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql

from accounts import passkeys
from accounts.models import QueuedMail, Role, Throttle, User
from accounts.reset import reset_tokens
from accounts.tests.admin import make_role, permission, save, url_of
from config.doctor import devices as doctor
from config.logs import JSONFormatter
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, make_user
from tokens.flows import restore
from tokens.flows.restore import NOTE
from tokens.models import Figure

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def log(tmp_path):
    """The file that the console handler of a server writes."""
    path = tmp_path / "guestlist.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(JSONFormatter())
    logging.getLogger().addHandler(handler)
    yield path
    logging.getLogger().removeHandler(handler)
    handler.close()


@pytest.fixture
def copy(tmp_path):
    """`copy()` copies the database, and returns what puts the copy back."""
    copies = _Files(tmp_path) if connection.vendor == "sqlite" else _Databases()
    yield copies.make
    copies.remove()


class _Files:
    def __init__(self, folder):
        self.kept = folder / "copy.sqlite3"

    def make(self):
        connection.ensure_connection()
        connection.connection.execute(f"VACUUM INTO '{self.kept}'")
        return self.put_back

    def put_back(self):
        connection.close()
        file = Path(connection.settings_dict["NAME"])
        shutil.copy(self.kept, file)
        for name in ("-wal", "-shm"):
            file.with_name(file.name + name).unlink(missing_ok=True)

    def remove(self):
        pass


class _Databases:
    def __init__(self):
        self.name = connection.settings_dict["NAME"]
        self.kept = f"{self.name}_copy"

    def make(self):
        self.clone(self.name, self.kept)
        return lambda: self.clone(self.kept, self.name)

    def clone(self, source, target):
        connection.close()
        self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", target)
        self.run("CREATE DATABASE {} TEMPLATE {}", target, source)

    def remove(self):
        self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.kept)

    def run(self, statement, *names):
        found = connection.settings_dict
        where = {"host": found["HOST"], "port": found["PORT"] or None, "dbname": "postgres"}
        login = {"user": found["USER"], "password": found["PASSWORD"]}
        with psycopg.connect(**where, **login, autocommit=True) as server:
            server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def after_restore(*args):
    out = io.StringIO()
    call_command("after_restore", *map(str, args), stdout=out)
    return out.getvalue()


def in_json(*args):
    return json.loads(after_restore("--json", *args))


class Site:
    """Root's browser and API client, and everybody who is about to lose something."""

    def __init__(self, api, browser, client, mailoutbox):
        self.root = make_user("root", is_staff=True, is_superuser=True)
        self.page, self.api = browser(self.root), api(self.root)
        self.browser, self.new_api, self.client, self.mails = browser, api, client, mailoutbox

    def person(self, name, **fields):
        return make_user(name, **fields)

    def link(self):
        return self.mails[-1].body.split("https://testserver")[-1].split()[0]


@pytest.fixture
def site(api, browser, client, mailoutbox):
    return Site(api, browser, client, mailoutbox)


# Each act takes something from `user`, or from the role that is named after them.
ACTS = {}


def act(check, *, role=(), **fields):
    """Register an act with what must not be so after the restore. `role`: permissions to hold."""

    def register(function):
        ACTS[function.__name__.replace("_", "-")] = (function, check, role, fields)
        return function

    return register


def is_active(user):
    return user.is_active


def is_staff(user):
    return user.is_staff


def is_superuser(user):
    return user.is_superuser


def may_edit_people(user):
    return user.has_perm("accounts.view_user")


def has_role(user):
    return user.roles.filter(name=f"of-{user.username}").exists()


def signs_in_with_old_password(user):
    return user.check_password(PASSWORD)


def gets_links_at_old_address(user):
    return User.objects.with_verified_email(f"{user.username}@example.org").exists()


ROLE = ("accounts.view_user",)


@act(is_active)
def staff_deactivate(site, user):
    save(site.page, user, without=["is_active"])


@act(is_active)
def code_deactivates(site, user):
    user.is_active = False
    user.save()


@act(is_active)
def code_deactivates_the_column(site, user):
    user.is_active = False
    user.save(update_fields=["is_active"])


@act(is_active)
def a_query_deactivates(site, user):
    User.objects.filter(pk=user.pk).update(is_active=False)


@act(is_active)
def bulk_update_deactivates(site, user):
    user.is_active = False
    User.objects.bulk_update([user], ["is_active"])


@act(is_active)
def the_owner_deletes_the_account(site, user):
    site.browser(user).post("/account/delete", {"password": PASSWORD})


@act(is_active)
def staff_delete_the_account(site, user):
    site.page.post(url_of(user, "delete"), {"post": "yes"})


@act(is_active)
def a_query_deletes_the_account(site, user):
    User.objects.filter(pk=user.pk).delete()


@act(is_staff, is_staff=True)
def staff_take_staff(site, user):
    save(site.page, user, without=["is_staff"])


@act(is_superuser, is_staff=True, is_superuser=True)
def staff_take_superuser(site, user):
    save(site.page, user, without=["is_superuser"])


@act(is_superuser, is_staff=True, is_superuser=True)
def a_query_takes_superuser(site, user):
    User.objects.filter(pk=user.pk).update(is_superuser=False)


@act(has_role, role=ROLE)
def the_api_takes_a_role(site, user):
    site.api.request("DELETE", f"users/{user.username}/roles/of-{user.username}")


@act(has_role, role=ROLE)
def staff_take_a_role(site, user):
    save(site.page, user, roles=[])


@act(has_role, role=ROLE)
def code_sets_roles(site, user):
    user.roles.set([])


@act(has_role, role=ROLE)
def code_clears_roles(site, user):
    user.roles.clear()


@act(has_role, role=ROLE)
def code_takes_the_user_from_the_role(site, user):
    user.roles.get().users.remove(user)


@act(has_role, role=ROLE)
def code_clears_the_role(site, user):
    user.roles.get().users.clear()


@act(has_role, role=ROLE)
def the_api_deletes_the_role(site, user):
    site.api.request("DELETE", f"roles/of-{user.username}")


@act(has_role, role=ROLE)
def staff_delete_the_role(site, user):
    site.page.post(url_of(user.roles.get(), "delete"), {"post": "yes"})


@act(has_role, role=ROLE)
def the_api_renames_the_role(site, user):
    site.api.request("PATCH", f"roles/of-{user.username}", {"name": f"new-{user.username}"})


@act(has_role, role=ROLE)
def a_query_renames_the_role(site, user):
    Role.objects.filter(users=user).update(name=f"new-{user.username}")


@act(may_edit_people, role=ROLE)
def staff_take_permissions_from_the_role(site, user):
    save(site.page, user.roles.get(), permissions=[])


@act(may_edit_people, role=ROLE)
def code_takes_the_role_from_the_permission(site, user):
    permission("accounts.view_user").roles.remove(user.roles.get())


@act(may_edit_people, role=ROLE)
def code_clears_permissions_of_the_role(site, user):
    user.roles.get().permissions.clear()


@act(may_edit_people, role=None)
def code_takes_a_permission_of_the_user(site, user):
    user.user_permissions.clear()


@act(signs_in_with_old_password)
def the_api_changes_the_password(site, user):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    site.new_api(user).request("POST", "password", body)


@act(signs_in_with_old_password)
def a_mailed_link_sets_the_password(site, user):
    site.client.post("/password/reset", {"email": user.email})
    page = site.client.get(site.link(), follow=True).redirect_chain[-1][0]
    site.client.post(page, {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})


@act(signs_in_with_old_password)
def code_sets_a_password(site, user):
    user.set_password(NEW_PASSWORD)
    user.save()


@act(signs_in_with_old_password)
def code_takes_the_password(site, user):
    user.set_unusable_password()
    user.save(update_fields=["password"])


@act(signs_in_with_old_password)
def a_query_sets_a_hash(site, user):
    User.objects.filter(pk=user.pk).update(password="!")


@act(gets_links_at_old_address)
def the_owner_moves_to_another_address(site, user):
    site.new_api(user).request(
        "PATCH", "me", {"email": f"{user.username}@example.net", "current_password": PASSWORD}
    )
    link = next(m.body for m in site.mails if m.to == [f"{user.username}@example.net"])
    site.browser(user).post(link.split("https://testserver")[-1].split()[0])


@act(gets_links_at_old_address)
def staff_change_the_address(site, user):
    save(site.page, user, email=f"{user.username}@example.net")


@act(gets_links_at_old_address)
def code_changes_the_address(site, user):
    user.email = f"{user.username}@example.net"
    user.save()


@act(gets_links_at_old_address)
def code_changes_the_column(site, user):
    user.email = f"{user.username}@example.net"
    user.save(update_fields=["email"])


@act(gets_links_at_old_address)
def a_query_changes_the_address(site, user):
    User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.net")


def has_passkey(user):
    return user.passkeys.exists()


@act(has_passkey)
def the_owner_removes_a_passkey(site, user):
    passkeys.remove(user.passkeys.get(), device=None, origin={})


@act(has_passkey)
def a_query_deletes_passkeys(site, user):
    user.passkeys.all().delete()


def make_people(site):
    """One person for each act, with what they are about to lose."""
    people = {}
    for name, (_, _, role, fields) in ACTS.items():
        people[name] = user = site.person(name, **fields)
        user.passkeys.create(credential=name.encode(), public_key=b"", name="A key")
        if role is None:
            user.user_permissions.add(permission("accounts.view_user"))
        elif role:
            user.roles.add(make_role(f"of-{name}", *role))
    return people


def of_now(user):
    return User.objects.filter(pk=user.pk).first()


def test_each_act_that_takes_access_away_is_done_again(site, log, copy):
    """Each person loses one thing after the copy was made. None of it comes back."""
    people = make_people(site)
    for name, (_, check, _, _) in ACTS.items():
        assert check(of_now(people[name])), f"{name}: there is nothing to lose"
    put_back = copy()
    for name, (do, check, _, _) in ACTS.items():
        do(site, of_now(people[name]))
        user = of_now(people[name])
        assert user is None or not check(user), f"{name}: the act did nothing"
    put_back()
    for name, (_, check, _, _) in ACTS.items():
        assert check(of_now(people[name])), f"{name}: the copy was not put back"

    planned = in_json("--dry-run", log)
    assert all(check(of_now(people[name])) for name, (_, check, _, _) in ACTS.items())
    done = in_json(log)

    left = [name for name, (_, check, _, _) in ACTS.items() if check(of_now(people[name]))]
    assert not left
    assert planned["changes"] == done["changes"]
    assert {change["name"].removeprefix("of-") for change in done["changes"]} == {*ACTS}
    again = in_json(log)
    assert (again["changes"], again["devices"]) == ([], 0)


def test_devices_that_were_revoked_stay_away(site, alice, api, log, copy):
    stolen = api(alice)
    put_back = copy()
    stolen.request("POST", "logout")
    put_back()
    assert stolen.get("me").status_code == 200

    assert "Devices that were ended: 3." in after_restore(log)
    assert stolen.get("me").status_code == 401
    device = alice.devices.get()
    assert (device.revoked_reason, device.revoked_note) == ("incident", NOTE)
    assert api(alice).get("me").status_code == 200


def test_without_a_log_all_devices_end_and_it_says_what_came_back(alice, api):
    phone = api(alice)
    told = after_restore()
    assert "No line of the log was given" in told
    assert "There is no superuser" in told
    assert phone.get("me").json()["note"] == NOTE


def test_what_was_given_back_stays(site, alice, bob, log, copy):
    """The last word counts."""
    bob.roles.add(role := make_role("desk", "accounts.view_user"))
    put_back = copy()
    for value in (False, True):
        alice.is_active = value
        alice.save()
    bob.roles.remove(role)
    bob.roles.add(role)
    put_back()
    assert in_json(log)["changes"] == []
    assert of_now(alice).is_active
    assert may_edit_people(of_now(bob))


def test_what_was_given_since_is_not_given_again(alice, log, copy):
    put_back = copy()
    alice.is_staff = alice.is_superuser = True
    alice.save()
    put_back()
    assert in_json(log)["changes"] == []
    assert not of_now(alice).is_staff


def test_an_act_that_was_undone_is_not_in_the_log(alice, log):
    from django.db import transaction

    with transaction.atomic():
        alice.is_active = False
        alice.save()
        alice.roles.add(Role.objects.get(name="support"))
        transaction.set_rollback(True)
    assert "account changed" not in log.read_text()
    assert "rights changed" not in log.read_text()


def test_an_id_that_somebody_else_got_is_not_taken_for_theirs(log, copy):
    """The copy's sequence gives the ids of accounts that are gone to new people."""
    make_user("alice")
    put_back = copy()
    mallory = make_user("mallory")
    mallory.is_active = False
    mallory.save()
    put_back()
    carol = make_user("carol")
    assert carol.pk == mallory.pk
    assert in_json(log)["changes"] == []
    assert of_now(carol).is_active


def test_ids_of_accounts_that_are_gone_are_not_given_again(log, copy):
    put_back = copy()
    mallory, role = make_user("mallory"), make_role("desk")
    put_back()
    after_restore(log)
    assert make_user("carol").pk > mallory.pk
    assert make_role("till").pk > role.pk


def test_a_lost_password_is_asked_for_by_mail(alice, log, copy, mailoutbox):
    put_back = copy()
    alice.set_password(NEW_PASSWORD)
    alice.save()
    put_back()
    after_restore(log)
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == (
        ["alice@example.org"],
        "Guestlist: Please set your password again",
    )
    assert "https://testserver/password/reset" in mail.body
    assert not of_now(alice).has_usable_password()


def test_a_stolen_mailbox_gets_no_link(alice, log, copy, mailoutbox):
    """Both password and address were changed, because a thief reads mail at the old address."""
    put_back = copy()
    alice.set_password(NEW_PASSWORD)
    alice.email = "alice@example.net"
    alice.save()
    put_back()
    [change] = in_json(log)["changes"]
    assert change["taken"] == ["the former password", "the former email address"]
    assert "email address" in change["by_hand"]
    assert not mailoutbox
    assert of_now(alice).email == ""


def test_links_that_were_mailed_before_count_no_more(alice, log, copy, client):
    link = reset_tokens.make_token(alice)
    put_back = copy()
    alice.set_password(NEW_PASSWORD)
    alice.save()
    put_back()
    assert reset_tokens.check_token(of_now(alice), link)
    after_restore(log)
    assert not reset_tokens.check_token(of_now(alice), link)


def test_interrupted_it_is_run_again(alice, api):
    phones = [api(alice) for _ in range(3)]
    Figure.objects.count_ahead()
    devices = alice.devices.filter(pk=phones[0].pair["device"]["id"])
    assert sum(restore.end_devices(devices)) == 1
    assert doctor.restore().level == "error"
    assert in_json()["devices"] == 2
    assert doctor.restore().level == "ok"
    assert {phone.get("me").status_code for phone in phones} == {401}


def test_a_device_of_a_clock_that_was_ahead_ends_too(alice, api, age):
    phone = api(alice)
    age(phone.device, days=-1)
    after_restore()
    assert phone.get("me").status_code == 401


def test_mails_of_the_copy_are_held_and_not_sent_again(alice, mailoutbox):
    from accounts.delivery import deliver, due_mails

    waiting = QueuedMail.objects.create(kind="new_sign_in", person=alice, username="alice")
    assert in_json("--dry-run")["mails"] == 1
    assert in_json()["mails"] == 1
    deliver(due_mails())
    assert not mailoutbox
    waiting.refresh_from_db()
    assert (waiting.given_up_at is not None, waiting.error) == (True, "held by after_restore")


def test_a_mail_of_the_first_run_is_not_held_by_the_second(settings, alice, log, copy):
    settings.SEND_MAILS_AT_ONCE = False
    put_back = copy()
    alice.set_password(NEW_PASSWORD)
    alice.save()
    put_back()
    after_restore(log)
    assert in_json(log)["mails"] == 0
    assert QueuedMail.objects.get().given_up_at is None


def test_known_networks_are_unknown(alice, api):
    api(alice)
    assert Throttle.objects.filter(kind=Throttle.Kind.KNOWN).exists()
    after_restore()
    assert not Throttle.objects.filter(kind=Throttle.Kind.KNOWN).exists()


def test_tokens_ahead_are_a_sign_until_it_has_run(site, alice, api, copy):
    phone = api(alice)
    put_back = copy()
    for _ in range(3):
        phone.keep(phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json())
    put_back()
    assert doctor.restore().level == "ok"
    for _ in range(2):
        assert (
            phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).status_code == 401
        )
    found = doctor.restore()
    assert (found.level, "after_restore" in found.hint) == ("error", True)
    cache.clear()  # the front page keeps its figures for a minute
    page = site.page.get("/admin/").content.decode()
    assert "ahead of their devices" in page
    call_command("purge_devices", stdout=io.StringIO())
    assert doctor.restore().level == "error"
    after_restore("--dry-run")
    assert doctor.restore().level == "error"
    after_restore()
    assert doctor.restore().level == "ok"
    assert not Figure.objects.filter(name=Figure.AHEAD).exists()


def test_lines_that_cannot_be_read_are_named_after_all_else_is_done(alice, api, log, tmp_path):
    phone = api(alice)
    log.write_text(log.read_text() + '{"time": "2026-01-01T00:00:00+00:00", "logger": "acc')
    last = len(log.read_text().splitlines())
    with pytest.raises(CommandError, match=rf"1 lines could not be read: {log}:{last}\."):
        after_restore(log)
    assert phone.get("me").status_code == 401


def test_a_log_that_is_not_there_changes_nothing(alice, api, tmp_path):
    phone = api(alice)
    with pytest.raises(CommandError, match=r"No such file or directory\. Nothing was changed"):
        after_restore(tmp_path / "none.log")
    assert phone.get("me").status_code == 200
