"""Usernames that a URL folds, or that compare alike, exist by no way."""

import io

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from accounts.models import Role, User
from accounts.tests.admin import USERS, save
from tests.plugins.guestlist import PASSWORD

# A client folds the first two out of a path, some servers fold the others. Two full stops of East
# Asia become "..".
FOLDED = [".", "..", "...", "-", "_", "+", "._.", "\uff0e\uff0e", "a@b", "@", "a/..", "%2e%2e"]


@pytest.mark.parametrize("name", FOLDED)
class TestFoldedName:
    def test_is_refused_at_sign_up(self, api, client, db, name):
        body = {"username": name, "email": "new@example.org", "password": PASSWORD}
        answer = api().post("signup", body)
        assert (answer.status_code, list(answer.json())) == (400, ["username"])

        form = {k: v for k, v in body.items() if k != "password"}
        page = client.post("/signup", form | {"password1": PASSWORD, "password2": PASSWORD})
        assert page.status_code == 200
        assert "username" in page.context["form"].errors
        assert not User.objects.exists()

    def test_is_refused_as_a_new_name(self, api, alice, name):
        answer = api(alice).patch("me", {"username": name, "current_password": PASSWORD})
        assert (answer.status_code, list(answer.json())) == (400, ["username"])

    def test_is_refused_in_the_admin(self, browser, root, alice, name):
        page = browser(root)
        assert save(page, alice, username=name).status_code == 200
        page.post(USERS + "add/", {"username": name, "email": "new@example.org"})
        assert {user.username for user in User.objects.all()} == {"root", "alice"}

    def test_is_refused_by_commands_and_code(self, db, name):
        with pytest.raises(CommandError, match="username"):
            call_command("create_admin", name, "new@example.org", "--password-stdin")
        with pytest.raises(ValidationError):
            User(username=name, email="new@example.org", password="x").full_clean()
        for make in (User.objects.create_user, User.objects.create_superuser, User.objects.create):
            with pytest.raises(ValidationError):
                make(username=name, email="new@example.org")
        assert not User.objects.exists()


@pytest.fixture
def dots(alice):
    """An account from before the rule."""
    User.objects.filter(pk=alice.pk).update(username="..")
    alice.refresh_from_db()
    return alice


@pytest.mark.parametrize("path", ["users/..", "users/../roles/support", "users/../devices"])
def test_no_url_leads_to_a_folded_name(api, root, dots, path):
    staff = api(root)
    for method in ("GET", "PUT", "DELETE"):
        assert staff.request(method, path, {"current_password": PASSWORD}).status_code == 404
    assert not dots.roles.exists()
    assert Role.objects.filter(name="support").exists()


def test_account_from_before_the_rule_goes_on_and_is_renamed(api, browser, root, dots):
    phone = api(dots)
    body = {"current_password": PASSWORD, "new_password": "five quiet herons at dusk"}
    assert phone.post("password", body).status_code == 200

    assert save(browser(root), dots, username="dots").status_code == 302
    assert dots.username == "dots"


@pytest.mark.parametrize("email", [None, ""])
def test_user_without_an_address_is_a_clear_error(db, email):
    for make in (User.objects.create_user, User.objects.create_superuser):
        for name in ("a", "b"):
            with pytest.raises(ValueError, match=r"The email address is missing\."):
                make(name, email)
    with pytest.raises(ValueError, match="username"):
        User.objects.create_user("", "a@example.org")
    assert not User.objects.exists()


def test_createsuperuser_asks_for_an_address(db, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    with pytest.raises(CommandError, match="--email"):
        call_command("createsuperuser", "--noinput", username="a", stdout=io.StringIO())
