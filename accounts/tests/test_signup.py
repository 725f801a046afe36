"""Signing up, the link that proves an e-mail address, and changing one's own names."""

import re
import time
from smtplib import SMTPServerDisconnected

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from accounts.models import User
from accounts.verification import MAX_AGE
from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken

CAROL = {"username": "carol", "email": "carol@example.org", "password": PASSWORD}


class RefusedConnection(BaseEmailBackend):
    def send_messages(self, messages):
        raise ConnectionRefusedError("no mail server here")


class LostConnection(BaseEmailBackend):
    def send_messages(self, messages):
        raise SMTPServerDisconnected("it hung up")


@pytest.fixture
def signup(api, db, django_capture_on_commit_callbacks):
    def post(**changes):
        with django_capture_on_commit_callbacks(execute=True):
            return api().post("signup", CAROL | changes)

    return post


@pytest.fixture
def rename(django_capture_on_commit_callbacks):
    """`rename(client, email=...)` is her PATCH of /me, with her password and its mails sent."""

    def patch(client, **changes):
        body = {"current_password": PASSWORD, **changes}
        with django_capture_on_commit_callbacks(execute=True):
            return client.patch("me", body)

    return patch


def link_in(mail):
    """The path of the link in a mail."""
    return re.search(r"https://testserver(/email/\S+)", mail.body)[1]


def confirm(client, link, password=PASSWORD):
    """Open a mailed link, and press the button on its page."""
    return client.post(link, {"password": password})


# Signing up


def test_signup_answers_the_user(signup):
    answer = signup()

    carol = User.objects.get(username="carol")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    joined = answer.json()["date_joined"]
    assert joined.endswith("Z")
    assert answer.json() == {
        "id": carol.pk,
        "username": "carol",
        "email": "carol@example.org",
        "email_verified": False,
        "roles": [],
        "date_joined": joined,
    }
    assert carol.check_password(PASSWORD)
    assert (carol.is_staff, carol.is_superuser) == (False, False)


@pytest.mark.asvs("7.6.2")
def test_signup_signs_nobody_in(signup, api):
    answer = signup()

    assert not answer.cookies
    assert not IssuedToken.objects.exists()
    assert api().post("login", {"username": "carol", "password": PASSWORD}).status_code == 200


@pytest.mark.asvs("15.3.3")
def test_signup_takes_no_more_than_it_asks_for(signup):
    answer = signup(is_staff=True, is_superuser=True, roles=["admin"], email_verified=True)

    carol = User.objects.get(username="carol")
    assert answer.status_code == 201
    assert (carol.is_staff, carol.is_superuser, carol.email_verified_at) == (False, False, None)
    assert not carol.roles.exists()


def test_signup_ignores_a_stale_token(api, alice):
    phone = api(alice)
    phone.post("logout")

    assert phone.post("signup", CAROL).status_code == 201


@pytest.mark.parametrize("username", ["alice", "ALICE", "Alice", "\uff21lice"])
def test_signup_with_a_taken_username(signup, alice, username):
    answer = signup(username=username)
    assert answer.status_code == 409
    assert answer.json() == {"detail": "That username is taken.", "code": "username_taken"}
    assert User.objects.count() == 1


@pytest.mark.parametrize("email", ["alice@example.org", "Alice@EXAMPLE.ORG"])
def test_signup_with_a_taken_email(signup, alice, email):
    User.objects.update(email_verified_at=timezone.now())
    answer = signup(email=email)
    assert answer.status_code == 409
    assert answer.json() == {"detail": "That email address is taken.", "code": "email_taken"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a@b"),
        ("username", "two words"),
        ("username", "nul\0"),
        ("username", "x" * 151),
        ("username", None),
        ("username", ["carol"]),
        ("username", "Zoë"),
        ("email", ""),
        ("email", "no address"),
        ("email", "nul\0@example.org"),
        ("email", "x" * 250 + "@example.org"),
        ("email", None),
        ("password", ""),
        ("password", None),
        ("password", {"a": "b"}),
        ("password", "nul\0 in a long enough password"),
    ],
)
def test_signup_with_a_bad_field(signup, field, value):
    answer = signup(**{field: value})
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert len(answer.json()[field]) == len(set(answer.json()[field]))
    assert not User.objects.exists()


def test_signup_with_a_missing_field(api, db):
    answer = api().post("signup", {})
    assert answer.status_code == 400
    assert set(answer.json()) == {"username", "email", "password"}


def test_signup_normalizes_the_username(signup):
    assert signup(username="\ufb01ona").json()["username"] == "fiona"


def test_signup_keeps_the_case_of_the_username(signup):
    assert signup(username="Carol.C_+1-x").json()["username"] == "Carol.C_+1-x"


def test_closed_signup_answers_403(signup, settings):
    settings.SIGNUP_OPEN = False

    answer = signup()

    assert answer.status_code == 403
    assert answer.json() == {"detail": "Signing up is closed here.", "code": "permission_denied"}
    assert not User.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_signup_is_a_post(api, db, method):
    answer = getattr(api(), method)("signup")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


# The password policy


@pytest.mark.asvs("6.2.5", "6.2.8", "6.2.9")
@pytest.mark.parametrize(
    "password",
    [
        "x7#qv mTz.4 pLw",  # 15
        "gZ" * 128,  # 256
        "  spaces at both ends  ",
        "four quiet herons at dawn",
        "пароль из пяти слов вот",
        "密碼密碼一二三四五六七八九十甲乙",
        "🔑🐎🔋📎🧂" * 3,
        "no digits no capitals",
        "\ttabs\tand\u00a0such\t",
    ],
)
def test_password_that_is_accepted_is_kept_as_typed(signup, api, password):
    assert signup(password=password).status_code == 201

    assert api().post("login", {"username": "carol", "password": password}).status_code == 200
    for other in {password.strip(), password + " ", password[:-1], password.upper()} - {password}:
        answer = api().post("login", {"username": "carol", "password": other})
        assert answer.status_code == 401


@pytest.mark.asvs("6.2.1", "6.2.9")
@pytest.mark.parametrize(
    ("password", "message"),
    [
        (
            "x7#qv mTz.4 pL",
            "This password is too short. It must contain at least 15 characters.",
        ),
        ("🔑" * 14, "This password is too short. It must contain at least 15 characters."),
        ("gZ" * 128 + "g", "Your password must contain at most 256 characters."),
        ("yfdbufnjh10305070", "This password is too common."),
        ("Yfdbufnjh10305070", "This password is too common."),
        ("Carolyn-of-Hills", "The password is too similar to the username."),
        ("moss@carnival.EXAMPLE", "The password is too similar to the email address."),
    ],
)
def test_password_that_is_refused(signup, password, message):
    answer = signup(username="carolyn-of-hills", email="moss@carnival.example", password=password)

    assert answer.status_code == 400
    assert message in answer.json()["password"]
    assert not User.objects.exists()


def test_changed_password_obeys_the_same_policy(api, alice):
    body = {"current_password": PASSWORD, "new_password": "x7#qv mTz.4 pL"}

    answer = api(alice).post("password", body)

    assert answer.status_code == 400
    assert list(answer.json()) == ["new_password"]


@pytest.mark.asvs("6.2.9")
def test_the_length_of_a_password_is_counted_in_characters():
    validate_password("🔑🐎🔋📎🧂" * 51 + "x")
    with pytest.raises(ValidationError, match="at most 256"):
        validate_password("🔑🐎🔋📎🧂" * 51 + "xy")


# Verification by mail


def test_signup_mails_a_link(signup, mailoutbox):
    signup()

    [mail] = mailoutbox
    assert mail.to == ["carol@example.org"]
    assert mail.subject == "Guestlist: Confirm your email address"
    assert "at https://testserver" in mail.body
    assert link_in(mail)
    assert PASSWORD not in mail.body


@pytest.mark.asvs("3.5.3")
def test_link_shows_first_and_verifies_on_post(signup, client, mailoutbox):
    signup()
    link = link_in(mailoutbox[0])

    shown = client.get(link)

    assert shown.status_code == 200
    assert "carol@example.org" in shown.content.decode()
    assert User.objects.get().email_verified_at is None

    answer = confirm(client, link)

    assert answer.status_code == 200
    assert "carol@example.org is confirmed." in answer.content.decode()
    assert User.objects.get().email_verified_at is not None
    assert "sessionid" not in "".join(answer.cookies)
    assert not IssuedToken.objects.exists()


def test_verified_email_logs_in(signup, api, client, mailoutbox):
    signup()
    confirm(client, link_in(mailoutbox[0]))

    body = {"username": "Carol@example.org", "password": PASSWORD}
    phone = api().keep(api().post("login", body).json())

    assert phone.get("me").json()["email_verified"] is True


def test_link_that_is_opened_twice_says_that_the_address_is_confirmed(signup, client, mailoutbox):
    signup()
    link = link_in(mailoutbox[0])
    confirm(client, link)
    first = User.objects.get().email_verified_at

    for answer in (client.get(link), client.post(link), confirm(client, link)):
        assert answer.status_code == 200
        assert "carol@example.org is already confirmed." in answer.content.decode()
        assert 'type="password"' not in answer.content.decode()
    assert User.objects.get().email_verified_at == first


@pytest.mark.asvs("3.5.1")
def test_post_of_the_link_needs_a_csrf_token(signup, mailoutbox):
    from django.test import Client

    signup()
    assert Client(enforce_csrf_checks=True).post(link_in(mailoutbox[0])).status_code == 403
    assert User.objects.get().email_verified_at is None


def assert_link_refused(client, link, message):
    for answer in (client.get(link), confirm(client, link)):
        assert answer.status_code == 400
        assert message in answer.content.decode()


@pytest.mark.parametrize("tamper", [lambda link: link[:-1], lambda link: link + "x", str.swapcase])
def test_tampered_link_is_refused(signup, client, mailoutbox, tamper):
    signup()
    token = link_in(mailoutbox[0]).removeprefix("/email/")

    assert_link_refused(client, "/email/" + tamper(token), "This link is not valid")
    assert User.objects.get().email_verified_at is None


@pytest.mark.asvs("9.2.2")
def test_signature_for_another_purpose_is_no_link(client, alice):
    claims = {"user": alice.pk, "from": alice.email, "to": "evil@example.org"}
    assert_link_refused(client, f"/email/{signing.dumps(claims)}", "This link is not valid")


def test_expired_link_is_refused(signup, client, mailoutbox, monkeypatch):
    signup()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + MAX_AGE + 5)

    assert_link_refused(client, link_in(mailoutbox[0]), "older than a day")
    assert User.objects.get().email_verified_at is None


def test_link_of_a_deactivated_or_deleted_account_is_refused(signup, client, mailoutbox):
    signup()
    User.objects.update(is_active=False)
    assert confirm(client, link_in(mailoutbox[0])).status_code == 400

    User.objects.all().delete()
    assert confirm(client, link_in(mailoutbox[0])).status_code == 400


def test_link_of_an_address_that_somebody_else_has_by_now(api, rename, client, alice, mailoutbox):
    rename(api(alice), email="shared@example.org")
    verified = {"email_verified_at": timezone.now()}
    User.objects.create_user("bob", email="Shared@example.org", **verified)

    answer = confirm(client, link_in(mailoutbox[0]))

    assert answer.status_code == 400
    assert "Somebody else has this email address by now." in answer.content.decode()
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


# One's own names


def test_username_change(api, alice, rename):
    phone = api(alice)

    answer = rename(phone, username="alicia")

    assert answer.status_code == 200
    assert answer.json()["username"] == "alicia"
    assert phone.get("me").json()["username"] == "alicia"
    assert api().post("login", {"username": "alice", "password": PASSWORD}).status_code == 401


@pytest.mark.asvs("6.3.7")
def test_username_change_is_told(api, alice, rename, mailoutbox):
    phone = api(alice)

    rename(phone, username="alicia")

    [mail] = mailoutbox
    assert mail.to == ["alice@example.org"]
    assert mail.subject == "Guestlist: Your username was changed"
    assert "Former username: alice\nNew username: alicia\n" in mail.body

    rename(phone, username="alicia")
    assert len(mailoutbox) == 1


def test_username_change_of_case_alone(api, alice, rename):
    assert rename(api(alice), username="ALICE").json()["username"] == "ALICE"


@pytest.mark.parametrize("username", ["bob", "BOB"])
def test_username_change_to_a_taken_one(api, alice, bob, rename, username):
    answer = rename(api(alice), username=username)
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")


def test_email_change_to_a_taken_one(api, alice, bob, rename, mailoutbox):
    User.objects.update(email_verified_at=timezone.now())
    answer = rename(api(alice), email="BOB@example.org")
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert mailoutbox == []


def test_nothing_changes_when_one_of_two_names_is_taken(api, alice, bob, rename, mailoutbox):
    User.objects.update(email_verified_at=timezone.now())
    phone = api(alice)
    assert rename(phone, username="alicia", email="bob@example.org").status_code == 409
    assert phone.get("me").json()["username"] == "alice"


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize(
    "body",
    [
        {"username": "alicia"},
        {"username": "alicia", "current_password": "wrong"},
        {"username": "alicia", "current_password": ""},
        {"username": "alicia", "current_password": f" {PASSWORD}"},
        {"email": "new@example.org", "current_password": "wrong"},
    ],
)
def test_change_of_names_needs_the_password(api, alice, body, mailoutbox):
    phone = api(alice)

    answer = phone.patch("me", body)

    assert answer.status_code == 400
    assert list(answer.json()) == ["current_password"]
    assert phone.get("me").json()["username"] == "alice"
    assert mailoutbox == []


@pytest.mark.asvs("15.3.3")
def test_change_of_names_takes_nothing_else(api, alice, rename):
    phone = api(alice)
    answer = rename(phone, is_staff=True, email_verified=False, roles=["admin"], id=1)
    assert answer.status_code == 200
    alice.refresh_from_db()
    assert not alice.is_staff
    assert answer.json()["roles"] == []
    assert answer.json()["email_verified"] is True


@pytest.mark.asvs("6.3.7")
def test_email_change_counts_once_its_link_is_opened(
    api, alice, rename, client, mailoutbox, django_capture_on_commit_callbacks
):
    phone = api(alice)

    answer = rename(phone, email="new@example.org")

    assert answer.status_code == 200
    assert answer.json()["email"] == "alice@example.org"
    link, notice = mailoutbox
    assert link.to == ["new@example.org"]
    assert notice.to == ["alice@example.org"]
    assert notice.subject == "Guestlist: Your email address is about to change"
    assert "new@example.org" not in notice.body
    assert "New email address: n•••@e•••" in notice.body
    assert "/email/" not in notice.body

    with django_capture_on_commit_callbacks(execute=True):
        confirm(client, link_in(link))

    told = mailoutbox[2]
    assert told.to == ["alice@example.org"]
    assert told.subject == "Guestlist: Your email address was changed"
    assert "By: the link that we mailed to the new address" in told.body
    assert "password/reset" not in told.body  # it would go to the new address
    me = phone.get("me").json()
    assert (me["email"], me["email_verified"]) == ("new@example.org", True)


def test_unverified_address_can_be_sent_another_link(api, alice, rename, client, mailoutbox):
    """The page of a link that is too old says: sign in and ask for a new one."""
    User.objects.update(email_verified_at=None)
    phone = api(alice)

    assert rename(phone, email="alice@example.org").status_code == 200

    [mail] = mailoutbox
    assert mail.to == ["alice@example.org"]
    confirm(client, link_in(mail))
    assert phone.get("me").json()["email_verified"] is True


def test_verified_address_is_sent_no_other_link(api, alice, rename, mailoutbox):
    User.objects.update(email_verified_at=alice.date_joined)
    rename(api(alice), email="alice@example.org")
    assert mailoutbox == []


def test_change_of_case_in_the_address_is_a_change(api, alice, rename, client, mailoutbox):
    phone = api(alice)
    assert rename(phone, email="Alice@example.org").status_code == 200
    confirm(client, link_in(mailoutbox[0]))
    assert phone.get("me").json()["email"] == "Alice@example.org"


def test_link_is_overtaken_by_a_newer_address(api, alice, rename, client, mailoutbox):
    phone = api(alice)
    rename(phone, email="first@example.org")
    rename(phone, email="second@example.org")
    first, _, second, _ = mailoutbox
    confirm(client, link_in(second))

    assert_link_refused_on_post(client, link_in(first))
    assert phone.get("me").json()["email"] == "second@example.org"


def test_link_ends_once_the_address_has_changed_there_and_back(
    api, alice, rename, client, mailoutbox
):
    """Whoever reads the mail of an address that was left cannot take the account back."""
    phone = api(alice)
    rename(phone, email="other@example.org")
    to_other = link_in(mailoutbox[0])
    confirm(client, to_other)
    rename(phone, email="alice@example.org")
    confirm(client, link_in(mailoutbox[2]))

    assert_link_refused_on_post(client, to_other)
    assert phone.get("me").json()["email"] == "alice@example.org"


@pytest.mark.asvs("7.5.1")
def test_link_of_a_change_ends_with_a_new_password(api, alice, rename, client, mailoutbox):
    """The old address is told: if this was not you, change your password."""
    phone = api(alice)
    rename(phone, email="thief@example.org")
    body = {"current_password": PASSWORD, "new_password": "a wholly different sentence"}
    phone.keep(phone.post("password", body).json())

    assert_link_refused_on_post(client, link_in(mailoutbox[0]), body["new_password"])
    assert phone.get("me").json()["email"] == "alice@example.org"


def test_link_of_the_own_address_outlives_a_new_password(signup, api, client, mailoutbox):
    signup()
    carol = User.objects.get()
    new = "a wholly different sentence"
    api(carol).post("password", {"current_password": PASSWORD, "new_password": new})

    assert confirm(client, link_in(mailoutbox[0]), new).status_code == 200


def assert_link_refused_on_post(client, link, password=PASSWORD):
    answer = confirm(client, link, password)
    assert answer.status_code == 400
    assert "This link has been overtaken by a newer one." in answer.content.decode()


# A mail server that is down


@pytest.mark.parametrize("backend", [RefusedConnection, LostConnection])
def test_mail_server_that_is_down_costs_the_mail_alone(signup, settings, caplog, backend):
    settings.EMAIL_BACKEND = f"{__name__}.{backend.__name__}"

    assert signup().status_code == 201

    assert User.objects.filter(username="carol").exists()
    [failure] = [record for record in caplog.records if record.name == "accounts.delivery"]
    assert failure.getMessage() == "mail not sent"
    assert "/email/" not in caplog.text


@pytest.mark.parametrize("backend", [RefusedConnection, LostConnection])
def test_email_change_without_a_mail_server_changes_nothing(api, alice, rename, settings, backend):
    settings.EMAIL_BACKEND = f"{__name__}.{backend.__name__}"

    answer = rename(api(alice), username="alicia", email="new@example.org")

    assert answer.status_code == 200
    assert answer.json()["username"] == "alicia"
    assert answer.json()["email"] == "alice@example.org"
