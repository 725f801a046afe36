"""No secret is where it could be read: the database, the logs, the answers, the error pages."""

import base64
import json
import logging
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from accounts import passkeys
from accounts.passkeys import GivenPasskey, Voucher
from config.logs import REPORTING, JSONFormatter
from tests.plugins.authenticator import Authenticator
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens import flows, signing
from tokens.keys import generate_signing_key


def forms(data):
    """A secret as it is, and as a careless column could hold it."""
    base64url = base64.urlsafe_b64encode(data)
    yield from (data, data.hex().encode(), base64.b64encode(data), base64url.rstrip(b"="))


# What the row of a passkey holds. It opens nothing, and has no business anywhere else.
OF_PASSKEYS = {"credential", "public key"}
PASSKEYS = "accounts_passkey"


def decoded(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


class Secrets:
    """What the test was given and what signs it, in every form that would give it away."""

    def __init__(self):
        self.forms = {}
        self.text("SECRET_KEY", settings.SECRET_KEY)
        for jwk in settings.JWT_SIGNING_KEYS:
            for part in {"k", "d"} & set(jwk):
                self.text("signing key", jwk[part])
                self.bytes("signing key", decoded(jwk[part]))
        for password in (PASSWORD, NEW_PASSWORD):
            self.text("password", password)

    def text(self, name, text):
        self.bytes(name, text.encode())

    def bytes(self, name, data):
        for form in forms(data):
            self.forms[form] = name

    def handle(self, handle):
        self.text("handle", handle)
        self.bytes("handle", decoded(handle))

    def token(self, name, token):
        payload, signature = token.split(".")[1:]
        self.text(name, token)
        self.text(f"payload of {name}", payload)
        self.text(f"signature of {name}", signature)
        self.bytes(f"signature of {name}", decoded(signature))
        claims = json.loads(decoded(payload))
        self.handle(claims["sid"])
        self.text("jti", claims["jti"])

    def pair(self, pair):
        self.token("access token", pair["access_token"])
        self.token("refresh token", pair["refresh_token"])
        return pair

    def cookie(self, browser):
        cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value
        self.text("cookie", cookie)
        self.text("payload of cookie", cookie.partition(":")[0])
        self.handle(browser.session["device"])

    def authenticator(self):
        """A new passkey, whose credential and public key may be in its row alone."""
        key = Authenticator()
        numbers = key.key.public_key().public_numbers()
        self.bytes("credential", key.credential)
        for number in (numbers.x, numbers.y):
            self.bytes("public key", number.to_bytes(32, "big"))
        return key

    def ceremony(self, options, answer):
        """What a passkey answered to the options, and the challenge."""
        self.text("challenge", options["challenge"])
        self.bytes("challenge", decoded(options["challenge"]))
        for name in set(answer["response"]) - {"userHandle"}:  # which is the id of the user
            self.text("answer", answer["response"][name])
            self.bytes("answer", decoded(answer["response"][name]))
        return answer

    def assert_not_in(self, where, content, *, but=frozenset()):
        found = {name for form, name in self.forms.items() if form in content} - but
        assert not found, f"{found} in {where}"


@pytest.fixture
def secrets(settings):
    settings.JWT_SIGNING_KEYS = [generate_signing_key(), generate_signing_key("EdDSA")]
    return Secrets()


def live_through(secrets, api, browser, user, read_segment):
    """Every way to get and to use a credential, and the ways to be refused."""
    phone, tab = api(), browser(user)
    secrets.cookie(tab)
    words = {"username": user.username, "password": PASSWORD}
    phone.keep(secrets.pair(phone.post("login", words).json()))
    phone.get("me")
    phone.keep(
        secrets.pair(phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json())
    )
    phone.get("me")
    use_passkeys(secrets, api, phone, tab)
    tab.post("/api/v1/reauthenticate", {"password": PASSWORD}, "application/json")
    secrets.cookie(tab)
    phone.keep(secrets.pair(phone.post("reauthenticate", {"password": PASSWORD}).json()))
    lost = api()
    lost.keep(secrets.pair(lost.post("login", words).json()))
    token = flows.issue_token(user, name="backup", lasts=timedelta(days=9))[1]
    secrets.token("issued token", token)
    api().get("me", authorization=f"Bearer {token}")
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    phone.keep(secrets.pair(phone.post("password", change).json()))

    former = phone.pair
    phone.keep(
        secrets.pair(phone.post("refresh", {"refresh_token": former["refresh_token"]}).json())
    )
    tampered = phone.pair["access_token"][:-4] + "AAAA"
    for header in (tampered, f"{tampered} x", phone.pair["refresh_token"], token):
        api().get("me", authorization=f"Bearer {header}")
    lost.get("me")
    lost.post("refresh", {"refresh_token": lost.pair["refresh_token"]})
    tab.get("/api/v1/me")
    api().post("login", words)
    Client().post("/login", words)
    phone.post("login", {"username": [NEW_PASSWORD], "password": {"a": NEW_PASSWORD}})
    phone.post("password", {"current_password": PASSWORD, "new_password": "short"})
    phone.post("logout")
    phone.get("me")
    again = Client()
    again.post("/login", {"username": user.username, "password": NEW_PASSWORD})
    secrets.cookie(again)
    again.post("/logout")


def use_passkeys(secrets, api, phone, tab):
    """Every way to add and to use a passkey, each time right and then with a lie."""
    one, other = secrets.authenticator(), secrets.authenticator()
    for lies in ({}, {"origin": "https://evil.example"}):

        def on_page(tab, path, act, shown=None, lies=lies):
            options = tab.post(path, shown).json()
            return {"passkey": json.dumps(secrets.ceremony(options, act(options, **lies)))}

        def by_api(client, path, act, lies=lies):
            options = client.post(path).json()
            return {"passkey": secrets.ceremony(options, act(options, **lies))}

        page, client = Client(), api()
        tab.post("/account/passkeys/add", on_page(tab, "/account/passkeys/options", one.make))
        phone.post("me/passkeys", by_api(phone, "me/passkeys/options", other.make))
        for given in [on_page(page, "/login/options", one.use)] * 2:
            page.post("/login", given)
        for given in [by_api(client, "login/options", other.use)] * 2:
            client.post("login", given)
        tab.post("/account/data", on_page(tab, "/account/passkeys/step-up", one.use))
        answer = phone.post("reauthenticate", by_api(phone, "reauthenticate/options", other.use))
        if not lies:
            phone.keep(secrets.pair(answer.json()))
            secrets.cookie(page)
    show_a_recovery_code(secrets, phone.device, tab, on_page)
    assert phone.device.user.passkeys.exclude(used_at=None).count() == 2


def show_a_recovery_code(secrets, device, tab, on_page):
    """A right one, which is not used up because the passkey is refused."""
    code, *_ = passkeys.make_codes(device.user, device=device.pk, origin={})
    secrets.text("recovery code", code)
    shown = {"recovery_code": code}
    given = on_page(tab, "/account/passkeys/options", secrets.authenticator().make, shown)
    tab.post("/account/passkeys/recover", given | shown)


def whole_database(but=()):
    """Every cell of every table, as bytes and as text."""
    cells = []
    with connection.cursor() as cursor:
        for table in set(connection.introspection.table_names(cursor)) - set(but):
            quoted = connection.ops.quote_name(table)
            cursor.execute(f"SELECT * FROM {quoted}")
            cells += [value for row in cursor.fetchall() for value in row]
            if connection.vendor == "postgresql":
                cursor.execute(f"SELECT whole::text FROM {quoted} whole")
                cells += [value for row in cursor.fetchall() for value in row]
    for cell in cells:
        if isinstance(cell, bytes | memoryview):
            yield bytes(cell)
            yield bytes(cell).hex().encode()
        elif cell is not None:
            yield str(cell).encode("utf-8", "surrogatepass")


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_in_the_database(secrets, api, browser, alice, read_segment):
    live_through(secrets, api, browser, alice, read_segment)

    dump = b"\n".join(whole_database())

    assert b"alice@example.org" in dump
    assert signing.hash_handle("x").hex().encode() not in dump
    secrets.assert_not_in("the database", dump, but=OF_PASSKEYS)
    secrets.assert_not_in("other tables", b"\n".join(whole_database(but=[PASSKEYS])))


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_in_the_files_of_sqlite(secrets, api, browser, alice, read_segment):
    if connection.vendor != "sqlite":
        pytest.skip("the files are SQLite's")
    live_through(secrets, api, browser, alice, read_segment)

    name = Path(connection.settings_dict["NAME"])
    files = {path: path.read_bytes() for path in name.parent.glob(f"{name.name}*")}

    assert any(b"alice@example.org" in content for content in files.values())
    for path, content in files.items():
        secrets.assert_not_in(path.name, content, but=OF_PASSKEYS)


def test_the_dump_would_show_a_secret(secrets, api, alice):
    """The search finds what is there: a handle written where a hash belongs."""
    phone = api(alice)
    secrets.pair(phone.pair)
    handle = json.loads(decoded(phone.pair["access_token"].split(".")[1]))["sid"]
    device = phone.device
    for field, value in {"user_agent": handle, "hash": decoded(handle)}.items():
        alice.devices.filter(pk=device.pk).update(**{field: value})
        with pytest.raises(AssertionError, match="handle"):
            secrets.assert_not_in("the database", b"\n".join(whole_database()))
        alice.devices.filter(pk=device.pk).update(user_agent="", hash=device.hash)


def test_the_search_would_find_a_passkey(secrets, alice):
    """Its row holds its credential and key, and an answer holds what was answered."""
    key = secrets.authenticator()
    options = passkeys.creation_options(alice, passkeys.registration("test"))
    answer = secrets.ceremony(options, key.make(options))
    passkeys.register(alice, answer, passkeys.registration("test"), "Key", device="test", origin={})
    stored = alice.passkeys.get()
    for found in (stored.credential, stored.public_key):
        with pytest.raises(AssertionError, match=r"credential|public key"):
            secrets.assert_not_in("the row", bytes(found))
    for found in (options["challenge"], *answer["response"].values()):
        with pytest.raises(AssertionError, match=r"challenge|answer"):
            secrets.assert_not_in("a column", found.encode())


def test_no_repr_holds_what_was_shown(secrets, alice):
    key = secrets.authenticator()
    purpose = passkeys.registration("test")
    options = passkeys.creation_options(alice, purpose)
    passkey = passkeys.register(alice, key.make(options), purpose, "Key", device="test", origin={})
    options = passkeys.request_options(passkeys.login())
    given = GivenPasskey(secrets.ceremony(options, key.use(options)), passkeys.login())
    use = passkeys.verify(given.answer, given.purpose)
    secrets.text("recovery code", "AAAA-BBBB")
    secrets.text("link", "a-link")
    voucher = Voucher(code="AAAA-BBBB", link="a-link")
    for item in (passkey, given, use, voucher):
        secrets.assert_not_in(type(item).__name__, f"{item!r} {item}".encode())


@pytest.mark.asvs("16.2.5")
def test_no_secret_is_logged(secrets, api, browser, alice, read_segment, caplog):
    caplog.set_level(logging.DEBUG)

    live_through(secrets, api, browser, alice, read_segment)

    records = [record for record in caplog.records if record.name != "django.db.backends"]
    lines = [f"{caplog.handler.format(record)} {vars(record)!r}" for record in records]
    lines += [JSONFormatter().format(record) for record in records]
    assert any("signed in" in line for line in lines)
    assert any("request refused" in line for line in lines)
    secrets.assert_not_in("the log", "\n".join(lines).encode())
    assert "eyJ" not in "\n".join(lines)


@pytest.mark.parametrize(
    "path", ["me", "me/passkeys", "devices", "users", "roles", "users/root/devices", ""]
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_no_answer_holds_a_handle_or_a_hash(secrets, api, root, path, accept):
    phone = api(root)
    secrets.pair(phone.pair)
    secrets.bytes("hash", bytes(phone.device.hash))
    secrets.text("password hash", root.password)
    hold_passkey(secrets, root)

    content = phone.get(path, accept=accept).content

    secrets.assert_not_in(path, content)


def hold_passkey(secrets, user):
    """A passkey of the user, which may be known to its row alone."""
    key, purpose = secrets.authenticator(), passkeys.registration("test")
    options = passkeys.creation_options(user, purpose, Voucher(is_proven=True))
    answer = secrets.ceremony(options, key.make(options))
    return passkeys.register(user, answer, purpose, "Key", device="test", origin={})


def test_pair_holds_no_handle_beside_its_tokens(api, alice, read_segment):
    pair = api(alice).pair
    handle = read_segment(pair["access_token"])["sid"]

    del pair["access_token"], pair["refresh_token"]

    assert handle not in json.dumps(pair)
    assert "hash" not in json.dumps(pair)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/login",
        "/devices/",
        "/account/passkeys/",
        "/account/passkeys/{passkey}/remove",
        "/account/activity/",
        "/account/delete",
        "/admin/",
        "/admin/tokens/issuedtoken/",
        "/admin/accounts/user/{user}/change/",
        "/admin/accounts/user/{user}/history/",
    ],
)
def test_no_page_holds_a_handle_or_a_passkey(secrets, browser, root, path):
    tab = browser(root)
    secrets.cookie(tab)
    secrets.bytes("hash", bytes(root.devices.get().hash))
    id = hold_passkey(secrets, root).pk

    answer = tab.get(path.format(user=root.pk, passkey=id), follow=True)

    assert answer.status_code == 200
    secrets.assert_not_in(path, answer.content)


@pytest.fixture
def broken_requests(api, browser, alice):
    """Sends requests that end in a 500, a bug in the middle of them, and returns the pages."""
    phone, tab = api(alice), browser(alice, raise_request_exception=False)
    words = {"username": "alice", "password": PASSWORD}
    login = passkeys.request_options(passkeys.login())
    adding = tab.post("/account/passkeys/options").json()

    def breaks(*args):
        raise RuntimeError("a bug")

    def send(secrets):
        secrets.pair(phone.pair)
        secrets.cookie(tab)
        secrets.text("password hash", alice.password)
        key = secrets.authenticator()
        made = {"passkey": secrets.ceremony(adding, key.make(adding))}
        used = {"passkey": secrets.ceremony(login, key.use(login))}
        with connection.execute_wrapper(breaks):
            answers = [
                phone.get("me"),
                phone.get("me", accept="text/html"),
                phone.post("reauthenticate", {"password": PASSWORD}),
                phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}),
                phone.post("login", words),
                tab.get("/api/v1/me"),
                tab.post("/api/v1/logout"),
                tab.get("/admin/"),
                tab.post("/login", words),
                phone.post("login", used),
                phone.post("reauthenticate", used),
                phone.post("me/passkeys", made),
                tab.post("/login", {"passkey": json.dumps(used["passkey"])}),
                tab.post("/account/data", {"passkey": json.dumps(used["passkey"])}),
                tab.post("/account/passkeys/add", {"passkey": json.dumps(made["passkey"])}),
            ]
        assert {answer.status_code for answer in answers} == {500}
        return [answer.content for answer in answers]

    return send


@pytest.mark.asvs("16.5.1")
def test_no_error_page_holds_a_secret(secrets, broken_requests):
    for page in broken_requests(secrets):
        secrets.assert_not_in("the page", page)


@pytest.mark.asvs("16.3.4")
def test_no_error_report_to_the_operators_holds_a_secret(
    secrets, broken_requests, settings, mailoutbox
):
    settings.ADMINS = [("Operators", "operators@example.org")]

    pages = broken_requests(secrets)
    for thread in threading.enumerate():
        if thread.name == REPORTING:
            thread.join()

    assert len(mailoutbox) == len(pages)
    for report in mailoutbox:
        assert "RuntimeError" in report.body
        assert "builtins.RuntimeError: a bug" not in report.body
        secrets.assert_not_in("the report", report.message().as_bytes())
        secrets.assert_not_in("the report", report.body.encode())


def test_page_for_developers_holds_no_key(secrets, broken_requests, settings):
    """Django shows the local variables there, so to whoever sent a credential that credential.
    Keys and hashes are nobody's to see."""
    settings.DEBUG = True

    pages = broken_requests(secrets)

    keys = {"SECRET_KEY", "signing key", "password hash"}
    secrets.forms = {form: name for form, name in secrets.forms.items() if name in keys}
    assert any(b"a bug" in page for page in pages)
    for page in pages:
        secrets.assert_not_in("the page", page)
