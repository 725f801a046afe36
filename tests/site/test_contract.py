"""The HTTP contract, to the letter: what clients are written against."""

import json
import re
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from accounts.models import Passkey, Role, Throttle, User
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens.models import IssuedToken

PLAIN = 'Bearer realm="api"'
INVALID_REQUEST = 'Bearer realm="api", error="invalid_request"'
INVALID_TOKEN = 'Bearer realm="api", error="invalid_token"'
STEP_UP = 'Bearer realm="api", error="insufficient_user_authentication", max_age="900"'
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

PAIR = {"access_token", "refresh_token", "token_type", "expires_in", "device"}
USER = {"id", "username", "email", "email_verified", "roles", "date_joined"}
ROLE = {"name", "description", "permissions"}
PAGE = {"count", "next", "previous", "results"}
DEVICE = {
    "id",
    "kind",
    "name",
    "label",
    "browser",
    "os",
    "device_type",
    "ip_address",
    "last_ip",
    "location",
    "method",
    "passkey_at",
    "created_at",
    "last_seen_at",
    "expires_at",
    "state",
    "is_current",
    "revoked_at",
    "revoked_reason",
    "revoked_note",
}


def assert_refused(answer, status, challenge, code, **extra):
    assert answer.status_code == status, answer.content
    assert answer.headers.get("WWW-Authenticate") == challenge
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.pop("code") == code
    assert isinstance(body["detail"], str)
    assert body.pop("detail").endswith(".")
    assert body == extra


@pytest.fixture
def scene(request, api, alice):
    """What the rows of a table need: people and tools by name, each made when it is asked for."""
    phone = api(alice)
    return SimpleNamespace(
        api=api, alice=alice, phone=phone, get=request.getfixturevalue, device=phone.device
    )


def change(device, **values):
    IssuedToken.objects.filter(pk=device.pk).update(**values)


def with_token(scene, token):
    return scene.api().get("me", authorization=f"Bearer {token}")


def with_claims(scene, **claims):
    claims = scene.get("read_segment")(scene.phone.pair["access_token"]) | claims
    return with_token(scene, scene.get("forge")(claims))


def after(scene, **values):
    change(scene.device, **values)
    return scene.phone.get("me")


def after_age(scene, **delta):
    scene.get("age")(scene.device, **delta)
    return scene.phone.get("me")


def after_staff(scene):
    staff = scene.api(scene.get("support"))
    staff.post(f"users/alice/devices/{scene.device.pk}/revoke", {"note": "Lost in a train."})
    return scene.phone.get("me")


def after_own_act(scene, act):
    scene.phone.post(act)
    return scene.phone.get("me")


def after_other_logs_out_others(scene):
    scene.api(scene.alice).post("logout/others")
    return scene.phone.get("me")


def after_other_changes_password(scene):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    scene.api(scene.alice).post("password", body)
    return scene.phone.get("me")


def after_save(scene, **values):
    for name, value in values.items():
        setattr(scene.alice, name, value)
    scene.alice.save()
    return scene.phone.get("me")


def after_new_password(scene):
    scene.alice.set_password(NEW_PASSWORD)
    scene.alice.save()
    return scene.phone.get("me")


def after_sql(scene, assignment):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_user SET {assignment} WHERE id = %s", [scene.alice.pk])
    return scene.phone.get("me")


def log_in(scene, **body):
    return scene.api().post("login", {"username": "alice", "password": PASSWORD, **body})


def log_in_by_unverified_email(scene):
    User.objects.filter(pk=scene.alice.pk).update(email_verified_at=None)
    return log_in(scene, username="alice@example.org")


def log_in_after(scene, **values):
    User.objects.filter(pk=scene.alice.pk).update(**values)
    return log_in(scene)


def aged_post(scene, path):
    scene.get("age")(scene.device, minutes=16)
    return scene.phone.post(path)


def as_staff(scene, who, method, path, body=None):
    return scene.api(scene.get(who)).request(method, path, body)


def sign_up(scene, **body):
    body = {"username": "carol", "email": "carol@example.org", "password": PASSWORD, **body}
    return scene.api().post("signup", body)


def database_gone(scene, error, act):
    def gone(*args):
        raise error

    with connection.execute_wrapper(gone):
        return act(scene)


ME = {"current_password": PASSWORD}
REFUSALS = [
    # No credentials, another scheme
    ("no credentials", lambda s: s.api().get("me"), 401, PLAIN, "not_authenticated"),
    *(
        (
            f"header {header!r}",
            lambda s, header=header: s.api().get("me", authorization=header),
            401,
            PLAIN,
            "not_authenticated",
        )
        for header in [
            "",
            "Basic YWxpY2U6eA==",
            "Digest x",
            "Token abc",
            "Bearerx abc",
            "b",
            "Bear",
        ]
    ),
    (
        "token in the URL",
        lambda s: s.api().get(f"me?access_token={s.phone.pair['access_token']}"),
        401,
        PLAIN,
        "not_authenticated",
    ),
    (
        "token in the body",
        lambda s: s.api().post("logout", {"access_token": s.phone.pair["access_token"]}),
        401,
        PLAIN,
        "not_authenticated",
    ),
    # A malformed, repeated or oversized header
    *(
        (
            f"header {header[:20]!r}",
            lambda s, header=header: s.api().get("me", authorization=header),
            400,
            INVALID_REQUEST,
            "invalid_request",
        )
        for header in [
            "Bearer",
            "bearer",
            "Bearer ",
            "Bearer    ",
            "Bearer a b",
            "Bearer a,Bearer b",
            "Bearer a, Bearer b",
            "Bearer a,",
            'Bearer "a"',
            "Bearer\ta",
            "Bearer a\t",
            "Bearer é",
            "Bearer a=b",
            "Bearer =",
            "Bearer a;b",
            "Bearer " + "a" * 4097,
            "Bearer " + "a" * 60_000,
        ]
    ),
    (
        "repeated header",
        lambda s: s.api().get(
            "me", authorization=",".join([f"Bearer {s.phone.pair['access_token']}"] * 2)
        ),
        400,
        INVALID_REQUEST,
        "invalid_request",
    ),
    # Bad signature, claims, type, unknown handle, ahead
    *(
        (
            f"token {token[:9]!r}",
            lambda s, token=token: with_token(s, token),
            401,
            INVALID_TOKEN,
            "token_invalid",
        )
        for token in ["abc", "a.b.c", "...", "eyJ.eyJ.x", "a" * 4096, "a===", "-._~+/="]
    ),
    (
        "bad signature",
        lambda s: with_token(s, s.phone.pair["access_token"][:-8] + "AAAAAAAA"),
        401,
        INVALID_TOKEN,
        "token_invalid",
    ),
    ("bad claim", lambda s: with_claims(s, gen="1"), 401, INVALID_TOKEN, "token_invalid"),
    ("other audience", lambda s: with_claims(s, aud="x"), 401, INVALID_TOKEN, "token_invalid"),
    ("other subject", lambda s: with_claims(s, sub="0"), 401, INVALID_TOKEN, "token_invalid"),
    ("unknown handle", lambda s: with_claims(s, sid="A" * 43), 401, INVALID_TOKEN, "token_invalid"),
    ("ahead", lambda s: with_claims(s, gen=2), 401, INVALID_TOKEN, "token_invalid"),
    ("before nbf", lambda s: with_claims(s, nbf=2**40), 401, INVALID_TOKEN, "token_invalid"),
    (
        "unknown handle, past exp",
        lambda s: with_claims(s, sid="A" * 43, exp=1),
        401,
        INVALID_TOKEN,
        "token_invalid",
    ),
    (
        "refresh token",
        lambda s: with_token(s, s.phone.pair["refresh_token"]),
        401,
        INVALID_TOKEN,
        "token_invalid",
    ),
    (
        "row deleted",
        lambda s: s.device.delete() and s.phone.get("me"),
        401,
        INVALID_TOKEN,
        "token_invalid",
    ),
    (
        "user deleted",
        lambda s: s.alice.delete() and s.phone.get("me"),
        401,
        INVALID_TOKEN,
        "token_invalid",
    ),
    # Authentic but past `exp`, or of an older generation
    ("past exp", lambda s: with_claims(s, exp=1), 401, INVALID_TOKEN, "token_expired"),
    ("older generation", lambda s: after(s, generation=3), 401, INVALID_TOKEN, "token_expired"),
    (
        "past exp, of a revoked device",
        lambda s: s.phone.post("logout") and with_claims(s, exp=1),
        401,
        INVALID_TOKEN,
        "token_expired",
    ),
    # Authentic, device ended
    (
        "revoked by staff",
        after_staff,
        401,
        INVALID_TOKEN,
        "device_revoked",
        {"reason": "staff", "note": "Lost in a train."},
    ),
    *(
        (name, act, 401, INVALID_TOKEN, "device_revoked", {"reason": reason, "note": ""})
        for name, act, reason in [
            ("logged out", lambda s: after_own_act(s, "logout"), "logout"),
            ("logged out everywhere", lambda s: after_own_act(s, "logout/all"), "user"),
            ("logged out elsewhere", after_other_logs_out_others, "user"),
        ]
    ),
    (
        "reactivated",
        lambda s: after_save(s, is_active=False) and after_save(s, is_active=True),
        401,
        INVALID_TOKEN,
        "device_revoked",
        {"reason": "deactivated", "note": ""},
    ),
    ("expired", lambda s: after_age(s, days=30), 401, INVALID_TOKEN, "device_expired"),
    ("idle", lambda s: after_age(s, days=14), 401, INVALID_TOKEN, "device_idle"),
    ("idle and expired", lambda s: after_age(s, days=99), 401, INVALID_TOKEN, "device_expired"),
    # Authentic, user inactive or password changed, whether or not the row was told of it
    (
        "deactivated",
        lambda s: after_save(s, is_active=False),
        401,
        INVALID_TOKEN,
        "user_inactive",
    ),
    (
        "password changed elsewhere",
        after_other_changes_password,
        401,
        INVALID_TOKEN,
        "password_changed",
    ),
    ("inactive", lambda s: after_sql(s, "is_active = false"), 401, INVALID_TOKEN, "user_inactive"),
    ("new password", after_new_password, 401, INVALID_TOKEN, "password_changed"),
    # Login refused, whatever the cause
    ("wrong password", lambda s: log_in(s, password="x"), 401, PLAIN, "login_failed"),
    (
        "password with a space",
        lambda s: log_in(s, password=f"{PASSWORD} "),
        401,
        PLAIN,
        "login_failed",
    ),
    ("unknown user", lambda s: log_in(s, username="nobody"), 401, PLAIN, "login_failed"),
    (
        "unverified email",
        log_in_by_unverified_email,
        401,
        PLAIN,
        "login_failed",
    ),
    ("inactive user", lambda s: log_in_after(s, is_active=False), 401, PLAIN, "login_failed"),
    ("unusable password", lambda s: log_in_after(s, password="!x"), 401, PLAIN, "login_failed"),
    ("unknown hash", lambda s: log_in_after(s, password="md5$x$y"), 401, PLAIN, "login_failed"),
    ("no hash", lambda s: log_in_after(s, password=""), 401, PLAIN, "login_failed"),
    ("long password", lambda s: log_in(s, password="x" * 9999), 401, PLAIN, "login_failed"),
    # Step-up needed: see also the table of the endpoints that need it
    ("not fresh", lambda s: aged_post(s, "logout/all"), 401, STEP_UP, "reauthentication_required"),
    # No permission
    ("no permission", lambda s: s.phone.get("users"), 403, None, "permission_denied"),
    ("roles", lambda s: s.phone.get("roles"), 403, None, "permission_denied"),
    (
        "permission before step-up",
        lambda s: as_staff(s, "support", "PUT", "users/alice/roles/support"),
        403,
        None,
        "permission_denied",
    ),
    # Not found
    ("unknown device", lambda s: s.phone.get(f"devices/{uuid.uuid4()}"), 404, None, "not_found"),
    ("malformed id", lambda s: s.phone.get("devices/x"), 404, None, "not_found"),
    (
        "unknown user",
        lambda s: as_staff(s, "support", "GET", "users/nobody"),
        404,
        None,
        "not_found",
    ),
    ("unknown role", lambda s: as_staff(s, "manager", "GET", "roles/none"), 404, None, "not_found"),
    ("page too far", lambda s: s.phone.get("devices?page=9"), 404, None, "not_found"),
    ("unknown endpoint", lambda s: s.phone.get("nothing"), 404, None, "not_found"),
    # Taken
    ("username taken", lambda s: sign_up(s, username="ALICE"), 409, None, "username_taken"),
    ("email taken", lambda s: sign_up(s, email="Alice@Example.org"), 409, None, "email_taken"),
    (
        "own new username taken",
        lambda s: s.get("bob") and s.phone.patch("me", {"username": "Bob", **ME}),
        409,
        None,
        "username_taken",
    ),
    (
        "own new email taken",
        lambda s: s.get("bob") and s.phone.patch("me", {"email": "BOB@example.org", **ME}),
        409,
        None,
        "email_taken",
    ),
    (
        "role taken",
        lambda s: as_staff(s, "manager", "POST", "roles", {"name": "support"}),
        409,
        None,
        "role_taken",
    ),
    # DRF's own
    ("method", lambda s: s.phone.get("logout"), 405, None, "method_not_allowed"),
    (
        "not JSON",
        lambda s: s.api().http.generic("POST", "/api/v1/login", b"{", "application/json"),
        400,
        None,
        "parse_error",
    ),
    (
        "form",
        lambda s: s.api().http.generic(
            "POST", "/api/v1/login", b"a=b", "application/x-www-form-urlencoded"
        ),
        415,
        None,
        "unsupported_media_type",
    ),
    ("XML", lambda s: s.phone.get("me", accept="application/xml"), 406, None, "not_acceptable"),
    # The database gone
    *(
        (
            f"{type(error).__name__}, {name}",
            lambda s, error=error, act=act: database_gone(s, error, act),
            503,
            None,
            "unavailable",
        )
        for error in [
            OperationalError("the server closed the connection"),
            InterfaceError("closed"),
        ]
        for name, act in [
            ("use", lambda s: s.phone.get("me")),
            ("login", log_in),
            ("signup", sign_up),
            ("logout", lambda s: s.phone.post("logout")),
        ]
    ),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row[0])
def test_refusal(scene, row):
    _, act, status, challenge, code, *extra = row

    answer = act(scene)

    assert_refused(answer, status, challenge, code, **(extra[0] if extra else {}))
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert not answer.cookies


@pytest.mark.asvs("6.3.8")
def test_login_refusals_are_byte_identical(scene):
    refusals = [row[1] for row in REFUSALS if row[4] == "login_failed"]
    answers = []
    for act in refusals:
        answers.append(act(scene).content)
        Throttle.objects.all().delete()  # the sixth would be refused by another word

    assert len(answers) > 5
    assert len(set(answers)) == 1


def test_signup_can_be_closed(api, settings, db):
    settings.SIGNUP_OPEN = False

    body = {"username": "carol", "email": "carol@example.org", "password": PASSWORD}
    assert_refused(api().post("signup", body), 403, None, "permission_denied")
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("login", {"username": "alice"}, "password"),
        ("login", {"password": PASSWORD}, "username"),
        (
            "login",
            {"username": "alice", "password": PASSWORD, "device_name": "x" * 65},
            "device_name",
        ),
        ("reauthenticate", {"password": "wrong"}, "password"),
        (
            "password",
            {"current_password": "wrong", "new_password": NEW_PASSWORD},
            "current_password",
        ),
        ("password", {"current_password": PASSWORD, "new_password": "short"}, "new_password"),
        ("password", {"current_password": PASSWORD, "new_password": "x" * 257}, "new_password"),
    ],
)
def test_field_error_is_a_400_that_names_the_field(scene, path, body, field):
    answer = scene.phone.post(path, body)

    assert answer.status_code == 400
    assert set(answer.json()) == {field}
    assert all(isinstance(sentence, str) for sentence in answer.json()[field])
    assert "WWW-Authenticate" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert scene.phone.get("me").status_code == 200


# Shapes


def assert_user(body, user):
    assert set(body) == USER
    assert type(body["id"]) is int
    assert body["id"] == user.pk
    assert body["username"] == user.username
    assert body["email"] == user.email
    assert type(body["email_verified"]) is bool
    assert body["roles"] == [role.name for role in user.roles.all()]
    assert UTC.fullmatch(body["date_joined"])


def assert_device(body, device, *, is_current, state="live"):
    assert set(body) == DEVICE
    assert body["id"] == str(device.pk)
    assert body["kind"] == device.kind
    assert body["is_current"] is is_current
    assert body["state"] == state
    for name in ("created_at", "last_seen_at", "expires_at"):
        assert UTC.fullmatch(body[name])
    assert (body["revoked_at"] is None) == (state == "live")
    for name in ("name", "label", "browser", "os", "device_type", "location"):
        assert isinstance(body[name], str)


def assert_pair(body, user):
    assert set(body) == PAIR
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 300
    assert body["access_token"].count(".") == body["refresh_token"].count(".") == 2
    assert_device(body["device"], user.devices.get(pk=body["device"]["id"]), is_current=True)


def assert_page(answer):
    assert answer.status_code == 200, answer.content
    assert set(answer.json()) == PAGE
    assert type(answer.json()["count"]) is int
    return answer.json()["results"]


def assert_ok(answer, status=200):
    assert answer.status_code == status, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 204:
        assert answer.content == b""
        return None
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def test_index_links_to_what_follows(api):
    body = assert_ok(api().get(""))

    assert body["login"] == "http://testserver/api/v1/login"
    for url in body.values():
        answer = api().get(url.removeprefix("http://testserver/api/v1/"))
        assert answer.status_code in (200, 401, 405)


def test_index_without_its_slash_leads_there(client):
    answer = client.get("/api/v1")

    assert answer.status_code in (301, 302)
    assert answer.headers["Location"] == "/api/v1/"


def test_schema_says_how_to_sign_in(api):
    schema = api().get("schema?format=json")

    assert json.loads(schema.content)["components"]["securitySchemes"] == {
        "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "browserCookie": {"type": "apiKey", "in": "cookie", "name": "__Host-sessionid"},
    }


@pytest.mark.parametrize("path", ["schema", "docs"])
def test_schema_and_docs_are_open(api, path):
    answer = api().get(path, authorization="Bearer stale")

    assert answer.status_code == 200
    # The schema is a file that a client may keep, and asks for again by its ETag.
    expected = {"schema": "no-cache", "docs": "no-store"}
    assert answer.headers["Cache-Control"] == expected[path]


def test_docs_work_offline(api):
    page = api().get("docs").content.decode()

    assert re.findall(r'(?:src|href)="(?!/)[^"#]+"', page) == []


def test_signup_answers_the_user(api, db):
    body = {"username": "carol", "email": "carol@example.org", "password": PASSWORD}

    answer = api().post("signup", body)

    user = User.objects.get()
    assert_user(assert_ok(answer, 201), user)
    assert not answer.cookies
    assert not user.devices.exists()


def test_login_answers_a_pair_and_sets_no_cookie(api, alice):
    answer = api().post("login", {"username": "Alice", "password": PASSWORD, "device_name": "Pad"})

    body = assert_ok(answer)
    assert_pair(body, alice)
    assert body["device"]["name"] == "Pad"
    assert not answer.cookies
    alice.refresh_from_db()
    assert alice.last_login is not None


def test_login_by_verified_email(api, alice, read_segment):
    User.objects.filter(pk=alice.pk).update(email_verified_at="2026-01-01T00:00Z")

    body = {"username": "ALICE@example.org", "password": PASSWORD}
    assert_pair(assert_ok(api().post("login", body)), alice)


@pytest.mark.asvs("3.5.3", "7.6.2")
def test_login_by_get_signs_nobody_in(api, alice):
    answer = api().get(f"login?username=alice&password={PASSWORD}")

    assert_refused(answer, 405, None, "method_not_allowed")
    assert not alice.devices.exists()


def test_reauthenticate_answers_a_pair(scene):
    body = assert_ok(scene.phone.post("reauthenticate", {"password": PASSWORD}))

    assert_pair(body, scene.alice)
    assert body["device"]["id"] == scene.phone.pair["device"]["id"]


@pytest.mark.asvs("6.2.2")
def test_password_answers_a_pair(scene):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    pair = assert_ok(scene.phone.post("password", body))

    assert_pair(pair, scene.alice)
    assert pair["device"]["id"] == scene.phone.pair["device"]["id"]
    assert_refused(scene.phone.get("me"), 401, INVALID_TOKEN, "token_invalid")
    assert scene.phone.keep(pair).get("me").status_code == 200
    assert scene.phone.post("logout/others").status_code == 200


def test_me_answers_the_user(scene):
    assert_user(assert_ok(scene.phone.get("me")), scene.alice)


def test_me_can_be_changed_with_the_password(scene):
    body = assert_ok(
        scene.phone.patch("me", {"username": "alicia", "email": "new@example.org", **ME})
    )

    scene.alice.refresh_from_db()
    assert_user(body, scene.alice)
    assert (body["username"], body["email"]) == ("alicia", "alice@example.org")


def test_device_list_is_a_page_with_this_one_first(scene):
    others = [scene.api(scene.alice).device for _ in range(2)]

    results = assert_page(scene.phone.get("devices"))

    assert_device(results[0], scene.device, is_current=True)
    assert [result["id"] for result in results[1:]] == [str(device.pk) for device in others[::-1]]
    assert_device(results[1], others[1], is_current=False)


def test_device_list_by_state(scene, age):
    made = {"live": scene.device}
    for state in ("idle", "expired", "revoked"):
        made[state] = scene.api(scene.alice).device
    age(made["idle"], days=14)
    age(made["expired"], days=30)
    change(made["revoked"], revoked_at=made["revoked"].now, revoked_reason="staff")

    for state, device in made.items():
        (result,) = assert_page(scene.phone.get(f"devices?state={state}"))
        assert result["id"] == str(device.pk)
        assert result["state"] == state
    assert len(assert_page(scene.phone.get("devices?state=all"))) == 4
    assert len(assert_page(scene.phone.get("devices"))) == 1
    assert set(scene.phone.get("devices?state=other").json()) == {"state"}


def test_device_list_has_pages(scene):
    for _ in range(2):
        scene.api(scene.alice)

    first = scene.phone.get("devices?page_size=2").json()
    second = scene.phone.get(first["next"].removeprefix("http://testserver/api/v1/")).json()

    assert (first["count"], len(first["results"]), first["previous"]) == (3, 2, None)
    assert (second["count"], len(second["results"]), second["next"]) == (3, 1, None)


def test_pages_hold_20_and_at_most_100(api, support):
    User.objects.bulk_create(
        User(username=f"u{number}", email=f"u{number}@example.org") for number in range(120)
    )
    staff = api(support)

    assert len(assert_page(staff.get("users"))) == 20
    assert len(assert_page(staff.get("users?page_size=1000"))) == 100


def test_device_is_seen_named_and_ended_by_its_owner(scene):
    path = f"devices/{scene.api(scene.alice).device.pk}"

    assert_device(
        assert_ok(scene.phone.get(path)), IssuedToken.objects.get(pk=path[8:]), is_current=False
    )
    assert assert_ok(scene.phone.patch(path, {"name": "Ana's phone"}))["name"] == "Ana's phone"
    assert_ok(scene.phone.delete(path), 204)
    ended = assert_ok(scene.phone.get(path))
    assert_device(ended, IssuedToken.objects.get(pk=path[8:]), is_current=False, state="revoked")
    assert UTC.fullmatch(ended["revoked_at"])
    assert ended["revoked_reason"] == "user"
    assert ended["revoked_note"] == ""


@pytest.mark.asvs("15.3.3")
def test_only_the_name_of_a_device_can_be_written(scene):
    before = IssuedToken.objects.filter(pk=scene.device.pk).values().get()
    odd = dict.fromkeys(DEVICE - {"name"}, "x") | {"hash": "x", "user": 0, "generation": 9}

    assert_ok(scene.phone.patch(f"devices/{scene.device.pk}", {"name": "Phone", **odd}))

    stored = IssuedToken.objects.filter(pk=scene.device.pk).values().get()
    seen = {"name", "last_seen_at", "idle_at", "confirmed"}
    assert {name for name in stored if stored[name] != before[name]} <= seen
    assert stored["name"] == "Phone"


def test_logout_ends_this_device(scene):
    assert_ok(scene.phone.post("logout"), 204)

    assert scene.device.pk in scene.alice.devices.in_state("revoked").values_list("pk", flat=True)


@pytest.mark.parametrize(("path", "revoked", "left"), [("others", 2, 200), ("all", 3, 401)])
def test_logout_of_several_counts_them(scene, path, revoked, left):
    for _ in range(2):
        scene.api(scene.alice)

    assert assert_ok(scene.phone.post(f"logout/{path}")) == {"revoked": revoked}
    assert scene.phone.get("me").status_code == left


def test_roles_are_made_seen_changed_and_deleted(api, manager):
    staff = api(manager)

    made = assert_ok(staff.post("roles", {"name": "desk", "description": "Front desk"}), 201)
    assert set(made) == ROLE
    assert made == {"name": "desk", "description": "Front desk", "permissions": []}
    assert assert_ok(staff.get("roles/desk")) == made
    listed = assert_page(staff.get("roles"))
    assert [role["name"] for role in listed] == ["admin", "desk", "support"]
    assert "tokens.revoke_issuedtoken" in listed[2]["permissions"]
    assert assert_ok(staff.patch("roles/desk", {"description": ""}))["description"] == ""
    assert_ok(staff.delete("roles/desk"), 204)
    assert not Role.objects.filter(name="desk").exists()


@pytest.mark.asvs("15.3.3")
def test_permissions_of_a_role_are_read_only(api, manager):
    made = api(manager).post("roles", {"name": "desk", "permissions": ["accounts.view_user"]})

    assert made.json()["permissions"] == []


def test_users_are_found(api, support, alice, bob):
    staff = api(support)

    assert {user["username"] for user in assert_page(staff.get("users"))} == {
        "alice",
        "bob",
        "support",
    }
    (found,) = assert_page(staff.get("users?search=ALI"))
    assert_user(found, alice)
    assert_user(assert_ok(staff.get("users/ALICE")), alice)
    assert_user(assert_ok(staff.get("users/support")), support)


def test_role_is_given_and_taken(api, manager, alice):
    staff = api(manager)

    for _ in range(2):
        body = {"current_password": PASSWORD}
        assert_ok(staff.put("users/alice/roles/support", body), 204)
        assert alice.has_role("support")
    for _ in range(2):
        assert_ok(staff.delete("users/alice/roles/support"), 204)
        assert not alice.has_role("support")


def test_staff_see_and_revoke_devices(scene, support):
    staff = scene.api(support)

    (shown,) = assert_page(staff.get("users/alice/devices"))
    assert_device(shown, scene.device, is_current=False)
    revoke = f"users/alice/devices/{scene.device.pk}/revoke"
    assert assert_ok(staff.post(revoke, {"note": "Lost"})) == {"revoked": 1}
    assert assert_ok(staff.post(revoke)) == {"revoked": 0}
    scene.api(scene.alice)
    assert assert_ok(staff.post("users/alice/devices/revoke", {})) == {"revoked": 1}
    assert assert_page(staff.get("users/alice/devices")) == []
    reasons = [
        device["revoked_note"] for device in assert_page(staff.get("users/alice/devices?state=all"))
    ]
    assert reasons == ["", "Lost"]


# Somebody else's device


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("is_fresh", [True, False])
def test_devices_of_others_are_as_unknown(scene, bob, age, method, is_fresh):
    """One answer, to the byte, whether the id is somebody's, nobody's or none."""
    theirs = scene.api(bob).device
    if not is_fresh:
        age(scene.device, minutes=16)
    ids = [
        theirs.pk,
        uuid.uuid4(),
        "x",
        "1",
        f"{{{scene.device.pk}}}",
        f"urn:uuid:{scene.device.pk}",
    ]

    answers = [scene.phone.request(method, f"devices/{id}", {"name": "x"}) for id in ids]

    assert len({answer.headers.pop("X-Request-ID") for answer in answers}) == len(ids)
    assert len({(answer.content, str(answer.headers)) for answer in answers}) == 1
    assert_refused(answers[0], 404, None, "not_found")
    theirs.refresh_from_db()
    assert (theirs.revoked_at, theirs.name) == (None, "")


@pytest.mark.asvs("8.2.2")
def test_staff_routes_keep_to_the_user_they_name(scene, support, bob):
    answer = scene.api(support).post(f"users/bob/devices/{scene.device.pk}/revoke", {})

    assert_refused(answer, 404, None, "not_found")
    assert scene.phone.get("me").status_code == 200


# Step-up

FRESH = [
    ("alice", "POST", "logout/others", None, 200),
    ("alice", "POST", "logout/all", None, 200),
    ("alice", "DELETE", "devices/{other}", None, 204),
    ("alice", "DELETE", "me/passkeys/{passkey}", None, 204),
    ("manager", "POST", "roles", {"name": "desk"}, 201),
    ("manager", "PATCH", "roles/support", {"description": "x"}, 200),
    ("manager", "DELETE", "roles/spare", None, 204),
    ("manager", "DELETE", "users/bob/roles/support", None, 204),
]
NOT_FRESH = [
    ("alice", "GET", "me", None, 200),
    ("alice", "PATCH", "me", {"username": "alicia", **ME}, 200),
    ("alice", "POST", "logout", None, 204),
    (
        "alice",
        "POST",
        "password",
        {"current_password": PASSWORD, "new_password": NEW_PASSWORD},
        200,
    ),
    ("alice", "GET", "devices", None, 200),
    ("alice", "GET", "devices/{other}", None, 200),
    ("alice", "PATCH", "devices/{other}", {"name": "x"}, 200),
    ("alice", "GET", "me/passkeys/{passkey}", None, 200),
    ("alice", "PATCH", "me/passkeys/{passkey}", {"name": "x"}, 200),
    ("alice", "DELETE", "devices/{own}", None, 204),
    ("alice", "DELETE", "devices/{ended}", None, 204),
    ("manager", "GET", "roles", None, 200),
    ("manager", "GET", "roles/support", None, 200),
    ("manager", "GET", "users", None, 200),
    ("manager", "GET", "users/bob/devices", None, 200),
    ("support", "POST", "users/bob/devices/revoke", {}, 200),
]


@pytest.fixture
def unfresh(request, api, bob, age):
    """A client of that user whose password was given 16 minutes ago, and a path filled in."""

    def make(who, path):
        user = request.getfixturevalue(who)
        Role.objects.get_or_create(name="spare")
        client, other, ended = api(user), api(user), api(user)
        ended.post("logout")
        age(client.device, minutes=16)
        ids = {"own": client.device.pk, "other": other.device.pk, "ended": ended.device.pk}
        ids["passkey"] = user.passkeys.create(credential=b"x", public_key=b"", name="Phone").pk
        return client, path.format(**ids)

    return make


def stored():
    users = User.objects.order_by("pk").values_list("pk", "username", "roles__name")
    roles = Role.objects.values_list("name", "description")
    devices = IssuedToken.objects.order_by("pk").values_list("pk", "name", "revoked_at")
    passkeys = Passkey.objects.values_list("pk", "name")
    return list(users), list(roles), list(devices), list(passkeys)


@pytest.mark.asvs("7.2.4", "7.5.3")
@pytest.mark.parametrize(("who", "method", "path", "body", "status"), FRESH)
def test_step_up_by_api(unfresh, who, method, path, body, status):
    """RFC 9470: refused with what to do, done, repeated."""
    client, path = unfresh(who, path)
    before = stored()

    refused = client.request(method, path, body)
    assert_refused(refused, 401, STEP_UP, "reauthentication_required")
    assert stored() == before

    former = client.pair
    client.keep(client.post("reauthenticate", {"password": PASSWORD}).json())
    assert client.request(method, path, body).status_code == status
    for token in former["access_token"], former["refresh_token"]:
        answer = client.get("me", authorization=f"Bearer {token}")
        assert_refused(answer, 401, INVALID_TOKEN, "token_invalid")
    answer = client.post("refresh", {"refresh_token": former["refresh_token"]})
    assert answer.status_code == 401


@pytest.mark.parametrize(("who", "method", "path", "body", "status"), NOT_FRESH)
def test_no_step_up_where_none_is_needed(unfresh, who, method, path, body, status):
    client, path = unfresh(who, path)

    assert client.request(method, path, body).status_code == status


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("minutes", [14, 15])
def test_fresh_lasts_15_minutes(scene, age, minutes):
    age(scene.device, minutes=minutes)

    assert scene.phone.post("logout/others").status_code == (200 if minutes < 15 else 401)


def test_a_refused_step_up_ends_nothing(scene):
    assert scene.phone.post("reauthenticate", {"password": "wrong"}).status_code == 400

    assert scene.phone.get("me").status_code == 200


@pytest.mark.asvs("7.2.4")
def test_step_up_by_cookie(browser, bob, manager, age):
    """A browser gets a new cookie; a copy of the former one is dead."""
    tab = browser(manager)
    (device,) = manager.devices.all()
    age(device, minutes=16)
    former = tab.cookies[django_settings.SESSION_COOKIE_NAME].value
    assert_refused(
        tab.delete("/api/v1/users/bob/roles/support"), 401, STEP_UP, "reauthentication_required"
    )

    answer = tab.post(
        "/api/v1/reauthenticate", {"password": PASSWORD}, content_type="application/json"
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert tab.cookies[django_settings.SESSION_COOKIE_NAME].value != former
    assert tab.delete("/api/v1/users/bob/roles/support").status_code == 204
    copy = Client()
    copy.cookies[django_settings.SESSION_COOKIE_NAME] = former
    assert copy.get("/api/v1/me").status_code == 401


@pytest.mark.asvs("7.2.4")
def test_password_change_by_cookie(browser, scene):
    tab = browser(scene.alice)
    former = tab.cookies[django_settings.SESSION_COOKIE_NAME].value
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    answer = tab.post("/api/v1/password", body, content_type="application/json")

    assert (answer.status_code, answer.content) == (204, b"")
    assert tab.get("/api/v1/me").status_code == 200
    assert scene.phone.get("me").status_code == 401
    copy = Client()
    copy.cookies[django_settings.SESSION_COOKIE_NAME] = former
    assert copy.get("/api/v1/me").status_code == 401


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("path", ["logout", "logout/all"])
def test_logout_by_cookie_leaves_none(browser, alice, path):
    tab = browser(alice)
    former = tab.cookies[django_settings.SESSION_COOKIE_NAME].value

    assert tab.post(f"/api/v1/{path}").status_code in (200, 204)

    assert tab.cookies[django_settings.SESSION_COOKIE_NAME].value == ""
    tab.cookies[django_settings.SESSION_COOKIE_NAME] = former
    assert tab.get("/api/v1/me").status_code == 401


# Two credentials, none, stale ones


@pytest.mark.parametrize("header", ["Bearer abc", "Bearer", "Bearer a b"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_bad_bearer_beside_a_good_cookie_is_refused(browser, alice, header, method):
    tab = browser(alice)

    answer = getattr(tab, method)("/api/v1/me", headers={"authorization": header})

    assert answer.status_code == (401 if header == "Bearer abc" else 400)
    assert tab.get("/api/v1/me").status_code == 200


def test_good_bearer_counts_before_the_cookie(browser, scene, bob):
    tab = browser(bob)

    answer = tab.get(
        "/api/v1/me", headers={"authorization": f"Bearer {scene.phone.pair['access_token']}"}
    )

    assert answer.json()["username"] == "alice"


@pytest.mark.parametrize("header", ["Bearer abc", "Bearer", "Bearer a,Bearer b", "Basic x", "é"])
def test_open_endpoints_ignore_a_stale_header(scene, header):
    anybody = scene.api()
    bodies = {
        "login": {"username": "alice", "password": PASSWORD},
        "signup": {"username": "carol", "email": "c@example.org", "password": PASSWORD},
        "refresh": {"refresh_token": scene.phone.pair["refresh_token"]},
    }
    for path, body in bodies.items():
        assert anybody.post(path, body, authorization=header).status_code in (200, 201), path
    for path in ("", "schema", "docs"):
        assert anybody.get(path, authorization=header).status_code == 200, path


def test_open_endpoints_answer_401_to_a_browser_too(browser, alice):
    """Not DRF's 403, and no CSRF: they look at no cookie."""
    tab = browser(alice)
    tab.handler.enforce_csrf_checks = True

    answer = tab.post("/api/v1/login", {"username": "x", "password": "y"}, "application/json")

    assert_refused(answer, 401, PLAIN, "login_failed")


# CSRF


@pytest.fixture
def tab(browser, alice):
    """A browser that is asked for CSRF tokens from here on."""
    alice.passkeys.create(credential=b"x", public_key=b"", name="Phone")
    tab = browser(alice)
    tab.handler.enforce_csrf_checks = True
    return tab


WRITES = [
    ("POST", "logout", None),
    ("POST", "logout/others", None),
    ("POST", "logout/all", None),
    ("POST", "reauthenticate", {"password": PASSWORD}),
    ("POST", "password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
    ("PATCH", "me", {"username": "mallory", **ME}),
    ("PATCH", "devices/{id}", {"name": "x"}),
    ("DELETE", "devices/{id}", None),
    ("PATCH", "me/passkeys/{passkey}", {"name": "x"}),
    ("DELETE", "me/passkeys/{passkey}", None),
]


def write(tab, method, path, body, **headers):
    (device,), (passkey,) = IssuedToken.objects.all(), Passkey.objects.all()
    return tab.generic(
        method,
        f"/api/v1/{path.format(id=device.pk, passkey=passkey.pk)}",
        b"" if body is None else json.dumps(body),
        content_type="application/json",
        headers=headers,
    )


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_writes_by_cookie_need_a_csrf_token(tab, alice, method, path, body):
    before = stored()

    assert_refused(write(tab, method, path, body), 403, None, "permission_denied")
    tab.cookies[django_settings.CSRF_COOKIE_NAME] = "a" * 32
    wrong = write(tab, method, path, body, x_csrftoken="b" * 32)
    assert_refused(wrong, 403, None, "permission_denied")
    foreign = write(tab, method, path, body, x_csrftoken="a" * 32, origin="https://evil.example")
    assert_refused(foreign, 403, None, "permission_denied")

    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert stored() == before


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_writes_by_cookie_pass_with_a_csrf_token(tab, method, path, body):
    tab.cookies[django_settings.CSRF_COOKIE_NAME] = "a" * 32

    answer = write(tab, method, path, body, x_csrftoken="a" * 32, origin="http://testserver")

    assert answer.status_code in (200, 204), answer.content


def test_reads_by_cookie_need_none(tab):
    assert tab.get("/api/v1/me").status_code == 200
    assert tab.get("/api/v1/devices").status_code == 200


def test_writes_by_bearer_need_none(api, alice):
    phone = api(alice, enforce_csrf_checks=True)

    assert phone.patch(f"devices/{phone.device.pk}", {"name": "x"}).status_code == 200


# CORS


def preflight(client, path="/api/v1/me", origin="https://app.example"):
    headers = {"origin": origin, "access-control-request-method": "PATCH"}
    return client.options(path, headers=headers)


def cors_of(answer):
    return {name for name in answer.headers if name.lower().startswith("access-control-")}


@pytest.fixture
def cors(settings):
    """The middleware that settings.py adds when CORS_ALLOWED_ORIGINS opens the API."""
    common = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    before, after = settings.MIDDLEWARE[:common], settings.MIDDLEWARE[common:]
    settings.MIDDLEWARE = [*before, "corsheaders.middleware.CorsMiddleware", *after]


@pytest.mark.asvs("3.4.2")
@pytest.mark.parametrize("origin", ["https://app.example", "http://testserver", "null", "*", "["])
def test_cors_is_closed(client, scene, origin):
    assert cors_of(preflight(client, origin=origin)) == set()
    assert cors_of(scene.phone.get("me", origin=origin)) == set()


@pytest.mark.asvs("3.4.2")
def test_cors_opens_for_a_listed_origin_only(cors, client, scene, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

    asked = preflight(client)
    assert asked.headers["Access-Control-Allow-Origin"] == "https://app.example"
    allowed = asked.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)

    answer = scene.phone.get("me", origin="https://app.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert exposed == ["WWW-Authenticate", "Retry-After", "X-Request-ID"]
    assert "origin" in answer.headers["Vary"].lower()
    assert "Access-Control-Allow-Credentials" not in answer.headers

    for other in (
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://sub.app.example",
        "null",
    ):
        assert cors_of(preflight(client, origin=other)) == set(), other
        assert cors_of(scene.phone.get("me", origin=other)) == set(), other
    assert cors_of(preflight(client, path="/login")) == set()


@pytest.mark.parametrize("origin", [None, "https://app.example", "null", "["])
@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/nothing"])
@pytest.mark.parametrize("method", ["get", "post", "options"])
def test_without_origins_the_middleware_of_cors_would_change_no_answer(
    alice, browser, request, origin, path, method
):
    """It would only add a name to `Vary`."""
    headers = {} if origin is None else {"origin": origin}

    def ask():
        answer = getattr(browser(alice), method)(path, headers=headers)
        others = ("Vary", "X-Request-ID")
        named = {name: value for name, value in answer.headers.items() if name not in others}
        return answer.status_code, named, answer.content

    without = ask()
    request.getfixturevalue("cors")

    assert ask() == without


# Whatever else is asked for


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v2/", "/api/v1/nothing", "/api/v1/me/", "/api/v1/devices/x/y"]
)
def test_unknown_path_is_a_json_404(scene, browser, method, path):
    expected = {"detail": "Not found.", "code": "not_found"}
    for client in scene.api().http, browser(scene.alice):
        answer = client.generic(method, path)
        assert answer.status_code == 404
        assert answer.json() == expected
        assert answer.headers["Cache-Control"] == "no-store"


def test_unknown_page_is_html(client):
    answer = client.get("/nothing")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-store"


def test_unknown_page_of_the_admin_is_a_404(browser, root):
    assert browser(root).get("/admin/nothing/").status_code == 404


@pytest.mark.asvs("16.5.2", "16.5.3")
@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")], ids=repr)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/"),
        ("GET", "/admin/accounts/user/"),
        ("POST", "/admin/accounts/user/add/"),
        ("POST", "/admin/tokens/issuedtoken/"),
        ("POST", "/logout"),
        ("GET", "/api/v1/me"),
    ],
)
def test_pages_are_unavailable_without_the_database(browser, root, error, method, path):
    tab = browser(root, raise_request_exception=False)

    def gone(*args):
        raise error

    with connection.execute_wrapper(gone):
        answer = tab.generic(method, path, headers={"accept": "text/html"})

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert tab.get("/api/v1/me").status_code == 200


@pytest.mark.asvs("4.1.4")
def test_method_that_an_endpoint_lacks_is_a_json_405(scene):
    answer = scene.phone.put("me")

    assert_refused(answer, 405, None, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, PATCH, HEAD, OPTIONS"


def test_head_needs_what_get_needs(scene, support):
    for path in ("roles", "roles/support", "users", "users/bob", "users/alice/devices"):
        assert scene.phone.request("HEAD", path).status_code == 403, path
    assert scene.api(support).request("HEAD", "users").status_code == 200


def test_access_lasts_five_minutes_and_devices_fourteen_and_thirty_days(scene, read_segment):
    claims = read_segment(scene.phone.pair["access_token"])
    device = scene.device

    assert claims["exp"] - claims["iat"] == 300
    assert device.idle_at - device.created_at == timedelta(days=14)
    assert device.expires_at - device.created_at == timedelta(days=30)
