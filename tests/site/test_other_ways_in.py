"""Ways in that other code takes: `login()` in a view of DRF, a forced user, a swapped one."""

import pytest
from django.contrib.auth import login
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from accounts.models import User
from config.urls import urlpatterns as site_urls
from tests.plugins.guestlist import PASSWORD

pytestmark = pytest.mark.urls(__name__)


class OtherLoginView(APIView):
    """As dj-rest-auth and others do it."""

    permission_classes = [AllowAny]
    authentication_classes = ()

    def post(self, request):
        login(request, User.objects.get(username=request.data["username"]))
        return Response({"device": request._request.device.label})


urlpatterns = [path("api/v1/other-login", OtherLoginView.as_view()), *site_urls]


def test_login_in_a_view_of_drf_signs_the_browser_in(client, alice):
    answer = client.post(
        "/api/v1/other-login", {"username": "alice"}, content_type="application/json"
    )

    assert answer.status_code == 200
    assert alice.devices.live().count() == 1
    assert client.get("/devices/").status_code == 200
    assert client.get("/api/v1/me").json()["username"] == "alice"


NEEDS_A_DEVICE = [
    ("post", "reauthenticate", {"password": PASSWORD}),
    ("post", "password", {"current_password": PASSWORD, "new_password": "wholly different words"}),
    ("post", "logout", None),
    ("post", "logout/others", None),
    ("post", "logout/all", None),
    ("patch", "me", {"username": "alicia", "current_password": PASSWORD}),
    ("post", "users/devices/revoke", {"all": True}),
    ("post", "roles", {"name": "helpers"}),
]


@pytest.mark.parametrize(
    ("method", "url", "body"), NEEDS_A_DEVICE, ids=lambda value: str(value)[:25]
)
def test_forced_user_has_no_device_where_one_is_needed(root, bob, method, url, body):
    client = APIClient()
    client.force_authenticate(root)

    answer = getattr(client, method)(f"/api/v1/{url}", body)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "url", ["me", "devices", "devices?state=all", "roles", "users", "users/bob"]
)
def test_forced_user_is_answered_where_no_device_is_needed(api, root, bob, url):
    device = api(root).device
    client = APIClient()
    client.force_authenticate(root)

    assert client.get(f"/api/v1/{url}").status_code == 200
    assert client.get(f"/api/v1/devices/{device.pk}").json()["is_current"] is False


class SwapUser:
    """As an impersonation does: the request is another's, the device stays whose it is."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.user = User.objects.get(username="bob")
        return self.get_response(request)


def test_pages_of_devices_are_of_the_person_whose_device_asks(browser, api, alice, bob, settings):
    tab, phone, other = browser(alice), api(alice).device, api(bob).device
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SwapUser"]

    page = tab.get("/devices/")
    assert page.status_code == 200
    assert str(phone.pk) in page.content.decode()
    assert str(other.pk) not in page.content.decode()
    assert tab.get(f"/devices/{phone.pk}/sign-out/").status_code == 200
    assert tab.get(f"/devices/{other.pk}/sign-out/").status_code == 404
    assert tab.get("/devices/sign-out-others/").status_code == 200
