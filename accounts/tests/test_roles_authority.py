"""A role is authority by its permissions and by its name: who changes, gives and takes it."""

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import Role, User
from accounts.permissions import HasRole
from accounts.tests.admin import ROLES, USERS, make_role, make_staff, save, url_of
from tests.plugins.guestlist import PASSWORD, make_user

PROOF = {"current_password": PASSWORD}
KEEPING = [
    *(f"accounts.{act}_role" for act in ("add", "change", "delete", "view")),
    "accounts.change_user",
    "accounts.view_user",
]


@pytest.fixture
def keeper(db):
    """Staff who may change people and roles, and do less than the role admin."""
    return make_staff("keeper", *KEEPING)


@pytest.fixture
def refunds(db):
    """A role without permissions, whose name a view asks for."""
    return make_role(HasRole("refunds").name)


# What the API does to people is what the admin does


@pytest.mark.asvs("8.2.3")
def test_account_that_may_do_more_loses_no_role_and_no_address(api, browser, keeper):
    boss = make_user("boss")
    boss.roles.add(Role.objects.get(name="admin"))
    phone = api(keeper)

    taken = phone.delete("users/boss/roles/admin")
    assert (taken.status_code, taken.json()["code"]) == (403, "permission_denied")
    assert boss.has_role("admin")
    assert phone.put("users/boss/roles/keeper-role", PROOF).status_code == 403
    assert save(browser(keeper), boss, email="keeper2@example.org").status_code == 403
    assert boss.email == "boss@example.org"


def test_account_with_a_role_for_its_name_is_edited_by_people_with_that_role(
    api, browser, keeper, alice, refunds
):
    alice.roles.add(refunds)
    page, phone = browser(keeper), api(keeper)

    assert save(page, alice, email="keeper2@example.org").status_code == 403
    assert phone.put("users/alice/roles/keeper-role", PROOF).status_code == 403

    keeper.roles.add(refunds)
    assert save(page, alice, email="alice2@example.org").status_code == 302
    assert phone.put("users/alice/roles/keeper-role", PROOF).status_code == 204


# A role without permissions


@pytest.mark.asvs("8.2.3")
@pytest.mark.parametrize("username", ["keeper", "bob"])
def test_role_without_permissions_is_given_and_taken_by_people_who_hold_it(
    api, browser, keeper, bob, root, refunds, username
):
    user, phone = User.objects.get(username=username), api(keeper)
    role = f"users/{username}/roles/refunds"

    answer = phone.put(role)
    assert answer.status_code == 403
    assert answer.json()["detail"] == (
        "This role has no permission, so only people who hold it and superusers manage it."
    )
    save(browser(keeper), user, roles=[refunds.pk, *(r.pk for r in user.roles.all())], **PROOF)
    assert not user.has_role("refunds")
    boss = api(root)
    assert boss.put(role).status_code == 204
    assert user.has_role("refunds")
    assert boss.delete(role).status_code == 204

    keeper.roles.add(refunds)
    assert phone.put(role).status_code == 204
    assert phone.delete(role).status_code == 204
    assert not user.has_role("refunds")


@pytest.mark.parametrize("has_permissions", [True, False], ids=["powers", "name alone"])
class TestRoleOfOthers:
    """A role with more permissions, or without any and not held, stays as it is."""

    @pytest.fixture
    def role(self, has_permissions, refunds):
        return make_role("powers", "auth.view_permission") if has_permissions else refunds

    def test_in_the_api(self, api, keeper, root, role):
        phone, url = api(keeper), f"roles/{role}"

        for body in ({"name": "mine"}, {"description": "Mine."}):
            assert phone.patch(url, body).status_code == 403
        assert phone.delete(url).status_code == 403
        assert phone.get(url).status_code == 200
        assert api(root).patch(url, {"description": "Ours."}).status_code == 200
        role.refresh_from_db()
        assert role.description == "Ours."

    def test_in_the_admin(self, browser, keeper, root, role):
        page = browser(keeper)
        held = role.permission_labels()

        assert page.get(url_of(role)).status_code == 200
        for changes in ({"name": "mine"}, {"permissions": []}, {"description": "Mine."}):
            assert save(page, role, **changes, **PROOF).status_code == 403
        assert page.post(url_of(role, "delete"), {"post": "yes"}).status_code == 403
        selected = {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"}
        page.post(ROLES, selected)
        role.refresh_from_db()
        assert role.permission_labels() == held
        assert save(browser(root), role, description="Ours.").status_code == 302


def test_name_that_somebody_holds_is_authority(api, browser, keeper, alice):
    """Without permissions, and even if no view asks for it: a function may."""
    desk = make_role("desk")
    phone, page = api(keeper), browser(keeper)
    alice.roles.add(desk)

    assert phone.patch("roles/desk", {"name": "mine"}).status_code == 403
    assert phone.delete("roles/desk").status_code == 403
    viewing = make_role("x", "accounts.view_user").permissions.get().pk
    assert save(page, desk, permissions=[viewing], **PROOF).status_code == 403

    alice.roles.clear()
    assert phone.put("users/keeper/roles/desk").status_code == 403
    assert phone.patch("roles/desk", {"description": "Front desk."}).status_code == 200
    assert phone.delete("roles/desk").status_code == 204


def test_built_in_role_is_emptied_only_by_people_who_may_do_as_much(browser, keeper, manager):
    admin = Role.objects.get(name="admin")

    assert save(browser(keeper), admin, permissions=[]).status_code == 403
    assert admin.permissions.exists()

    assert save(browser(manager), admin, permissions=[]).status_code == 302
    assert not admin.permissions.exists()


# Names that code asks for


@pytest.fixture
def asked_for():
    """A view of an app asks for it, and no role has the name yet."""
    return HasRole("auditors").name


@pytest.mark.asvs("8.2.3")
def test_name_that_code_asks_for_is_given_to_a_role_by_a_superuser(
    api, browser, keeper, root, asked_for
):
    phone, page = api(keeper), browser(keeper)
    role = keeper.roles.get()

    assert phone.post("roles", {"name": asked_for}).status_code == 403
    assert phone.patch(f"roles/{role}", {"name": asked_for}).status_code == 403
    assert save(page, role, name=asked_for).status_code == 200
    assert page.post(ROLES + "add/", {"name": asked_for}).status_code == 200
    assert not Role.objects.filter(name=asked_for).exists()

    assert api(root).post("roles", {"name": asked_for}).status_code == 201
    taken = phone.post("roles", {"name": asked_for})
    assert (taken.status_code, taken.json()["code"]) == (409, "role_taken")


# The password in the act


def test_role_with_permissions_is_given_with_the_password(api, keeper, bob, age):
    phone, role = api(keeper), "users/bob/roles/keeper-role"
    age(phone.device, minutes=16)

    for body in ({}, {"current_password": "wrong"}, None):
        answer = phone.put(role, body)
        assert (answer.status_code, list(answer.json())) == (400, ["current_password"])
    assert not bob.has_role("keeper-role")

    assert phone.put(role, PROOF).status_code == 204
    assert bob.has_role("keeper-role")
    assert phone.delete(role).json()["code"] == "reauthentication_required"


def test_role_without_permissions_is_given_by_a_fresh_device(api, keeper, bob, age, refunds):
    keeper.roles.add(refunds)
    phone = api(keeper)
    age(phone.device, minutes=16)
    assert phone.put("users/bob/roles/refunds").json()["code"] == "reauthentication_required"


def test_wrong_passwords_in_the_act_are_counted_on_the_device(api, keeper, bob):
    phone, role = api(keeper), "users/bob/roles/keeper-role"
    for _ in range(5):
        phone.put(role, {"current_password": "wrong"})
    assert phone.put(role, PROOF).status_code == 429
    assert not bob.has_role("keeper-role")


@pytest.mark.parametrize("given", [{}, {"current_password": "wrong"}], ids=["none", "wrong"])
def test_admin_asks_for_the_password_in_the_act(browser, root, alice, given):
    page, role = browser(root), make_role("helpers", "accounts.view_user")
    viewing, changing = role.permissions.get(), make_role("x", "accounts.change_user")
    wider = [viewing.pk, changing.permissions.get().pk]

    for item, changes in (
        (alice, {"is_superuser": "on", "is_staff": "on"}),
        (alice, {"roles": [role.pk]}),
        (role, {"permissions": wider}),
    ):
        answer = save(page, item, **changes, **given)
        assert list(answer.context["adminform"].form.errors) == ["current_password"]
        assert save(page, item, **changes, **PROOF).status_code == 302
    assert (alice.is_superuser, alice.has_role("helpers")) == (True, True)
    assert role.permissions.count() == 2
    messages = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert messages == [
        "Changed Staff status and Superuser status.",
        "Changed Roles.",
        "Changed Permissions.",
    ]


def test_wrong_passwords_in_the_admin_are_counted_on_the_device(browser, root, alice):
    page, superuser = browser(root), {"is_superuser": "on", "is_staff": "on"}
    for _ in range(5):
        assert save(page, alice, **superuser, current_password="wrong").status_code == 200

    answer = save(page, alice, **superuser, **PROOF)

    assert (answer.status_code, answer.headers["Retry-After"].isdigit()) == (429, True)
    assert not alice.is_superuser
    assert save(page, alice, username="alicia", **PROOF).status_code == 302


def test_password_that_comes_with_a_form_is_tested_outside_of_its_transaction(
    transactional_db, browser
):
    root, alice = make_user("root", is_staff=True, is_superuser=True), make_user("alice")
    changes = {"is_superuser": "on", "is_staff": "on"}

    assert save(browser(root), alice, **changes, current_password="wrong").status_code == 200
    assert save(browser(root), alice, **changes, **PROOF).status_code == 302


def test_admin_asks_for_no_password_for_less(browser, root, alice):
    second = make_user("second", is_staff=True, is_superuser=True)
    role = make_role("helpers", "accounts.view_user")
    alice.roles.add(role)
    page = browser(root)

    assert save(page, alice, roles=[]).status_code == 302
    assert save(page, second, without=["is_superuser"]).status_code == 302
    assert save(page, role, permissions=[]).status_code == 302
    assert page.post(ROLES + "add/", {"name": "new"}).status_code == 302


def test_pages_that_need_no_password_have_no_field_for_it(browser, support, root, alice):
    field = 'name="current_password"'
    assert field not in browser(support).get(url_of(alice)).content.decode()
    assert field not in browser(root).get(USERS + "add/").content.decode()
    assert field not in browser(root).get(ROLES + "add/").content.decode()
    assert field in browser(root).get(url_of(alice)).content.decode()


# The history


def test_acts_of_the_api_are_in_the_history(api, browser, root, bob):
    phone = api(root)
    phone.post("roles", {"name": "helpers"})
    phone.patch("roles/helpers", {"name": "friends", "description": "Ours."})
    phone.patch("roles/friends", {"name": "friends"})
    friends = Role.objects.get(name="friends")
    for _ in range(2):
        phone.put("users/bob/roles/friends")
    for _ in range(2):
        phone.delete("users/bob/roles/friends")
    phone.delete("roles/friends")

    by = f"By the API, from device {phone.device.pk}."
    entries = LogEntry.objects.order_by("pk")
    assert [
        (entry.user, entry.object_id, entry.action_flag, entry.get_change_message())
        for entry in entries
    ] == [
        (root, str(friends.pk), 1, f"Added. {by}"),
        (root, str(friends.pk), 2, f"Changed name and description. {by}"),
        (root, str(bob.pk), 2, f"Gave the role friends. {by}"),
        (root, str(bob.pk), 2, f"Took the role friends. {by}"),
        (root, str(friends.pk), 3, f"Deleted. {by}"),
    ]
    shown = browser(root).get(url_of(bob, "history")).content.decode()
    assert f"Gave the role friends. {by}" in shown


def test_refused_acts_are_not_in_the_history(api, keeper, bob, refunds):
    phone = api(keeper)
    phone.post("roles", {"name": "refunds"})
    phone.patch("roles/refunds", {"description": "Mine."})
    phone.put("users/bob/roles/refunds")
    phone.put("users/bob/roles/keeper-role", {"current_password": "wrong"})
    phone.delete("roles/admin")
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", ["ROOT", "Root", "root@example.org", " root "])
def test_audit_list_finds_staff_without_regard_to_case(browser, root, bob, api, name):
    User.objects.filter(pk=root.pk).update(email_verified_at=root.date_joined)
    api(root).post("roles", {"name": "helpers"})
    page = browser(root)

    def found(term):
        return len(page.get("/admin/admin/logentry/", {"q": term}).context["cl"].result_list)

    assert found(name) == 1
    assert found("bob") == found("roo") == found("x" * 2000) == 0
