"""Links, recovery codes and resets of staff's passkeys that meet, from real processes."""

import hashlib
import itertools
import json
import re

import pytest
from django.conf import settings as site
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from accounts import passkeys
from accounts.models import RecoveryCode, User
from accounts.passkeys import Voucher
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import PASSWORD
from tests.site.test_races import (  # noqa: F401
    PROCESSES,
    address_of,
    by_passkey,
    call,
    few,
    pytestmark,
    racers,
    track,
)
from tokens import flows
from tokens.client import Client as Where
from tokens.models import IssuedToken


@pytest.fixture
def staff(few, settings):  # noqa: F811
    settings.STAFF_NEEDS_PASSKEY = True
    settings.MAX_DEVICES_PER_USER = 50
    User.objects.update(email_verified_at=timezone.now(), is_staff=True)
    return list(User.objects.order_by("pk"))


def cookies_of(user, count):
    """The cookies of so many browsers in which they are signed in, and the device of each."""
    found = []
    for _ in range(count):
        tab = Client(REMOTE_ADDR=address_of(user))
        tab.post("/login", {"username": user.username, "password": PASSWORD})
        device = user.devices.latest("created_at")
        found.append((tab.cookies[site.SESSION_COOKIE_NAME].value, device))
    return found


def adding(user, path, cookie, device, **shown):
    """The form that adds a new passkey, with a link or a recovery code."""
    voucher = Voucher(link=shown.get("link", ""), code=shown.get("recovery_code", ""))
    purpose = passkeys.registration(device.pk)
    answer = Authenticator().make(passkeys.creation_options(user, purpose, voucher))
    body = {"passkey": json.dumps(answer), "name": "New", **shown}
    return call("submit", path, body, cookie=cookie, address=address_of(user))


def digest(code):
    return hashlib.sha256(code.replace("-", "").encode()).digest()


def run(track, parts):  # noqa: F811
    return list(itertools.chain(*track.race(*([part] for part in parts))))


def led_to(answers, path):
    return [answer for answer in answers if answer["body"] == path]


@pytest.mark.parametrize("devices", [1, PROCESSES], ids=["one device", "a device each"])
def test_one_recovery_code_at_once_adds_one_passkey(track, staff, devices):  # noqa: F811
    for user in staff:
        [code, *_] = passkeys.make_codes(user, device="test", origin={})
        tabs = (cookies_of(user, devices) * PROCESSES)[:PROCESSES]
        path = "/account/passkeys/recover"
        answers = run(track, [adding(user, path, *tab, recovery_code=code) for tab in tabs])
        assert len(led_to(answers, "/account/passkeys/")) == 1
        assert {answer["status"] for answer in answers} <= {200, 302, 429}  # as wrong ones
        assert user.passkeys.get().vouched
        assert user.recovery_codes.count() == passkeys.CODES - 1
        assert user.devices.live().count() == 1
    assert track.met >= 1


@pytest.mark.parametrize("devices", [1, PROCESSES], ids=["one device", "a device each"])
def test_one_link_at_once_adds_one_passkey(track, staff, devices):  # noqa: F811
    for user in staff:
        path = passkeys.make_link(user, by=None).removeprefix(site.SITE_URL)
        link = path.rpartition("/")[2]
        tabs = (cookies_of(user, devices) * PROCESSES)[:PROCESSES]
        answers = run(track, [adding(user, path, *tab, link=link) for tab in tabs])
        assert len(led_to(answers, "/account/passkeys/codes")) == 1
        assert {answer["status"] for answer in answers} <= {200, 302}
        assert user.passkeys.get().vouched
        assert user.devices.filter(passkey_vouched=True).count() == 1
    assert track.met >= 1


def test_codes_that_are_made_at_once_are_ten(track, staff):  # noqa: F811
    for user in staff:
        give_passkey(user, vouched=True)
        [(cookie, _)] = cookies_of(user, 1)
        user.devices.update(passkey_at=Now(), passkey_vouched=True)
        how = {"cookie": cookie, "address": address_of(user)}
        answers = run(track, [call("submit", "/account/passkeys/codes", {}, **how)] * PROCESSES)
        shown = [re.findall(r"<code>([A-Z2-7-]{29})</code>", one["body"]) for one in answers]
        assert [len(codes) for codes in shown] == [passkeys.CODES] * PROCESSES
        left = {bytes(row.hash) for row in RecoveryCode.objects.filter(user=user)}
        assert left in [set(map(digest, codes)) for codes in shown]
    assert track.met >= 1


def test_nothing_outlives_a_reset(track, staff):  # noqa: F811
    """Against a sign-in by the old passkey, one more passkey, and new codes."""
    for user in staff * 3:
        user.passkeys.all().delete()
        user.devices.all().delete()
        key = give_passkey(user, vouched=True)
        user.passkey = user.passkeys.get()
        pair = flows.log_in(user, Where(ip_address=address_of(user)))
        [(cookie, _)] = cookies_of(user, 1)
        IssuedToken.objects.filter(user=user).update(passkey_at=Now(), passkey_vouched=True)
        here = {"address": address_of(user)}
        purpose = passkeys.registration(pair.device.pk)
        options = passkeys.creation_options(user, purpose, Voucher(is_proven=True))
        body = {"passkey": Authenticator().make(options)}
        parts = [
            [call("reset_passkeys", user.pk)],
            [by_passkey(user, key)],
            [call("send", "post", "me/passkeys", body, token=pair.access_token, **here)],
            [call("submit", "/account/passkeys/codes", {}, cookie=cookie, **here)],
        ]
        [_], [signed_in], [added], [made] = track.race(*parts, spread=True)
        assert signed_in["status"] in (200, 401)
        assert added["status"] in (201, 401)
        assert made["status"] in (200, 302)
        assert not user.passkeys.exists()
        assert not user.recovery_codes.exists()
        assert not user.devices.live().exists()
    assert track.met >= 1
