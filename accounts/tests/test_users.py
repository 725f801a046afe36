"""Accounts: names, the login, password changes, deactivation, deletion, and permissions by role."""

import getpass
import runpy
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.backends import find_user
from accounts.hashers import Argon2PasswordHasher
from accounts.lookups import BytewiseLower
from accounts.models import Role, User
from accounts.permissions import HasPermission, HasRole
from config.urls import urlpatterns as site_urls
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, make_user
from tokens.models import IssuedToken


def verified(user):
    User.objects.filter(pk=user.pk).update(email_verified_at=user.date_joined)
    return user


def test_others_of_the_admin_are_no_other_superusers(alice, root, support):
    assert root.is_last_superuser()
    make_user("second", is_superuser=True, is_staff=True)
    assert not root.is_last_superuser()
    assert not alice.is_last_superuser()


def test_natural_key_is_the_username_without_regard_to_case(alice, bob):
    assert User.objects.get_by_natural_key("ALICE") == alice
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key("nobody")


LONGEST = "a" * 242 + "@example.org"  # 254 characters


def found(text, limit=9):
    return User.objects.first_starting_with(text, limit)


def test_search_finds_by_both_names_and_by_the_longest(alice, bob):
    User.objects.filter(pk=bob.pk).update(email=LONGEST)

    for text in (LONGEST, LONGEST.upper(), "aaa"):
        assert list(User.objects.starting_with(text)) == [bob]
        assert found(text) == ([bob.pk], False)
    assert set(User.objects.starting_with("a")) == {alice, bob}


def test_search_finds_names_that_go_on_with_any_letter(db):
    last, foreign = make_user("azz"), make_user("b", email="aé@example.org")
    assert set(User.objects.starting_with("a")) == {last, foreign}
    assert found("a") == ([last.pk, last.pk, foreign.pk], False)


@pytest.mark.parametrize("text", ["a\0", "\0", "b" * 255])
def test_search_for_what_no_name_holds_asks_nothing(text, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not User.objects.starting_with(text)
        assert found(text) == ([], False)


def test_search_gives_the_first_of_each_name_and_says_if_there_are_more(db):
    b, a = make_user("xb", email="xb@example.org"), make_user("xa", email="xa@example.org")
    c = make_user("xc", email="y@example.org")

    assert found("x", 3) == ([a.pk, b.pk, c.pk, a.pk, b.pk], False)
    assert found("x", 2) == ([a.pk, b.pk, a.pk, b.pk], True)
    assert found("x", 1) == ([a.pk, a.pk], True)


def test_save_of_a_field_of_a_role_writes_no_other(db):
    role = role_with()
    role.name, role.description = "friends", "New"

    role.save(update_fields=["description"])

    role.refresh_from_db()
    assert (role.name, role.description) == ("helpers", "New")


def test_names_are_compared_byte_by_byte_on_postgresql(db):
    query = User.objects.all().query
    name = BytewiseLower("username").resolve_expression(query)

    sql, parameters = name.as_postgresql(query.get_compiler("default"), connection)

    assert (sql, list(parameters)) == ('LOWER("accounts_user"."username" COLLATE "C")', [])


@pytest.mark.parametrize("name", ["admin", "support"])
def test_built_in_role_says_why_it_stays(db, name):
    role = Role.objects.get(name=name)

    told = rf"The role {name} is built in\."
    with pytest.raises(ProtectedError, match=told) as stays, transaction.atomic():
        role.delete()
    assert stays.value.protected_objects == {role}
    role.name = "other"
    with pytest.raises(ValidationError, match=rf"The role {name} is built in and keeps its name"):
        role.save()
    with pytest.raises(ValidationError, match=r"\['A built-in role keeps its name\.'\]"):
        Role.objects.filter(name=name).update(name="other")


def log_in(api, username, password=PASSWORD):
    return api().post("login", {"username": username, "password": password})


def permission(label):
    app_label, codename = label.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


def role_with(*labels, name="helpers"):
    role, _ = Role.objects.get_or_create(name=name)
    role.permissions.set([permission(label) for label in labels])
    return role


def change_page(user):
    return f"/admin/accounts/user/{user.pk}/change/"


def edit(page, user, **changes):
    """What the form of the user's admin page would send, with some changes."""
    form = page.get(change_page(user)).context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data["roles"] = [role.pk for role in data["roles"]]
    data |= changes
    data = {name: value for name, value in data.items() if value not in (None, False)}
    return page.post(change_page(user), data)


# Names


@pytest.mark.parametrize(
    "username",
    [
        "a@b",
        "two words",
        "",
        "new\nline",
        "nul\0",
        "a/b",
        "x" * 151,
        "Élodie",
        "дима",
        "ada\u0301",
        "\uff41da@",
    ],
)
def test_username_of_other_characters_is_refused(username):
    with pytest.raises(ValidationError) as refused:
        User(username=username, email="a@example.org", password="x").full_clean(
            validate_unique=False, validate_constraints=False
        )
    assert list(refused.value.message_dict) == ["username"]


@pytest.mark.parametrize("username", ["ALICE", "Alice", "aLiCe"])
def test_username_is_unique_without_regard_to_case(alice, username):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(username, email="other@example.org")
    with pytest.raises(ValidationError, match=r"That username is taken\."):
        User(username=username, email="other@example.org", password="x").full_clean()


@pytest.mark.parametrize("email", ["Alice@example.org", "alice@EXAMPLE.org"])
def test_verified_email_is_unique_without_regard_to_case(alice, email):
    carol = User.objects.create_user("carol", email=email)  # unverified, so it reserves nothing
    verified = {"email_verified_at": timezone.now()}
    User.objects.filter(pk=alice.pk).update(**verified)

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=carol.pk).update(**verified)
    with pytest.raises(ValidationError, match=r"That email address is taken\."):
        User(username="carl", email=email, password="x", **verified).full_clean()


def test_email_is_required():
    with pytest.raises(ValidationError) as refused:
        User(username="carol", password="x").full_clean(
            validate_unique=False, validate_constraints=False
        )
    assert list(refused.value.message_dict) == ["email"]


@pytest.mark.asvs("15.4.2")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "names",
    [
        ("carol", "CAROL", "Carol", "cARoL"),
        # A name that a careless reader of the database's message takes for the other column.
        ("email", "EMAIL", "Email", "eMAIl"),
    ],
)
def test_of_many_at_once_one_gets_the_username(api, names):
    answers = race(
        lambda n: api().post(
            "signup",
            {"username": names[n], "email": f"person{n}@example.org", "password": PASSWORD},
        ),
        len(names),
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    refusals = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert refusals == ["username_taken"] * 3
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_renaming_at_once_one_gets_the_username(api, alice, bob):
    clients = [api(alice), api(bob)]
    body = {"username": "email", "current_password": PASSWORD}

    answers = race(lambda n: clients[n].patch("me", body), 2)

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [a.json()["code"] for a in answers if a.status_code == 409] == ["username_taken"]


def race(act, count):
    """What `act(0)` ... `act(count - 1)` return, each in a thread and all at once."""
    start, results = Barrier(count), [None] * count

    def run(n):
        try:
            start.wait()
            results[n] = act(n)
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=[n]) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# Logging in


@pytest.mark.parametrize("identifier", ["alice", "ALICE", "Alice"])
def test_login_by_username_in_any_case(api, alice, identifier):
    assert log_in(api, identifier).status_code == 200


def test_login_by_verified_email_in_any_case(api, alice):
    verified(alice)
    assert log_in(api, "Alice@Example.org").status_code == 200


@pytest.mark.asvs("6.3.6")
def test_login_by_unverified_email_is_refused(api, alice):
    User.objects.update(email_verified_at=None)
    answer = log_in(api, "alice@example.org")
    assert (answer.status_code, answer.json()["code"]) == (401, "login_failed")


def test_login_page_takes_any_case_and_a_verified_email(client, alice):
    verified(alice)
    for identifier in ["aLICE", "ALICE@example.org"]:
        answer = client.post("/login", {"username": identifier, "password": PASSWORD})
        assert answer.status_code == 302


def test_login_by_username_in_another_unicode_form(api, db):
    """The login page normalizes (NFKC) what is typed; so does the API."""
    User.objects.create_user("fiona", email="fiona@example.org", password=PASSWORD)
    assert log_in(api, "\ufb01ona").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["alice", "ALICE", "\uff21lice", "Alice@Example.org", "bob@example.org", "carol", "", "@", "%"],
)
def test_user_who_logs_in_is_the_one_of_the_orm(alice, bob, name, django_assert_num_queries):
    User.objects.filter(pk=bob.pk).update(email_verified_at=None)
    with django_assert_num_queries(1):
        found = find_user(name)

    expected = User.objects.with_login(name).first()
    assert found == expected
    if found:
        read = [field.attname for field in User._meta.concrete_fields]
        assert [getattr(found, field) for field in read] == [
            getattr(expected, field) for field in read
        ]
        assert (found._state.db, found._state.adding) == ("default", False)


def test_no_username_or_password_is_nobody(alice, rf):
    assert authenticate(rf.post("/"), username=None, password=PASSWORD) is None
    assert authenticate(rf.post("/"), username="alice", password=None) is None


@pytest.fixture
def hashes(monkeypatch):
    """The hash computations since the fixture, as a list of the hasher's methods."""
    computed = []

    def count(name):
        method = getattr(Argon2PasswordHasher, name)

        def counted(self, *args, **kwargs):
            computed.append(name)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(Argon2PasswordHasher, name, counted)

    count("encode")
    count("verify")
    return computed


def refuse_by_wrong_password(user):
    return user.username, "not the password"


def refuse_by_unknown_username(user):
    return "nobody", PASSWORD


def refuse_by_unknown_email(user):
    return "nobody@example.org", PASSWORD


def refuse_by_unverified_email(user):
    User.objects.filter(pk=user.pk).update(email_verified_at=None)
    return user.email, PASSWORD


def refuse_by_deactivation(user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    return user.username, PASSWORD


def refuse_by_deactivation_and_wrong_password(user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    return user.username, "not the password"


def refuse_by_no_password(user):
    user.set_unusable_password()
    user.save()
    return user.username, PASSWORD


def refuse_by_unknown_hash(user):
    User.objects.filter(pk=user.pk).update(password="md5$salt$5f4dcc3b5aa765d61d8327deb882cf99")
    return user.username, PASSWORD


REFUSALS = [
    refuse_by_wrong_password,
    refuse_by_unknown_username,
    refuse_by_unknown_email,
    refuse_by_unverified_email,
    refuse_by_deactivation,
    refuse_by_deactivation_and_wrong_password,
    refuse_by_no_password,
    refuse_by_unknown_hash,
]


@pytest.mark.asvs("6.3.8", "11.4.1")
@pytest.mark.parametrize("refuse", REFUSALS)
def test_refused_login_computes_one_hash(api, alice, hashes, refuse):
    username, password = refuse(alice)
    hashes.clear()

    answer = log_in(api, username, password)

    assert (answer.status_code, answer.json()["code"]) == (401, "login_failed")
    assert len(hashes) == 1


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("url", ["/login", "/admin/login/"])
@pytest.mark.parametrize("refuse", REFUSALS)
def test_refused_login_page_computes_one_hash(client, alice, hashes, refuse, url):
    username, password = refuse(alice)
    hashes.clear()

    answer = client.post(url, {"username": username, "password": password})

    assert answer.status_code == 200
    assert len(hashes) == 1


@pytest.mark.asvs("6.3.8")
def test_refused_login_with_an_outdated_hash_computes_one_hash(api, alice, hashes, monkeypatch):
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 2)
    username, password = refuse_by_deactivation(alice)
    hashes.clear()

    assert log_in(api, username, password).status_code == 401
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("password", "status", "computed"),
    [("not the password", 401, ["verify"]), (PASSWORD, 200, ["verify", "encode"])],
)
def test_outdated_hash_is_computed_anew_for_the_right_password_alone(
    api, alice, hashes, monkeypatch, password, status, computed
):
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 2)
    hashes.clear()

    assert log_in(api, "alice", password).status_code == status
    assert hashes == computed


@pytest.mark.asvs("11.4.2")
def test_hash_is_argon2id_with_its_full_cost():
    """Read anew from the file: the class that the tests use was made cheap."""
    module = runpy.run_path(settings.BASE_DIR / "accounts" / "hashers.py")
    hasher = module["Argon2PasswordHasher"]()

    encoded = hasher.encode(PASSWORD, hasher.salt())

    assert settings.PASSWORD_HASHERS == ["accounts.hashers.Argon2PasswordHasher"]
    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.asvs("6.2.10")
def test_password_has_no_age(api, alice):
    User.objects.update(password_changed_at=alice.date_joined - timedelta(days=3650))
    assert api(alice).get("me").status_code == 200


# Password changes


@pytest.mark.asvs("11.2.2")
def test_hash_upgrade_at_login_is_no_password_change(api, browser, alice, monkeypatch):
    phone, laptop = api(alice), browser(alice)
    before = User.objects.get(pk=alice.pk)
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 2)

    api(alice)

    after = User.objects.get(pk=alice.pk)
    assert after.password != before.password
    assert after.password_changed_at == before.password_changed_at
    assert phone.get("me").status_code == 200
    assert laptop.get("/api/v1/me").status_code == 200


def test_hash_upgrade_at_reauthentication_is_no_password_change(api, alice, monkeypatch):
    phone, tablet = api(alice), api(alice)
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 2)

    assert phone.post("reauthenticate", {"password": PASSWORD}).status_code == 200

    assert tablet.get("me").status_code == 200
    stamp = User.objects.get(pk=alice.pk).password_changed_at
    assert stamp == alice.password_changed_at


def change_by_api(user, api, browser, monkeypatch):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert api(user).post("password", body).status_code == 200


def change_by_page(user, api, browser, monkeypatch):
    body = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    assert browser(user).post("/password/change", body).status_code == 302


def change_by_command(user, api, browser, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: NEW_PASSWORD)
    call_command("changepassword", user.username)


def change_by_save(user, api, browser, monkeypatch):
    user.set_password(NEW_PASSWORD)
    user.save()


def change_by_save_of_password(user, api, browser, monkeypatch):
    user.set_password(NEW_PASSWORD)
    user.save(update_fields=["password"])


def change_by_save_of_several(user, api, browser, monkeypatch):
    user.set_password(NEW_PASSWORD)
    user.save(update_fields=("username", "password"))


def change_by_two_saves(user, api, browser, monkeypatch):
    user.set_password(NEW_PASSWORD)
    user.save(update_fields=["username"])
    user.save()


def change_by_two_partial_saves(user, api, browser, monkeypatch):
    user.set_password(NEW_PASSWORD)
    user.save(update_fields=["username"])
    user.save(update_fields=["password"])


def change_by_queryset(user, api, browser, monkeypatch):
    User.objects.filter(pk=user.pk).update(password=make_password(NEW_PASSWORD))


def change_by_assignment(user, api, browser, monkeypatch):
    user.password = make_password(NEW_PASSWORD)
    user.save()


def change_by_assignment_alone(user, api, browser, monkeypatch):
    user.check_password(PASSWORD)
    user.password = make_password(NEW_PASSWORD)
    user.save(update_fields=["password"])


def change_by_assignment_of_anothers(user, api, browser, monkeypatch):
    other = User.objects.create_user("other", "other@example.org", NEW_PASSWORD)
    user.password = other.password
    user.save()


def change_by_bulk_update(user, api, browser, monkeypatch):
    user.password = make_password(NEW_PASSWORD)
    User.objects.bulk_update([user], ["password"])


CHANGES = [
    change_by_queryset,
    change_by_assignment,
    change_by_assignment_alone,
    change_by_assignment_of_anothers,
    change_by_bulk_update,
    change_by_api,
    change_by_page,
    change_by_command,
    change_by_save,
    change_by_save_of_password,
    change_by_save_of_several,
    change_by_two_saves,
    change_by_two_partial_saves,
]


@pytest.mark.asvs("7.4.3")
@pytest.mark.parametrize("change", CHANGES)
def test_password_change_is_stamped_and_ends_other_devices(
    api, browser, alice, monkeypatch, change
):
    phone, laptop = api(alice), browser(alice)
    before = alice.password_changed_at

    change(alice, api, browser, monkeypatch)

    alice.refresh_from_db()
    assert alice.password_changed_at > before
    assert alice.check_password(NEW_PASSWORD)
    refused = phone.get("me")
    assert refused.status_code == 401
    assert refused.json()["code"] == "password_changed"
    assert laptop.get("/api/v1/me").status_code == 401
    assert phone.device.state == "revoked"
    assert phone.device.ended_reason == "password"


def test_taking_the_password_away_ends_devices(api, alice):
    phone = api(alice)
    alice.set_unusable_password()
    alice.save()

    assert phone.get("me").json()["code"] == "password_changed"


def test_save_of_other_fields_is_no_password_change(api, alice):
    phone, before = api(alice), alice.password_changed_at
    alice.first_name = "Alice"
    alice.save()
    alice.save(update_fields=["first_name"])
    User.objects.get(pk=alice.pk).save()

    alice.refresh_from_db()
    assert alice.password_changed_at == before
    assert phone.get("me").status_code == 200


def test_password_that_was_not_saved_is_no_change(api, alice):
    phone = api(alice)
    alice.set_password(NEW_PASSWORD)
    alice.save(update_fields=["username"])

    assert phone.get("me").status_code == 200
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


# Deactivation


def deactivate_by_save(user, page):
    user.is_active = False
    user.save()


def deactivate_by_partial_save(user, page):
    user.is_active = False
    user.save(update_fields=["is_active"])


def deactivate_by_queryset(user, page):
    User.objects.filter(pk=user.pk).update(is_active=False)


def deactivate_by_queryset_that_no_longer_matches(user, page):
    User.objects.filter(username=user.username, is_active=True).update(
        is_active=False, username="gone"
    )


def deactivate_by_expression(user, page):
    from django.db.models import Q

    inactive = Q(is_staff=True)
    User.objects.filter(pk=user.pk).update(is_active=inactive)


def deactivate_by_bulk_update(user, page):
    user.is_active = False
    User.objects.bulk_update([user], ["is_active"])


def deactivate_by_admin(user, page):
    assert edit(page, user, is_active=False).status_code == 302


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize(
    "deactivate",
    [
        deactivate_by_save,
        deactivate_by_partial_save,
        deactivate_by_queryset,
        deactivate_by_queryset_that_no_longer_matches,
        deactivate_by_expression,
        deactivate_by_bulk_update,
        deactivate_by_admin,
    ],
)
def test_deactivation_revokes_all_devices_for_good(api, browser, alice, bob, root, deactivate):
    phone, laptop, other = api(alice), browser(alice), api(bob)

    deactivate(alice, browser(root))

    assert not User.objects.get(pk=alice.pk).is_active
    rows = alice.devices.values_list("revoked_reason", flat=True)
    assert list(rows) == ["deactivated", "deactivated"]
    assert other.get("me").status_code == 200

    User.objects.filter(pk=alice.pk).update(is_active=True)

    refused = phone.get("me")
    assert (refused.status_code, refused.json()["code"]) == (401, "device_revoked")
    assert refused.json()["reason"] == "deactivated"
    assert laptop.get("/api/v1/me").status_code == 401


@pytest.mark.asvs("2.3.3")
def test_deactivation_in_a_transaction_that_fails_revokes_nothing(api, alice):
    phone = api(alice)
    with transaction.atomic():
        User.objects.filter(pk=alice.pk).update(is_active=False)
        transaction.set_rollback(True)

    assert phone.get("me").status_code == 200


def test_deactivation_keeps_what_ended_a_device_before(api, alice):
    phone = api(alice)
    phone.post("logout")

    deactivate_by_save(alice, None)

    assert phone.device.revoked_reason == "logout"


def test_update_of_other_fields_revokes_nothing(api, alice):
    phone = api(alice)
    User.objects.filter(pk=alice.pk).update(first_name="Alice")
    User.objects.filter(pk=alice.pk).update(is_active=True)

    assert phone.get("me").status_code == 200


@pytest.mark.asvs("7.4.2")
def test_deactivation_behind_django_refuses_at_the_next_request(api, browser, alice):
    phone, laptop = api(alice), browser(alice)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = %s WHERE id = %s", [False, alice.pk])

    refused = phone.get("me")
    assert (refused.status_code, refused.json()["code"]) == (401, "user_inactive")
    assert laptop.get("/api/v1/me").status_code == 401
    assert (phone.device.state, phone.device.ended_reason) == ("revoked", "deactivated")


# Coming and going


@pytest.mark.asvs("6.3.2")
def test_migrated_database_has_roles_and_nobody(db):
    assert Role.objects.count() == 2
    assert not User.objects.exists()


@pytest.mark.asvs("10.3.3")
def test_key_of_a_deleted_account_lets_nobody_into_the_next_one(api, browser, alice):
    phone, laptop = api(alice), browser(alice)
    key = alice.pk
    alice.delete()
    make_user("mallory", pk=key)

    assert phone.get("me").json()["code"] == "token_invalid"
    body = {"refresh_token": phone.pair["refresh_token"]}
    assert phone.post("refresh", body).json()["code"] == "token_invalid"
    assert laptop.get("/api/v1/me").status_code == 401


def delete_by_model(user, page):
    user.delete()


def delete_by_queryset(user, page):
    User.objects.filter(pk=user.pk).delete()


def delete_by_admin(user, page):
    answer = page.post(f"/admin/accounts/user/{user.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 302


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("delete", [delete_by_model, delete_by_queryset, delete_by_admin])
def test_deletion_takes_devices_along(api, browser, alice, root, delete):
    phone, laptop, page = api(alice), browser(alice), browser(root)

    delete(alice, page)

    assert list(IssuedToken.objects.values_list("user__username", flat=True)) == ["root"]
    refused = phone.get("me")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    refused = api().post("refresh", {"refresh_token": phone.pair["refresh_token"]})
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert laptop.get("/api/v1/me").status_code == 401


# Permissions by role


def test_permissions_come_from_roles(alice):
    alice.roles.add(role_with("accounts.view_user", "tokens.view_issuedtoken"))

    alice = User.objects.get(pk=alice.pk)
    assert alice.has_perm("accounts.view_user")
    assert alice.has_perms(["accounts.view_user", "tokens.view_issuedtoken"])
    assert not alice.has_perm("accounts.change_user")
    assert alice.has_module_perms("tokens")
    assert not alice.has_module_perms("auth")
    assert alice.get_all_permissions() == {"accounts.view_user", "tokens.view_issuedtoken"}


def test_two_roles_add_up_and_so_do_own_permissions(alice):
    alice.roles.add(role_with("accounts.view_user", name="one"))
    alice.roles.add(role_with("accounts.view_user", "accounts.view_role", name="two"))
    alice.user_permissions.add(permission("accounts.add_role"))

    assert User.objects.get(pk=alice.pk).get_all_permissions() == {
        "accounts.view_user",
        "accounts.view_role",
        "accounts.add_role",
    }


def test_inactive_user_has_no_permission_and_no_role(alice, root):
    alice.roles.add(role_with("accounts.view_user"))
    User.objects.update(is_active=False)

    for user in (User.objects.get(pk=alice.pk), User.objects.get(pk=root.pk)):
        assert not user.has_perm("accounts.view_user")
        assert not user.has_module_perms("accounts")
        assert user.get_all_permissions() == set()
        assert not user.has_role("helpers")


def test_admin_shows_what_the_role_lets_see(browser, alice):
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.roles.add(role_with("accounts.view_user"))
    page = browser(alice)

    assert page.get("/admin/accounts/user/").status_code == 200
    assert page.get("/admin/accounts/role/").status_code == 403
    assert page.get("/admin/tokens/issuedtoken/").status_code == 403


def lose_by_sql(user, staff, page):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user_roles WHERE user_id = %s", [user.pk])


def lose_by_admin(user, staff, page):
    assert edit(page, user, roles=[]).status_code == 302


def lose_by_api(user, staff, page):
    assert staff.delete(f"users/{user.username}/roles/support").status_code == 204


LOSSES = {
    "user": lambda user, staff, page: user.roles.clear(),
    "role": lambda user, staff, page: Role.objects.get(name="support").users.remove(user),
    "queryset": lambda user, staff, page: User.roles.through.objects.all().delete(),
    "admin": lose_by_admin,
    "API": lose_by_api,
    "SQL": lose_by_sql,
}


@pytest.mark.asvs("8.3.2")
@pytest.mark.parametrize("lose", LOSSES.values(), ids=list(LOSSES))
def test_lost_role_counts_at_the_next_request(api, browser, support, root, lose):
    client, page = api(support), browser(support)
    assert client.get("users").status_code == 200
    assert page.get("/admin/accounts/user/").status_code == 200

    lose(support, api(root), browser(root))

    assert client.get("users").status_code == 403
    assert page.get("/admin/accounts/user/").status_code == 403


@pytest.mark.asvs("8.3.2")
def test_who_is_no_longer_staff_is_out_of_the_admin_at_the_next_request(browser, support):
    page = browser(support)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_staff = %s WHERE id = %s", [False, support.pk])

    assert page.get("/admin/accounts/user/").status_code == 302


@pytest.mark.asvs("8.3.2")
def test_permission_taken_from_a_role_counts_at_the_next_request(api, support):
    client = api(support)
    Role.objects.get(name="support").permissions.remove(permission("accounts.view_user"))

    assert client.get("users").status_code == 403


# Permission classes for the views of others


class IsReading(BasePermission):
    def has_permission(self, request, view):
        return request.method in SAFE_METHODS


def view_for(permission, *, with_object=False):
    class View(APIView):
        permission_classes = [permission]

        def get(self, request):
            if with_object:
                self.check_object_permissions(request, object())
            return Response()

        post = get

    return View.as_view()


WAYS = {
    "admin": HasRole("admin"),
    "and": HasRole("admin") & HasRole("support"),
    "or": HasRole("admin") | HasRole("support"),
    "not": ~HasRole("admin"),
    "but": HasRole("support") & ~HasRole("admin"),
    "class": IsReading & HasRole("admin"),
    "class-right": HasRole("admin") & IsReading,
    "permission": HasPermission("accounts.view_user"),
    "permission-not": ~HasPermission("accounts.view_user"),
    "both": HasPermission("accounts.view_user") & HasRole("support"),
}
urlpatterns = [
    *(path(f"api/v1/test/{name}", view_for(wanted)) for name, wanted in WAYS.items()),
    *(
        path(f"api/v1/test/{name}/object", view_for(wanted, with_object=True))
        for name, wanted in WAYS.items()
    ),
    *site_urls,
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("suffix", ["", "/object"])
@pytest.mark.parametrize(
    ("name", "roles", "status"),
    [
        ("admin", [], 403),
        ("admin", ["support"], 403),
        ("admin", ["admin"], 200),
        ("and", ["admin"], 403),
        ("and", ["support"], 403),
        ("and", ["admin", "support"], 200),
        ("or", [], 403),
        ("or", ["admin"], 200),
        ("or", ["support"], 200),
        ("not", [], 200),
        ("not", ["admin"], 403),
        ("but", ["support"], 200),
        ("but", ["admin", "support"], 403),
        ("class", ["admin"], 200),
        ("class", [], 403),
        ("class-right", ["admin"], 200),
        ("permission", [], 403),
        ("permission", ["support"], 200),
        ("permission", ["admin"], 200),
        ("permission-not", [], 200),
        ("permission-not", ["support"], 403),
        ("both", ["admin"], 403),
        ("both", ["support"], 200),
    ],
)
def test_views_let_in_by_role(api, alice, name, roles, status, suffix):
    alice.roles.set(Role.objects.filter(name__in=roles))
    answer = api(alice).get(f"test/{name}{suffix}")
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "permission_denied"


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ["admin", "and", "or", "but", "class", "permission", "both"])
def test_views_by_role_ask_nobody_to_sign_in(api, db, name):
    answer = api().get(f"test/{name}")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.asvs("8.3.2")
@pytest.mark.urls(__name__)
def test_role_for_a_view_counts_at_the_next_request(api, manager):
    client = api(manager)
    assert client.get("test/admin").status_code == 200
    assert client.post("test/class").status_code == 403

    manager.roles.clear()

    assert client.get("test/admin").status_code == 403


@pytest.mark.urls(__name__)
def test_superuser_has_permissions_and_not_roles(api, root):
    client = api(root)
    assert client.get("test/permission").status_code == 200
    assert client.get("test/admin").status_code == 403


def test_any_number_of_users_is_deactivated_at_once(api, alice):
    """PostgreSQL takes 65,535 parameters in a statement."""
    phone = api(alice)
    columns = [f'"{field.column}"' for field in User._meta.concrete_fields if not field.primary_key]
    others = {'"username"': "'u' || n", '"email"': "'u' || n || '@example.org'"}
    with connection.cursor() as cursor:  # copies of alice, since as many models take ten seconds
        cursor.execute(
            f"""WITH RECURSIVE numbers(n) AS
                (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 66000)
            INSERT INTO accounts_user ({", ".join(columns)})
            SELECT {", ".join(others.get(column, column) for column in columns)}
            FROM accounts_user, numbers"""
        )

    assert User.objects.update(is_active=False) == 66_001
    assert phone.device.revoked_reason == "deactivated"


def test_several_users_are_deactivated_in_one_statement_and_nobody_else(api, alice, bob, root):
    devices = [api(user) for user in (alice, bob, root)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = false WHERE username = 'root'")

    with CaptureQueriesContext(connection) as queries:
        User.objects.filter(username__in=["alice", "bob"]).update(is_active=False)

    assert sum('UPDATE "tokens_issuedtoken"' in query["sql"] for query in queries) == 1
    assert [phone.device.revoked_reason for phone in devices] == ["deactivated"] * 2 + [""]
