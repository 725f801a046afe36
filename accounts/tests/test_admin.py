"""People and roles in the admin: what staff may change, and what nobody may."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import Role, User
from accounts.tests.admin import (
    ROLES,
    USERS,
    assert_not_saved,
    assert_saved,
    make_role,
    make_staff,
    permission,
    save,
    stored_form,
    url_of,
)
from tests.plugins.guestlist import PASSWORD, make_user

# The pages


@pytest.mark.parametrize("url", [USERS, USERS + "add/", ROLES, ROLES + "add/", "/admin/"])
def test_pages_open(browser, manager, url):
    assert browser(manager).get(url).status_code == 200


def test_list_of_users_is_searched_and_filtered(browser, manager, alice, bob):
    page = browser(manager)

    def found(query):
        return {user.username for user in page.get(USERS + query).context["cl"].result_list}

    assert found("?q=ali") == {"alice"}
    assert found("?q=BOB@exa") == {"bob"}
    assert found("?q=example") == set()
    assert found("?is_staff__exact=1") == {"manager"}
    assert found("?role=admin") == {"manager"}
    assert found("?role=nonsense") == found("")


def test_page_of_a_user_shows_no_hash(browser, root, alice):
    html = browser(root).get(url_of(alice)).content.decode()
    assert "argon2" not in html
    assert "password" not in browser(root).get(url_of(alice)).context["adminform"].form.fields
    assert alice.password.split("$")[-1] not in html


def test_people_who_are_not_staff_see_nothing(browser, alice):
    page = browser(alice)
    for url in ("/admin/", USERS, url_of(alice)):
        assert page.get(url).status_code == 302


def test_support_reads_users_and_writes_nothing(browser, support, alice):
    page = browser(support)

    assert page.get(url_of(alice)).status_code == 200
    assert save(page, alice, username="alicia").status_code == 403
    assert page.post(USERS + "add/", {"username": "carol"}).status_code == 403
    assert page.post(url_of(alice, "delete"), {"post": "yes"}).status_code == 403
    assert page.get(ROLES).status_code == 403
    assert User.objects.get(pk=alice.pk).username == "alice"


# Accounts without a password of staff's choice


@pytest.mark.asvs("6.4.1")
def test_added_user_has_no_password(browser, manager, mailoutbox, api):
    answer = browser(manager).post(
        USERS + "add/", {"username": "carol", "email": "carol@example.org", "password": "x" * 20}
    )

    assert answer.status_code == 302
    carol = User.objects.get(username="carol")
    assert not carol.has_usable_password()
    assert (carol.is_staff, carol.is_superuser, carol.email_verified_at) == (False, False, None)
    refused = api().post("login", {"username": "carol", "password": "x" * 20})
    assert refused.status_code == 401


def test_added_user_is_mailed_a_link(browser, manager, mailoutbox, client, db):
    from django.test import TestCase

    page = browser(manager)
    with TestCase.captureOnCommitCallbacks(execute=True):
        page.post(USERS + "add/", {"username": "carol", "email": "carol@example.org"})

    [mail] = [mail for mail in mailoutbox if mail.to == ["carol@example.org"]]
    link = re.search(r"https://testserver(/email/\S+)", mail.body)[1]
    client.post(link)
    assert User.objects.get(username="carol").email_verified_at


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"username": "ALICE", "email": "c@example.org"}, "That username is taken."),
        ({"username": "a@b", "email": "c@example.org"}, "Use only A to Z"),
        ({"username": "carol", "email": ""}, "This field is required."),
    ],
)
def test_added_user_keeps_the_rules_of_names(browser, manager, alice, fields, message):
    assert_not_saved(browser(manager).post(USERS + "add/", fields), message)
    assert_not_saved(save(browser(manager), make_user("bob"), **fields), message)


@pytest.mark.asvs("6.4.6")
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_chooses_a_password_for_another(browser, root, alice, method):
    page = browser(root)
    before = alice.password

    answer = getattr(page, method)(
        url_of(alice, "password"),
        {"password1": "a sentence by staff", "password2": "a sentence by staff"},
    )

    assert answer.status_code == 403
    save(page, alice, password="x", password1="x", usable_password="true")
    assert alice.password == before


@pytest.mark.asvs("6.4.6")
def test_reset_link_goes_to_verified_addresses_of_active_users(
    browser, manager, alice, bob, mailoutbox, django_capture_on_commit_callbacks
):
    carol = make_user("carol", is_active=False)
    User.objects.filter(username="bob").update(email_verified_at=None)
    page = browser(manager)
    mailoutbox.clear()

    with django_capture_on_commit_callbacks(execute=True):
        answer = page.post(
            USERS,
            {"action": "send_reset_link", "_selected_action": [alice.pk, bob.pk, carol.pk]},
            follow=True,
        )

    assert "Sent 1 reset link." in answer.content.decode()
    [mail] = mailoutbox
    assert mail.to == ["alice@example.org"]
    assert "https://testserver/password/reset/" in mail.body
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (manager, "alice")
    assert entry.get_change_message() == "Sent a password reset link."


def test_reset_link_is_not_sent_by_who_may_not_edit(
    browser, manager, support, root, mailoutbox, django_capture_on_commit_callbacks
):
    User.objects.update(email_verified_at=root.date_joined)
    clients = [browser(manager), browser(support)]
    mailoutbox.clear()

    with django_capture_on_commit_callbacks(execute=True):
        for page in clients:
            page.post(USERS, {"action": "send_reset_link", "_selected_action": [root.pk]})

    assert mailoutbox == []


def test_reset_links_go_to_so_many_people_at_once(browser, manager, mailoutbox, monkeypatch):
    """A list of a million is all selected by two clicks."""
    monkeypatch.setattr("accounts.admin.users.MAX_LINKS", 2)
    people = [make_user(name) for name in ("carol", "dave", "erin")]
    User.objects.update(email_verified_at=manager.date_joined)
    page = browser(manager)
    mailoutbox.clear()
    data = {"action": "send_reset_link", "_selected_action": [person.pk for person in people]}

    answer = page.post(USERS, data, follow=True)

    assert "At most 2 people are sent a reset link at once: none was sent." in unescape(
        answer.content.decode()
    )
    assert mailoutbox == []


# Addresses


def test_new_address_is_unverified_and_mailed_a_link(
    browser, manager, alice, mailoutbox, django_capture_on_commit_callbacks, client
):
    User.objects.update(email_verified_at=alice.date_joined)
    page = browser(manager)
    mailoutbox.clear()

    with django_capture_on_commit_callbacks(execute=True):
        assert_saved(save(page, alice, email="new@example.org"))

    assert (alice.email, alice.email_verified_at) == ("new@example.org", None)
    [mail] = [mail for mail in mailoutbox if "/email/" in mail.body]
    assert mail.to == ["new@example.org"]
    link = re.search(r"https://testserver(/email/\S+)", mail.body)[1]
    client.post(link, {"password": PASSWORD})
    alice.refresh_from_db()
    assert alice.email_verified_at is not None


@pytest.mark.asvs("6.3.7")
@pytest.mark.parametrize(
    "changes", [{"email": "new@example.org"}, {"username": "alicia"}], ids=["email", "username"]
)
def test_new_names_by_staff_are_told_to_the_address_of_before(
    browser, manager, alice, mailoutbox, django_capture_on_commit_callbacks, changes
):
    page = browser(manager)
    mailoutbox.clear()

    with django_capture_on_commit_callbacks(execute=True):
        assert_saved(save(page, alice, is_staff="on"))
        assert mailoutbox == []
        assert_saved(save(page, alice, **changes))

    [mail] = [mail for mail in mailoutbox if "changed" in mail.subject]
    assert mail.to == ["alice@example.org"]
    told = {"email": "New email address: n•••@e•••", "username": "New username: alicia"}
    assert all(told[name] in mail.body for name in changes)
    assert "By: our staff (manager)" in mail.body
    assert "/email/" not in mail.body


def test_same_address_stays_verified(browser, manager, alice):
    User.objects.update(email_verified_at=alice.date_joined)
    assert_saved(save(browser(manager), alice, username="alicia"))
    assert alice.email_verified_at is not None


# Superusers


def test_last_superuser_stays(browser, root):
    page = browser(root)
    message = "This is the last superuser, who cannot be removed."

    assert_not_saved(save(page, root, without=["is_superuser"]), message)
    assert_not_saved(save(page, root, without=["is_active"]), message)
    assert_not_saved(save(page, root, without=["is_staff"]), message)
    assert page.post(url_of(root, "delete"), {"post": "yes"}).status_code == 403
    page.post(USERS, {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"})
    assert User.objects.filter(pk=root.pk, is_active=True, is_superuser=True).exists()


@pytest.mark.parametrize("lacks", ["is_active", "is_staff"])
def test_a_superuser_who_cannot_use_the_admin_does_not_count_as_another(browser, root, lacks):
    second = make_user("second", **{"is_superuser": True, "is_staff": True, lacks: False})
    page = browser(root)
    message = "This is the last superuser, who cannot be removed."

    assert_not_saved(save(page, root, without=["is_superuser"]), message)
    selected = {"action": "delete_selected", "_selected_action": [root.pk, second.pk]}
    page.post(USERS, selected | {"post": "yes"})
    assert User.objects.filter(pk=root.pk).exists()


def test_one_of_two_superusers_may_go(browser, root):
    second = make_user("second", is_staff=True, is_superuser=True)
    page = browser(root)
    assert_saved(save(page, second, without=["is_superuser"]))
    assert page.post(url_of(second, "delete"), {"post": "yes"}).status_code == 302


def test_all_superusers_are_not_deleted_at_once(browser, root, alice):
    second = make_user("second", is_staff=True, is_superuser=True)

    browser(root).post(
        USERS,
        {
            "action": "delete_selected",
            "_selected_action": [root.pk, second.pk, alice.pk],
            "post": "yes",
        },
    )

    assert User.objects.filter(is_superuser=True, is_active=True).exists()


@pytest.mark.asvs("8.2.3")
def test_manager_does_not_make_superusers(browser, manager, alice):
    assert_saved(save(browser(manager), alice, is_superuser="on", is_staff="on"))
    assert (alice.is_staff, alice.is_superuser) == (True, False)

    assert_saved(save(browser(manager), manager, is_superuser="on"))
    assert not manager.is_superuser

    fields = {"username": "carol", "email": "carol@example.org", "is_superuser": "on"}
    browser(manager).post(USERS + "add/", fields)
    assert not User.objects.get(username="carol").is_superuser


@pytest.mark.asvs("8.2.2")
def test_manager_touches_no_superuser(browser, manager, root):
    second = make_user("second", is_staff=True, is_superuser=True, is_active=False)
    page = browser(manager)

    for superuser in (root, second):
        assert page.get(url_of(superuser)).status_code == 200
        assert save(page, superuser, email="manager2@example.org").status_code == 403
        assert page.post(url_of(superuser, "delete"), {"post": "yes"}).status_code == 403
        page.post(
            USERS, {"action": "delete_selected", "_selected_action": [superuser.pk], "post": "yes"}
        )
    assert User.objects.filter(email__startswith="manager2").count() == 0
    assert User.objects.filter(is_superuser=True).count() == 2


# Accounts that may do more


@pytest.mark.parametrize("is_active", [True, False])
def test_account_that_may_do_more_is_not_edited(browser, manager, is_active):
    """Its address could become one's own, and with it a link to set its password."""
    helper = make_staff("helper", "accounts.view_user", "accounts.change_user")
    User.objects.filter(pk=manager.pk).update(is_active=is_active)
    manager.refresh_from_db()
    page = browser(helper)

    answer = save(page, manager, is_active="on", email="helper2@example.org")

    assert answer.status_code == 403
    assert manager.email == "manager@example.org"


def test_account_with_own_permissions_that_are_more_is_not_edited(browser, alice):
    alice.user_permissions.add(permission("accounts.delete_user"))
    helper = make_staff("helper", "accounts.view_user", "accounts.change_user")
    assert save(browser(helper), alice, username="alicia").status_code == 403


def test_account_that_may_do_more_is_not_deleted(browser, manager, alice):
    helper = make_staff("helper", "accounts.view_user", "accounts.delete_user")
    page = browser(helper)

    assert page.post(url_of(manager, "delete"), {"post": "yes"}).status_code == 403
    assert page.post(url_of(alice, "delete"), {"post": "yes"}).status_code == 302


@pytest.mark.asvs("8.2.3")
def test_role_with_more_permissions_is_not_given(browser, alice):
    helper = make_staff("helper", "accounts.view_user", "accounts.change_user")
    powers = Role.objects.get(name="admin")

    answer = save(browser(helper), alice, roles=[powers.pk])

    assert_not_saved(answer, "The role admin has permissions that you do not have.")
    assert not alice.roles.exists()
    assert_not_saved(
        save(browser(helper), helper, roles=[powers.pk, *(r.pk for r in helper.roles.all())]),
        "The role admin has permissions that you do not have.",
    )


def test_role_is_given_and_taken(browser, manager, alice):
    helpers = make_role("helpers", "accounts.view_user")
    page = browser(manager)

    assert_saved(save(page, alice, roles=[helpers.pk], current_password=PASSWORD))
    assert alice.has_role("helpers")
    assert_saved(save(page, alice, roles=[]))
    assert not alice.has_role("helpers")


# Roles


def test_role_is_added_and_edited(browser, manager):
    page = browser(manager)
    viewing = permission("accounts.view_user")

    page.post(ROLES + "add/", {"name": "helpers", "permissions": [viewing.pk]})

    role = Role.objects.get(name="helpers")
    assert role.permission_labels() == {"accounts.view_user"}
    assert_saved(save(page, role, description="Helps.", permissions=[]))
    assert (role.description, role.permission_labels()) == ("Helps.", set())


def test_role_gets_no_permission_that_its_editor_does_not_have(browser, manager):
    page, role = browser(manager), make_role("helpers", "accounts.view_user")
    foreign = permission("auth.view_permission")
    message = "You do not have this permission yourself"

    assert_not_saved(save(page, role, permissions=[foreign.pk]), message)
    assert_not_saved(
        page.post(ROLES + "add/", {"name": "new", "permissions": [foreign.pk]}), message
    )
    admin = Role.objects.get(name="admin")
    held = stored_form(admin)["permissions"]
    assert_not_saved(save(page, admin, permissions=[*held, foreign.pk]), message)
    assert not Role.objects.filter(permissions=foreign).exists()


def test_role_gets_any_permission_from_a_superuser(browser, root):
    role = make_role("helpers", "auth.view_permission")
    changing = permission("auth.change_permission").pk

    assert_saved(save(browser(root), role, permissions=[changing], current_password=PASSWORD))

    assert role.permission_labels() == {"auth.change_permission"}


def test_role_name_that_is_taken(browser, manager):
    role = make_role("helpers", "accounts.view_user")
    answer = save(browser(manager), role, name="support")
    assert_not_saved(answer, "A role with that name already exists.")


def test_role_is_deleted(browser, manager):
    role = make_role("helpers", "accounts.view_user")
    answer = browser(manager).post(url_of(role, "delete"), {"post": "yes"})
    assert answer.status_code == 302
    assert not Role.objects.filter(name="helpers").exists()


def test_page_of_a_built_in_role_offers_no_deletion(browser, root):
    role = Role.objects.get(name="support")
    page = browser(root)
    assert url_of(role, "delete") not in page.get(url_of(role)).content.decode()
    own = make_role("helpers")
    assert url_of(own, "delete") in page.get(url_of(own)).content.decode()


# History


def test_changes_are_in_the_history(browser, manager, alice):
    page = browser(manager)
    save(page, alice, username="alicia")
    page.post(url_of(alice, "delete"), {"post": "yes"})

    entries = LogEntry.objects.filter(user=manager).order_by("pk")
    assert [entry.get_change_message() for entry in entries] == ["Changed Username.", ""]
    assert entries[0].object_id == str(alice.pk)


def test_what_people_type_is_escaped(browser, root):
    hostile = "<script>alert(1)</script>"
    role = make_role("helpers")
    save(browser(root), role, description=hostile)
    page = browser(root)

    for url in (ROLES, url_of(role), url_of(role, "history")):
        assert hostile not in page.get(url).content.decode()


@pytest.mark.parametrize(
    "url",
    [
        f"{USERS}0/change/",
        f"{USERS}x/change/",
        f"{USERS}%00/change/",
        f"{USERS}99999999999999999999/change/",
        f"{USERS}?q=%00",
        f"{USERS}?q={'x' * 2000}",
        f"{USERS}?is_active__exact=x",
        f"{USERS}?roles__id__exact=x",
        f"{USERS}?roles__id__exact=99999999999999999999",
        f"{USERS}?password__startswith=argon2",
        f"{USERS}?p=x",
        f"{USERS}?o=x.99.-",
        f"{ROLES}x/change/",
        f"{ROLES}?q=%00",
    ],
)
def test_odd_addresses_are_no_server_error(browser, root, url):
    assert browser(root).get(url, follow=True).status_code in (200, 400, 404)
