"""Every way to what staff may do, taken without a passkey that counts: refused, or open by design.

docs/security.md has the ways in a table, next to the test of each. Ways to a passkey that counts
are in test_staff_ways_passkeys.py.
"""

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth import login
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.http import Http404, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone
from django.utils.http import urlsafe_base64_encode
from rest_framework.permissions import IsAdminUser
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import PasskeyDeadline, Role, User
from accounts.permissions import HasPermission
from accounts.reset import reset_tokens
from config.urls import urlpatterns as site_urls
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, make_user
from tests.site.test_imports import ROOT
from tests.site.test_urls import addresses, contents, routes
from tokens.models import IssuedToken
from tokens.tests.staff import add, prove, refused

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("staff_need_passkeys"),
]
NO_WAYS = {"test_docs_have_each_way", "test_pages_cost_staff_no_query_more"}
ADMIN = "/admin/tokens/issuedtoken/"
WAITS = (403, "passkey_required")


class AppView(APIView):
    """A view of an app: with a flag, with a permission, or with one that answers 404."""

    def get(self, request, **kwargs):
        if kwargs and not request.user.has_perm("accounts.view_user"):
            raise Http404
        return Response({})


def sign_in_elsewhere(request):
    """Signs somebody in by other code, and asks for a permission in the same request."""
    login(request, User.objects.get(username="support"))
    return HttpResponse(request.user.has_perm("accounts.view_user"))


def hidden(request):
    if not request.user.has_perm("accounts.view_user"):
        raise Http404
    return HttpResponse("")


urlpatterns = [
    path("api/v1/flag", AppView.as_view(permission_classes=[IsAdminUser])),
    path(
        "api/v1/permission", AppView.as_view(permission_classes=[HasPermission("auth.add_group")])
    ),
    path("api/v1/hidden/<str:name>", AppView.as_view()),
    path("flag", staff_member_required(lambda request: HttpResponse("in"))),
    path("hidden", hidden),
    path("elsewhere", sign_in_elsewhere),
    *site_urls,
]


@pytest.fixture
def planted(alice):
    """A passkey that a thief added with the password, before alice was of staff."""
    return give_passkey(alice)


def assert_page_waits(tab):
    assert tab.get("/devices/").status_code == 200
    assert tab.get(ADMIN).status_code == 403
    assert refused(tab.get("/api/v1/users")) == WAITS


def by_passkey(client, key):
    options = client.post("login/options").json()
    return client.keep(client.post("login", {"passkey": key.use(options)}).json())


def by_password(user, password=PASSWORD):
    tab = Client()
    assert tab.post("/login", {"username": user.username, "password": password}).status_code == 302
    return tab


def reset_by_mail(user):
    user.refresh_from_db()
    uid, tab = urlsafe_base64_encode(str(user.pk).encode()), Client()
    page = tab.get(f"/password/reset/{uid}/{reset_tokens.make_token(user)}")
    tab.post(page.url, {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})


# With a password


def test_a_password_on_every_page_to_sign_in(support, api, key):
    assert_page_waits(by_password(support))
    tab = Client()
    tab.post("/admin/login/", {"username": "support", "password": PASSWORD})
    assert_page_waits(tab)
    assert refused(api(support).get("users")) == WAITS


def test_a_reset_by_mail(support, api, key):
    reset_by_mail(support)
    tab = by_password(support, NEW_PASSWORD)
    assert_page_waits(tab)
    assert add(tab).status_code == 400
    assert refused(api().log_in(support, NEW_PASSWORD).get("users")) == WAITS


def test_a_reset_by_mail_with_a_planted_passkey(alice, api, planted):
    alice.roles.add(Role.objects.get(name="support"))
    reset_by_mail(alice)
    app = by_passkey(api(), planted)
    assert refused(app.get("users")) == WAITS
    assert refused(app.post("me/passkeys/options")) == WAITS


def test_changepassword_on_the_server(support, key, monkeypatch):
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW_PASSWORD)
    call_command("changepassword", "support", stdout=StringIO())
    assert_page_waits(by_password(support, NEW_PASSWORD))


def test_a_device_of_the_api_by_password(support, api, key):
    app = api(support)
    app.keep(app.post("refresh", {"refresh_token": app.pair["refresh_token"]}).json())
    assert refused(app.get("users")) == WAITS
    app.keep(app.post("reauthenticate", {"password": PASSWORD}).json())
    assert refused(app.get("users")) == WAITS
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    app.keep(app.post("password", change).json())
    assert refused(app.get("users")) == WAITS


def test_the_browsable_api(support, browser):
    tab = browser(support)
    for url in ("users", "roles", "users/support/devices"):
        page = tab.get(f"/api/v1/{url}", headers={"accept": "text/html"})
        assert page.status_code == 403
        assert "support@example.org" not in page.content.decode()


def test_own_names_change_and_open_nothing(support, api, browser, key):
    app = api(support)
    names = {"username": "mallory", "email": "m@example.net", "current_password": PASSWORD}
    assert app.patch("me", names).status_code == 200
    assert refused(app.get("users")) == WAITS
    support.refresh_from_db()
    assert support.passkeys.get().vouched
    assert_page_waits(browser(support))


def test_signing_in_by_other_code(support, client):
    assert client.get("/elsewhere").content == b"False"
    assert_page_waits(client)


# With a passkey that does not count


@pytest.mark.parametrize(
    "give",
    [
        lambda user: user.roles.add(Role.objects.get(name="support")),
        lambda user: user.user_permissions.add(*Permission.objects.filter(codename="view_user")),
        lambda user: User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True),
    ],
    ids=["role", "permission", "flags"],
)
def test_a_passkey_from_before_the_account_was_of_staff(alice, api, browser, planted, give):
    before = by_passkey(api(), planted)
    give(alice)
    assert before.get("users").status_code in (401, 403)  # flags end the device
    app = by_passkey(api(), planted)
    assert refused(app.get("users")) == WAITS
    app.keep(
        app.post(
            "reauthenticate", {"passkey": planted.use(app.post("reauthenticate/options").json())}
        ).json()
    )
    assert refused(app.get("users")) == WAITS
    tab = browser(alice)
    assert "does not count for staff" in prove(tab, planted).content.decode()
    assert add(tab).status_code == 400


# Rights that are given to a device that is signed in


def test_a_role_is_given_over_the_api_and_in_the_admin(root, alice, bob, api, browser):
    chief_key = give_passkey(root, vouched=True)
    phones = {user: api(user) for user in (alice, bob)}
    app = by_passkey(api(), chief_key)
    proof = {"current_password": PASSWORD}
    assert app.put("users/alice/roles/support", proof).status_code == 204
    chief = browser(root)
    prove(chief, chief_key)
    given = Role.objects.get(name="support").pk
    url = f"/admin/accounts/user/{bob.pk}/change/"
    typed = {"username": "bob", "email": bob.email, "is_active": "on", "roles": [given], **proof}
    assert chief.post(url, typed).status_code == 302
    for user, phone in phones.items():
        assert user.has_role("support")
        assert refused(phone.get("users")) == WAITS


def test_a_permission_is_added_to_a_role_that_one_has(alice, api):
    role = Role.objects.create(name="helpers")
    alice.roles.add(role)
    phone = api(alice)
    assert refused(phone.get("users")) == (403, "permission_denied")
    role.permissions.add(Permission.objects.get(codename="view_user"))
    assert refused(phone.get("users")) == WAITS


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_a_flag_is_given_later(support, browser, flag):
    User.objects.filter(pk=support.pk).update(is_staff=False)
    tab = browser(support)
    User.objects.filter(pk=support.pk).update(**{"is_staff": True, flag: True})
    assert tab.get("/devices/").status_code == 302  # it has ended
    assert_page_waits(browser(support))


# Devices from before, and of scripts


def test_sessions_from_before_the_setting_was_on(support, browser, api, key, settings):
    settings.STAFF_NEEDS_PASSKEY = False
    tab, app = browser(support), api(support)
    assert tab.get(ADMIN).status_code == 200
    settings.STAFF_NEEDS_PASSKEY = True
    assert_page_waits(tab)
    assert refused(app.get("users")) == WAITS


def test_a_passkey_that_was_used_too_long_ago(support, api, key, settings):
    app = by_passkey(api(), key)
    assert app.get("users").status_code == 200
    late = timezone.now() - settings.STAFF_BROWSER_LIFETIME - timedelta(seconds=1)
    IssuedToken.objects.update(passkey_at=late)
    assert refused(app.get("users")) == WAITS
    assert refused(app.post("me/passkeys/options")) == WAITS
    app.keep(app.post("refresh", {"refresh_token": app.pair["refresh_token"]}).json())
    assert refused(app.get("users")) == WAITS


def test_a_token_of_issue_token(support, api, key):
    out = StringIO()
    call_command("issue_token", "support", "--name=script", "--expires=1h", stdout=out)
    token = re.search(r"\S+\.\S+\.\S+", out.getvalue())[0]
    bearer = {"authorization": f"Bearer {token}"}
    app = api()
    assert refused(app.get("users", **bearer)) == WAITS
    assert refused(app.post("users/support/devices/revoke", {}, **bearer)) == WAITS
    pair = app.post("reauthenticate", {"password": PASSWORD}, **bearer).json()
    assert refused(app.keep(pair).get("users")) == WAITS


def test_data_that_is_loaded_on_the_server_counts(support, api, key, tmp_path):
    """Open by design: people who run commands there are the site."""
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "accounts.passkey", output=dump, verbosity=0)
    support.passkeys.all().delete()
    call_command("loaddata", dump, verbosity=0)
    assert by_passkey(api(), key).get("users").status_code == 200


# Code that asks


def test_views_that_ask_for_the_flag_alone(support, browser):
    """Open by design, and docs/develop.md says what to ask for in place of it."""
    tab = browser(support)
    assert tab.get("/flag").content == b"in"
    assert tab.get("/api/v1/flag").status_code == 200
    support.user_permissions.add(Permission.objects.get(codename="add_group"))
    assert refused(tab.get("/api/v1/permission")) == WAITS


def test_a_404_tells_nothing_of_what_is_held_back(support, alice, api, browser, settings):
    staff, other = api(support), api(alice)
    answers = [app.get("hidden/x") for app in (staff, other)]
    answers += [app.get(f"devices/{other.device.pk}x") for app in (staff, other)]
    answers += [staff.get(f"devices/{other.device.pk}")]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Not found.","code":"not_found"}')
    }
    page = browser(support).get("/hidden")
    assert page.status_code == 404
    settings.STAFF_NEEDS_PASSKEY = False
    support.user_permissions.clear()
    support.roles.clear()
    assert strip(browser(support).get("/hidden")) == strip(page)


def strip(page):
    """The page without what differs in each answer."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page.content.decode())


# The admin


def test_no_page_of_the_admin_shows_or_does_anything(root, browser, api, alice):
    """A deadline that is over changes nothing."""
    PasskeyDeadline.objects.create(at=timezone.now() - timedelta(seconds=1))
    api(alice)
    tab = browser(root)
    tab.get("/devices/")
    before = contents()
    body = {"action": "delete_selected", "_selected_action": alice.pk, "post": "yes"}
    walked = {
        route: address for route, address in addresses(root).items() if route.startswith("/admin/")
    }
    for route in ("login/", "logout/", "password_change/"):  # which are pages of everybody
        del walked[f"/admin/{route}"]
    assert len(walked) > 30
    for address in walked.values():
        for method in ("get", "post", "head", "options", "put"):
            answer = getattr(tab, method)(address, body if method == "post" else None)
            assert answer.status_code == 403, (method, address)
            page = answer.content.decode()
            assert "alice" not in page
            assert method == "head" or "Staff use their passkey" in page
    assert contents() == before


@pytest.mark.parametrize(
    "address",
    [
        "autocomplete/?app_label=accounts&model_name=user&field_name=roles&term=a",
        "jsi18n/",
        "r/{user}/{pk}/",
        "tokens/issuedtoken/?q=alice",
        "tokens/issuedtoken/?_export=csv",
        "accounts/user/{pk}/change/?_popup=1",
        "accounts/user/{pk}/passkeys/",
        "nothing/",
    ],
)
def test_addresses_with_a_query(root, browser, alice, address):
    content_type = ContentType.objects.get_for_model(User).pk
    page = browser(root).get("/admin/" + address.format(pk=alice.pk, user=content_type))
    assert page.status_code == 403
    assert "alice" not in page.content.decode()


def test_the_deadline_cannot_be_moved_from_outside(root, browser):
    other = make_user("other", is_staff=True)
    assert not Permission.objects.filter(codename__contains="deadline").exists()
    assert not any("deadline" in route.lower() for route, _ in routes())
    PasskeyDeadline.objects.create(at=timezone.now() + timedelta(days=1))
    tab = browser(other)
    assert tab.get("/admin/").status_code == 200
    PasskeyDeadline.objects.all().delete()
    assert tab.get("/admin/").status_code == 403


@pytest.mark.parametrize("path", ["/admin/", ADMIN, "/admin/accounts/user/", "/devices/"])
def test_pages_cost_staff_no_query_more(path, root, browser, settings):
    tab, counts = browser(root), []
    prove(tab, give_passkey(root, vouched=True))
    for needs_passkey in (False, True, False, True):  # the first two fill caches
        settings.STAFF_NEEDS_PASSKEY = needs_passkey
        with CaptureQueriesContext(connection) as captured:
            assert tab.get(path).status_code == 200
        counts.append(len(captured))
    assert counts[2] == counts[3] > 0


def test_docs_have_each_way():
    """Each test of the two files is in the table of docs/security.md, and no other."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = page.partition("## Ways to staff's power\n")[2].partition("\n## ")[0]
    files = [Path(__file__), Path(__file__).with_name("test_staff_ways_passkeys.py")]
    tests = re.findall(r"^def (test_\w+)", "".join(map(Path.read_text, files)), re.M)
    assert sorted(re.findall(r"`(test_\w+)`", section)) == sorted({*tests} - NO_WAYS)
