"""An act on passkeys on a device that has ended since the request began: the lock decides."""

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts import passkeys
from tests.plugins.authenticator import Authenticator, give_passkey
from tokens import flows
from tokens.flows import Refused
from tokens.models import IssuedToken
from tokens.tests.staff import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(support, settings):
    settings.STAFF_NEEDS_PASSKEY = True
    return give_passkey(support, vouched=True)


@pytest.fixture
def app(api, key):
    client = api()
    options = client.post("login/options").json()
    return client.keep(client.post("login", {"passkey": key.use(options)}).json())


@pytest.fixture
def device(app, support):
    """The device of the request, as it was read."""
    device = app.device
    device.user.acts_at = device.user.proven_at = device.now
    device.held = support.passkeys.get()
    assert flows.voucher_of(device).is_proven
    return device


def answer_on(device):
    options = passkeys.creation_options(
        device.user, passkeys.registration(device.pk), flows.voucher_of(device)
    )
    return Authenticator().make(options)


ACTS = {
    "add": lambda device, answer: flows.add_passkey(device, answer, "", flows.voucher_of(device)),
    "make codes": lambda device, answer: flows.make_codes(device),
    "remove": lambda device, answer: flows.remove_passkey(device, device.held),
}
MEANWHILE = {
    "reset": lambda device: flows.reset_passkeys(device.user, by=None),
    "revoked": lambda device: IssuedToken.objects.update(revoked_at=Now(), revoked_reason="staff"),
    "another handle": lambda device: IssuedToken.objects.update(hash=b"x" * 32),
    "its passkey removed": lambda device: IssuedToken.objects.update(passkey_vouched=False),
    "deactivated": lambda device: type(device.user).objects.update(is_active=False),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_nothing_is_done_on_a_device_that_changed(device, support, act, meanwhile):
    answer = answer_on(device)
    MEANWHILE[meanwhile](device)
    before = list(support.passkeys.values())
    with pytest.raises(Refused):
        ACTS[act](device, answer)
    assert list(support.passkeys.values()) == before
    assert not support.recovery_codes.exists()


@pytest.mark.parametrize(
    ("act", "left"), [("add", (2, 0)), ("make codes", (1, 10)), ("remove", (0, 0))]
)
def test_each_is_done_on_the_device_that_stayed(device, support, act, left):
    ACTS[act](device, answer_on(device))
    assert (support.passkeys.count(), support.recovery_codes.count()) == left


def test_a_passkey_that_is_removed_meanwhile_makes_nothing_fresh(device, support, key):
    [passkey] = support.passkeys.all()
    passkey.delete()
    with pytest.raises(Refused):
        flows.reauthenticate(device, device.user, passkey)


def revoke_first(execute, sql, params, many, context):
    """Revokes the device once its request opens the transaction of the act."""
    if sql.startswith("SAVEPOINT"):
        MEANWHILE["revoked"](None)
    return execute(sql, params, many, context)


@pytest.mark.parametrize("act", ["add", "remove"])
def test_the_api_says_so(app, support, act):
    answer = Authenticator().make(app.post("me/passkeys/options").json())
    [passkey] = support.passkeys.all()
    with connection.execute_wrapper(revoke_first):
        if act == "add":
            said = app.post("me/passkeys", {"passkey": answer})
        else:
            said = app.delete(f"me/passkeys/{passkey.pk}")
    assert refused(said) == (401, "token_invalid")
    assert support.passkeys.get() == passkey
