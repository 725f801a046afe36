"""Too many tries: what is refused, for how long, and whom it must not reach."""

import re
from datetime import timedelta
from itertools import product
from random import shuffle
from threading import Barrier, BoundedSemaphore, Thread, Timer
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.db import connection, connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import hashers, throttling
from accounts.hashers import Argon2PasswordHasher, Busy
from accounts.models import QueuedMail, Throttle, User
from accounts.throttling import TooManyAttempts, counting, lifting, limits, subjects
from tests.plugins.guestlist import PASSWORD, make_user
from tokens.models import IssuedToken

NEW_PASSWORD = "a wholly different sentence"
WRONG = "not the password"
PAGES = ["/login", "/admin/login/"]
PASSWORD_KEY = subjects.Key("password", b"device")
ADDRESSES = [f"198.51.100.{number}" for number in range(1, 201)]


@pytest.fixture
def sign_in(api):
    """`sign_in("alice", WRONG, "203.0.113.1")` is the answer of the API."""

    def post(name, password=WRONG, address="203.0.113.1", **headers):
        body = {"username": name, "password": password}
        return api(REMOTE_ADDR=address).post("login", body, **headers)

    return post


@pytest.fixture
def lock_out(sign_in):
    """Five wrong passwords from one address."""

    def wrong(name="alice", address="203.0.113.1"):
        assert [sign_in(name, WRONG, address).status_code for _ in range(5)] == [401] * 5

    return wrong


@pytest.fixture
def hashed(monkeypatch):
    """The hash computations since the fixture, as a list of the hasher's methods."""
    computed = []
    for name in ("encode", "verify"):

        def counted(self, *args, name=name):
            computed.append(name)
            return getattr(super(Argon2PasswordHasher, self), name)(*args)

        monkeypatch.setattr(Argon2PasswordHasher, name, counted)
    return computed


def wait(**delta):
    """The database's clock cannot be turned: what is stored moves into the past instead."""
    past = timedelta(**delta)
    Throttle.objects.update(
        counted_at=F("counted_at") - past,
        locked_until=F("locked_until") - past,
        expires_at=F("expires_at") - past,
    )


def assert_throttled(answer, detail, seconds):
    assert answer.status_code == 429
    assert answer.json().keys() == {"detail", "code"}
    assert answer.json()["code"] == "throttled"
    assert re.fullmatch(detail, answer.json()["detail"])
    assert seconds * 0.7 <= int(answer.headers["Retry-After"]) <= seconds  # machines are slow


def verified(user):
    User.objects.filter(pk=user.pk).update(email_verified_at=user.date_joined)
    return user


# One account from one address


@pytest.mark.asvs("6.3.1")
def test_sixth_try_is_refused_without_a_hash(sign_in, lock_out, alice, hashed):
    lock_out()
    hashed.clear()

    for password in (WRONG, PASSWORD):
        answer = sign_in("alice", password)
        assert_throttled(answer, "Too many sign-in attempts. Try again in 15 minutes.", 900)
    assert not hashed
    assert not alice.devices.exists()


def test_wait_that_is_left_is_told(sign_in, lock_out, alice):
    lock_out()
    wait(minutes=4, seconds=10)
    detail = "Too many sign-in attempts. Try again in 11 minutes."
    assert_throttled(sign_in("alice", PASSWORD), detail, 650)
    wait(minutes=10, seconds=20)
    assert "second" in sign_in("alice", PASSWORD).json()["detail"]


@pytest.mark.asvs("6.3.4")
@pytest.mark.parametrize("url", PAGES)
def test_page_says_so_too(client, lock_out, alice, url):
    lock_out(address="127.0.0.1")

    answer = client.post(url, {"username": "alice", "password": PASSWORD})

    assert answer.status_code == 429
    assert 800 <= int(answer.headers["Retry-After"]) <= 900
    html = answer.content.decode()
    assert "Too many sign-in attempts. Try again in 15 minutes." in html
    assert "reset your password by mail" in html
    assert "does not belong" not in html
    assert 'value="alice"' in html
    assert PASSWORD not in html


@pytest.mark.asvs("6.3.4")
@pytest.mark.parametrize("url", PAGES)
def test_tries_on_the_page_count_for_the_api(client, sign_in, alice, url):
    for _ in range(5):
        client.post(url, {"username": "alice", "password": WRONG})

    assert sign_in("alice", PASSWORD, "127.0.0.1").status_code == 429


@pytest.mark.parametrize("name", ["ALICE", " alice ", "\uff21lice"])
def test_other_spellings_of_a_name_are_the_same_name(sign_in, lock_out, alice, name):
    lock_out()
    assert sign_in(name, PASSWORD).status_code == 429


def test_right_password_forgets_the_wrong_ones(sign_in, alice):
    for _ in range(3):
        assert [sign_in("alice").status_code for _ in range(4)] == [401] * 4
        assert sign_in("alice", PASSWORD).status_code == 200
    assert not Throttle.objects.exclude(subject=b"").exclude(kind="known").exists()


def test_right_passwords_do_not_count(sign_in, alice, settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 3
    for _ in range(5):
        assert sign_in("alice", PASSWORD).status_code == 200
    assert not Throttle.objects.exclude(kind="known").exists()


def test_right_password_takes_only_its_own_try_from_the_network(sign_in, alice):
    sign_in("somebody")
    sign_in("somebody else")
    assert sign_in("alice", PASSWORD).status_code == 200

    counts = Throttle.objects.filter(subject=b"").values_list("kind", "count", "undecided")
    assert [*counts] == [("login_address", 2, 0)]


def test_lock_ends_and_a_right_password_passes(sign_in, lock_out, alice):
    lock_out()
    wait(minutes=15)

    assert sign_in("alice", PASSWORD).status_code == 200
    lock_out()


def test_refused_tries_do_not_prolong_the_lock(sign_in, lock_out, alice):
    lock_out()
    for _ in range(3):
        wait(minutes=5)
        last = sign_in("alice", PASSWORD).status_code
    assert last == 200


@pytest.mark.asvs("6.3.1")
def test_slow_guesses_are_bounded_too(sign_in, alice):
    """Never more than five in any quarter of an hour, however they are spread."""
    for _ in range(4):
        assert sign_in("alice").status_code == 401
        wait(minutes=4)
    assert sign_in("alice").status_code == 401
    wait(minutes=14)
    assert sign_in("alice").status_code == 429
    wait(minutes=1)
    assert [sign_in("alice").status_code for _ in range(6)] == [401] * 5 + [429]


def test_quarter_of_an_hour_without_a_try_begins_anew(sign_in, alice):
    for _ in range(2):
        assert [sign_in("alice").status_code for _ in range(4)] == [401] * 4
        wait(minutes=15)
    assert sign_in("alice").status_code == 401


def test_lock_is_as_long_as_the_window(settings):
    settings.LOGIN_WINDOW = timedelta(hours=2)
    assert limits.limit_of(subjects.Key("login_pair")).delay_after(5) == timedelta(hours=2)


def test_other_accounts_and_other_addresses_are_free(sign_in, lock_out, alice, bob):
    lock_out()

    assert sign_in("alice", PASSWORD, "203.0.113.2").status_code == 200
    assert sign_in("bob", PASSWORD, "203.0.113.1").status_code == 200


# Addresses


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 429),
        ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", 429),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", 200),
        ("203.0.113.1", "::ffff:203.0.113.1", 429),
        ("203.0.113.1", "203.0.113.2", 200),
    ],
)
def test_network_of_an_address(sign_in, lock_out, alice, first, second, status):
    lock_out(address=first)
    assert sign_in("alice", PASSWORD, second).status_code == status


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"]
)
def test_forwarding_headers_change_nothing(sign_in, alice, header):
    answers = [
        sign_in("alice", WRONG, **{header.replace("-", "_"): address}) for address in ADDRESSES[:6]
    ]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]


@pytest.mark.asvs("4.1.3")
def test_address_that_a_trusted_proxy_vouches_for_counts(sign_in, lock_out, alice, settings):
    settings.TRUSTED_PROXIES = [subjects.ip_network("10.0.0.0/8")]
    lock_out(address="203.0.113.1")

    def behind(address):
        return sign_in("alice", PASSWORD, "10.0.0.1", X_Forwarded_For=address).status_code

    assert (behind("6.6.6.6, 203.0.113.1"), behind("203.0.113.2")) == (429, 200)


@pytest.mark.asvs("6.3.1")
def test_fifty_wrong_passwords_from_an_address(sign_in, alice):
    for number in range(50):
        assert sign_in(f"name{number}").status_code == 401
    answer = sign_in("alice", PASSWORD)
    assert_throttled(answer, "Too many sign-in attempts. Try again in 15 minutes.", 900)
    assert sign_in("alice", PASSWORD, "203.0.113.2").status_code == 200
    wait(minutes=15)
    assert sign_in("alice", PASSWORD).status_code == 200


def test_address_is_locked_to_the_end_of_its_window(sign_in, alice):
    sign_in("somebody")
    wait(minutes=10)
    for number in range(49):
        assert sign_in(f"name{number}").status_code == 401
    assert_throttled(
        sign_in("alice", PASSWORD), "Too many sign-in attempts. Try again in 5 minutes.", 300
    )


def test_request_without_an_address_is_counted_on_the_account(alice, rf):
    request = rf.post("/")
    del request.META["REMOTE_ADDR"]

    assert authenticate(request, username="alice", password=WRONG) is None
    assert set(Throttle.objects.values_list("address", flat=True)) == {b""}
    assert authenticate(request, username="alice", password=PASSWORD) == alice


def test_address_within_ipv6_is_the_same_network():
    assert subjects.hash_network("::ffff:203.0.113.1") == subjects.hash_network("203.0.113.1")
    assert subjects.hash_network("203.0.113.2") != subjects.hash_network("203.0.113.1")


@pytest.mark.parametrize("asked", [authenticate, async_to_sync(aauthenticate)])
def test_without_an_address_the_account_still_counts(alice, asked):
    tries = []
    for _ in range(6):
        try:
            tries.append(asked(None, username="alice", password=WRONG))
        except TooManyAttempts as refusal:
            tries.append(refusal.wait)
    assert tries == [None] * 5 + [900]
    assert not Throttle.objects.filter(kind="login_address").exists()


# One account from everywhere


@pytest.mark.asvs("6.3.1")
def test_delay_from_the_tenth_on_doubles_up_to_an_hour(sign_in, alice):
    """And never becomes more: a right password passes once the delay is over."""
    address = iter(ADDRESSES)
    for _ in range(10):
        assert sign_in("alice", WRONG, next(address)).status_code == 401
    for seconds, words in [
        (30, "30 seconds"),
        (60, "1 minute"),
        (120, "2 minutes"),
        (240, "4 minutes"),
        (480, "8 minutes"),
        (960, "16 minutes"),
        (1920, "32 minutes"),
        *[(3600, "60 minutes")] * 30,
    ]:
        refused = sign_in("alice", PASSWORD, next(address))
        told = refused.json()["detail"]
        assert refused.status_code == 429
        assert seconds / 2 < int(refused.headers["Retry-After"]) <= seconds
        assert told.endswith(f"in {words}.") or "seconds" in told
        wait(seconds=seconds / 2)
        assert sign_in("alice", PASSWORD, next(address)).status_code == 429
        wait(seconds=seconds / 2)
        assert sign_in("alice", WRONG, next(address)).status_code == 401
    wait(hours=1)
    assert sign_in("alice", PASSWORD, "203.0.113.1").status_code == 200
    assert sign_in("alice", WRONG, "203.0.113.2").status_code == 401
    assert sign_in("alice", PASSWORD, "203.0.113.3").status_code == 200


def test_lock_that_is_longer_than_the_window_is_not_forgotten_with_it(sign_in, alice, settings):
    settings.LOGIN_ATTEMPTS_PER_ACCOUNT = 1
    settings.LOGIN_DELAY = settings.LOGIN_MAX_DELAY = timedelta(days=3)
    sign_in("alice", WRONG)
    wait(days=2)

    assert sign_in("nobody", WRONG).status_code == 401  # and what is past its time is deleted
    assert sign_in("alice", PASSWORD).status_code == 429


# Known and unknown


def verified_by_email(user):
    return verified(user).email


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize(
    ("known", "unknown"),
    [("alice", "nobody"), (verified_by_email, "nobody@example.org")],
)
def test_known_and_unknown_names_are_not_told_apart(sign_in, alice, hashed, known, unknown):
    known = known(alice) if callable(known) else known

    def story(name):
        hashed.clear()
        for address in [*["203.0.113.1"] * 7, *ADDRESSES[:8]]:
            with CaptureQueriesContext(connection) as queries:
                answer = sign_in(name, WRONG, address)
            headers = dict(answer.headers)
            headers.pop("X-Request-ID")
            waits = headers.pop("Retry-After", None) is not None
            costs = len(hashed), len(queries)
            yield answer.status_code, answer.content, headers, waits, costs
        yield Throttle.objects.filter(count__gt=0).count()

    first = [*story(known)]
    Throttle.objects.all().delete()

    assert [*story(unknown)] == first
    assert [step[0] for step in first[:-1]] == [401] * 5 + [429] * 2 + [401] * 5 + [429] * 3


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("refuse", ["deactivated", "unverified", "no password", "unknown hash"])
def test_accounts_that_cannot_sign_in_lock_like_any_other(sign_in, alice, hashed, refuse):
    name, changes = {
        "deactivated": ("alice", {"is_active": False}),
        "unverified": (alice.email, {"email_verified_at": None}),
        "no password": ("alice", {"password": "!"}),
        "unknown hash": ("alice", {"password": "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99"}),
    }[refuse]
    User.objects.filter(pk=alice.pk).update(**changes)
    hashed.clear()

    assert [sign_in(name, PASSWORD).status_code for _ in range(6)] == [401] * 5 + [429]
    assert len(hashed) == 5


def test_both_names_of_an_account_share_its_attempts(sign_in, alice, hashed):
    verified(alice)
    for name in ("alice", alice.email, "alice", alice.email, "alice"):
        assert sign_in(name).status_code == 401
    hashed.clear()

    for name in ("alice", alice.email):
        assert sign_in(name, PASSWORD).status_code == 429
    assert not hashed
    wait(minutes=15)
    assert sign_in(alice.email, PASSWORD).status_code == 200


def test_delay_of_an_account_holds_by_both_names(sign_in, alice):
    verified(alice)
    for address in ADDRESSES[:10]:
        sign_in("alice", WRONG, address)

    assert sign_in(alice.email, PASSWORD).status_code == 429
    assert sign_in("alice", PASSWORD).status_code == 429
    wait(seconds=30)
    assert sign_in(alice.email, PASSWORD).status_code == 200


def test_table_holds_no_name_and_no_address(sign_in, alice):
    sign_in("alice", WRONG, "203.0.113.77")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_throttle")
        stored = repr([[bytes(v) if isinstance(v, memoryview) else v for v in r] for r in cursor])
    assert "alice" not in stored
    assert "203.0.113" not in stored


# What a lock does not reach


@pytest.mark.asvs("6.1.1")
def test_device_that_is_signed_in_goes_on_while_its_account_is_locked(api, alice, lock_out):
    phone = api(alice)
    lock_out(address="127.0.0.1")

    assert phone.get("me").status_code == 200
    assert phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).status_code == 200
    phone.keep(phone.post("reauthenticate", {"password": PASSWORD}).json())
    body = {"username": "alicia", "current_password": PASSWORD}
    assert phone.patch("me", body).status_code == 200
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert phone.post("password", body).status_code == 200


@pytest.mark.asvs("6.1.1")
def test_browser_that_is_signed_in_goes_on_while_its_account_is_locked(
    browser, alice, age, lock_out
):
    tab = browser(alice)
    age(alice.devices.get(), minutes=16)
    lock_out(address="127.0.0.1")

    assert tab.get("/devices/").status_code == 200
    answer = tab.post("/devices/sign-out-others/", {"password": PASSWORD})
    assert answer.status_code == 302
    body = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert tab.post("/password/change", body).status_code == 302


@pytest.mark.asvs("6.1.1")
@pytest.mark.django_db(transaction=True)
def test_reset_by_mail_works_while_locked_and_lifts_the_lock(
    client, sign_in, alice, lock_out, mailoutbox
):
    verified(alice)
    lock_out()
    client.post("/password/reset", {"email": alice.email})
    (message,) = mailoutbox
    link = message.body.split()[-1].removeprefix("https://testserver")

    page = client.get(link, follow=True)
    body = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    client.post(page.redirect_chain[-1][0], body)

    assert sign_in("alice", NEW_PASSWORD).status_code == 200


# The password on a device that is signed in

STEP_UPS = {
    "reauthenticate": ("POST", {"password": WRONG}),
    "password": ("POST", {"current_password": WRONG, "new_password": NEW_PASSWORD}),
    "me": ("PATCH", {"username": "alicia", "current_password": WRONG}),
}


@pytest.mark.asvs("6.2.3")
@pytest.mark.parametrize("path", STEP_UPS)
def test_stolen_token_does_not_guess_for_ever(api, alice, hashed, path):
    phone, laptop = api(alice), api(alice)
    method, body = STEP_UPS[path]

    for _ in range(5):
        assert phone.request(method, path, body).status_code == 400
    hashed.clear()
    answer = phone.request(method, path, body)

    assert_throttled(answer, r"Too many wrong passwords\. Try again in [23]\d seconds\.", 30)
    assert not hashed
    assert phone.get("me").status_code == 200
    assert laptop.post("reauthenticate", {"password": PASSWORD}).status_code == 200
    assert api(alice).get("me").status_code == 200


def test_wrong_passwords_of_all_step_ups_count_together(api, alice):
    phone = api(alice)
    for path in ["reauthenticate", "password", "me", "me", "password"]:
        method, body = STEP_UPS[path]
        phone.request(method, path, body)

    assert phone.post("reauthenticate", {"password": PASSWORD}).status_code == 429
    wait(seconds=30)
    assert phone.post("reauthenticate", {"password": WRONG}).status_code == 400
    wait(seconds=30)
    assert phone.post("reauthenticate", {"password": PASSWORD}).status_code == 429
    wait(seconds=30)
    phone.keep(phone.post("reauthenticate", {"password": PASSWORD}).json())
    assert phone.post("reauthenticate", {"password": WRONG}).status_code == 400


@pytest.mark.parametrize(
    ("url", "field", "body"),
    [
        ("/devices/sign-out-others/", "password", {}),
        ("/account/data", "password", {}),
        ("/account/delete", "password", {}),
        (
            "/password/change",
            "old_password",
            {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD},
        ),
        (
            "/admin/accounts/user/add/",
            "step_up_password",
            {"username": "carol", "email": "carol@example.org"},
        ),
    ],
)
def test_page_that_asks_for_the_password_bounds_it(browser, api, root, age, url, field, body):
    tab = browser(root)
    age(root.devices.get(), minutes=16)
    api(root)
    for _ in range(5):
        assert tab.post(url, {**body, field: WRONG}).status_code == 200

    answer = tab.post(url, {**body, field: PASSWORD})

    assert answer.status_code == 429
    assert 15 <= int(answer.headers["Retry-After"]) <= 30
    assert "Too many wrong passwords. Try again in" in answer.content.decode()
    assert tab.get("/devices/").status_code == 200
    wait(seconds=30)
    assert tab.post(url, {**body, field: PASSWORD}).status_code != 429


# Sign-up and reset by mail


def sign_up(api, number, address="203.0.113.1"):
    body = {"username": f"u{number}", "email": f"u{number}@example.org", "password": PASSWORD}
    return api(REMOTE_ADDR=address).post("signup", body)


@pytest.mark.asvs("6.3.1")
def test_signup_is_bounded_by_network(api, db):
    for number in range(20):
        assert sign_up(api, number % 15).status_code in (201, 409)
    detail = "Too many sign-ups and new names from your network. Try again in 60 minutes."
    assert_throttled(sign_up(api, 20), detail, 3600)
    assert sign_up(api, 20, "203.0.113.2").status_code == 201
    wait(hours=1)
    assert sign_up(api, 21).status_code == 201


def test_malformed_signups_count_too(api, db):
    """They are counted before they are checked, because a check costs time."""
    answers = [api().post("signup", {"username": "carol"}) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [400] * 20 + [429]


def test_signup_page_is_bounded_by_network(client, db):
    for _ in range(20):
        assert client.post("/signup", {"username": "alice"}).status_code == 200
    answer = client.post("/signup", {"username": "alice"})

    assert answer.status_code == 429
    assert 3500 <= int(answer.headers["Retry-After"]) <= 3600
    assert "Too many sign-ups and new names from your network." in answer.content.decode()


@pytest.mark.asvs("6.3.1")
@pytest.mark.django_db(transaction=True)
def test_five_reset_mails_an_hour_and_the_same_answer(client, alice, bob, mailoutbox):
    verified(alice)
    verified(bob)
    answers = [client.post("/password/reset", {"email": alice.email}) for _ in range(7)]

    assert {(answer.status_code, answer.headers["Location"]) for answer in answers} == {
        (302, "/password/reset/done")
    }
    assert len(mailoutbox) == 5
    client.post("/password/reset", {"email": bob.email})
    assert mailoutbox[5:][0].to == [bob.email]
    wait(hours=1)
    client.post("/password/reset", {"email": alice.email})
    assert len(mailoutbox) == 7


def test_reset_mails_count_on_the_account(alice, bob):
    throttling.count_reset_mail(alice, alice.email)
    throttling.count_reset_mail(None, bob.email)

    assert [throttle.kind for throttle in throttling.of_user(alice)] == ["reset"]
    assert not throttling.of_user(bob).exists()


@pytest.mark.django_db(transaction=True)
def test_staff_send_a_reset_link_beyond_the_five(client, browser, root, alice, mailoutbox):
    verified(alice)
    for _ in range(5):
        client.post("/password/reset", {"email": alice.email})
    body = {"action": "send_reset_link", "_selected_action": [alice.pk]}
    browser(root).post("/admin/accounts/user/", body)

    assert len(mailoutbox) == 6


def test_reset_requests_are_bounded_by_network(client, db):
    for number in range(20):
        answer = client.post("/password/reset", {"email": f"u{number}@example.org"})
        assert answer.status_code == 302
    answer = client.post("/password/reset", {"email": "alice@example.org"})

    assert answer.status_code == 429
    assert "Too many requests for a reset link." in answer.content.decode()


def test_page_of_a_refusal_says_who_is_signed_in(browser, alice, settings):
    settings.SIGNUPS_PER_HOUR = 1
    laptop = browser(alice)

    answers = [laptop.post("/password/reset", {"email": "x@example.org"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 429]
    assert '<span class="who">alice</span>' in answers[1].content.decode()
    assert 3500 <= int(answers[1].headers["Retry-After"]) <= 3600


@pytest.mark.asvs("6.3.8")
@pytest.mark.django_db(transaction=True)
def test_reset_takes_the_same_work_for_an_unknown_address(client, alice, settings, hashed):
    """The same statements, and a mail is queued, to nobody: time would tell."""
    settings.SEND_MAILS_AT_ONCE = False

    def story(email):
        written = []
        receiver = lambda template, **kwargs: written.append(template.name)  # noqa: E731
        template_rendered.connect(receiver)
        for _ in range(7):
            with CaptureQueriesContext(connection) as queries:
                answer = client.post("/password/reset", {"email": email})
            yield answer.status_code, answer.url, len(queries), list(written), len(hashed)
            written.clear()
        template_rendered.disconnect(receiver)

    known = [*story(verified(alice).email)]
    assert [*story("nobody@example.org")] == known
    assert not any(written for *_, written, _ in known)
    queued = QueuedMail.objects.order_by("pk").values_list("kind", "person")
    assert [*queued] == [("password_reset", alice.pk)] * 5 + [("password_reset", None)] * 5


# Names and mails, of people who are signed in


@pytest.mark.asvs("6.3.8")
def test_profile_tells_of_no_more_names_than_signing_up_does(api, alice, bob):
    verified(bob)
    phone = api(alice)
    body = {"email": bob.email, "current_password": PASSWORD}
    answers = [phone.patch("me", body) for _ in range(21)]

    assert [answer.status_code for answer in answers] == [409] * 20 + [429]
    assert answers[-1].json()["detail"].startswith("Too many sign-ups and new names from")
    for same in ({"email": alice.email}, {"username": "alice"}):
        assert phone.patch("me", {**same, "current_password": PASSWORD}).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["new address", "once more", "verified by bob meanwhile"])
def test_address_that_the_account_has_not_verified_is_mailed_so_often_an_hour(
    api, browser, alice, bob, mailoutbox, settings, caplog, way
):
    """Whoever signs up with somebody's address does not fill their mailbox."""
    settings.MAILS_PER_HOUR = 3
    phone, tab = api(alice), browser(alice)
    User.objects.filter(pk=alice.pk).update(email_verified_at=None)
    mailoutbox.clear()
    Throttle.objects.all().delete()
    to = "victim@example.org" if way == "new address" else alice.email
    for _ in range(5):
        if way == "new address":
            body = {"email": to, "current_password": PASSWORD}
            assert phone.patch("me", body).status_code == 200
        else:
            assert tab.post("/account/").status_code == 302
        if way == "verified by bob meanwhile":
            User.objects.filter(pk=bob.pk).update(email=to)

    assert [message.to for message in mailoutbox] == [[to]] * 3
    assert caplog.messages.count("mail not sent") == 2
    wait(hours=1)
    tab.post("/account/")
    assert mailoutbox[-1].to == [alice.email]


@pytest.mark.django_db(transaction=True)
def test_account_names_so_many_addresses_an_hour(api, alice, mailoutbox, settings):
    """So nobody has mail sent to a long list of strangers."""
    settings.MAILS_PER_HOUR = 3
    phone = api(alice)
    for number in range(5):
        body = {"email": f"victim{number}@example.org", "current_password": PASSWORD}
        assert phone.patch("me", body).status_code == 200
    links = [message for message in mailoutbox if message.to != [alice.email]]
    assert len(links) == 3


@pytest.mark.django_db(transaction=True)
def test_mails_of_one_kind_are_summed_up(api, alice, mailoutbox, settings):
    phone = api(alice)
    settings.SIGNUPS_PER_HOUR = 100
    for number in range(23):
        body = {"username": f"alice{number}", "current_password": PASSWORD}
        assert phone.patch("me", body).status_code == 200

    assert len(mailoutbox) == 7
    said = [message.body.split("\n\n")[-2] for message in mailoutbox]
    assert "within" not in "".join(said[:4])
    assert said[4] == "From now on, not each of them is sent."
    due = "Mails like this one were due {} times within an hour. {} were not sent. {}"
    assert said[5] == due.format(10, 4, "From now on, not each of them is sent.")
    assert said[6] == due.format(20, 9, "There will be no more of them within that hour.")
    assert "New username: alice19\n" in mailoutbox[6].body
    phone.patch("me", {"email": "new@example.org", "current_password": PASSWORD})
    assert "gave it another email address." in mailoutbox[-1].body
    wait(hours=1)
    phone.patch("me", {"username": "alice", "current_password": PASSWORD})
    assert "New username: alice\n" in mailoutbox[-1].body


# Staff


def listed(tab, query=""):
    return tab.get(f"/admin/accounts/throttle/{query}").content.decode()


def test_staff_find_a_lock_by_name_or_address_and_lift_it(
    browser, support, sign_in, alice, lock_out
):
    verified(alice)
    lock_out()
    tab = browser(support)
    for term in ("alice", "ALICE", alice.email, "203.0.113.1"):
        html = listed(tab, f"?locked=yes&q={term}")
        assert "signing in to an account from a network" in html, term
        assert "until" in html
    for term in ("bob", "203.0.113.2", "nonsense"):
        assert "0 throttles" in listed(tab, f"?q={term}"), term

    found = [str(throttle.pk) for throttle in throttling.search("alice")]
    body = {"action": "lift", "_selected_action": found}
    answer = tab.post("/admin/accounts/throttle/", body, follow=True)

    assert f"{len(found)} lifted." in answer.content.decode()
    assert sign_in("alice", PASSWORD).status_code == 200


def test_lock_on_an_unknown_name_is_found_and_lifted_too(browser, support, sign_in, lock_out):
    lock_out("nobody")
    tab = browser(support)
    assert "signing in to an account" in listed(tab, "?q=nobody")

    found = [throttle.pk for throttle in throttling.search("nobody")]
    tab.post("/admin/accounts/throttle/", {"action": "lift", "_selected_action": found})

    assert sign_in("nobody").status_code == 401


def test_staff_find_the_wrong_passwords_on_a_device(api, browser, support, alice):
    phone = api(alice)
    assert phone.post("reauthenticate", {"password": WRONG}).status_code == 400
    tab = browser(support)

    for term in (str(phone.device.pk), str(phone.device.pk).upper()):
        assert "1 throttle" in listed(tab, f"?q={term}&kind__exact=password"), term


def test_page_of_the_user_shows_the_lock_and_lifts_it(browser, support, sign_in, alice, lock_out):
    page, lift = (f"/admin/accounts/user/{alice.pk}/{name}/" for name in ("change", "lift"))
    tab = browser(support)
    assert lift not in tab.get(page).content.decode()
    lock_out()
    assert lift in tab.get(page).content.decode()

    asked = tab.get(lift)
    assert "5 attempts, locked until" in asked.content.decode()
    assert sign_in("alice", PASSWORD).status_code == 429
    done = tab.post(lift, follow=True).content.decode()

    assert "The locks on alice were lifted." in done
    assert sign_in("alice", PASSWORD).status_code == 200
    assert (
        "Lifted the locks" in tab.get(f"/admin/accounts/user/{alice.pk}/history/").content.decode()
    )


def test_without_the_permission_nobody_lifts(browser, support, alice, lock_out):
    for role in support.roles.all():
        role.permissions.remove(*role.permissions.filter(codename="lift_throttle"))
    lock_out()
    tab = browser(support)
    lift = f"/admin/accounts/user/{alice.pk}/lift/"

    assert "signing in" in listed(tab)
    body = {"action": "lift", "_selected_action": [t.pk for t in Throttle.objects.all()]}
    tab.post("/admin/accounts/throttle/", body)
    assert lift not in tab.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert (tab.get(lift).status_code, tab.post(lift).status_code) == (403, 403)
    assert throttling.of_user(alice).locked().exists()


def test_only_a_superuser_lifts_the_locks_of_one(browser, support, root, lock_out):
    lock_out("root")
    body = {"action": "lift", "_selected_action": [t.pk for t in throttling.of_user(root)]}
    lift = f"/admin/accounts/user/{root.pk}/lift/"

    helper = browser(support)
    helper.post("/admin/accounts/throttle/", body)
    assert helper.post(lift).status_code == 403
    assert throttling.of_user(root).locked().exists()

    browser(root).post("/admin/accounts/throttle/", body)
    assert not throttling.of_user(root).exists()


def test_locks_on_ended_devices_of_superusers_are_nobodys(api, browser, support, root):
    """Nothing asks for a password there any more, so these devices need not be read."""
    live, ended = api(root), api(root)
    for phone in (live, ended):
        phone.post("reauthenticate", {"password": WRONG})
    subject = {phone: subjects.subject_of_device(phone.device.pk) for phone in (live, ended)}
    root.devices.filter(pk=ended.device.pk).revoke(reason="staff")
    body = {"action": "lift", "_selected_action": [t.pk for t in Throttle.objects.all()]}

    browser(support).post("/admin/accounts/throttle/", body)

    assert Throttle.objects.filter(subject=subject[live]).exists()
    assert not Throttle.objects.filter(subject=subject[ended]).exists()


def test_locks_of_all_superusers_and_of_their_devices_are_theirs(api, root, alice):
    second = make_user("second", is_superuser=True)
    people = {}
    for user in (root, second, alice):
        for client in (api(user), api(user)):
            assert client.post("reauthenticate", {"password": WRONG}).status_code == 400
            people[subjects.subject_of_device(client.pair["device"]["id"])] = user
        with throttling.log_in(user.username, user, "203.0.113.1"):
            pass
        people |= dict.fromkeys(map(bytes, lifting._subjects(user)), user)

    devices = IssuedToken.objects.filter(user__is_superuser=True).values_list("pk", flat=True)
    theirs = {bytes(throttle.subject) for throttle in throttling.of_superusers(devices)}

    assert len(Throttle.objects.filter(kind="password")) == 6
    assert theirs <= {subject for subject, user in people.items() if user != alice}
    assert theirs == {
        bytes(throttle.subject)
        for throttle in Throttle.objects.all()
        if people.get(bytes(throttle.subject), alice) != alice
    }


@pytest.mark.parametrize("path", ["add/", "{pk}/change/", "{pk}/delete/"])
def test_staff_change_no_count(browser, root, lock_out, path):
    lock_out("nobody")
    url = "/admin/accounts/throttle/" + path.format(pk=Throttle.objects.first().pk)
    tab = browser(root)

    assert tab.post(url, {"count": 0, "post": "yes"}).status_code == 403
    counts = Throttle.objects.exclude(kind__in=["login_address", "known"])
    assert set(counts.values_list("count", flat=True)) == {5}


# How it is kept


def test_tries_are_counted_and_decided(sign_in, alice):
    def counted():
        rows = Throttle.objects.values_list("kind", "count", "undecided")
        return sorted(rows.filter(count__gt=0))

    for _ in range(3):
        sign_in("alice")
    account, pair = ("login_account", 3, 0), ("login_pair", 3, 0)  # by name and by id
    assert counted() == [account, account, ("login_address", 3, 0), pair, pair]

    sign_in("alice", PASSWORD)
    assert counted() == [("login_address", 3, 0)]


def test_wrong_tries_before_this_one_are_those_on_the_account(sign_in, alice):
    for number in range(3):
        sign_in("alice")
        sign_in(f"nobody{number}")

    with throttling.log_in("alice", alice, "203.0.113.1") as attempt:
        assert (attempt.wrong, attempt.has_succeeded) == (3, False)
    with throttling.log_in("carol", None, "203.0.113.1") as attempt:
        assert attempt.wrong == 0


def test_tries_are_counted_in_the_order_in_which_rows_are_held(db):
    keys = [
        subjects.Key(*key) for key in product(["mail", "signup"], [b"a", b"b"], [b"", b"c", b"d"])
    ]
    shuffle(keys)

    counting.begin(*keys)

    columns = ("subject", "address", "kind")
    inserted = list(Throttle.objects.order_by("pk").values_list(*columns))
    assert inserted == list(Throttle.objects.order_by(*columns).reverse().values_list(*columns))
    assert len(inserted) == 12


def test_name_of_no_text_is_counted_too():
    assert len(subjects.subject_of_name("\ud800")) == 32


def test_hashes_are_of_256_bits(sign_in, api, alice):
    sign_in("alice")
    api(alice).post("reauthenticate", {"password": WRONG})
    columns = Throttle.objects.values_list("subject", "address")
    assert {len(bytes(value)) for row in columns for value in row} == {0, 32}


@pytest.mark.parametrize(
    ("seconds", "wait", "words"),
    [
        (-1, 1, "1 second"),
        (0.4, 1, "1 second"),
        (1.2, 2, "2 seconds"),
        (59, 59, "59 seconds"),
        (60, 60, "1 minute"),
        (60.5, 61, "2 minutes"),
        (120, 120, "2 minutes"),
        (3600, 3600, "60 minutes"),
    ],
)
def test_a_wait_is_rounded_up_and_said_in_words(seconds, wait, words):
    refusal = TooManyAttempts("password", timedelta(seconds=seconds))
    assert refusal.wait == wait
    assert str(refusal) == f"Too many wrong passwords. Try again in {words}."


def test_a_try_deletes_no_more_than_ten_counts(sign_in, db):
    for number in range(13):
        past = timezone.now() - timedelta(days=2)
        Throttle.objects.create(kind="mail", subject=bytes([number]), expires_at=past)

    sign_in("nobody")

    assert Throttle.objects.filter(kind="mail").count() == 3


def test_rows_are_held_in_one_order_and_stale_ones_only_if_free(sign_in, db):
    with CaptureQueriesContext(connection) as captured:
        sign_in("nobody")

    held = [query["sql"] for query in captured if '"kind" DESC' in query["sql"]]
    assert held
    for sql in held:
        assert re.findall(r'"(\w+)" DESC', sql) == ["subject", "address", "kind"]
    if connection.vendor == "postgresql":
        assert all("FOR UPDATE" in sql and "SKIP" not in sql for sql in held)
        assert any("FOR UPDATE SKIP LOCKED" in query["sql"] for query in captured)


def test_counts_past_their_time_are_deleted_by_later_tries(sign_in, db):
    for number in range(12):
        sign_in(f"name{number}", WRONG, ADDRESSES[number])
    wait(days=2)
    for _ in range(8):
        sign_in("somebody", WRONG)
        wait(hours=1)
    assert not Throttle.objects.filter(expires_at__lt=Now() - timedelta(days=1)).exists()


def test_tries_that_were_never_decided_end_with_their_window(sign_in, db):
    """As after a crash: they count as wrong, and no longer than wrong ones."""
    sign_in("somebody")
    Throttle.objects.update(undecided=F("count"))
    sign_in("somebody")
    assert {*Throttle.objects.values_list("count", "undecided")} == {(2, 1)}

    wait(days=1)
    sign_in("somebody")

    assert {*Throttle.objects.values_list("count", "undecided")} == {(1, 0)}


@pytest.mark.django_db(transaction=True)
def test_lock_of_a_try_that_was_not_tested_is_taken_back(sign_in, alice, monkeypatch):
    for _ in range(4):
        sign_in("alice")
    locked = []

    def fail(*args):
        locked.extend(Throttle.objects.locked())
        raise Busy

    with monkeypatch.context() as broken:
        broken.setattr(User, "check_password", fail)
        assert sign_in("alice").status_code == 503
    assert locked
    assert not Throttle.objects.locked().exists()
    assert sign_in("alice", PASSWORD).status_code == 200


def test_try_of_a_window_before_takes_nothing_from_the_next(alice):
    """It was still being tested when its window ended and another one began."""
    former = counting.begin(subjects.Key("login_address", address=b"network"))
    wait(minutes=16)
    later = counting.begin(subjects.Key("login_address", address=b"network"))

    later.fail()
    former.withdraw()

    assert list(Throttle.objects.values_list("count", "undecided")) == [(1, 0)]


def test_window_begins_with_the_first_try_that_is_still_counted(sign_in, db):
    sign_in("somebody")
    Throttle.objects.update(count=0)
    wait(minutes=10)

    sign_in("somebody")

    [left] = [row.expires_at - row.now for row in Throttle.objects.timed().filter(subject=b"")]
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


@pytest.fixture
def pauses(monkeypatch):
    """How long was waited each time, on a clock that only waiting moves."""
    waited = []
    clock = SimpleNamespace(sleep=waited.append, monotonic=lambda: sum(waited))
    monkeypatch.setattr(counting, "time", clock)
    return waited


def test_try_waits_for_one_that_is_tested_and_gives_up_after_ten_seconds(db, pauses):
    """It asks less often the longer that takes, and at least four times a second."""
    for _ in range(4):
        counting.begin(PASSWORD_KEY).fail()
    last = counting.begin(PASSWORD_KEY)

    with pytest.raises(TooManyAttempts, match="wrong passwords"):
        counting.begin(PASSWORD_KEY)

    assert pauses[:3] == pytest.approx([0.02, 0.03, 0.045])
    assert max(pauses) == 0.25
    assert 10 < sum(pauses) <= 10.25
    pauses.clear()
    last.fail()
    with pytest.raises(TooManyAttempts):
        counting.begin(PASSWORD_KEY)
    assert not pauses


@pytest.mark.django_db(transaction=True)
def test_attempt_whose_lock_comes_and_goes_gives_up(sign_in, alice, pauses):
    """A lock that is there whenever the attempt is to be counted, and gone whenever it looks."""

    def lock_to_count(execute, sql, params, many, context):
        is_count = sql.startswith("INSERT INTO accounts_throttle")
        if is_count or sql.startswith("SELECT"):
            until = "'9999-01-01'" if is_count else "NULL"
            connection.connection.execute(f"UPDATE accounts_throttle SET locked_until = {until}")
        return execute(sql, params, many, context)

    sign_in("alice")
    with connection.execute_wrapper(lock_to_count):
        answer = sign_in("alice", PASSWORD)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


def test_wrapping_a_sign_in_in_a_transaction_fails_loudly(alice, rf):
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        authenticate(rf.post("/"), username="alice", password=PASSWORD)


@pytest.mark.asvs("6.3.1", "15.4.2")
@pytest.mark.django_db(transaction=True)
def test_sixty_wrong_passwords_at_once_are_five_guesses(api, alice, hashed):
    barrier, answers = Barrier(60), []

    def guess(number):
        http = api().http
        barrier.wait()
        try:
            answer = http.post(
                "/api/v1/login", {"username": "alice", "password": f"{WRONG}{number}"}
            )
            answers.append(answer.status_code)
        finally:
            connections.close_all()

    hashed.clear()
    threads = [Thread(target=guess, args=[number]) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [401] * 5 + [429] * 55
    assert len(hashed) == 5
    assert set(Throttle.objects.values_list("count", "undecided")) == {(5, 0)}


# How many hashes at once


@pytest.fixture
def full(monkeypatch):
    """All places to compute a hash in are taken."""
    places = BoundedSemaphore(2)
    places.acquire()
    places.acquire()
    monkeypatch.setattr(hashers, "places", lambda: places)
    monkeypatch.setattr(hashers, "MAX_WAIT", 0.05)
    return places


@pytest.mark.asvs("16.5.3")
def test_login_that_finds_no_place_is_unavailable_and_does_not_count(sign_in, alice, full):
    for _ in range(7):
        answer = sign_in("alice", PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "5"
    assert not Throttle.objects.exists()
    full.release()

    assert sign_in("alice", PASSWORD).status_code == 200


@pytest.mark.parametrize("url", PAGES)
def test_login_page_that_finds_no_place_is_unavailable(client, alice, full, url):
    answer = client.post(url, {"username": "alice", "password": PASSWORD})

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert not alice.devices.exists()


def test_devices_are_served_while_all_places_are_taken(api, alice, monkeypatch):
    phone = api(alice)
    places = BoundedSemaphore(1)
    monkeypatch.setattr(hashers, "places", lambda: places)
    with hashers.place():
        assert phone.get("me").status_code == 200


def test_hash_waits_for_a_place(monkeypatch):
    places = BoundedSemaphore(1)
    monkeypatch.setattr(hashers, "places", lambda: places)
    places.acquire()
    Timer(0.1, places.release).start()

    assert Argon2PasswordHasher().encode(PASSWORD, "saltsaltsalt")


def test_no_more_hashes_at_once_than_configured(monkeypatch):
    places = BoundedSemaphore(2)
    monkeypatch.setattr(hashers, "places", lambda: places)
    at_work, most = [], []
    compute = hashers.hashers.Argon2PasswordHasher.encode

    def watched(self, *args):
        at_work.append(1)
        most.append(len(at_work))
        try:
            return compute(self, *args)
        finally:
            at_work.pop()

    monkeypatch.setattr(hashers.hashers.Argon2PasswordHasher, "encode", watched)
    threads = [
        Thread(target=Argon2PasswordHasher().encode, args=[PASSWORD, "saltsaltsalt"])
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(most) == 12
    assert max(most) <= 2
