"""Every URL of the project, walked: a device that ended opens none but the open ones."""

import json
import re

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import RegexPattern, URLResolver

from accounts.models import Role, User
from tokens.models import IssuedToken

# Whoever asks is answered: with a page, a form that was not filled in, a redirect to a page that
# is itself walked here, or "not allowed" to a method that is not there.
OPEN = {
    "GET /",
    "POST /",
    "GET /favicon.ico",
    "POST /favicon.ico",
    "GET /.well-known/change-password",
    "POST /.well-known/change-password",
    "GET /login",
    "POST /login",
    "GET /login/options",
    "POST /login/options",
    "GET /logout",
    "POST /logout",
    "GET /signup",
    "POST /signup",
    "GET /email/<str:token>",
    "POST /email/<str:token>",
    "GET /not-me/<str:token>",
    "POST /not-me/<str:token>",
    "GET /password/reset",
    "POST /password/reset",
    "GET /password/reset/done",
    "POST /password/reset/done",
    "GET /password/reset/<uidb64>/<token>",
    "POST /password/reset/<uidb64>/<token>",
    "GET /admin/login/",
    "POST /admin/login/",
    "GET /admin/logout/",
    "POST /admin/logout/",
    "GET /admin/password_change/",
    "POST /admin/password_change/",
    "GET /api/v1",
    "POST /api/v1",
    "GET /api/v1/",
    "POST /api/v1/",
    "GET /api/v1/schema",
    "POST /api/v1/schema",
    "GET /api/v1/docs",
    "POST /api/v1/docs",
    "GET /api/v1/signup",
    "POST /api/v1/signup",
    "GET /api/v1/login",
    "POST /api/v1/login",
    "GET /api/v1/login/options",
    "POST /api/v1/login/options",
    "GET /api/v1/refresh",
    "GET /^api(?:/.*)?$",
    "POST /^api(?:/.*)?$",
}

# A value for each regular expression among the URLs, by the groups in it.
REGEXES = {("app_label",): "accounts/", ("url",): "nothing-here", (): "api/nothing-here"}


def routes(patterns=None, prefix="/"):
    """The routes of the project as they are written, from the root."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, prefix + str(pattern.pattern))
        else:
            yield prefix + str(pattern.pattern), pattern.pattern


def addresses(user):
    """Each route with an address of it that exists for this user."""
    values = {
        "id": user.devices.first().pk,
        "username": user.username,
        "name": "support",
        "token": "token",
        "link": "link",
        "uidb64": "user",
        "content_type_id": ContentType.objects.get_for_model(User).pk,
    }
    objects = {
        "user": user.pk,
        "role": Role.objects.get(name="support").pk,
        "issuedtoken": user.devices.first().pk,
    }
    found = {}
    for route, pattern in routes():
        address = route
        if isinstance(pattern, RegexPattern):
            groups = tuple(re.findall(r"\?P<(\w+)>", str(pattern)))
            address = route.removesuffix(str(pattern)) + REGEXES[groups]
        model = address.removeprefix("/admin/").split("/")[1:2]
        values["object_id"] = objects.get(model[0] if model else "", user.pk)
        address = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), address)
        found.setdefault(route, address)
    return found


def is_refused(answer):
    """401, or the way to the sign-in page."""
    if answer.status_code != 302:
        return answer.status_code == 401
    return answer.url.startswith(("/login?", "/admin/login/?"))


def opened(user, send):
    """The methods and routes that do not refuse what `send(method, address)` comes with."""
    return {
        f"{method} {route}"
        for route, address in addresses(user).items()
        for method in ("GET", "POST")
        if not is_refused(send(method, address))
    }


def end_by_revocation(device):
    IssuedToken.objects.filter(pk=device.pk).revoke(reason="staff")


def end_by_age(device):
    device.expires_at = device.created_at
    device.save(update_fields=["expires_at"])


def end_by_silence(device):
    device.idle_at = device.created_at
    device.save(update_fields=["idle_at"])


def end_by_deactivation(device):
    User.objects.filter(pk=device.user_id).update(is_active=False)


ENDINGS = [end_by_revocation, end_by_age, end_by_silence, end_by_deactivation]


def with_token(user, api):
    """A sender with the access token, and in the body of a POST the refresh token."""
    pair = api(user).pair
    headers = {"authorization": f"Bearer {pair['access_token']}"}
    body = json.dumps({"refresh_token": pair["refresh_token"]})

    def send(method, address):
        return Client().generic(
            method,
            address,
            body if method == "POST" else "",
            content_type="application/json",
            headers=headers,
        )

    return send


def with_cookie(user, browser):
    cookie = browser(user).cookies[settings.SESSION_COOKIE_NAME].value

    def send(method, address):
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
        return client.generic(method, address, content_type="application/json")

    return send


def contents():
    """All that a request could have changed, but for the count of refusals."""
    rows = [list(model.objects.order_by("pk").values()) for model in (User, Role, IssuedToken)]
    for device in rows[-1]:
        for name in ("refused_count", "refused_at", "refused_ip"):
            del device[name]
    return rows


@pytest.mark.asvs("7.4.1", "8.2.1")
@pytest.mark.parametrize("end", ENDINGS)
def test_token_of_a_device_that_ended_opens_nothing(root, api, end):
    send = with_token(root, api)
    end(root.devices.get())
    before = contents()

    assert opened(root, send) == OPEN
    assert contents() == before


@pytest.mark.asvs("7.4.1", "8.2.1")
@pytest.mark.parametrize("end", ENDINGS)
def test_cookie_of_a_device_that_ended_opens_nothing(root, browser, end):
    send = with_cookie(root, browser)
    end(root.devices.get())
    before = contents()

    assert opened(root, send) == OPEN | {"POST /api/v1/refresh"}  # which wants a token
    assert contents() == before


def test_live_cookie_opens_every_page(root, browser):
    """What is refused above is refused because of the device."""
    send = with_cookie(root, browser)
    refused = [
        route for route, address in addresses(root).items() if is_refused(send("GET", address))
    ]
    assert refused == []


def test_live_token_opens_every_endpoint(root, api):
    send = with_token(root, api)
    endpoints = {route: address for route, address in addresses(root).items() if "api/" in route}
    refused = [route for route, address in endpoints.items() if is_refused(send("GET", address))]
    assert refused == []
    assert len(endpoints) > 20
