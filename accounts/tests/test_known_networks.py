"""Strangers fill the count of an account; the owner at home is not held up by it."""

from datetime import timedelta

import pytest
from django.db.models import F

from accounts import throttling
from accounts.models import Throttle, User
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD

WRONG = "not the password"
HOME = "203.0.113.1"


@pytest.fixture
def sign_in(api):
    """`sign_in(PASSWORD, HOME)` is the status of alice's sign-in from there."""

    def post(password=PASSWORD, address=HOME, name="alice"):
        body = {"username": name, "password": password}
        return api(REMOTE_ADDR=address).post("login", body).status_code

    return post


@pytest.fixture
def guessed_at(sign_in, alice):
    """`guessed_at()`: strangers guess until the account is delayed, and go on guessing."""

    def guess(times=17):
        for number in range(times):
            sign_in(WRONG, f"198.51.100.{number}")
        return sign_in(WRONG, "198.51.100.200")

    return guess


def wait(**delta):
    past = timedelta(**delta)
    Throttle.objects.update(
        counted_at=F("counted_at") - past,
        locked_until=F("locked_until") - past,
        expires_at=F("expires_at") - past,
    )


@pytest.mark.asvs("6.1.1", "6.3.1")
def test_owner_at_home_is_not_locked_out_by_strangers(sign_in, guessed_at):
    assert sign_in() == 200
    assert guessed_at() == 429
    for _ in range(30):
        assert sign_in() == 200
        guessed_at(1)
        wait(hours=1)


def test_owner_elsewhere_waits_like_a_stranger(sign_in, guessed_at):
    assert sign_in() == 200
    assert guessed_at() == 429
    assert sign_in(address="192.0.2.1") == 429


def test_wrong_password_makes_no_network_known(sign_in, guessed_at):
    assert sign_in(WRONG) == 401
    assert guessed_at() == 429
    assert sign_in() == 429


def test_network_is_known_for_thirty_days(sign_in, guessed_at):
    sign_in()
    wait(days=29, hours=23)
    guessed_at()
    assert sign_in() == 200

    wait(days=30, minutes=1)
    guessed_at()
    assert sign_in() == 429


def test_wrong_passwords_do_not_keep_a_network_known(sign_in, guessed_at):
    sign_in()
    wait(days=29)
    assert sign_in(WRONG) == 401
    wait(days=2)
    guessed_at()
    assert sign_in() == 429


def test_known_network_has_the_limits_of_the_pair_as_ever(sign_in, alice):
    sign_in()
    assert [sign_in(WRONG) for _ in range(6)] == [401] * 5 + [429]
    assert sign_in() == 429


def test_known_network_is_known_for_its_account_alone(sign_in, guessed_at, bob):
    assert sign_in(name="bob") == 200
    assert guessed_at() == 429
    assert sign_in() == 429


def test_guesses_from_known_networks_do_not_fill_the_count_of_strangers(sign_in, alice):
    sign_in()
    for _ in range(3):
        assert [sign_in(WRONG) for _ in range(5)] == [401] * 5
        wait(minutes=16)
    assert sign_in(address="192.0.2.1") == 200


@pytest.mark.asvs("6.3.1")
def test_hundred_wrong_passwords_in_a_row_make_the_network_a_stranger(sign_in, guessed_at, alice):
    sign_in()
    for _ in range(20):
        assert [sign_in(WRONG) for _ in range(5)] == [401] * 5
        wait(minutes=16)
    assert guessed_at() == 429
    assert sign_in() == 429

    throttling.lift(throttling.of_user(alice))  # as a reset by mail does
    guessed_at()
    assert sign_in() == 200


def test_right_password_ends_the_row_of_wrong_ones(sign_in, guessed_at):
    sign_in()
    for _ in range(24):
        assert [sign_in(WRONG) for _ in range(4)] == [401] * 4
        assert sign_in() == 200
        wait(minutes=16)
    assert sign_in(WRONG) == 401
    guessed_at()
    assert sign_in() == 200


def test_password_change_makes_all_networks_unknown(sign_in, guessed_at, alice):
    sign_in()
    alice.set_password(NEW_PASSWORD)
    alice.save()
    guessed_at()
    assert sign_in(NEW_PASSWORD) == 429


def test_forgotten_networks_are_unknown(sign_in, guessed_at, alice, bob):
    sign_in()
    sign_in(name="bob")
    throttling.forget_networks(User.objects.get(pk=alice.pk))
    assert Throttle.objects.filter(kind="known").count() == 1
    guessed_at()
    assert sign_in() == 429


def test_marker_is_written_once_a_day(sign_in, alice, django_assert_num_queries):
    sign_in()
    first = Throttle.objects.get(kind="known").expires_at
    sign_in()
    assert Throttle.objects.get(kind="known").expires_at == first
    wait(days=1, minutes=1)
    sign_in()
    assert Throttle.objects.get(kind="known").expires_at > first


def test_without_an_address_no_network_is_known(alice, rf):
    with throttling.log_in("alice", alice, "") as attempt:
        attempt.succeed()
    assert not Throttle.objects.filter(kind="known").exists()


def test_staff_do_not_see_markers_among_the_counts(sign_in, alice, browser, support):
    sign_in()
    page = browser(support).get("/admin/accounts/throttle/").content.decode()
    assert "0 throttles" in page


@pytest.mark.asvs("6.3.1")
def test_networks_of_one_ipv6_site_share_a_higher_limit(sign_in, db, settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 2
    subnets = [f"2001:db8:1:{number:x}::1" for number in range(11)]
    for subnet in subnets[:10]:
        for number in range(2):
            assert sign_in(WRONG, subnet, name=f"nobody-{subnet[-6]}{number}{hash(subnet)}") == 401
    assert sign_in(WRONG, subnets[10], name="somebody") == 429
    assert sign_in(WRONG, "2001:db8:2::1", name="somebody") == 401
