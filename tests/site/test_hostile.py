"""Malformed input of every kind, on every endpoint of the URL list: refused, never a 500, and
nothing half-written.

Each request runs in a savepoint of its own that is rolled back, so that one that happens to be
valid changes nothing for the next.
"""

import itertools
import json
import re
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from drf_spectacular.generators import SchemaGenerator

from accounts.models import Passkey, Role, User
from accounts.urls import urlpatterns as accounts_urls
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, undone
from tokens.api.urls import urlpatterns as tokens_urls
from tokens.models import IssuedToken

pytestmark = pytest.mark.no_cover  # of lines that other tests cover; it would take twice as long

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ODD_METHODS = ["TRACE", "CONNECT", "FOO", "PROPFIND", "get", "G\0T", "é", "X" * 5000]
ROUTES = sorted(str(url.pattern) for url in tokens_urls + accounts_urls)
KNOWN = {
    "<username:username>": "bob",
    "<slug:name>": "spare",
    "<str:id>": "{id}",
}


def filled(route, **changes):
    """The route with its parameters filled in; `{id}` stays for the device of the test."""
    parts = re.split(r"(<\w+:\w+>)", route)
    return "/api/v1/" + "".join({**KNOWN, **changes}.get(part, part) for part in parts)


PATHS = [filled(route) for route in ROUTES]
assert not any("<" in path for path in PATHS), "a route has a parameter that KNOWN has no value for"


# What the schema and its page answer in, and what the browsable API does when it is asked for HTML.
PAGES = ("text/html", "application/vnd.oai.openapi")


# A small world, and what must not change in it


@pytest.fixture
def world(api, alice, bob, root):
    """`world(who)` is a client of anonymous, alice or root."""
    from tokens import flows
    from tokens.client import Client

    spare = Role.objects.create(name="spare")
    spare.permissions.set(Permission.objects.filter(codename="view_user"))
    for user in (alice, root):
        user.passkeys.create(credential=user.username.encode(), public_key=b"", name="Phone")
    theirs = flows.log_in(bob, Client(ip_address="198.51.100.7")).device
    clients = {"anonymous": api(), "alice": api(alice), "root": api(root)}
    for client in clients.values():
        client.own = str(client.device.pk if client.pair else theirs.pk)
        client.theirs = str(theirs.pk)
    for name, user in (("anonymous", alice), ("alice", alice), ("root", root)):
        clients[name].passkey = str(user.passkeys.get().pk)
    return clients.get


def state():
    """Everything but the marks of use."""
    users = User.objects.order_by("pk").values_list(
        "pk", "username", "email", "password", "is_active", "is_staff", "is_superuser", "roles"
    )
    roles = Role.objects.values_list("pk", "name", "description", "permissions").order_by("pk")
    devices = IssuedToken.objects.order_by("pk").values_list(
        "pk", "hash", "generation", "name", "authenticated_at", "expires_at", "revoked_at"
    )
    passkeys = Passkey.objects.order_by("pk").values_list("pk", "user", "name")
    return [list(users), sorted(roles, key=str), list(devices), list(passkeys)]


class Hostile:
    """Sends, checks that the answer is one of the contract, and undoes."""

    def __init__(self, client):
        self.client = client
        self.http = client.http
        self.before = state()

    def send(self, method, path, body=b"", content_type="application/json", **headers):
        if self.client.pair and "authorization" not in headers:
            headers["authorization"] = f"Bearer {self.client.pair['access_token']}"
        path = path.replace("/passkeys/{id}", f"/passkeys/{self.client.passkey}")
        is_own = path.startswith("/api/v1/devices/")
        path = path.replace("{id}", self.client.own if is_own else self.client.theirs)
        with undone():
            answer = self.http.generic(method, path, body, content_type, headers=headers)
            self.check(answer, f"{method} {path[:200]} {body[:80]!r} {content_type[:80]!r}")
        return answer

    def check(self, answer, sent):
        what = f"{sent}: {answer.status_code} {answer.content[:300]!r}"
        assert answer.status_code < 500, what
        if answer.status_code < 400:
            return
        assert state() == self.before, f"{what}: half-written"
        if not answer.content or answer.headers["Content-Type"].startswith(PAGES):
            return
        assert answer.headers["Content-Type"] == "application/json", what
        error = answer.json()
        assert isinstance(error, dict), what
        if "detail" in error:
            assert isinstance(error["detail"], str), what
            assert isinstance(error["code"], str), what
        else:
            assert answer.status_code == 400, what
            for field, sentences in error.items():
                assert isinstance(field, str), what
                assert all(isinstance(sentence, str) for sentence in sentences), what


def operations():
    """(method, path, fields) of everything that reads a body, from the schema.

    Twice where a passkey may take the place of the password, which a wrong one would hide.
    """
    schema = SchemaGenerator().get_schema(request=None, public=True)
    components = schema["components"]["schemas"]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]["schema"]
                for properties in properties_of(content, components):
                    hidden = {"password", "current_password"}
                    yield method.upper(), path, sorted(properties - {"passkey"})
                    if "passkey" in properties:
                        yield method.upper(), path, sorted(properties - hidden)


def properties_of(content, components):
    """The names of the members of a body, for each form that it may have."""
    component = components[content["$ref"].rpartition("/")[2]]
    if "oneOf" in component:
        for form in component["oneOf"]:
            yield from properties_of(form, components)
    else:
        yield set(component["properties"])


def with_ids(path):
    """A path of the schema, filled in as the routes are."""
    for parameter, value in KNOWN.items():
        name = parameter[1:-1].partition(":")[2]
        path = path.replace(f"{{{name}}}", value)
    return path


def test_every_endpoint_is_in_the_lists():
    assert "/api/v1/login" in PATHS
    assert len(PATHS) == len(tokens_urls) + len(accounts_urls)
    reading = {with_ids(path) for _, path, _ in operations()}
    assert "/api/v1/login" in reading
    assert reading < set(PATHS)


# Bodies


def nested(depth, opening=b"[", closing=b"]", inner=b""):
    return opening * depth + inner + closing * depth


MALFORMED = [
    b" ",
    b"{",
    b"}",
    b"[]",
    b"[1]",
    b'["username"]',
    b"null",
    b"true",
    b'"username"',
    b"1",
    b"1.5",
    b"NaN",
    b"-Infinity",
    b"\0",
    b"{}\0",
    b"{} {}",
    b"{}x",
    b"{'a':1}",
    b'{"a":1,}',
    b'{"a" 1}',
    b'{"a":01}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":1}//',
    b'{"a":"\n"}',
    b'{"a":"\\x"}',
    b'{"a":1,"a":1}',
    b'{"a":{"b":1,"b":2}}',
    b'{"username":"a","username":"b"}',
    b'{"a":"\\ud800"}',
    b'{"\\udfff":1}',
    b'{"a":["\\ud800\\u0041"]}',
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xc0\x80"}',
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    '{"a":1}'.encode("utf-32"),
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":-' + b"9" * 60_000 + b"}",
    b'{"a":' + nested(20) + b"}",
    b'{"a":' * 21 + b"1" + b"}" * 21,
    nested(21),
    nested(1000),
    nested(30_000),
    b"[" * 60_000,
    b'{"a":' + nested(1000) + b"}",
    b'{"a":' + nested(30_000) + b"}",
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    nested(100_000),
    b'{"a":"' + b"x" * 65_536 + b'"}',
    b'{"a":"' + b"x" * 1_000_000 + b'"}',
    b" " * 65_537 + b"{}",
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
    b"username=alice&password=x",
    b"<?xml version='1.0'?><a/>",
]
DEEP_ENOUGH = b'{"a":' + nested(19) + b"}"


@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
def test_malformed_bodies(world, who):
    """On what reads a body a 400 or a 413, once one gets that far; elsewhere no harm."""
    hostile = Hostile(world(who))
    reading = {(method, with_ids(path)) for method, path, _ in operations()}
    for path in PATHS:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            reads = (method, path) in reading
            bodies = MALFORMED[:: 1 if reads and who == "root" else 9]
            for body in bodies:
                answer = hostile.send(method, path, body)
                if reads and who == "root":
                    assert answer.status_code in (400, 413), (path, body[:80])
                    assert (answer.status_code == 413) == (len(body) > 65_536), (path, body[:80])
                    assert "code" in answer.json(), (path, body[:80])


def test_the_limits_themselves_pass(world):
    hostile = Hostile(world("root"))
    for method, path, _ in operations():
        for body in (DEEP_ENOUGH, b'{"a":"' + b"x" * 65_528 + b'"}', b"\n{ }\t", b""):
            answer = hostile.send(method, with_ids(path), body)
            assert answer.json().get("code") not in ("parse_error", "body_too_large"), path


@pytest.mark.parametrize("body", [*MALFORMED[::6], b"", b"{}"], ids=lambda body: repr(body[:20]))
def test_malformed_bodies_in_the_browsable_api(world, body):
    """The page that shows the error has to survive it too."""
    hostile = Hostile(world("root"))
    for method, path, _ in operations():
        hostile.send(method, with_ids(path), body, accept="text/html")


# Fields

VALID = {
    "username": "carol",
    "email": "carol@example.org",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": NEW_PASSWORD,
    "device_name": "Phone",
    "passkey": {"id": "a", "rawId": "a", "type": "public-key", "response": {}},
    "method": "passkey",
    "refresh_token": "a.b.c",
    "name": "desk",
    "description": "Front desk",
    "note": "Lost",
    "network": "203.0.113.0/24",
    "signed_in_after": "2026-03-01T00:00:00Z",
    "signed_in_before": "2026-03-02T00:00:00Z",
    "not_seen_since": "2026-03-02T00:00:00Z",
    "os": "Linux",
    "client": "Firefox",
    "role": "support",
    "all": False,
    "dry_run": True,
}
ODD_TEXTS = [
    "",
    " ",
    "\t\n",
    "\0",
    "a\0b",
    "x" * 60_000,
    "é" * 20_000,
    "\U0001f600" * 100,
    "\u202eevil",
    "\r\nSet-Cookie: a=b",
    "\x1b[31m\x07\x9b",
    "../../etc/passwd",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "{{ 7|add:7 }}{% load x %}%s%n%(a)s{0}",
    "\ufdfa" * 150,
    "\ufb03" * 150,
    "½x",
    "\uff41lice",
    "a" * 150,
    "a" * 151,
    "a" * 255,
    "@",
    "a@b",
    "a@b.c\nBcc: d@e.f",
    '"a b"@example.org',
    "a@" + "b" * 250 + ".org",
    "a@[127.0.0.1]",
    "a@exämple.org",
    "alice\n",
    ".",
    "..",
    "-",
    "admin",
    "null",
    "\ufffe\uffff",
    "\U0010ffff",
]
ODD_VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.0,
    1e308,
    2**31,
    2**63,
    2**64,
    10**400,
    [],
    [[]],
    [1],
    ["carol"],
    [None],
    {},
    {"a": 1},
    {"$ne": None},
    *ODD_TEXTS,
]


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
def test_odd_values_of_every_field(world, who):
    hostile = Hostile(world(who))
    values = ODD_VALUES if who == "root" else ODD_VALUES[::4]
    for method, path, fields in operations():
        unknown = set(fields) - set(VALID)
        assert not unknown, f"give {unknown} a valid value for this test"
        for field in fields:
            for value in values:
                body = json.dumps({name: VALID[name] for name in fields} | {field: value})
                answer = hostile.send(method, with_ids(path), body.encode())
                is_of_the_type = isinstance(value, bool | dict) and type(VALID[field]) is type(
                    value
                )
                if value is None or (isinstance(value, bool | list | dict) and not is_of_the_type):
                    assert answer.status_code >= 400, (path, body[:200])


def test_missing_and_surplus_members(world):
    hostile = Hostile(world("root"))
    surplus = {"id": 1, "is_staff": True, "is_superuser": True, "roles": ["admin"], "__class__": 1}
    for method, path, fields in operations():
        valid = {name: VALID[name] for name in fields}
        for field in fields:
            body = {name: value for name, value in valid.items() if name != field}
            hostile.send(method, with_ids(path), json.dumps(body).encode())
        hostile.send(method, with_ids(path), json.dumps(valid | surplus).encode())
        hostile.send(method, with_ids(path), json.dumps({"x" * 60_000: 1} | valid).encode())
        many = {f"member{number}": number for number in range(3000)}
        hostile.send(method, with_ids(path), json.dumps(many | valid).encode())


@pytest.mark.parametrize("username", ["\ufdfa" * 150, "\ufb03" * 100, "½x", "\ufb03" * 51])
def test_username_is_judged_in_its_normal_form(api, db, username):
    """NFKC turns one character into many, and letters into others that no URL takes."""
    body = {"username": username, "email": "carol@example.org", "password": PASSWORD}

    answer = api().post("signup", body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"username"}
    assert not User.objects.exists()


def test_username_is_kept_in_its_normal_form(api, db):
    body = {"username": "ﬃ", "email": "carol@example.org", "password": PASSWORD}

    assert api().post("signup", body).json()["username"] == "ffi"


# Content types

CONTENT_TYPES = [
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=" + "x" * 5000,
    "multipart/form-data; boundary=\xff",
    "text/plain",
    "text/html",
    "text/json",
    "application/xml",
    "application/octet-stream",
    "application/jsonx",
    "application",
    "/",
    ";",
    ";;;",
    "=",
    "garbage \xff",
    "a" * 5000,
]
JSON_TYPES = [
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/json; charset=utf-16",
    "application/json; charset=none",
    'application/json; charset="',
    "application/json;" + ";a=b" * 1000,
    "application/json; charset*=utf-8''utf-8",
]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/login", 400),
        ("/admin/login/", 400),
        ("/signup", 400),
        ("/password/reset", 400),
        ("/logout", 400),
        ("/devices/sign-out-others/", 400),
        ("/admin/accounts/user/add/", 400),
        ("/api/v1/login", 415),
        ("/api/v1/me", 415),
    ],
)
def test_no_file_is_taken_in(browser, root, monkeypatch, path, status):
    """Not even to look for the CSRF token behind it: a gigabyte would be on disk by then."""
    monkeypatch.setattr(
        "django.core.files.uploadhandler.FileUploadHandler.new_file",
        lambda *args, **kwargs: pytest.fail("a file is taken in"),
    )
    tab = browser(root, enforce_csrf_checks=False, raise_request_exception=False)
    tab.handler.enforce_csrf_checks = True
    tab.get("/login")
    file = SimpleUploadedFile("file", b"x" * 1000)

    answer = tab.post(path, {"file": file, "csrfmiddlewaretoken": "x" * 32})

    assert answer.status_code == status
    assert root.devices.live().exists()


def test_other_content_types_are_not_read(world):
    hostile = Hostile(world("root"))
    for method, path, fields in operations():
        body = json.dumps({name: VALID[name] for name in fields}).encode()
        for content_type in CONTENT_TYPES:
            for sent in (body, b"--x\r\n"):
                answer = hostile.send(method, with_ids(path), sent, content_type)
                assert answer.status_code == 415, (path, content_type[:80], answer.content)
        for content_type in JSON_TYPES:
            hostile.send(method, with_ids(path), body, content_type)


@pytest.mark.asvs("3.5.2")
@pytest.mark.parametrize("size", [10, 300_000])
def test_other_content_types_beside_a_cookie(browser, world, root, size):
    """The CSRF check reads forms before the view refuses them."""
    tab = browser(root, raise_request_exception=False)
    tab.handler.enforce_csrf_checks = True
    paths = [with_ids(path) for method, path, _ in operations() if method == "POST"]
    for path in [*paths, "/api/v1/logout", "/api/v1/logout/all"]:
        if path in ("/api/v1/login", "/api/v1/signup", "/api/v1/refresh"):
            continue
        for content_type in CONTENT_TYPES:
            with undone():
                answer = tab.generic("POST", path, b"x" * size, content_type)
            assert answer.status_code in (400, 403, 404, 415), (path, content_type[:80])
            assert answer.json()["code"], (path, content_type[:80])


# Paths, queries, methods

ODD_PARTS = [
    "%00",
    "a%00b",
    "%ff",
    "%ed%a0%80",
    "%0a",
    "bob%0a",
    "%0d%0aSet-Cookie:a=b",
    "..",
    "../login",
    "..%2flogin",
    "%2e%2e",
    ".",
    "%20",
    "%",
    "%zz",
    "%25",
    ";a=b",
    "a;b",
    "*",
    "'",
    '"',
    "<b>",
    "-1",
    "0",
    "9" * 5000,
    "x" * 60_000,
    quote("é"),
    quote("\u202e"),
    quote("\U0001f600"),
    quote("\u0661\u0662\u0663"),
    quote("\uff41lice"),
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00000000000000000000000000000000",
    "{00000000-0000-0000-0000-000000000000}",
    "1_2-0_0000000-0000-0000-000000000000",
    "None",
    "null",
    "undefined",
    "@me",
    "a@b.c",
]


@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
def test_odd_paths(world, who):
    hostile = Hostile(world(who))
    paths = [
        path
        for part in ODD_PARTS
        for route in ("", "me", "devices", "users")
        for path in (f"{filled(route)}{part}", f"{filled(route)}/{part}")
    ]
    paths += [
        filled(route, **{parameter: part})
        for part in ODD_PARTS
        for route in ROUTES
        for parameter in KNOWN
        if parameter in route
    ]
    methods = itertools.cycle(["POST", "PUT", "PATCH", "DELETE", "HEAD"])
    for path in paths if who == "root" else paths[::5]:
        answer = hostile.send("GET", path)
        assert answer.status_code in (200, 401, 403, 404, 405), path[:200]
        if who == "root":
            hostile.send(next(methods), path, b"{}")


ODD_QUERIES = [
    "",
    "&&&",
    "=",
    "==&=",
    "%",
    "%zz=%zz",
    "%ff=%ff",
    "%00=%00",
    "a" * 60_000,
    "a=1&" * 2000,
    "format=x",
    "format=%00",
    "format=",
    "_method=DELETE",
    "lang=x&version=x",
    *(
        f"{name}={value}"
        for name in ("page", "page_size", "state", "search")
        for value in [
            "",
            "0",
            "-1",
            "x",
            "1.0",
            "1e3",
            "9" * 30,
            "9" * 5000,
            "%00",
            "a%00b",
            "%ff",
            "%ed%a0%80",
            "%0a",
            "%25",
            "_",
            "%5c",
            "'",
            quote("\u0661"),
            quote("é"),
            "last",
            "all",
            "live",
            "LIVE",
            "x" * 300,
            "x" * 60_000,
            "%25" * 20_000,
            f"1&{name}=2",
        ]
    ),
    "page=1&page_size=1&state=all&search=b",
]


@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
def test_odd_queries(world, who):
    hostile = Hostile(world(who))
    lists = [path for path in PATHS if path.endswith(("devices", "users", "roles"))]
    assert len(lists) >= 4
    for path in PATHS:
        for query in ODD_QUERIES[:: 1 if path in lists and who == "root" else 12]:
            answer = hostile.send("GET", f"{path}?{query}")
            assert answer.status_code in (200, 400, 401, 403, 404, 405), (path, query[:80])


@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
def test_every_method_everywhere(world, who):
    hostile = Hostile(world(who))
    for path in [*PATHS, "/api/v1", "/api/", "/api/v1/nothing"]:
        for method in METHODS:
            hostile.send(method, path, b"{}" if who == "root" else b"")
        for method in ODD_METHODS:
            answer = hostile.send(method, path, b"{}")
            assert answer.status_code in (401, 403, 404, 405) or method == "get", (path, method)


@pytest.mark.asvs("13.4.4")
@pytest.mark.parametrize("who", ["anonymous", "alice", "root"])
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_trace_is_for_no_address(client, browser, world, who, method):
    """Also where a view answers whatever method it is asked by, as those of the admin do."""
    client = client if who == "anonymous" else browser(User.objects.get(username=who))
    hostile = Hostile(world(who))
    pages = [
        "/",
        "/login",
        "/logout",
        "/devices/",
        "/admin/",
        "/admin/login/",
        "/admin/accounts/user/",
        "/password/reset/MQ/token",
        "/email/token",
        "/static/guestlist.js",
        "/nothing",
    ]
    for path in PATHS:
        assert hostile.send(method, path).status_code == 405, path
    for path in pages:
        answer = client.generic(method, path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (405, "no-store"), path


@pytest.mark.parametrize("who", ["alice", "root"])
def test_every_endpoint_as_a_page(world, who):
    hostile = Hostile(world(who))
    for path in PATHS:
        for method in METHODS:
            hostile.send(method, path, b"", accept="text/html")


# Headers

MALFORMED_BEARERS = [
    "Bearer",
    "Bearer ",
    "bearer  ",
    "Bearer a b",
    "Bearer a,b",
    "Bearer a, Bearer b",
    "Bearer a;b",
    'Bearer "a"',
    "Bearer\ta",
    "Bearer a\n",
    "Bearer a\r\nX: y",
    "Bearer \0",
    "Bearer é",
    "Bearer \xff\xfe",
    "Bearer a=b",
    "Bearer ====",
    "Bearer token=a",
    "Bearer realm=a",
    "Bearer {}",
    "Bearer 'a'",
    "Bearer <a>",
    "Bearer " + "a" * 4097,
    "Bearer " + "a" * 1_000_000,
    "Bearer " + "a " * 50_000,
    "BEARER a b",
]
OTHER_SCHEMES = [
    "",
    " ",
    ",",
    "Basic",
    "Basic YTpi",
    "Negotiate x",
    "Token x",
    "Bearerx y",
    "\0",
    "é",
]


def test_odd_authorization_headers_everywhere(world):
    hostile = Hostile(world("alice"))
    open_paths = {
        f"/api/v1/{name}"
        for name in ("", "schema", "docs", "login", "login/options", "signup", "refresh")
    }
    for path in PATHS:
        for header in MALFORMED_BEARERS[:: 1 if path == "/api/v1/me" else 5]:
            answer = hostile.send("GET", path, authorization=header)
            if path not in open_paths:
                assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), (
                    header[:40]
                )
        for header in OTHER_SCHEMES:
            answer = hostile.send("GET", path, authorization=header)
            if path not in open_paths:
                assert answer.json()["code"] == "not_authenticated", header


ODD_HEADERS = {
    "accept": [
        "",
        "x",
        "/",
        "*",
        "*/*/*",
        ";;;",
        "text/html;q=x",
        "application/json; charset*=x'y'%ff",
        "application/xml, */*;q=0",
        "application/json;" + ";" * 5000,
        "a/b," * 5000,
        "\xff",
        "\0",
    ],
    "user-agent": [
        "",
        "x" * 60_000,
        "\x01\x1b[31m\x7f",
        "a\0b",
        "\xff\xfe\xe9",
        "Mozilla/5.0 (" * 4000,
        "(" * 512,
        "<script>alert(1)</script>",
        "%s{0}{{x}}",
    ],
    "x-forwarded-for": ["203.0.113.9", "x", "203.0.113.9, " * 5000, "::1", "\xff", "\0", ","],
    "x-forwarded-proto": ["https", "x"],
    "x-forwarded-host": ["evil.example"],
    "x-real-ip": ["203.0.113.9"],
    "forwarded": ["for=203.0.113.9;proto=https;host=evil.example"],
    "x-http-method-override": ["DELETE"],
    "x-original-url": ["/admin/"],
    "origin": ["null", "[", "http://[", "https://evil.example", "\xff", "x" * 60_000],
    "referer": ["http://[", "\xff", "x" * 60_000],
    "cookie": [
        "=",
        ";;;",
        "a",
        "\xff=\xfe",
        f"{django_settings.SESSION_COOKIE_NAME}=x",
        f"{django_settings.SESSION_COOKIE_NAME}=a:b:c",
        f"{django_settings.SESSION_COOKIE_NAME}=" + "x" * 60_000,
        f"{django_settings.CSRF_COOKIE_NAME}=\xff",
        "a=b;" * 5000,
    ],
    "x-csrftoken": ["", "\xff", "x" * 60_000],
    "idempotency-key": ["", "\xff", "\0", "x" * 60_000],
    "accept-language": ["x" * 5000, "\xff", ",;q="],
    "accept-encoding": ["x" * 5000, "gzip;q=x"],
    "content-encoding": ["gzip"],
    "if-none-match": ["*", '"', "\xff"],
    "if-modified-since": ["x", "Thu, 99 Foo 99999 99:99:99 GMT"],
    "range": ["bytes=0-", "bytes=x", "bytes=" + "0-1," * 5000],
    "expect": ["x"],
    "upgrade": ["websocket"],
    "date": ["x"],
}


def test_odd_headers(world):
    hostile = Hostile(world("alice"))
    requests = [
        ("GET", "/api/v1/me", b""),
        ("GET", "/api/v1/devices", b""),
        ("GET", "/api/v1/", b""),
        ("POST", "/api/v1/login", json.dumps(VALID | {"username": "alice"}).encode()),
        ("POST", "/api/v1/login", b"{}"),
        ("POST", "/api/v1/refresh", b'{"refresh_token":"a.b.c"}'),
        ("DELETE", "/api/v1/roles/spare", b""),
    ]
    for name, values in ODD_HEADERS.items():
        for value in values:
            for method, path, body in requests:
                hostile.send(method, path, body, **{name: value})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "testserver, evil.example", "[", "a b", "\xff"]
)
def test_odd_host_is_a_json_400(client, db, host):
    client.raise_request_exception = False

    answer = client.get("/api/v1/", headers={"host": host})

    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "99999999999999999999", "\xff"])
def test_odd_content_length(client, db, length):
    answer = client.generic(
        "POST", "/api/v1/login", b"{}", "application/json", CONTENT_LENGTH=length
    )

    assert answer.status_code == (413 if length.isdigit() else 400)


@pytest.mark.parametrize("user_agent", ODD_HEADERS["user-agent"])
def test_odd_user_agent_is_kept_short_and_printable(api, alice, user_agent):
    phone = api()
    body = {"username": "alice", "password": PASSWORD}
    phone.keep(phone.post("login", body, user_agent=user_agent).json())

    device = phone.device

    assert len(device.user_agent) <= 512
    assert device.user_agent.isprintable()
    assert phone.get("devices").json()["results"][0]["label"]


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded", "client-ip"])
def test_forwarding_header_of_an_untrusted_peer_counts_for_nothing(api, alice, header):
    phone = api()
    body = {"username": "alice", "password": PASSWORD}

    phone.keep(phone.post("login", body, **{header: "for=203.0.113.9, 203.0.113.9"}).json())

    assert phone.device.ip_address == phone.device.last_ip == "127.0.0.1"


@pytest.mark.asvs("4.1.4")
def test_method_override_counts_for_nothing(api, alice):
    phone = api(alice)

    phone.get(f"devices/{phone.device.pk}?_method=DELETE", x_http_method_override="DELETE")

    assert phone.get("me").status_code == 200
