"""Names compare alike on every database, whatever its language.

On PostgreSQL these tests make databases of their own: without a language, English and Turkish. In
Turkish the small letter of I is not i.
"""

import unicodedata
from itertools import count
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from tests.plugins.guestlist import PASSWORD, ApiClient, make_user

LOCALES = {
    "c": "LOCALE 'C'",
    "english": "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
    "turkish": "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
}
RESERVED = ["me", "devices", "admin", "root", "null", "true", "select", "users", "roles", "con"]
CHARACTERS = st.sampled_from("iIsSkKaA1\u0131\u0130\u017f\u212a.+-_%@/'\" ") | st.characters(
    max_codepoint=0x24F
)
NAMES = st.sampled_from(RESERVED) | st.text(CHARACTERS, max_size=8)

SETTINGS = settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(params=["own", *LOCALES])
def database(request, transactional_db):
    """The database of the tests, then one of each locale, in its place."""
    if request.param == "own":
        yield
        return
    if connection.vendor != "postgresql" or connection.pg_version < 150000:
        pytest.skip("PostgreSQL from 15 on makes a database of any language")
    former = connection.settings_dict["NAME"]
    name = connection.ops.quote_name(f"{former}_{request.param}")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 {LOCALES[request.param]}")
    connection.close()
    connection.settings_dict["NAME"] = name.strip('"')
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = former
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")


def test_name_in_other_letters_is_the_same_account(database, browser):
    root, phone = make_user("root", is_staff=True, is_superuser=True), ApiClient()
    User.objects.filter(pk=make_user("iris").pk).update(email_verified_at=root.date_joined)
    new = {"password": PASSWORD}

    taken = phone.post("signup", new | {"username": "IRIS", "email": "new@example.org"})
    assert (taken.status_code, taken.json()["code"]) == (409, "username_taken")
    taken = phone.post("signup", new | {"username": "new", "email": "IRIS@EXAMPLE.ORG"})
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
    for name in ("Iris", "IRIS", "IRIS@example.org"):
        assert phone.post("login", new | {"username": name}).status_code == 200
    staff = ApiClient().log_in(root)
    assert staff.get("users/IRIS").json()["username"] == "iris"
    for term in ("IR", "ir", "IRIS@EX"):
        found = [user["username"] for user in staff.get(f"users?search={term}").json()["results"]]
        assert found == ["iris"]
        page = browser(root).get("/admin/accounts/user/", {"q": term})
        assert [user.username for user in page.context["cl"].result_list] == ["iris"]


def test_no_two_accounts_compare_alike(database, settings, root_client):
    settings.SIGNUPS_PER_HOUR = 10_000
    numbers = count()

    def sign_up(name):
        """The status, and the name as it is stored."""
        body = {"username": name, "email": f"p{next(numbers)}@example.org", "password": PASSWORD}
        answer = ApiClient().post("signup", body)
        stored = unicodedata.normalize("NFKC", name.strip())
        assert answer.status_code != 201 or answer.json()["username"] == stored
        return answer.status_code, stored

    @SETTINGS
    @given(NAMES, NAMES, st.booleans())
    def look(first, second, is_same):
        User.objects.exclude(username="root-client").delete()
        if is_same:
            second = first.swapcase()
        (one, first), (two, second) = sign_up(first), sign_up(second)
        assert {one, two} <= {201, 400, 409}
        if one == 201 and two != 400:
            assert (two == 409) == (first.lower() == second.lower())
        for name, status in ((first, one), (second, two)):
            assert root_client.get(f"users/{quote(name, safe='')}").status_code < 500
            assert root_client.get(f"users?search={quote(name)}").status_code == 200
            if status == 201:
                assert root_client.get(f"users/{name.swapcase()}").json()["username"] == name

    look()


@pytest.fixture
def root_client(database):
    return ApiClient().log_in(make_user("root-client", is_staff=True, is_superuser=True))
