"""Browsers: every sign-in is a device, the row decides, and an old cookie is dead."""

from datetime import timedelta
from importlib import import_module

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import aget_user, get_user
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from config.urls import urlpatterns as site_urls
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD, make_user
from tokens.middleware import DeviceMiddleware
from tokens.models import IssuedToken

HTML = {"accept": "text/html"}

ENGINES = ["signed_cookies", "db", "cache", "cached_db"]


class WhoView(APIView):
    """What a view sees of the device."""

    def get(self, request):
        return Response({"user": request.user.username, "device": str(request.auth.pk)})


async def who(request):
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "in": user.is_authenticated})


async def who_twice(request):
    user, same = await request.auser(), request.user
    return JsonResponse({"user": user.get_username(), "same": user.pk == same.pk})


urlpatterns = [
    path("api/v1/who", WhoView.as_view()),
    path("who", who),
    path("who-twice", who_twice),
    *site_urls,
]


@pytest.fixture(params=ENGINES)
def engine(request, settings):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"


def is_signed_in(browser):
    return browser.get("/api/v1/me").status_code == 200


def cookie_of(browser):
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


def with_cookie(value):
    """Another browser with a copy of that cookie."""
    browser = Client()
    browser.cookies[settings.SESSION_COOKIE_NAME] = value
    return browser


def sign_in(browser, user, url="/login", password=PASSWORD):
    return browser.post(url, {"username": user.username, "password": password})


# Signing in


@pytest.mark.parametrize("url", ["/login", "/admin/login/"])
def test_sign_in_makes_a_browser_device(client, support, url):
    answer = client.post(
        url,
        {"username": "support", "password": PASSWORD},
        headers={"user-agent": FIREFOX},
        REMOTE_ADDR="203.0.113.7",
    )

    assert answer.status_code == 302
    device = IssuedToken.objects.with_state().get()
    assert (device.user, device.kind, device.state) == (support, "browser", "live")
    assert (device.label, device.ip_address) == ("Firefox on Linux", "203.0.113.7")
    assert device.name == ""
    assert device.authenticated_at == device.created_at
    assert device.password_epoch == support.password_changed_at
    assert is_signed_in(client)
    support.refresh_from_db()
    assert support.last_login is not None


def test_sign_in_on_the_admin_leads_there(client, support):
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/admin/login/")

    sign_in(client, support, "/admin/login/?next=/admin/tokens/issuedtoken/")

    assert client.get("/admin/tokens/issuedtoken/").status_code == 200


@pytest.mark.parametrize("url", ["/login", "/admin/login/"])
def test_refused_sign_in_makes_no_device(client, alice, url):
    answer = sign_in(client, alice, url, password="wrong")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
    assert not IssuedToken.objects.exists()
    assert not is_signed_in(client)


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("url", ["/login", "/admin/login/"])
def test_sign_in_needs_a_csrf_token(alice, url):
    browser = Client(enforce_csrf_checks=True)
    assert sign_in(browser, alice, url).status_code == 403
    assert not IssuedToken.objects.exists()


@pytest.mark.asvs("3.3.4")
def test_cookie_is_for_this_site_alone(client, alice):
    sign_in(client, alice)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie.key == "__Host-sessionid"
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["path"], cookie["domain"]) == ("/", "")


def test_row_keeps_no_usable_part_of_the_cookie(client, alice):
    sign_in(client, alice)
    handle = SessionStore(session_key=cookie_of(client)).load()["device"]
    row = IssuedToken.objects.values().get()
    assert handle not in str(row)
    assert len(handle) == 43


@pytest.mark.asvs("7.2.2")
def test_two_browsers_are_two_devices(browser, alice):
    browser(alice), browser(alice)
    assert alice.devices.live().count() == 2


def test_next_of_the_sign_in_stays_on_the_site(client, alice):
    answer = client.post(
        "/login?next=https://evil.example/",
        {"username": "alice", "password": PASSWORD, "next": "https://evil.example/"},
    )
    assert answer.status_code == 302
    assert "evil" not in answer.url


# The row decides


def test_session_without_a_row_is_anonymous(alice):
    session = SessionStore()
    session["_auth_user_id"] = str(alice.pk)
    session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]
    session["_auth_user_hash"] = alice.get_session_auth_hash()
    session.save()

    assert not is_signed_in(with_cookie(session.session_key))


@pytest.mark.parametrize("handle", ["x" * 43, "", "nonsense", "nul\0", "é" * 43])
def test_session_with_a_foreign_handle_is_anonymous(db, handle):
    session = SessionStore()
    session["device"] = handle
    session.save()

    assert not is_signed_in(with_cookie(session.session_key))


def test_handle_of_an_api_device_is_no_session(api, alice, read_segment):
    session = SessionStore()
    session["device"] = read_segment(api(alice).pair["access_token"])["sid"]
    session.save()

    assert not is_signed_in(with_cookie(session.session_key))


def test_handle_of_a_browser_device_is_no_token(client, alice, forge, api, read_segment):
    sign_in(client, alice)
    handle = SessionStore(session_key=cookie_of(client)).load()["device"]
    claims = read_segment(api(alice).pair["access_token"])

    answer = api().get("me", authorization=f"Bearer {forge(claims | {'sid': handle})}")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


@pytest.mark.parametrize("tamper", [lambda c: c[:-1], lambda c: "x" + c, lambda c: ""])
def test_tampered_cookie_is_anonymous(client, alice, tamper):
    sign_in(client, alice)
    assert not is_signed_in(with_cookie(tamper(cookie_of(client))))


def test_revocation_ends_the_browser_at_its_next_click(browser, api, alice, engine):
    laptop = browser(alice)
    device = alice.devices.get()
    assert is_signed_in(laptop)

    assert api(alice).delete(f"devices/{device.pk}").status_code == 204

    assert not is_signed_in(laptop)
    assert laptop.get("/admin/").status_code == 302


def test_deleted_row_ends_the_browser(browser, alice, engine):
    laptop = browser(alice)
    IssuedToken.objects.all().delete()
    assert not is_signed_in(laptop)


def test_cookie_of_a_device_that_ended_is_left_without_it(browser, alice, engine):
    laptop = browser(alice)
    before = cookie_of(laptop)
    alice.devices.revoke(reason="user")
    laptop.get("/api/v1/me")

    assert laptop.cookies[settings.SESSION_COOKIE_NAME].value != before
    assert not is_signed_in(with_cookie(before))


def test_end_of_a_browser_is_logged_and_told_on_the_login_page(browser, alice, caplog):
    laptop = browser(alice)
    alice.devices.revoke(reason="user")

    page = laptop.get("/devices/", follow=True)

    assert page.redirect_chain == [("/login?next=/devices/", 302)]
    [line] = [line for line in caplog.records if line.message == "request refused"]
    assert (line.status, line.code) == (302, "device_revoked")
    assert "You signed this device out" in page.content.decode()


def test_page_of_the_api_leads_to_where_it_is_told_why(browser, alice):
    laptop = browser(alice)
    alice.devices.revoke(reason="user")

    answer = laptop.get("/api/v1/devices?page=1", headers=HTML)

    assert (answer.status_code, answer.url) == (302, "/login?next=/api/v1/devices%3Fpage%3D1")


def test_client_of_the_api_is_led_nowhere(browser, alice, client):
    laptop = browser(alice)
    alice.devices.revoke(reason="user")

    assert laptop.get("/api/v1/devices").status_code == 401
    assert client.get("/api/v1/devices", headers=HTML).status_code == 401


def test_refusal_of_no_content_type_leads_nowhere(rf):
    refusal = HttpResponse(status=401)
    del refusal.headers["Content-Type"]
    middleware = DeviceMiddleware(lambda request: refusal)
    assert middleware.process_response(rf.get("/"), refusal) is refusal


def test_of_a_device_that_is_nobodys_nothing_is_told(browser, alice, caplog):
    laptop = browser(alice)
    IssuedToken.objects.all().delete()

    page = laptop.get("/devices/", follow=True)

    [line] = [line for line in caplog.records if line.message == "request refused"]
    assert line.code == "token_invalid"
    assert 'role="status"' not in page.content.decode()


# Signing in again in the same browser


@pytest.mark.asvs("7.2.4")
def test_same_user_again_replaces_the_device(browser, alice, engine):
    laptop = browser(alice)
    first, cookie = alice.devices.get(), cookie_of(laptop)

    assert sign_in(laptop, alice).status_code == 302

    first.refresh_from_db()
    assert first.revoked_reason == "replaced"
    assert alice.devices.live().count() == 1
    assert is_signed_in(laptop)
    assert not is_signed_in(with_cookie(cookie))


@pytest.mark.asvs("7.2.4")
def test_another_user_replaces_the_device(browser, alice, bob, engine):
    laptop = browser(alice)
    cookie = cookie_of(laptop)

    assert sign_in(laptop, bob).status_code == 302

    assert alice.devices.get().revoked_reason == "replaced"
    assert laptop.get("/api/v1/me").json()["username"] == "bob"
    assert bob.devices.live().count() == 1
    assert not is_signed_in(with_cookie(cookie))


def test_sign_in_on_the_admin_replaces_the_device_of_the_page(browser, support, engine):
    laptop = browser(support)
    first = support.devices.get()
    sign_in(laptop, support, "/admin/login/")
    first.refresh_from_db()
    assert first.revoked_reason == "replaced"
    assert support.devices.live().count() == 1


def test_device_that_ended_is_not_replaced(browser, alice, engine):
    laptop = browser(alice)
    first = alice.devices.get()
    alice.devices.revoke(reason="user")

    sign_in(laptop, alice)

    first.refresh_from_db()
    assert first.revoked_reason == "user"
    assert is_signed_in(laptop)


def test_refused_sign_in_keeps_the_device(browser, alice, bob, engine):
    laptop = browser(alice)
    sign_in(laptop, bob, password="wrong")
    assert laptop.get("/api/v1/me").json()["username"] == "alice"


def test_api_login_in_the_same_browser_replaces_nothing(browser, alice):
    laptop = browser(alice)
    body = {"username": "alice", "password": PASSWORD}
    answer = laptop.post("/api/v1/login", body, content_type="application/json")
    assert answer.status_code == 200
    assert settings.SESSION_COOKIE_NAME not in answer.cookies
    assert is_signed_in(laptop)
    assert alice.devices.live().count() == 2


# Signing out


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("url", ["/logout", "/admin/logout/", "/api/v1/logout"])
def test_replayed_cookie_is_dead_after_signing_out(browser, support, engine, url):
    laptop = browser(support)
    cookie = cookie_of(laptop)
    assert is_signed_in(with_cookie(cookie))

    assert laptop.post(url).status_code in (200, 204, 302)

    assert support.devices.get().revoked_reason == "logout"
    assert not is_signed_in(laptop)
    assert not is_signed_in(with_cookie(cookie))


@pytest.mark.asvs("3.5.3")
@pytest.mark.parametrize("url", ["/logout", "/admin/logout/"])
def test_get_signs_nobody_out(browser, support, url):
    laptop = browser(support)
    laptop.get(url)
    assert is_signed_in(laptop)


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("url", ["/logout", "/admin/logout/", "/api/v1/logout"])
def test_signing_out_needs_a_csrf_token(browser, support, url):
    laptop = browser(support)
    laptop.handler.enforce_csrf_checks = True
    kind = "application/json" if "/api/" in url else "application/x-www-form-urlencoded"
    assert laptop.post(url, b"", content_type=kind).status_code == 403
    assert is_signed_in(laptop)


def test_signing_out_without_a_device_is_no_error(client, db):
    assert client.post("/logout").status_code == 302


@pytest.mark.parametrize("path", ["logout/others", "logout/all"])
def test_sign_out_elsewhere_by_cookie(browser, alice, path):
    laptop, other = browser(alice), browser(alice)

    answer = laptop.post(f"/api/v1/{path}")

    everywhere = path == "logout/all"
    assert answer.json() == {"revoked": 2 if everywhere else 1}
    assert is_signed_in(laptop) is not everywhere
    assert not is_signed_in(other)


def test_ending_the_current_device_by_its_id_takes_the_cookie(browser, alice):
    laptop = browser(alice)
    assert laptop.delete(f"/api/v1/devices/{alice.devices.get().pk}").status_code == 204
    assert alice.devices.get().revoked_reason == "logout"
    assert not is_signed_in(laptop)


# How long a browser stays signed in


@pytest.mark.asvs("7.3.1")
@pytest.mark.parametrize(
    ("who", "idle", "lifetime"),
    [
        ("support", timedelta(hours=1), timedelta(hours=12)),
        ("root", timedelta(hours=1), timedelta(hours=12)),
        ("alice", timedelta(days=14), timedelta(days=30)),
    ],
)
def test_browser_lasts(request, browser, age, who, idle, lifetime):
    user = request.getfixturevalue(who)
    laptop = browser(user)
    device = user.devices.get()
    assert device.idle_at - device.created_at == idle
    assert device.expires_at - device.created_at == lifetime

    age(device, seconds=idle.total_seconds() - 30)
    assert is_signed_in(laptop)

    device.refresh_from_db()
    assert device.idle_at - device.last_seen_at == idle
    age(device, seconds=idle.total_seconds() + 30)
    assert not is_signed_in(laptop)
    assert IssuedToken.objects.with_state().get().state == "idle"


def test_staffs_api_device_lasts_as_anybodys(api, support):
    device = api(support).device
    assert device.idle_at - device.created_at == timedelta(days=14)
    assert device.expires_at - device.created_at == timedelta(days=30)


@pytest.mark.asvs("7.3.2")
def test_absolute_end_is_not_moved_by_use(browser, support, age):
    laptop = browser(support)
    device = support.devices.get()
    for _ in range(14):
        age(device, minutes=51)
        is_signed_in(laptop)
    device = IssuedToken.objects.with_state().get()
    assert device.expires_at - device.created_at == timedelta(hours=12)
    assert device.idle_at <= device.expires_at
    age(device, minutes=10)
    assert not is_signed_in(laptop)
    assert IssuedToken.objects.with_state().get().state == "expired"


def test_person_who_becomes_staff_signs_in_again_and_is_idle_sooner(browser, alice):
    laptop = browser(alice)
    type(alice).objects.filter(pk=alice.pk).update(is_staff=True)
    assert not is_signed_in(laptop)

    browser(alice)
    device = alice.devices.live().get()
    assert device.idle_at - device.last_seen_at == timedelta(hours=1)


# Other readers of Django's session


def read_by_django(cookie):
    """The user that a reader of the session finds who knows nothing of devices."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
    return get_user(request), dict(request.session.items())


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("ends", [True, False])
def test_session_alone_signs_nobody_in(browser, alice, ends):
    laptop = browser(alice)
    if ends:
        IssuedToken.objects.update(revoked_at=Now(), revoked_reason="staff")
    user, held = read_by_django(cookie_of(laptop))
    assert not user.is_authenticated
    assert [*held] == ["device"]


def test_session_of_the_release_before_signs_nobody_in(alice):
    session = SessionStore()
    session["_auth_user_id"] = str(alice.pk)
    session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]
    session["_auth_user_hash"] = alice.get_session_auth_hash()
    session.save()
    user, _ = read_by_django(session.session_key)
    assert not user.is_authenticated
    request = HttpRequest()
    request.session = SessionStore(session.session_key)
    assert not async_to_sync(aget_user)(request).is_authenticated


def test_login_of_django_adds_a_device(client, alice):
    client.force_login(alice)
    assert is_signed_in(client)
    assert alice.devices.live().count() == 1


def test_next_person_in_a_browser_finds_nothing_of_the_former_one(browser, alice, bob):
    laptop = browser(alice)
    session = laptop.session
    session["basket"] = "of alice"
    session.save()
    laptop.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    laptop.post("/login", {"username": "bob", "password": PASSWORD})
    assert is_signed_in(laptop)
    assert "basket" not in laptop.session


# The password


def change_password(browser):
    body = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    return browser.post("/password/change", body)


def test_password_change_keeps_this_browser_and_ends_others(browser, api, support, engine):
    laptop, other, phone = browser(support), browser(support), api(support)
    cookie = cookie_of(laptop)

    assert change_password(laptop).status_code == 302

    assert is_signed_in(laptop)
    assert laptop.get("/admin/").status_code == 200
    assert not is_signed_in(with_cookie(cookie))
    assert not is_signed_in(other)
    assert phone.get("me").json()["code"] == "password_changed"
    assert support.devices.live().count() == 1


def test_link_of_the_admin_leads_to_the_password_change(browser, support):
    answer = browser(support).get("/admin/password_change/", follow=True)
    assert answer.status_code == 200
    assert 'name="new_password1"' in answer.content.decode()


@pytest.mark.asvs("6.2.3")
def test_refused_password_change_ends_nothing(browser, api, alice):
    laptop, phone = browser(alice), api(alice)
    body = {"old_password": "wrong", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert laptop.post("/password/change", body).status_code == 200
    assert is_signed_in(laptop)
    assert phone.get("me").status_code == 200


def test_password_change_by_the_api_answers_a_new_cookie(browser, api, alice, engine):
    laptop, phone = browser(alice), api(alice)
    cookie = cookie_of(laptop)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    answer = laptop.post("/api/v1/password", body, content_type="application/json")

    assert (answer.status_code, answer.content) == (204, b"")
    assert cookie_of(laptop) != cookie
    assert is_signed_in(laptop)
    assert not is_signed_in(with_cookie(cookie))
    assert phone.get("me").status_code == 401


def test_reauthentication_answers_a_new_cookie(browser, alice, age, engine):
    laptop, other = browser(alice), browser(alice)
    cookie = cookie_of(laptop)
    before = set(alice.devices.all())
    for device in before:
        age(device, minutes=16)
    assert laptop.post("/api/v1/logout/others").status_code == 401

    answer = laptop.post(
        "/api/v1/reauthenticate", {"password": PASSWORD}, content_type="application/json"
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert cookie_of(laptop) != cookie
    assert not is_signed_in(with_cookie(cookie))
    assert is_signed_in(other)
    assert set(alice.devices.all()) == before
    assert laptop.post("/api/v1/logout/others").json() == {"revoked": 1}


@pytest.mark.asvs("7.5.1")
def test_wrong_password_is_a_field_error_and_keeps_the_cookie(browser, alice):
    laptop = browser(alice)
    cookie = cookie_of(laptop)

    answer = laptop.post(
        "/api/v1/reauthenticate", {"password": "wrong"}, content_type="application/json"
    )

    assert answer.status_code == 400
    assert answer.json() == {"password": ["This is not your password."]}
    assert is_signed_in(with_cookie(cookie))


# The API by cookie


def test_writes_by_cookie_need_a_csrf_token(browser, alice):
    laptop = browser(alice)
    laptop.handler.enforce_csrf_checks = True

    answer = laptop.post("/api/v1/logout/all", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert is_signed_in(laptop)


def test_bad_bearer_beside_a_good_cookie_is_refused(browser, alice):
    answer = browser(alice).get("/api/v1/me", headers={"authorization": "Bearer a.b.c"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_good_bearer_beside_a_cookie_is_the_one(browser, api, alice, bob):
    token = api(bob).pair["access_token"]
    answer = browser(alice).get("/api/v1/me", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["username"] == "bob"


def test_browsable_api_is_the_same_device(browser, alice):
    laptop = browser(alice)
    answer = laptop.get("/api/v1/devices", headers=HTML)
    assert answer.status_code == 200
    assert "text/html" in answer.headers["Content-Type"]
    assert alice.devices.count() == 1
    assert str(alice.devices.get().pk) in answer.content.decode()


@pytest.mark.urls(__name__)
def test_request_auth_is_the_device_both_ways(browser, api, alice):
    laptop, phone = browser(alice), api(alice)
    devices = {device.kind: str(device.pk) for device in alice.devices.all()}

    assert laptop.get("/api/v1/who").json() == {"user": "alice", "device": devices["browser"]}
    assert phone.get("who").json() == {"user": "alice", "device": devices["api"]}


# Queries


@pytest.mark.urls(__name__)
def test_click_of_a_signed_in_browser_costs_one_query(browser, alice, django_assert_num_queries):
    laptop = browser(alice)
    with django_assert_num_queries(2):  # the first click is noted
        laptop.get("/api/v1/who")
    with django_assert_num_queries(1):
        assert laptop.get("/api/v1/who").json()["user"] == "alice"


def test_click_without_a_session_costs_no_query(client, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get("/login")


# Async views


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("url", ["/who", "/who-twice"])
def test_async_view_sees_the_user(browser, alice, url):
    browser_with_cookie = browser(alice)
    client = AsyncClient()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie_of(browser_with_cookie)

    answer = async_to_sync(client.get)(url)

    assert answer.json()["user"] == "alice"


@pytest.mark.urls(__name__)
def test_async_view_without_a_device_sees_nobody(browser, alice):
    laptop = browser(alice)
    client = AsyncClient()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie_of(laptop)
    alice.devices.revoke(reason="user")

    assert async_to_sync(client.get)("/who").json() == {"user": "", "in": False}
    assert async_to_sync(AsyncClient().get)("/who").json() == {"user": "", "in": False}


# An account that changes while it signs in


def test_deactivated_person_stays_out(client, alice):
    type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    assert sign_in(client, alice).status_code == 200
    assert not IssuedToken.objects.exists()


def test_login_of_django_itself_makes_a_device(client, alice):
    """`login()` is what every way of signing in ends in, also one that comes later."""
    client.force_login(alice)
    assert alice.devices.get().kind == "browser"
    assert is_signed_in(client)


def test_login_of_an_account_that_changed_meanwhile_is_anonymous(client, alice):
    stale = type(alice).objects.get(pk=alice.pk)
    alice.set_password(NEW_PASSWORD)
    alice.save()

    client.force_login(stale)

    assert not IssuedToken.objects.exists()
    assert not is_signed_in(client)


def test_limit_of_devices_holds_for_browsers(browser, settings, db):
    settings.MAX_DEVICES_PER_USER = 2
    carol = make_user("carol")
    first, second, third = browser(carol), browser(carol), browser(carol)
    assert [is_signed_in(b) for b in (first, second, third)] == [False, True, True]
    assert carol.devices.get(revoked_reason="limit")


def test_sign_in_again_does_not_count_the_replaced_device(browser, settings, db):
    settings.MAX_DEVICES_PER_USER = 2
    carol = make_user("carol")
    kept, again = browser(carol), browser(carol)
    sign_in(again, carol)
    assert is_signed_in(kept)
    assert is_signed_in(again)
    assert not carol.devices.filter(revoked_reason="limit").exists()
