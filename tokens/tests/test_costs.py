"""What a request costs: one SELECT for row and user, and at most one UPDATE; and what a sign-in
costs, which counts its try, decides it, and adds a device."""

import cProfile
import gc
import json
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Role, Throttle, User
from config.urls import urlpatterns as site_urls
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.authentication import IssuedTokenAuthentication
from tokens.client import Client
from tokens.flows import use
from tokens.models import IssuedToken

pytestmark = pytest.mark.urls(__name__)
JSON = "application/json"


class WhoView(APIView):
    """An endpoint that asks nothing more of the database than who is asking."""

    def get(self, request):
        return Response({"user": request.user.username, "device": str(request.auth.pk)})


urlpatterns = [path("api/v1/who", WhoView.as_view()), *site_urls]


@contextmanager
def costs(*expected):
    """The block sends exactly these statements, told by their first word."""
    with CaptureQueriesContext(connection) as captured:
        yield
    sent = [query["sql"].split()[0].upper() for query in captured]
    assert sent == list(expected), [query["sql"][:200] for query in captured]


def change(device, **values):
    IssuedToken.objects.filter(pk=device.pk).update(**values)


def stored(device):
    return IssuedToken.objects.get(pk=device.pk)


@pytest.fixture
def new_phone(api, alice):
    """A device of alice that has made no request yet."""
    return api(alice)


@pytest.fixture
def phone(new_phone):
    assert new_phone.get("who").status_code == 200
    return new_phone


def test_first_use_writes_once(new_phone):
    with costs("SELECT", "UPDATE"):
        assert new_phone.get("who").json()["user"] == "alice"


def test_use_within_a_minute_writes_nothing(phone, age):
    with costs("SELECT"):
        assert phone.get("who").status_code == 200
    age(phone.device, seconds=55)
    with costs("SELECT"):
        assert phone.get("who").status_code == 200


def test_minute_without_a_write_ends_to_the_second(phone):
    device, client = phone.device, Client(ip_address="127.0.0.1")
    device.presented_generation = device.generation

    device.now = device.last_seen_at + timedelta(seconds=59.9)
    with costs():
        use._touch(device, client)
    device.now = device.last_seen_at + timedelta(seconds=60)
    with costs("UPDATE"):
        use._touch(device, client)


def test_use_after_a_minute_writes_once(phone, age):
    age(phone.device, seconds=61)

    with costs("SELECT", "UPDATE"):
        assert phone.get("who").status_code == 200
    with costs("SELECT"):
        assert phone.get("who").status_code == 200


def test_first_use_after_an_hour_writes_once_too(new_phone, age):
    age(new_phone.device, hours=1)

    with costs("SELECT", "UPDATE"):
        assert new_phone.get("who").status_code == 200
    with costs("SELECT"):
        assert new_phone.get("who").status_code == 200


def test_use_moves_last_seen_and_idle_and_nothing_else(phone, age):
    age(phone.device, hours=1)
    before = IssuedToken.objects.filter(pk=phone.device.pk).values().get()

    phone.get("who")

    after = IssuedToken.objects.filter(pk=phone.device.pk).values().get()
    moved = {name for name in after if after[name] != before[name]}
    assert moved == {"last_seen_at", "idle_at"}
    assert after["idle_at"] - after["last_seen_at"] == settings.DEVICE_IDLE_TIMEOUT


def test_idle_never_moves_past_the_end(phone, age):
    age(phone.device, days=13)
    phone.get("who")
    age(phone.device, days=13)
    phone.get("who")

    device = stored(phone.device)
    assert device.idle_at == device.expires_at


def test_first_use_confirms_the_generation(new_phone):
    assert not stored(new_phone.device).confirmed

    new_phone.get("who")

    assert stored(new_phone.device).confirmed


def test_token_of_the_former_generation_is_let_in_and_does_not_confirm(phone, age):
    change(phone.device, generation=2, confirmed=False)

    with costs("SELECT"):
        assert phone.get("who").status_code == 200
    age(phone.device, seconds=61)
    with costs("SELECT", "UPDATE"):
        assert phone.get("who").status_code == 200

    assert not stored(phone.device).confirmed


def test_refused_use_confirms_nothing_and_is_not_seen(new_phone):
    before = stored(new_phone.device)
    change(new_phone.device, revoked_at=before.created_at, revoked_reason="staff")

    with costs("SELECT", "UPDATE"):  # which counts the refusal
        assert new_phone.get("who").status_code == 401

    after = stored(new_phone.device)
    assert (after.confirmed, after.last_seen_at) == (False, before.last_seen_at)


def end(phone, age, read_segment, forge, how):
    """Make the device or the token of `phone` one that is refused. Return the code."""
    claims = read_segment(phone.pair["access_token"])
    header = lambda **changes: {"authorization": f"Bearer {forge(claims | changes)}"}  # noqa: E731
    match how:
        case "unknown handle":
            return "token_invalid", header(sid="A" * 43)
        case "somebody else":
            return "token_invalid", header(sub="0")
        case "ahead":
            return "token_invalid", header(gen=9)
        case "of the other kind":
            change(phone.device, kind="browser")
            return "token_invalid", {}
        case "before nbf":
            return "token_invalid", header(nbf=claims["iat"] + 1000)
        case "past exp":
            return "token_expired", header(exp=claims["iat"])
        case "an older generation":
            change(phone.device, generation=3)
            return "token_expired", {}
        case "revoked":
            change(phone.device, revoked_at=phone.device.now, revoked_reason="staff")
            return "device_revoked", {}
        case "expired":
            age(phone.device, days=30)
            return "device_expired", {}
        case "idle":
            age(phone.device, days=14)
            return "device_idle", {}
        case "deactivated":
            User.objects.filter(username="alice").update(is_active=False)
            return "user_inactive", {}
        case "password changed":
            user = User.objects.get(username="alice")
            user.set_password(NEW_PASSWORD)
            user.save()
            return "password_changed", {}
        case "deleted":
            User.objects.get(username="alice").delete()
            return "token_invalid", {}
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "unknown handle",
        "somebody else",
        "ahead",
        "of the other kind",
        "before nbf",
        "past exp",
        "an older generation",
        "revoked",
        "expired",
        "idle",
        "deactivated",
        "password changed",
        "deleted",
    ],
)
def test_refused_token_costs_one_query(phone, age, read_segment, forge, how):
    """A revoked device counts its refusals, with one write a minute."""
    code, headers = end(phone, age, read_segment, forge, how)
    if IssuedToken.objects.filter(revoked_at__isnull=False).exists():
        with costs("SELECT", "UPDATE"):
            phone.get("who", **headers)

    with costs("SELECT"):
        answer = phone.get("who", **headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code)


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize(
    "header", ["", "Basic x", "Bearer", "Bearer a b", "Bearer x", "Bearer a.b.c", "refresh"]
)
def test_what_is_no_token_of_ours_costs_no_query(phone, header):
    if header == "refresh":
        header = f"Bearer {phone.pair['refresh_token']}"

    with costs():
        assert phone.get("who", authorization=header).status_code in (400, 401)


def test_request_of_a_browser_costs_one_query(browser, alice, age):
    tab = browser(alice)
    tab.get("/api/v1/who")

    with costs("SELECT"):
        assert tab.get("/api/v1/who").json()["user"] == "alice"
    (device,) = alice.devices.all()
    age(device, seconds=61)
    with costs("SELECT", "UPDATE"):
        tab.get("/api/v1/who")
    with costs("SELECT"):
        tab.get("/api/v1/who")


def test_refused_browser_costs_one_query_and_then_none(browser, alice):
    """Its session is flushed: the next request does not ask again."""
    tab = browser(alice)
    change(alice.devices.get(), revoked_at="2026-01-01T00:00Z", revoked_reason="staff")

    with costs("SELECT", "UPDATE"):
        assert tab.get("/api/v1/who").status_code == 401
    with costs():
        assert tab.get("/api/v1/who").status_code == 401


def test_bearer_beside_a_cookie_asks_for_one_device_only(browser, phone, bob):
    tab = browser(bob)
    tab.get("/api/v1/who")
    bearer = {"authorization": f"Bearer {phone.pair['access_token']}"}

    with costs("SELECT"):
        assert tab.get("/api/v1/who", headers=bearer).json()["user"] == "alice"


def test_logout_costs_one_statement_more(phone):
    with costs("SELECT", "UPDATE"):
        assert phone.post("logout").status_code == 204


def in_transaction(*statements):
    """The statements of one transaction, which within that of the test is a savepoint."""
    return ["SAVEPOINT", *statements, "RELEASE"]


# The user, a lock that holds, and the try on all that it counts for.
TRY = ["SELECT", "SELECT", *in_transaction("INSERT")]
FAILURE = ["UPDATE", "DELETE"]  # of stale counts
# The lock, the devices before, the new one, and the counts that a right password forgets.
LOGIN = ["UPDATE", "SELECT", "INSERT", "DELETE"]


def log_in(api, password=PASSWORD):
    return api().post("login", {"username": "alice", "password": password}).status_code


def test_login_costs_a_count_and_a_transaction(new_phone, api):
    with costs(*TRY, *in_transaction(*LOGIN)):
        assert log_in(api) == 200


@pytest.mark.django_db(transaction=True)
def test_login_costs_nine_statements_with_begin_and_commit(new_phone, api):
    log_in(api)  # compiles them
    with costs("SELECT", "SELECT", "INSERT", "BEGIN", *LOGIN, "COMMIT"):
        assert log_in(api) == 200


@pytest.mark.django_db(transaction=True)
def test_wrong_password_costs_five_statements_and_no_transaction(new_phone, api):
    with costs("SELECT", "SELECT", "INSERT", *FAILURE):
        assert log_in(api, "wrong") == 401


def test_login_from_a_new_network_costs_one_statement_more(alice, api):
    """It makes the network known for the account."""
    with costs(*TRY, *in_transaction(*LOGIN, "INSERT")):
        assert log_in(api) == 200


def test_login_after_a_wrong_password_costs_one_statement_more(new_phone, api):
    """The network's count is not gone with the account's."""
    log_in(api, "wrong")
    with costs(*TRY, *in_transaction(*LOGIN, "UPDATE")):
        assert log_in(api) == 200


def test_refused_login_costs_three_writes(alice, api):
    with costs(*TRY, *FAILURE):
        assert log_in(api, "wrong") == 401


def test_wrong_password_that_locks_costs_no_more(alice, api):
    for _ in range(4):
        log_in(api, "wrong")
    with costs(*TRY, *FAILURE):
        assert log_in(api, "wrong") == 401


def test_locked_login_reads_and_writes_nothing(alice, api):
    for _ in range(5):
        log_in(api, "wrong")
    with costs("SELECT", "SELECT"):
        assert log_in(api) == 429


def test_sign_in_of_a_browser_costs_as_much_as_a_login(browser, alice):
    browser(alice)
    with costs(*TRY, *in_transaction(*LOGIN)):
        browser(alice)


# Django's SQLite cursor is a thin one, psycopg is written in Python.
CEILING = {"sqlite": 177, "postgresql": 237}
REFRESH_CEILING = {"sqlite": 2_390, "postgresql": 2_520}
REQUEST_CEILING = {"sqlite": 1_067, "postgresql": 1_132}
ME_CEILING = {"sqlite": 1_172, "postgresql": 1_292}
DEVICE_CEILING = {"sqlite": 1_292, "postgresql": 1_422}
LIST_CEILING = {"sqlite": 1_782, "postgresql": 1_892}
# With the hash and the lines of the log, which the benchmarks leave out: about 270 calls.
LOGIN_CEILING = {"sqlite": 3_180, "postgresql": 3_660}
LOGIN_AMONG_OTHERS_CEILING = {"sqlite": 3_260, "postgresql": 3_800}
LIMIT_CEILING = {"sqlite": 9_950, "postgresql": 10_600}  # with a mail
WRONG_CEILING = {"sqlite": 2_460, "postgresql": 2_950}


def calls_of(function, *args):
    """What it answers, and how many calls that took: of it alone, not of the garbage collector,
    which takes away what other tests have left."""
    profile = cProfile.Profile()
    gc.collect()
    gc.disable()
    try:
        answer = profile.runcall(function, *args)
    finally:
        gc.enable()
    return answer, sum(entry.callcount for entry in profile.getstats())


@pytest.fixture
def calls_of_login(transactional_db, settings, tmp_path):
    """`calls_of_login(password)` counts what a server's call of the application takes, warmed up.

    `before()` is called before each of them. Static files are known at the start, as in production.
    """
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = tmp_path, False
    application = WSGIHandler()

    def log_in(environ):
        with closing(application(environ, lambda *args: None)) as response:
            return response.status_code

    def count(password, status, before=lambda: None):
        body = json.dumps({"username": "alice", "password": password})
        headers = {"user-agent": FIREFOX, "accept": "application/json"}
        counted = []
        for _ in range(8):  # until the queries are compiled, and prepared on the server
            before()
            request = RequestFactory().post("/api/v1/login", body, JSON, headers=headers)
            answered, calls = calls_of(log_in, request.environ)
            assert answered == status
            counted.append(calls)
        return counted[-1]

    return count


def test_login_stays_below_its_ceiling_of_calls(alice, calls_of_login):
    assert calls_of_login(PASSWORD, 200) <= LOGIN_CEILING[connection.vendor]


def test_login_while_others_fail_stays_below_its_ceiling_of_calls(alice, bob, api, calls_of_login):
    """From one network, whose count a success does not delete then."""

    def bob_fails():
        Throttle.objects.filter(kind="login_pair").delete()
        assert api().post("login", {"username": "bob", "password": "wrong"}).status_code == 401

    calls = calls_of_login(PASSWORD, 200, bob_fails)
    assert calls <= LOGIN_AMONG_OTHERS_CEILING[connection.vendor]


def test_wrong_password_stays_below_its_ceiling_of_calls(alice, calls_of_login):
    calls = calls_of_login("wrong", 401, Throttle.objects.all().delete)
    assert calls <= WRONG_CEILING[connection.vendor]


def test_login_at_the_limit_of_devices_stays_below_its_ceiling_of_calls(alice, calls_of_login):
    for _ in range(settings.MAX_DEVICES_PER_USER):
        flows.log_in(alice, Client(ip_address="192.0.2.1"))
    assert calls_of_login(PASSWORD, 200) <= LIMIT_CEILING[connection.vendor]


def test_refresh_stays_below_its_ceiling_of_calls(phone):
    """A count and not a time, the test client's own calls included."""

    def refresh():
        answer = phone.http.post("/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]})
        phone.keep(answer.json())
        return answer.status_code

    refresh()

    answer, calls = calls_of(refresh)

    assert answer == 200
    assert calls <= REFRESH_CEILING[connection.vendor]


def test_authentication_stays_below_its_ceiling_of_calls(phone):
    """A count and not a time, so that it is the same on every machine."""
    bearer = {"authorization": f"Bearer {phone.pair['access_token']}"}
    request = Request(RequestFactory().get("/", headers=bearer | {"user-agent": FIREFOX}))
    authentication = IssuedTokenAuthentication()

    for _ in range(10):  # until the query is compiled, and prepared on the server
        authentication.authenticate(request)
    with costs("SELECT"):
        authentication.authenticate(request)

    _, calls = calls_of(authentication.authenticate, request)

    assert calls <= CEILING[connection.vendor]


@pytest.fixture
def calls_of_request(phone, settings, tmp_path):
    """`calls_of_request("me")` counts what a server's call of the application takes, warmed up.

    Static files are known at the start, as in production.
    """
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = tmp_path, False
    application = WSGIHandler()
    headers = {
        "authorization": f"Bearer {phone.pair['access_token']}",
        "user-agent": FIREFOX,
        "accept": "application/json",
    }

    def count(path):
        request = RequestFactory().get(f"/api/v1/{path}", headers=headers)

        def answer():
            with closing(application(request.environ, lambda *args: None)) as response:
                return response.status_code

        for _ in range(10):  # until the queries are compiled, and prepared on the server
            answer()
        status, calls = calls_of(answer)
        assert status == 200
        return calls

    return count


@pytest.mark.django_db(transaction=True)
def test_request_stays_below_its_ceiling_of_calls(calls_of_request):
    """With the question whether the connection is still there, which a transaction leaves out."""
    assert calls_of_request("who") <= REQUEST_CEILING[connection.vendor]


@pytest.mark.django_db(transaction=True)
def test_profile_stays_below_its_ceiling_of_calls(calls_of_request):
    assert calls_of_request("me") <= ME_CEILING[connection.vendor]


@pytest.mark.django_db(transaction=True)
def test_one_device_stays_below_its_ceiling_of_calls(calls_of_request, phone):
    calls = calls_of_request(f"devices/{phone.device.pk}")
    assert calls <= DEVICE_CEILING[connection.vendor]


@pytest.mark.django_db(transaction=True)
def test_list_of_five_devices_stays_below_its_ceiling_of_calls(calls_of_request, api, alice):
    for _ in range(4):
        api(alice)
    assert calls_of_request("devices") <= LIST_CEILING[connection.vendor]


@pytest.mark.parametrize("path", ["", "schema", "docs"])
def test_open_pages_cost_nothing(api, db, path):
    with costs():
        assert api().get(path, authorization="Bearer x").status_code == 200


def test_anonymous_page_costs_nothing(client, db):
    with costs():
        assert client.get("/login").status_code == 200


@pytest.mark.parametrize("path", ["devices", "devices?state=all", "devices?page_size=100"])
def test_list_of_devices_costs_the_same_for_one_and_for_twenty(phone, api, alice, path):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = phone.get(path)
        return len(captured), answer.json()["count"]

    one = cost()
    for _ in range(19):
        api(alice)
    twenty = cost()

    assert (one[1], twenty[1]) == (1, 20)
    assert one[0] == twenty[0]
    with costs("SELECT", "SELECT", "SELECT"):  # who is asking, how many, which
        phone.get(path)


@pytest.mark.parametrize("path", ["users", "roles", "users/alice/devices"])
def test_lists_of_staff_cost_the_same_for_few_and_for_many(api, manager, alice, path):
    permissions = Permission.objects.all()[:5]
    staff = api(manager)
    api(alice)
    staff.get(path)
    with CaptureQueriesContext(connection) as few:
        staff.get(path)
    for number in range(15):
        user = User.objects.create(username=f"u{number}", email=f"u{number}@example.org")
        role = Role.objects.create(name=f"role{number}")
        role.permissions.set(permissions)
        user.roles.add(role)
        api(alice)
    with CaptureQueriesContext(connection) as many:
        staff.get(path)

    assert len(few) == len(many)
