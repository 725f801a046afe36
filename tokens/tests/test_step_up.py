"""The password in the admin: asked before staff write users and roles, with nothing typed lost."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry

from accounts.models import Role, User
from accounts.tests.admin import ROLES, USERS, hidden
from tests.plugins.guestlist import PASSWORD
from tokens.step_up import FIELD


def assert_asks(answer, *, wrong=False):
    assert answer.status_code == 200
    html = answer.content.decode()
    assert f'name="{FIELD}"' in html
    assert html.count('name="csrfmiddlewaretoken"') == html.count("<form")
    assert "This field is required" not in html
    assert ("This is not your password." in html) == wrong


def add_user(role, user):
    return USERS + "add/", {"username": "carol", "email": "carol@example.org"}


def change_user(role, user):
    data = {"username": "alicia", "email": user.email, "is_active": "on", "roles": [role.pk]}
    return f"{USERS}{user.pk}/change/", data


def delete_user(role, user):
    return f"{USERS}{user.pk}/delete/", {"post": "yes"}


def delete_selected_users(role, user):
    data = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    return USERS, data


def send_reset_link(role, user):
    return USERS, {"action": "send_reset_link", "_selected_action": [user.pk]}


def add_role(role, user):
    return ROLES + "add/", {"name": "new", "description": "New."}


def change_role(role, user):
    return f"{ROLES}{role.pk}/change/", {"name": "friends", "description": '"<New>" & more.'}


def delete_role(role, user):
    return f"{ROLES}{role.pk}/delete/", {"post": "yes"}


def delete_selected_roles(role, user):
    data = {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"}
    return ROLES, data


WRITES = [
    add_user,
    change_user,
    delete_user,
    delete_selected_users,
    send_reset_link,
    add_role,
    change_role,
    delete_role,
    delete_selected_roles,
]


def contents():
    """What the writes change."""
    return (
        list(User.objects.order_by("pk").values_list("username", "email", "roles__name")),
        list(Role.objects.order_by("pk").values_list("name", "description")),
        LogEntry.objects.count(),
    )


@pytest.fixture
def role(db):
    return Role.objects.create(name="helpers")


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("write", WRITES)
def test_write_asks_and_goes_on_with_what_was_typed(stale_browser, root, alice, role, write):
    User.objects.filter(pk=alice.pk).update(email_verified_at=alice.date_joined)
    page = stale_browser(root)
    url, data = write(role, alice)
    before = contents()

    asked = page.post(url, data)
    assert_asks(asked)
    assert contents() == before

    wrong = page.post(url, hidden(asked) | {FIELD: "not my password"})
    assert_asks(wrong, wrong=True)
    assert hidden(wrong) == hidden(asked)
    assert contents() == before

    done = page.post(url, hidden(wrong) | {FIELD: PASSWORD})
    assert done.status_code == 302
    assert contents() != before


def test_what_was_typed_arrives_to_the_letter(stale_browser, root, alice, role):
    page = stale_browser(root)
    url, data = change_role(role, alice)

    page.post(url, hidden(page.post(url, data)) | {FIELD: PASSWORD})

    role.refresh_from_db()
    assert (role.name, role.description) == ("friends", '"<New>" & more.')


@pytest.mark.parametrize("write", WRITES)
def test_fresh_write_is_not_asked(browser, root, alice, role, write):
    url, data = write(role, alice)
    assert browser(root).post(url, data).status_code == 302


def test_one_password_is_good_for_the_next_write(stale_browser, root, alice, role):
    page = stale_browser(root)
    url, data = change_user(role, alice)
    page.post(url, data | {FIELD: PASSWORD})

    url, data = change_role(role, alice)
    assert page.post(url, data).status_code == 302


def test_password_gives_the_browser_a_new_cookie(stale_browser, root, alice, role):
    page, name = stale_browser(root), settings.SESSION_COOKIE_NAME
    former = page.cookies[name].value
    url, data = change_user(role, alice)
    page.post(url, data | {FIELD: PASSWORD})

    assert page.get(USERS).status_code == 200
    assert page.cookies[name].value != former
    page.cookies[name] = former
    assert page.get(USERS).status_code == 302


@pytest.mark.parametrize("url", [USERS, USERS + "add/", ROLES, "/admin/"])
def test_reading_is_not_asked(stale_browser, root, url):
    answer = stale_browser(root).get(url)
    assert answer.status_code == 200
    assert FIELD not in answer.content.decode()


def test_signing_out_is_not_asked(stale_browser, root):
    page = stale_browser(root)
    assert FIELD not in page.post("/admin/logout/").content.decode()
    assert not root.devices.live().exists()


@pytest.mark.asvs("3.5.1")
def test_write_without_a_csrf_token_is_not_even_asked(stale_browser, root, alice, role):
    page = stale_browser(root)
    page.handler.enforce_csrf_checks = True
    url, data = change_user(role, alice)
    assert page.post(url, data | {FIELD: PASSWORD}).status_code == 403


def test_page_is_one_of_this_admin(stale_browser, root, alice, role):
    page = stale_browser(root).post(*change_user(role, alice)).content.decode()
    assert "Your password, please | Guestlist" in page
    assert "Sign out" in page


def test_page_says_how_long_a_password_is_good_for(browser, root, alice, role, age, settings):
    settings.STEP_UP_MAX_AGE = timedelta(minutes=3)
    page = browser(root)
    age(root.devices.get(kind="browser"), minutes=4)
    text = page.post(*change_user(role, alice)).content.decode()
    assert (
        "You last gave it on this device more than 3 minutes ago, or somewhere else. Give it"
        in text
    )


def test_token_of_the_form_is_not_carried_along(stale_browser, root, alice, role):
    url, data = change_user(role, alice)
    assert_asks(stale_browser(root).post(url, data | {"csrfmiddlewaretoken": "x" * 64}))


def test_password_is_not_carried_along(stale_browser, root, alice, role):
    url, data = change_user(role, alice)
    asked = stale_browser(root).post(url, data | {FIELD: "almost my password"})
    assert "almost my password" not in asked.content.decode()


def test_who_is_signed_out_meanwhile_signs_in_first(stale_browser, root, alice, role):
    page = stale_browser(root)
    root.devices.revoke(reason="user")
    url, data = change_user(role, alice)

    answer = page.post(url, data | {FIELD: PASSWORD})

    assert answer.status_code == 302
    assert answer.url.startswith("/admin/login/")
    assert User.objects.filter(username="alice").exists()


def test_who_may_not_write_may_not_after_the_password(stale_browser, support, alice, role):
    url, data = change_user(role, alice)
    assert stale_browser(support).post(url, data | {FIELD: PASSWORD}).status_code == 403
    assert User.objects.filter(username="alice").exists()
