"""The API of one's own passkeys: options, add, list, rename, remove."""

import pytest

from accounts.models import Passkey, User
from tests.plugins.authenticator import Authenticator, give_passkey

UNKNOWN = "0a000000-0000-4000-8000-000000000000"


@pytest.fixture
def phone(api, alice):
    return api(alice)


def add(client, authenticator, **body):
    options = client.post("me/passkeys/options")
    assert options.status_code == 200, options.content
    return client.post("me/passkeys", {"passkey": authenticator.make(options.json()), **body})


def test_a_passkey_is_added_listed_and_removed(phone, alice, mails_of):
    [mail] = mails_of(lambda: add(phone, Authenticator(), name="Ana\u202e's phone"))
    assert mail.subject == "Guestlist: A passkey was added to your account"
    assert "Ana's phone" in mail.body
    passkey = alice.passkeys.get()
    shown = {
        "id": str(passkey.pk),
        "name": "Ana's phone",
        "created_at": phone.get(f"me/passkeys/{passkey.pk}").json()["created_at"],
        "used_at": None,
    }
    listed = phone.get("me/passkeys").json()
    assert listed == {"count": 1, "next": None, "previous": None, "results": [shown]}
    [mail] = mails_of(lambda: phone.delete(f"me/passkeys/{passkey.pk}"))
    assert mail.subject == "Guestlist: A passkey was removed from your account"
    assert not Passkey.objects.exists()
    assert phone.delete(f"me/passkeys/{passkey.pk}").status_code == 404


@pytest.mark.parametrize(
    ("given", "name"), [(" Ana's\u202e key\t", "Ana's key"), ("", "Passkey"), (None, "Phone")]
)
def test_a_passkey_is_renamed_on_a_device_that_is_not_fresh(phone, alice, age, given, name):
    give_passkey(alice)
    before = alice.passkeys.values().get()
    age(phone.device, minutes=16)
    odd = {"id": UNKNOWN, "created_at": "x", "used_at": "x", "counter": 9, "passkey": {}}
    body = odd if given is None else odd | {"name": given}
    answer = phone.patch(f"me/passkeys/{before['id']}", body)
    assert (answer.status_code, answer.json()["name"]) == (200, name)
    assert answer.json() == phone.get(f"me/passkeys/{before['id']}").json()
    assert alice.passkeys.values().get() == before | {"name": name}


def test_a_name_that_is_too_long_is_refused(phone, alice):
    give_passkey(alice)
    path = f"me/passkeys/{alice.passkeys.get().pk}"
    answer = phone.patch(path, {"name": "x" * 65})
    assert (answer.status_code, set(answer.json())) == (400, {"name"})
    assert alice.passkeys.get().name == "Phone"
    assert phone.put(path, {"name": "x"}).status_code == 405


def test_an_answer_that_is_refused_is_an_error_of_its_field(phone):
    answer = add(phone, Authenticator(origin="https://evil.example"))
    assert (answer.status_code, set(answer.json())) == (400, {"passkey"})
    for body in ({}, {"passkey": "x"}, {"passkey": {}}, {"passkey": {"rawId": 7}}):
        answer = phone.post("me/passkeys", body)
        assert (answer.status_code, set(answer.json())) == (400, {"passkey"})


def test_a_challenge_is_for_the_device_that_asked(phone, api, alice):
    options = api(alice).post("me/passkeys/options").json()
    answer = phone.post("me/passkeys", {"passkey": Authenticator().make(options)})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "me/passkeys/options"), ("POST", "me/passkeys"), ("DELETE", "me/passkeys/{id}")],
)
def test_writes_need_a_fresh_device(phone, alice, age, method, path):
    give_passkey(alice)
    age(phone.device, minutes=16)
    answer = phone.request(method, path.format(id=alice.passkeys.get().pk), {})
    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert phone.get("me/passkeys").json()["count"] == 1


def test_without_a_verified_address_there_are_no_options(phone):
    User.objects.update(email_verified_at=None)
    answer = phone.post("me/passkeys/options")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "Confirm your email address" in answer.json()["detail"]


def test_a_site_with_a_number_for_an_address_has_no_passkeys(phone, settings):
    settings.SITE_URL = "https://192.0.2.1"
    answer = phone.post("me/passkeys/options")
    assert (answer.status_code, answer.json()["detail"]) == (403, "This site has no passkeys.")


@pytest.mark.parametrize("is_fresh", [True, False])
def test_passkeys_of_others_are_as_unknown(phone, bob, age, is_fresh):
    give_passkey(bob)
    if not is_fresh:
        age(phone.device, minutes=16)
    answers = {
        phone.request(method, f"me/passkeys/{id}", {"name": "x"}).content
        for id in (bob.passkeys.get().pk, UNKNOWN, UNKNOWN.replace("-", ""), "x")
        for method in ("GET", "PATCH", "DELETE")
    }
    assert len(answers) == 1
    assert bob.passkeys.get().name == "Phone"


def test_the_index_names_the_passkeys(api):
    assert api().get("").json()["passkeys"] == "http://testserver/api/v1/me/passkeys"
