"""How many devices a user may have and add: right passwords are limited too."""

from datetime import timedelta

import pytest

from accounts.models import Throttle
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.models import IssuedToken

CURL = "curl/8.16.0"
PHONE = "Guestlist/4.1 (Android 16; Pixel 9) okhttp/5.1.0"


@pytest.fixture
def sign_in(api, alice):
    """`sign_in(agent, address)` is the answer of a sign-in with the right password."""

    def post(agent=CURL, address="203.0.113.1"):
        body = {"username": "alice", "password": PASSWORD}
        return api(REMOTE_ADDR=address).post("login", body, user_agent=agent)

    return post


@pytest.fixture
def an_hour_of_logins(settings, monkeypatch):
    settings.MAX_DEVICES_PER_USER = 5
    monkeypatch.setattr("tokens.flows.login.MAX_LOGINS_PER_HOUR", 3)


@pytest.mark.asvs("6.3.1")
def test_sixty_sign_ins_of_an_account_in_an_hour(sign_in, alice, age):
    statuses = [sign_in().status_code for _ in range(61)]

    assert statuses == [200] * 60 + [429]
    refused = sign_in(address="192.0.2.1")
    assert refused.json()["detail"].startswith("Too many sign-in attempts. Try again in ")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    age(alice.devices.order_by("created_at").first(), hours=1)
    assert sign_in().status_code == 200
    assert sign_in().status_code == 429


def test_page_refuses_too_many_sign_ins_and_signs_nobody_in(an_hour_of_logins, sign_in, client):
    for _ in range(3):
        sign_in()

    answer = client.post("/login", {"username": "alice", "password": PASSWORD})

    assert answer.status_code == 429
    assert client.get("/devices/").status_code == 302
    assert IssuedToken.objects.count() == 3


def test_script_gets_its_token_beyond_the_limit(an_hour_of_logins, sign_in, alice):
    for _ in range(3):
        sign_in()

    device, _ = flows.issue_token(alice, name="nightly", lasts=timedelta(days=1))

    assert device.state == "live"
    assert sign_in().status_code == 429


def test_script_that_signs_in_again_and_again_ends_its_own_devices(sign_in, api, alice):
    phone = api().keep(sign_in(PHONE, "198.51.100.7").json())
    assert phone.get("me").status_code == 200

    for _ in range(25):
        script = api().keep(sign_in().json())
        assert script.get("me").status_code == 200

    assert phone.get("me").status_code == 200
    assert alice.devices.live().count() == 20


def reuse(phone, staff):
    old = phone.pair["refresh_token"]
    for _ in range(2):
        phone.keep(
            phone.http.post(
                "/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]}
            ).json()
        )
    assert phone.http.post("/api/v1/refresh", {"refresh_token": old}).status_code == 401


def incident(phone, staff):
    devices = IssuedToken.objects.all()
    assert sum(ended for _, ended in flows.incident.end(devices, flows.incident.find(devices))) == 1


@pytest.mark.parametrize(
    "void",
    [
        reuse,
        incident,
        lambda phone, staff: flows.end_by_mail(phone.device),
        lambda phone, staff: flows.revoke_for_user(
            phone.device.user, IssuedToken.objects.all(), by=staff
        ),
    ],
    ids=["reuse", "incident", "not me", "staff"],
)
def test_what_may_be_theft_makes_all_networks_unknown(api, alice, root, void):
    phone = api(alice)
    assert Throttle.objects.filter(kind="known").exists()

    void(phone, root)

    assert not Throttle.objects.filter(kind="known").exists()


def test_logout_leaves_the_network_known(api, alice):
    assert api(alice).post("logout").status_code == 204
    assert Throttle.objects.filter(kind="known").exists()
