"""The pages of one's own passkeys, and where else a passkey is seen."""

import json

import pytest
from django.core.management import call_command

from accounts.models import Passkey, User
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import PASSWORD
from tokens.tests.pages import Page


def add(tab, authenticator, **fields):
    options = tab.post("/account/passkeys/options").json()
    answer = json.dumps(authenticator.make(options))
    return tab.post("/account/passkeys/add", {"passkey": answer, "name": "My phone", **fields})


def test_a_passkey_is_added_and_removed(laptop, alice, mails_of):
    assert "You have none yet" in Page(laptop.get("/account/passkeys/")).text
    [mail] = mails_of(lambda: add(laptop, Authenticator()))
    assert "https://testserver/account/passkeys/" in mail.body
    page = Page(laptop.get("/account/passkeys/"))
    assert "The passkey was added." in page.text
    assert "My phone" in page.text
    assert "not used yet" in page.text
    remove = f"/account/passkeys/{alice.passkeys.get().pk}/remove"
    assert remove in page.links()
    assert "Remove My phone?" in Page(laptop.get(remove)).text
    [mail] = mails_of(lambda: laptop.post(remove))
    assert "passkey was removed" in mail.subject
    assert "My phone was removed" in Page(laptop.get("/account/passkeys/")).text
    activity = Page(laptop.get("/account/activity/")).text
    assert "you added a passkey" in activity.lower()
    assert "you removed a passkey" in activity.lower()


@pytest.mark.parametrize(("typed", "name"), [(" Ana's\u202e key\t", "Ana's key"), ("", "Passkey")])
def test_a_passkey_is_renamed_without_the_password(laptop, alice, age, typed, name):
    give_passkey(alice)
    age(alice.devices.get(), minutes=16)
    rename = f"/account/passkeys/{alice.passkeys.get().pk}/rename"
    page = Page(laptop.get("/account/passkeys/"))
    assert rename in [form.get("action") for form in page.all("form")]
    page = Page(laptop.post(rename, {"name": typed}, follow=True))
    assert f"Renamed to {name}." in page.text
    assert alice.passkeys.get().name == name


def test_a_name_that_is_too_long_is_refused(laptop, alice):
    give_passkey(alice)
    rename = f"/account/passkeys/{alice.passkeys.get().pk}/rename"
    page = Page(laptop.post(rename, {"name": "x" * 65}, follow=True))
    assert "A name has at most 64 characters." in page.text
    assert alice.passkeys.get().name == "Phone"


def test_a_rename_after_signing_in_again_leads_to_the_passkeys(laptop, alice):
    give_passkey(alice)
    alice.devices.revoke(reason="staff")
    rename = f"/account/passkeys/{alice.passkeys.get().pk}/rename"
    refused = laptop.post(rename, {"name": "Work"})
    page = Page(laptop.post(refused.url, {"username": "alice", "password": PASSWORD}, follow=True))
    assert "You were signed out before the name was saved." in page.text
    assert "Your passkeys" in page.text


def test_a_stale_device_is_asked_for_the_password_first(laptop, alice, age):
    give_passkey(alice)
    age(alice.devices.get(), minutes=16)
    assert "First show that it is you" in Page(laptop.get("/account/passkeys/add")).text
    assert "First show that it is you" in Page(add(laptop, Authenticator())).text
    answer = laptop.post("/account/passkeys/add", {"password": "wrong"})
    assert "This is not your password." in Page(answer).text
    answer = laptop.post("/account/passkeys/add", {"password": PASSWORD})
    assert answer.url == "/account/passkeys/add"
    assert "Your phone or computer asks" in Page(laptop.get(answer.url)).text
    age(alice.devices.get(), minutes=16)
    remove = f"/account/passkeys/{alice.passkeys.get().pk}/remove"
    assert "This field is required" in Page(laptop.post(remove)).text
    assert Passkey.objects.exists()
    laptop.post(remove, {"password": PASSWORD})
    assert not Passkey.objects.exists()


@pytest.mark.parametrize(
    ("passkey", "said"),
    [("", "This needs JavaScript"), ("{}", "not accepted"), ("x" * 20_000, "at most 16384")],
)
def test_a_refused_answer_is_told_and_not_repeated(laptop, passkey, said):
    answer = laptop.post("/account/passkeys/add", {"passkey": passkey, "name": "Kept"})
    page = Page(answer)
    assert said in page.text
    assert 'value="Kept"' in answer.content.decode()
    assert "x" * 100 not in answer.content.decode()


def test_an_unverified_address_adds_none(laptop):
    User.objects.update(email_verified_at=None)
    page = Page(laptop.get("/account/passkeys/"))
    assert "Confirm your email address first" in page.text
    assert "/account/passkeys/add" not in page.links()
    answer = laptop.post("/account/passkeys/options")
    assert (answer.status_code, answer.json()["code"]) == (400, "passkey_refused")


def test_a_site_with_a_number_for_an_address_says_so(laptop, settings):
    settings.SITE_URL = "https://192.0.2.1"
    assert "only a number for an address" in Page(laptop.get("/account/passkeys/")).text
    assert laptop.post("/account/passkeys/options").status_code == 400


def test_passkeys_of_others_are_unknown(laptop, bob):
    give_passkey(bob)
    path = f"/account/passkeys/{bob.passkeys.get().pk}"
    assert laptop.get(f"{path}/remove").status_code == 404
    assert laptop.post(f"{path}/remove").status_code == 404
    assert laptop.post(f"{path}/rename", {"name": "Mine"}).status_code == 404
    assert bob.passkeys.get().name == "Phone"


def test_a_name_that_cannot_be_shown_is_refused(laptop):
    answer = add(laptop, Authenticator(), name="a\u202eb")
    assert "cannot be shown" in Page(answer).text


# Where else they are seen


def test_data_holds_the_passkeys(laptop, alice):
    phone = give_passkey(alice)
    answer = laptop.post("/account/data")
    [shown] = answer.json()["passkeys"]
    assert (shown["name"], set(shown)) == ("Phone", {"id", "name", "created_at", "used_at"})
    assert phone.id not in answer.content.decode()


def test_staff_see_the_passkeys_of_a_person(browser, support, alice):
    give_passkey(alice, name="<b>Phone</b>")
    page = Page(browser(support).get(f"/admin/accounts/user/{alice.pk}/change/"))
    assert "<b>Phone</b>: added" in page.text
    assert "never used" in page.text


def test_an_account_is_deleted_with_its_passkeys(browser, root, alice):
    give_passkey(alice)
    url = f"/admin/accounts/user/{alice.pk}/delete/"
    tab = browser(root)
    assert "Passkey: Phone" in Page(tab.get(url)).text
    tab.post(url, {"post": "yes"})
    assert not Passkey.objects.exists()


def test_a_dump_loads_again(alice, tmp_path):
    give_passkey(alice)
    before = Passkey.objects.values().get()
    call_command("dumpdata", "accounts", output=tmp_path / "dump.json", verbosity=0)
    Passkey.objects.all().delete()
    call_command("loaddata", tmp_path / "dump.json", verbosity=0)
    after = Passkey.objects.values().get()
    assert {**after, "created_at": 0} == {**before, "created_at": 0}
