"""Roles and users over the API: who may, when the password is asked for, and what stays."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import transaction
from django.db.models import ProtectedError

from accounts.built_in_roles import BUILT_IN, declared_permissions
from accounts.models import Role, User
from accounts.tests.admin import make_role, permission
from tests.plugins.guestlist import PASSWORD, make_user

NOBODY, ALICE, SUPPORT, MANAGER, ROOT = "nobody", "alice", "support", "manager", "root"


@pytest.fixture
def people(api, alice, bob, support, manager, root):
    """A client for each kind of asker, by name."""
    askers = {user.username: user for user in (alice, support, manager, root)}
    return lambda name: api(askers.get(name))


# Who may

MAY_READ_ROLES = {MANAGER: 200, ROOT: 200}
MAY_READ_USERS = {SUPPORT: 200, MANAGER: 200, ROOT: 200}
MAY_WRITE = {MANAGER: 204, ROOT: 204}
PROOF = {"current_password": PASSWORD}
REQUESTS = {
    "GET roles": (None, MAY_READ_ROLES),
    "HEAD roles": (None, MAY_READ_ROLES),
    "POST roles": ({"name": "new"}, {MANAGER: 201, ROOT: 201}),
    "GET roles/helpers": (None, MAY_READ_ROLES),
    "PATCH roles/helpers": ({"description": "Helps."}, MAY_READ_ROLES),
    "DELETE roles/helpers": (None, MAY_WRITE),
    "GET users": (None, MAY_READ_USERS),
    "HEAD users": (None, MAY_READ_USERS),
    "GET users/bob": (None, MAY_READ_USERS),
    "PUT users/bob/roles/helpers": (PROOF, MAY_WRITE),
    "DELETE users/bob/roles/helpers": (None, MAY_WRITE),
}
WRITES = [request for request in REQUESTS if request.split()[0] not in ("GET", "HEAD")]
# The others ask for the password in the act.
FRESH_WRITES = [request for request in WRITES if not request.startswith("PUT")]


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("asker", [NOBODY, ALICE, SUPPORT, MANAGER, ROOT])
@pytest.mark.parametrize("request_line", REQUESTS)
def test_who_may(people, request_line, asker):
    make_role("helpers", "accounts.view_user")
    body, may = REQUESTS[request_line]

    answer = people(asker).request(*request_line.split(), body)

    assert answer.status_code == may.get(asker, 401 if asker == NOBODY else 403)
    if answer.status_code in (401, 403) and not request_line.startswith("HEAD"):
        code = "not_authenticated" if asker == NOBODY else "permission_denied"
        assert answer.json()["code"] == code


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("request_line", FRESH_WRITES)
def test_writes_need_the_password(people, age, request_line):
    make_role("helpers", "accounts.view_user")
    client = people(MANAGER)
    age(client.device, minutes=16)
    body, may = REQUESTS[request_line]

    answer = client.request(*request_line.split(), body)

    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_user_authentication", max_age="900"'
    )
    assert Role.objects.filter(name="helpers", description="").exists()
    assert not Role.objects.filter(name="new").exists()

    client.keep(client.post("reauthenticate", {"password": PASSWORD}).json())
    assert client.request(*request_line.split(), body).status_code == may[MANAGER]


@pytest.mark.parametrize("request_line", WRITES)
def test_no_permission_comes_before_the_password(people, age, request_line):
    make_role("helpers")
    client = people(SUPPORT)
    age(client.device, minutes=16)

    answer = client.request(*request_line.split(), REQUESTS[request_line][0])

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("request_line", [line for line in REQUESTS if line not in WRITES])
def test_reading_needs_no_password(people, age, request_line):
    make_role("helpers")
    client = people(MANAGER)
    age(client.device, minutes=16)
    assert client.request(*request_line.split()).status_code == 200


@pytest.mark.parametrize(
    "request_line",
    [
        "PUT roles",
        "DELETE roles",
        "PUT roles/helpers",
        "POST users",
        "PATCH users/bob",
        "DELETE users/bob",
        "GET users/bob/roles/helpers",
        "POST users/bob/roles/helpers",
    ],
)
def test_what_is_not_there_is_405(people, request_line):
    make_role("helpers")
    answer = people(ROOT).request(*request_line.split())
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "request_line",
    [
        "GET roles/none",
        "PATCH roles/none",
        "DELETE roles/none",
        "GET users/none",
        "PUT users/none/roles/support",
        "PUT users/bob/roles/none",
        "DELETE users/bob/roles/none",
        "GET roles/no%20slug",
        "GET users/a@b",
        "GET users/%00",
        "GET roles/%00",
    ],
)
def test_what_nobody_has_is_404(people, request_line):
    answer = people(ROOT).request(*request_line.split(), {})
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


# Roles


def test_role_in_json(people):
    client = people(MANAGER)
    answer = client.post("roles", {"name": "helpers", "description": "Helps."})

    assert answer.json() == {"name": "helpers", "description": "Helps.", "permissions": []}
    assert client.get("roles/support").json() == {
        "name": "support",
        "description": "Finds people and revokes their devices.",
        "permissions": [
            "accounts.lift_throttle",
            "accounts.view_throttle",
            "accounts.view_user",
            "tokens.revoke_issuedtoken",
            "tokens.view_issuedtoken",
        ],
    }


def test_permissions_of_a_role_are_read_only(people):
    client = people(MANAGER)
    client.post("roles", {"name": "helpers", "permissions": ["accounts.view_user"]})
    client.patch("roles/helpers", {"permissions": ["accounts.view_user"]})
    assert client.get("roles/helpers").json()["permissions"] == []


def test_roles_come_in_pages_by_name(people):
    for name in ("zebra", "beaver"):
        make_role(name)
    page = people(MANAGER).get("roles?page_size=3").json()

    assert page["count"] == 4
    assert [role["name"] for role in page["results"]] == ["admin", "beaver", "support"]
    assert page["next"].endswith("/api/v1/roles?page=2&page_size=3")
    assert page["previous"] is None


def test_list_of_roles_costs_the_same_for_many(people, django_assert_max_num_queries):
    for n in range(20):
        make_role(f"role-{n}", "accounts.view_user", "accounts.view_role")
    client = people(ROOT)
    client.get("roles")
    with django_assert_max_num_queries(6):
        client.get("roles")


@pytest.mark.parametrize(
    "name", ["", "two words", "a@b", "x" * 51, None, ["a"], "ümlaut", "a/b", "nul\0"]
)
def test_role_name_is_a_slug(people, name):
    answer = people(MANAGER).post("roles", {"name": name})
    assert answer.status_code == 400
    assert list(answer.json()) == ["name"]


def test_role_name_that_is_taken(people):
    make_role("helpers")
    make_role("others", "accounts.view_user")
    client = people(MANAGER)

    for answer in (
        client.post("roles", {"name": "helpers"}),
        client.patch("roles/others", {"name": "helpers"}),
        client.post("roles", {"name": "admin"}),
    ):
        assert answer.status_code == 409
        assert answer.json() == {
            "detail": "A role with that name already exists.",
            "code": "role_taken",
        }
    assert client.get("roles/others").status_code == 200


def test_rename_of_a_role_keeps_who_has_it(people, bob):
    bob.roles.add(make_role("helpers", "accounts.view_user"))
    client = people(MANAGER)

    assert client.patch("roles/helpers", {"name": "friends"}).json()["name"] == "friends"

    assert client.get("users/bob").json()["roles"] == ["friends"]
    assert client.get("roles/helpers").status_code == 404


def test_deleted_role_is_lost_by_who_had_it(people, api, bob):
    bob.roles.add(make_role("helpers", "accounts.view_user"))
    phone = api(bob)
    assert phone.get("users").status_code == 200

    assert people(MANAGER).delete("roles/helpers").status_code == 204

    assert phone.get("users").status_code == 403


# Built-in roles


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_role_exists_after_migrate(db, name):
    role = Role.objects.get(name=name)
    description, labels = BUILT_IN[name], declared_permissions(name)
    assert role.description == description
    assert role.permission_labels() == set(labels)


@pytest.mark.parametrize("name", BUILT_IN)
class TestBuiltInRole:
    def test_keeps_its_name_in_the_api(self, people, name):
        client = people(ROOT)

        answer = client.patch(f"roles/{name}", {"name": "renamed"})

        assert answer.status_code == 400
        assert answer.json() == {"name": ["This role is built in and keeps its name."]}
        same = client.patch(f"roles/{name}", {"name": name, "description": "Ours."})
        assert same.json()["description"] == "Ours."

    def test_is_not_deleted_by_the_api(self, people, name):
        answer = people(ROOT).delete(f"roles/{name}")
        assert answer.status_code == 403
        assert answer.json() == {
            "detail": f"The role {name} is built in and cannot be deleted.",
            "code": "permission_denied",
        }
        assert Role.objects.filter(name=name).exists()

    def test_keeps_its_name_in_the_model(self, db, name):
        role = Role.objects.get(name=name)
        role.name = "renamed"
        with pytest.raises(ValidationError):
            role.save()
        with pytest.raises(ValidationError):
            role.save(update_fields=["name"])
        assert Role.objects.filter(name=name).exists()

    def test_keeps_its_name_in_a_queryset(self, db, name):
        role = Role.objects.get(name=name)
        with pytest.raises(ValidationError):
            Role.objects.filter(pk=role.pk).update(name="renamed")
        role.name = "renamed"
        with pytest.raises(ValidationError), transaction.atomic():
            Role.objects.bulk_update([role], ["name"])
        assert Role.objects.filter(name=name).exists()

    def test_is_not_deleted_by_the_model(self, db, name):
        with pytest.raises(ProtectedError), transaction.atomic():
            Role.objects.get(name=name).delete()
        assert Role.objects.filter(name=name).exists()

    def test_is_not_deleted_by_a_queryset(self, db, name):
        make_role("helpers")
        with pytest.raises(ProtectedError), transaction.atomic():
            Role.objects.all().delete()
        assert Role.objects.count() == 3

    def test_keeps_its_name_in_the_admin(self, browser, root, name):
        role = Role.objects.get(name=name)
        url = f"/admin/accounts/role/{role.pk}/change/"
        held = [permission.pk for permission in role.permissions.all()]

        answer = browser(root).post(
            url, {"name": "renamed", "description": "Ours.", "permissions": held}
        )

        assert answer.status_code == 302
        role.refresh_from_db()
        assert (role.name, role.description) == (name, "Ours.")

    def test_is_not_deleted_by_the_admin(self, browser, root, name):
        role = Role.objects.get(name=name)
        page = browser(root)

        answer = page.post(f"/admin/accounts/role/{role.pk}/delete/", {"post": "yes"})
        assert answer.status_code == 403

        page.post(
            "/admin/accounts/role/",
            {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"},
        )
        assert Role.objects.filter(name=name).exists()

    def test_keeps_staffs_edits_at_the_next_migrate(self, db, name):
        role = Role.objects.get(name=name)
        role.permissions.set([permission("accounts.view_role")])
        role.description = "Ours."
        role.save()

        call_command("migrate", verbosity=0)

        role.refresh_from_db()
        assert role.description == "Ours."
        assert role.permission_labels() == {"accounts.view_role"}


def test_update_of_other_roles_is_free(db):
    make_role("helpers")
    assert Role.objects.filter(name="helpers").update(name="friends") == 1
    assert Role.objects.update(description="Ours.") == 3


def test_role_cannot_be_renamed_to_a_built_in_one(people):
    make_role("helpers")
    answer = people(ROOT).patch("roles/helpers", {"name": "admin"})
    assert (answer.status_code, answer.json()["code"]) == (409, "role_taken")


# Users


def test_user_in_json(people, bob):
    bob.roles.add(Role.objects.get(name="support"))
    shown = people(SUPPORT).get("users/bob").json()
    joined = shown["date_joined"]
    assert shown == {
        "id": bob.pk,
        "username": "bob",
        "email": "bob@example.org",
        "email_verified": True,
        "roles": ["support"],
        "date_joined": joined,
    }


def test_user_is_found_in_any_case(people):
    assert people(SUPPORT).get("users/BOB").json()["username"] == "bob"


def test_user_with_every_allowed_character_is_found(people):
    make_user("a.b+C-d_9")
    assert people(SUPPORT).get("users/a.b+C-d_9").json()["username"] == "a.b+C-d_9"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["alice", "bob", "manager", "root", "support"]),
        ("al", ["alice"]),
        ("AL", ["alice"]),
        ("bob@", ["bob"]),
        ("BOB@EXAMPLE", ["bob"]),
        ("lice", []),
        ("%", []),
        ("_", []),
        ("\0", []),
        ("x" * 5000, []),
        ("\\", []),
        ("' OR 1=1 --", []),
    ],
)
def test_search_for_users(people, search, found):
    from urllib.parse import quote

    answer = people(SUPPORT).get(f"users?search={quote(search)}")

    assert answer.status_code == 200
    assert [user["username"] for user in answer.json()["results"]] == found


def test_users_come_in_pages_by_name(people):
    client = people(SUPPORT)
    first = client.get("users?page_size=2").json()
    assert first["count"] == 5
    assert [user["username"] for user in first["results"]] == ["alice", "bob"]
    last = client.get("users?page=3&page_size=2").json()
    assert [user["username"] for user in last["results"]] == ["support"]
    assert last["next"] is None


@pytest.mark.parametrize("query", ["page=0", "page=4", "page=x", "page=%00", "page=99999999999999"])
def test_page_that_is_none(people, query):
    answer = people(SUPPORT).get(f"users?page_size=2&{query}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("size", "shown"), [("100", 100), ("101", 100), ("x", 20), ("0", 20)])
def test_page_holds_at_most_a_hundred(people, size, shown):
    User.objects.bulk_create(
        User(username=f"user{n:03}", email=f"user{n}@example.org") for n in range(110)
    )
    page = people(SUPPORT).get(f"users?page_size={size}").json()
    assert len(page["results"]) == shown


def test_list_of_users_costs_the_same_for_many(people, django_assert_max_num_queries):
    role = make_role("helpers")
    for n in range(15):
        User.objects.create(username=f"user{n}", email=f"user{n}@example.org").roles.add(role)
    client = people(ROOT)
    client.get("users")
    with django_assert_max_num_queries(5):
        client.get("users")


# Giving and taking roles


def give(client, role, username="bob"):
    return client.put(f"users/{username}/roles/{role}", PROOF)


def test_give_and_take_a_role_twice(people, bob):
    make_role("helpers", "accounts.view_user")
    client = people(MANAGER)

    for _ in range(2):
        answer = give(client, "helpers")
        assert (answer.status_code, answer.content) == (204, b"")
        assert bob.has_role("helpers")
    for _ in range(2):
        answer = client.delete("users/bob/roles/helpers")
        assert (answer.status_code, answer.content) == (204, b"")
        assert not bob.has_role("helpers")


@pytest.mark.asvs("8.2.3")
def test_role_with_more_permissions_than_ones_own_is_not_given(people, bob, manager):
    make_role("powers", "accounts.view_user", "auth.view_permission")

    answer = give(people(MANAGER), "powers")

    assert answer.status_code == 403
    assert answer.json()["detail"] == "This role has permissions that you do not have."
    assert not bob.has_role("powers")
    assert give(people(MANAGER), "powers", "manager").status_code == 403
    assert give(people(ROOT), "powers").status_code == 204


@pytest.mark.asvs("8.2.3")
def test_role_with_more_permissions_than_ones_own_is_not_taken(people, bob):
    bob.roles.add(make_role("powers", "auth.view_permission"))

    assert people(MANAGER).delete("users/bob/roles/powers").status_code == 403

    assert bob.has_role("powers")
    assert people(ROOT).delete("users/bob/roles/powers").status_code == 204


def test_role_with_as_many_permissions_is_given(people, bob):
    assert give(people(MANAGER), "admin").status_code == 204
    assert bob.has_role("admin")


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("role", ["helpers", "admin"])
def test_only_a_superuser_touches_a_superuser(people, root, method, role):
    root.roles.add(make_role("helpers"))

    answer = people(MANAGER).request(method, f"users/root/roles/{role}", PROOF)

    assert answer.status_code == 403
    assert answer.json()["detail"] == "Only a superuser may change a superuser."
    assert [given.name for given in root.roles.all()] == ["helpers"]
    assert people(ROOT).request(method, f"users/root/roles/{role}", PROOF).status_code == 204


def test_given_role_counts_at_the_next_request(people, api, bob):
    phone = api(bob)
    assert phone.get("users").status_code == 403

    give(people(MANAGER), "support")

    assert phone.get("users").status_code == 200
