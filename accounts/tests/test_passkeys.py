"""The ceremonies of passkeys, with a software authenticator that also lies."""

import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core import signing
from django.utils import timezone
from fido2.cose import CoseKey
from fido2.utils import websafe_decode, websafe_encode
from hypothesis import given
from hypothesis import strategies as st

from accounts import passkeys
from accounts.models import Passkey, User
from accounts.passkeys import PasskeyRefused, Purpose
from tests.plugins.authenticator import AT, UP, UV, Authenticator, give_passkey
from tests.plugins.guestlist import make_user

pytestmark = pytest.mark.django_db
HERE = passkeys.login("here")
ADDING = passkeys.registration("phone")


@pytest.fixture
def phone(alice):
    return give_passkey(alice)


def add(user, answer, purpose=ADDING, name="Phone"):
    return passkeys.register(user, answer, purpose, name, device="phone", origin={})


def use(answer, purpose=HERE, **options):
    """The passkey of the answer, which is spent."""
    verified = passkeys.verify(answer, purpose, **options)
    verified.spend()
    return verified.passkey


# What is right


def test_a_passkey_is_added_and_used(alice, phone):
    assert use(phone.use(passkeys.request_options(HERE))).user == alice
    stored = alice.passkeys.get()
    assert (stored.name, stored.counter) == ("Phone", 0)
    assert stored.used_at >= stored.created_at


def test_options_ask_for_a_resident_key_and_for_verification(alice, phone):
    options = passkeys.creation_options(alice, ADDING)
    assert options["rp"] == {"name": "Guestlist", "id": "testserver"}
    assert websafe_decode(options["user"]["id"]) == str(alice.pk).encode()
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert [one["id"] for one in options["excludeCredentials"]] == [phone.id]
    assert passkeys.request_options(HERE)["userVerification"] == "required"
    assert "allowCredentials" not in passkeys.request_options(HERE)
    assert passkeys.request_options(HERE, alice)["allowCredentials"][0]["id"] == phone.id


def test_answers_are_read_as_json_too(alice, phone):
    answer = phone.use(passkeys.request_options(HERE))
    assert use(json.dumps(answer)).user == alice


def make_rsa():
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("alg", [-8, -257])
def test_other_algorithms_that_are_offered(alice, alg):
    made = (
        ed25519.Ed25519PrivateKey.generate() if alg == -8 else rsa.generate_private_key(65537, 2048)
    )
    cose = dict(CoseKey.for_alg(alg).from_cryptography_key(made.public_key()))
    answer = Authenticator().make(passkeys.creation_options(alice, ADDING), cose=cose)
    assert add(alice, answer).public_key


def test_an_authenticator_that_counts(phone):
    for count in (1, 2, 4_294_967_295):
        phone.counter = count
        use(phone.use(passkeys.request_options(HERE)))
    assert Passkey.objects.get().counter == 4_294_967_295


def test_a_step_up_needs_no_user_handle(alice, phone):
    purpose = passkeys.step_up("phone")
    answer = phone.use(passkeys.request_options(purpose, alice), handle=None)
    assert use(answer, purpose, user=alice).user == alice


def test_an_app_answers_from_an_origin_of_the_settings(alice, settings):
    settings.PASSKEY_ORIGINS = ["android:apk-key-hash:" + "a" * 43]
    phone = give_passkey(alice, origin=settings.PASSKEY_ORIGINS[0])
    assert use(phone.use(passkeys.request_options(HERE))).user == alice


def test_a_changed_password_keeps_the_passkeys(alice, phone):
    alice.set_password("another sentence of mine")
    alice.save()
    assert use(phone.use(passkeys.request_options(HERE))).user == alice


def test_an_unverified_address_keeps_the_passkeys_and_adds_none(alice, phone):
    User.objects.update(email_verified_at=None)
    alice.refresh_from_db()
    assert use(phone.use(passkeys.request_options(HERE))).user == alice
    with pytest.raises(PasskeyRefused, match="Confirm your email address"):
        passkeys.creation_options(alice, ADDING)


# What is refused when one is added


def wrong_key(**changes):
    cose = dict(CoseKey.for_alg(-7).from_cryptography_key(Authenticator().key.public_key()))
    return {number: value for number, value in {**cose, **changes}.items() if value is not None}


LIES_OF_A_NEW_ONE = {
    "origin": {"origin": "https://testserver.evil.example"},
    "another port": {"origin": "https://testserver:444"},
    "plain http": {"origin": "http://testserver"},
    "RP id": {"rp_id": "evil.example"},
    "type": {"type": "webauthn.get"},
    "challenge": {"challenge": websafe_encode(b"x" * 32)},
    "another frame": {"crossOrigin": True},
    "no user present": {"flags": UV | AT},
    "no user verification": {"flags": UP | AT},
    "algorithm that was not offered": {"cose": {1: 2, 3: -47, -1: 8, -2: b"x" * 32, -3: b"x" * 32}},
    "algorithm that is unknown": {"cose": {1: 2, 3: -9999}},
    "point off the curve": {"cose": {1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"x" * 32}},
    "no key": {"cose": {1: 2, 3: -7}},
    "key that is too large": {"cose": {1: 3, 3: -257, -1: b"n" * 4096, -2: b"\1\0\1"}},
}


@pytest.mark.parametrize("lie", LIES_OF_A_NEW_ONE.values(), ids=LIES_OF_A_NEW_ONE)
def test_a_new_passkey_that_lies_is_refused(alice, lie):
    with pytest.raises(PasskeyRefused):
        add(alice, Authenticator().make(passkeys.creation_options(alice, ADDING), **lie))
    assert not Passkey.objects.exists()


@pytest.mark.parametrize("purpose", [passkeys.registration("laptop"), HERE, Purpose("", "")])
def test_a_new_passkey_for_another_challenge_is_refused(alice, purpose):
    answer = Authenticator().make(passkeys.creation_options(alice, purpose))
    with pytest.raises(PasskeyRefused):
        add(alice, answer)


def test_a_credential_of_somebody_else_is_refused(alice, bob, phone):
    with pytest.raises(PasskeyRefused, match="here already"):
        add(bob, phone.make(passkeys.creation_options(bob, ADDING)))
    assert Passkey.objects.get().user == alice


def test_a_credential_id_that_is_too_long_is_refused(alice):
    authenticator = Authenticator()
    authenticator.credential = b"x" * 1024
    with pytest.raises(PasskeyRefused):
        add(alice, authenticator.make(passkeys.creation_options(alice, ADDING)))


def test_a_person_has_at_most_20(alice):
    for _ in range(19):
        give_passkey(alice)
    late = Authenticator().make(passkeys.creation_options(alice, ADDING))
    give_passkey(alice)
    with pytest.raises(PasskeyRefused, match="You have 20 passkeys"):
        passkeys.creation_options(alice, ADDING)
    with pytest.raises(PasskeyRefused, match="You have 20 passkeys"):
        add(alice, late)


@pytest.mark.parametrize(
    "change", [{"email_verified_at": None}, {"is_active": False}], ids=["address", "inactive"]
)
def test_an_account_that_changed_meanwhile_gets_none(alice, change):
    answer = Authenticator().make(passkeys.creation_options(alice, ADDING))
    User.objects.filter(pk=alice.pk).update(**change)
    with pytest.raises(PasskeyRefused):
        add(alice, answer)


def test_an_account_that_was_deleted_meanwhile_gets_none(alice):
    answer = Authenticator().make(passkeys.creation_options(alice, ADDING))
    User.objects.filter(pk=alice.pk).delete()
    with pytest.raises(PasskeyRefused):
        add(alice, answer)


@pytest.mark.parametrize("name", ["", " ", "\u202e"])
def test_a_passkey_has_a_name(alice, name):
    answer = Authenticator().make(passkeys.creation_options(alice, ADDING))
    assert add(alice, answer, name=name).name == "Passkey"


def test_a_passkey_that_was_removed_meanwhile_does_not_come_back_with_a_name(alice, phone):
    stored = alice.passkeys.get()
    passkeys.remove(stored, device="phone", origin={})
    passkeys.rename(stored, "Work")
    assert not Passkey.objects.exists()


# What is refused when one is used

LIES = {
    "origin": {"origin": "https://evil.example"},
    "origin of the RP id's parent": {"origin": "https://server"},
    "RP id": {"rp_id": "evil.example"},
    "type": {"type": "webauthn.create"},
    "challenge": {"challenge": websafe_encode(b"x" * 32)},
    "another frame": {"crossOrigin": True},
    "frame that is no boolean": {"crossOrigin": "no"},
    "user handle of somebody else": {"handle": websafe_encode(b"999999")},
    "no user handle": {"handle": None},
    "no user present": {"flags": UV},
    "no user verification": {"flags": UP},
    "key of another": {"key": ec.generate_private_key(ec.SECP256R1())},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_answer_that_lies_is_refused(phone, lie):
    with pytest.raises(PasskeyRefused):
        passkeys.verify(phone.use(passkeys.request_options(HERE), **lie), HERE)


@pytest.mark.parametrize(
    "purpose", [passkeys.login("there"), passkeys.login(), passkeys.step_up("here")]
)
def test_a_challenge_of_another_session_is_refused(phone, purpose):
    answer = phone.use(passkeys.request_options(purpose))
    with pytest.raises(PasskeyRefused):
        passkeys.verify(answer, HERE)


@pytest.mark.asvs("6.7")
def test_an_answer_is_good_once(phone):
    answer = phone.use(passkeys.request_options(HERE))
    first, second = passkeys.verify(answer, HERE), passkeys.verify(answer, HERE)
    first.spend()
    with pytest.raises(PasskeyRefused):
        second.spend()
    with pytest.raises(PasskeyRefused):
        use(answer)


def test_an_older_challenge_is_not_good_after_a_newer_one(phone):
    older = phone.use(passkeys.request_options(HERE))
    use(phone.use(passkeys.request_options(HERE)))
    with pytest.raises(PasskeyRefused):
        use(older)


@pytest.mark.parametrize("count", [0, 6, 7])
def test_a_counter_that_went_back_or_stayed_is_refused(phone, count):
    phone.counter = 7
    use(phone.use(passkeys.request_options(HERE)))
    phone.counter = count
    with pytest.raises(PasskeyRefused):
        use(phone.use(passkeys.request_options(HERE)))


def test_a_challenge_is_good_for_five_minutes(phone, monkeypatch):
    made = []
    for age in (timedelta(minutes=6), timedelta(minutes=4), -timedelta(minutes=2)):
        moment = timezone.now() - age
        with monkeypatch.context() as patched:
            patched.setattr("django.utils.timezone.now", lambda moment=moment: moment)
            made.append(phone.use(passkeys.request_options(HERE)))
    late, good, early = made
    for answer in (late, early):
        with pytest.raises(PasskeyRefused, match="took too long"):
            use(answer)
    use(good)


def test_a_challenge_with_another_signature_is_refused(phone):
    forged = signing.dumps([1, "x"], key="another key", salt="accounts.passkeys.login here")
    answer = phone.use(passkeys.request_options(HERE), challenge=websafe_encode(forged.encode()))
    with pytest.raises(PasskeyRefused):
        passkeys.verify(answer, HERE)


def test_a_passkey_of_somebody_else_makes_nobody_fresh(bob, phone):
    purpose = passkeys.step_up("phone")
    answer = phone.use(passkeys.request_options(purpose))
    with pytest.raises(PasskeyRefused, match="another account"):
        passkeys.verify(answer, purpose, bob)


@pytest.mark.parametrize("end", ["deleted", "deactivated", "removed"])
def test_a_passkey_ends_with_its_account(alice, phone, end):
    answer = phone.use(passkeys.request_options(HERE))
    verified = passkeys.verify(answer, HERE)
    if end == "deleted":
        alice.delete()
    elif end == "deactivated":
        User.objects.update(is_active=False)
    else:
        passkeys.remove(verified.passkey, device="phone", origin={})
    with pytest.raises(PasskeyRefused):
        passkeys.verify(answer, HERE)
    if end != "deactivated":  # the login itself looks at the account again
        with pytest.raises(PasskeyRefused):
            verified.spend()


# Bytes of strangers


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_an_answer_that_is_cut_off_is_refused(phone, cut):
    text = json.dumps(phone.use(passkeys.request_options(HERE)))
    with pytest.raises(PasskeyRefused):
        passkeys.verify(text[:cut], HERE)


@pytest.mark.parametrize("name", ["clientDataJSON", "authenticatorData", "signature"])
@pytest.mark.parametrize("length", [0, 1, 36])
def test_a_part_that_is_cut_off_is_refused(phone, name, length):
    answer = phone.use(passkeys.request_options(HERE))
    answer["response"][name] = websafe_encode(websafe_decode(answer["response"][name])[:length])
    with pytest.raises(PasskeyRefused):
        passkeys.verify(answer, HERE)


@pytest.mark.parametrize("text", ["[" * 10_000, '"' + "x" * 20_000 + '"', "null", "", "\ud800"])
def test_an_oversized_or_senseless_answer_is_refused(alice, text):
    for refuse in (lambda: passkeys.verify(text, HERE), lambda: add(alice, text)):
        with pytest.raises(PasskeyRefused):
            refuse()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary().map(websafe_encode),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["id", "rawId", "type", "response", "clientExtensionResults"]
PARTS = ["clientDataJSON", "authenticatorData", "attestationObject", "signature", "userHandle"]


@given(st.data())
def test_anything_else_is_refused(data):
    """A right answer with one member that is replaced, or with one bit that is turned."""
    user = User.objects.filter(username="alice").first() or make_user("alice")
    user.passkeys.all().delete()
    authenticator = Authenticator()
    if data.draw(st.booleans()):
        answer = authenticator.make(passkeys.creation_options(user, ADDING))
        bad, refuse = disturbed(answer, data), lambda bad: add(user, bad)
    else:
        add(user, authenticator.make(passkeys.creation_options(user, ADDING)))
        answer = authenticator.use(passkeys.request_options(HERE))
        bad, refuse = disturbed(answer, data), lambda bad: passkeys.verify(bad, HERE)
    try:
        refuse(bad)
    except PasskeyRefused:
        return
    signed = set(answer["response"]) - {"attestationObject", "userHandle"}
    if "signature" in signed:
        assert decoded(bad, signed) == decoded(answer, signed)
    else:
        assert checked(bad) == checked(answer)


def decoded(answer, parts):
    return {part: websafe_decode(answer["response"][part]) for part in parts}


def checked(answer):
    """What counts of a new passkey: no signature covers the rest."""
    client = json.loads(websafe_decode(answer["response"]["clientDataJSON"]))
    challenge = websafe_decode(client["challenge"])
    return client["type"], client["origin"], challenge, client.get("crossOrigin", False)


def disturbed(answer, data):
    response = dict(answer["response"])
    part = data.draw(st.sampled_from(sorted(response)))
    kind = data.draw(st.sampled_from(["bit", "part", "member"]))
    if kind == "bit" and response[part]:
        raw = bytearray(websafe_decode(response[part]))
        place = data.draw(st.integers(0, 4095)) % (len(raw) * 8)  # a signature has no one length
        raw[place // 8] ^= 1 << place % 8
        return {**answer, "response": {**response, part: websafe_encode(bytes(raw))}}
    if kind == "member":
        return {**answer, data.draw(st.sampled_from(MEMBERS)): data.draw(JSON)}
    return {**answer, "response": {**response, data.draw(st.sampled_from(PARTS)): data.draw(JSON)}}


# The address of the site


@pytest.mark.parametrize(
    ("site", "host"),
    [
        ("https://example.org", "example.org"),
        ("http://localhost:8000", "localhost"),
        ("https://192.0.2.1", None),
        ("https://[2001:db8::1]:8000", None),
    ],
)
def test_passkeys_belong_to_the_name_of_the_host(alice, settings, site, host):
    settings.SITE_URL = site
    assert passkeys.rp_id() == host
    if host is None:
        with pytest.raises(PasskeyRefused, match="no passkeys"):
            passkeys.creation_options(alice, ADDING)
        with pytest.raises(PasskeyRefused, match="no passkeys"):
            passkeys.request_options(HERE)
