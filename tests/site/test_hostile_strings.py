"""Texts that people choose, at their worst: kept clean or refused with a word, and shown as text.

In through every door: the header of a sign-in, names of devices, staff's notes, names and
addresses of accounts, roles. Out on every page, in mails, tables and files, also of rows that an
older or another program has left in the database.
"""

import csv
import io
import json
import re
import unicodedata
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from accounts import passkeys
from accounts.models import Passkey, Role, User
from tests.plugins.authenticator import Authenticator
from tests.plugins.guestlist import PASSWORD, make_user, undone
from tokens import client, notices
from tokens.models import IssuedToken
from tokens.statements import look_at_devices
from tokens.tests.admin import export
from tokens.tests.pages import Page

HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
TEXTS = {
    "html": HTML,
    "template": "{{ 7|add:7 }}{% load x %}%s%(a)s{0}",
    "bidi": "\u202eevil\u2066\u200f \u061cx\u2028y",
    "right to left": "\u0647\u0627\u062a\u0641 \u05d8\u05dc\u05e4\u05d5\u05df",
    "nul": "a\0b",
    "terminal": "\x1b[2J\x1b]0;evil\x07red\x9b31m",
    "escape": "\x1b[31mred",
    "lines": "a\r\nBcc: mallory@example.org\r\n\r\nHello",
    "emoji": "\U0001f469\u200d\U0001f467 \U0001f4f1",
    "formula": "=cmd|' /C calc'!A0",
    "surrogate": "a\ud800b",
    "long": "x" * 60_000,
    "long html": HTML * 1000,
}
# The columns of a device that hold what others say, with how much of it.
COLUMNS = {
    "name": 64,
    "browser": 64,
    "os": 64,
    "location": 128,
    "user_agent": 512,
    "rotated_user_agent": 512,
    "alarm_client": 512,
}
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = "\u200e\u200f\u061c"


def is_clean(text):
    """Whether nothing in the text is obeyed by a terminal, or turns what stands beside it."""
    return not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(letter) in BIDI
        or letter in MARKS
        for letter in text
    )


def test_the_judge_of_these_tests():
    unclean = {name for name, text in TEXTS.items() if not is_clean(text)}
    assert unclean == {"bidi", "nul", "terminal", "escape", "lines", "surrogate"}


def stored_texts():
    """Every text of every row that people can write, with where it stands."""
    fields = {
        User: ["username", "email"],
        Role: ["name", "description"],
        Passkey: ["name"],
        IssuedToken: [*COLUMNS, "revoked_note", "revoked_by_name"],
        LogEntry: ["object_repr", "change_message"],
    }
    return {
        (model.__name__, str(row["pk"]), field): row[field]
        for model, names in fields.items()
        for row in model.objects.values("pk", *names)
        for field in names
    }


def passkey_of(user, name="Phone"):
    return user.passkeys.create(credential=b"x", public_key=b"", name=name)


# In


@pytest.fixture
def doors(api, browser, alice, bob, root):
    """Who stands before the doors: alice and the superuser, with their browsers and clients."""
    phone = api(alice, REMOTE_ADDR="203.0.113.7")
    tablet = api(bob, REMOTE_ADDR="203.0.113.7")
    return SimpleNamespace(
        api=api,
        alice=alice,
        phone=phone,
        device=phone.device.pk,
        his=tablet.device.pk,
        page=browser(alice),
        desk=browser(root),
        staff=api(root),
        role=Role.objects.create(name="helpers"),
        passkey=passkey_of(alice).pk,
    )


ADMIN = "/admin/tokens/issuedtoken/"
CONFIRMED = {"confirmed": "yes"}


def submit(page, path, agent="", **data):
    """A form as bytes, in which even a lone surrogate travels."""
    body = urlencode(data, doseq=True, errors="surrogatepass")
    headers = {"user-agent": as_header(agent)}
    if data.get("confirmed"):
        asked = submit(page, path, agent, **(data | {"confirmed": ""}))
        [shown] = re.findall(r'name="shown" value="([^"]*)"', asked.content.decode())
        body += f"&shown={shown}"
    return page.post(path, body, "application/x-www-form-urlencoded", headers=headers)


def as_header(text):
    """The text as a server hands the bytes of a header on."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def api_sign_in(doors, text):
    body = {"username": "alice", "password": PASSWORD}
    return doors.api().post("login", body, user_agent=as_header(text))


def page_sign_in(doors, text):
    return submit(Client(), "/login", agent=text, username="alice", password=PASSWORD)


def refresh(doors, text):
    body = {"refresh_token": doors.phone.pair["refresh_token"]}
    return doors.api().post("refresh", body, user_agent=as_header(text))


def device_name(doors, text):
    body = {"username": "alice", "password": PASSWORD, "device_name": text}
    return doors.api().post("login", body)


def rename_page(doors, text):
    return submit(doors.page, f"/devices/{doors.device}/rename/", name=text)


def rename_api(doors, text):
    return doors.phone.patch(f"devices/{doors.device}", {"name": text})


def rename_admin(doors, text):
    return submit(doors.desk, f"{ADMIN}{doors.device}/change/", name=text)


def passkey_page(doors, text):
    options = doors.page.post("/account/passkeys/options").json()
    answer = json.dumps(Authenticator().make(options))
    return submit(doors.page, "/account/passkeys/add", name=text, passkey=answer)


def passkey_api(doors, text):
    options = doors.phone.post("me/passkeys/options").json()
    body = {"passkey": Authenticator().make(options), "name": text}
    return doors.phone.post("me/passkeys", body)


def rename_passkey_page(doors, text):
    return submit(doors.page, f"/account/passkeys/{doors.passkey}/rename", name=text)


def rename_passkey_api(doors, text):
    return doors.phone.patch(f"me/passkeys/{doors.passkey}", {"name": text})


def note_of_device(doors, text):
    return submit(doors.desk, f"{ADMIN}{doors.device}/revoke/", note=text, **CONFIRMED)


def note_of_user(doors, text):
    url = f"/admin/accounts/user/{doors.alice.pk}/revoke/"
    return submit(doors.desk, url, note=text, **CONFIRMED)


def note_of_selection(doors, text):
    chosen = {"action": "revoke_selected", "_selected_action": [doors.device, doors.his]}
    return submit(doors.desk, ADMIN, note=text, **chosen, **CONFIRMED)


def note_of_incident(doors, text):
    url = f"{ADMIN}incident/?network=203.0.113.7"
    return submit(doors.desk, url, note=text, **CONFIRMED)


def note_of_user_by_api(doors, text):
    return doors.staff.post("users/alice/devices/revoke", {"note": text})


def note_of_device_by_api(doors, text):
    return doors.staff.post(f"users/alice/devices/{doors.device}/revoke", {"note": text})


def note_of_incident_by_api(doors, text):
    body = {"network": "203.0.113.7", "dry_run": False, "note": text}
    return doors.staff.post("users/devices/revoke", body)


def command(*arguments):
    call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())


def client_by_api(doors, text):
    return doors.staff.post("users/devices/revoke", {"client": text, "dry_run": False})


def os_by_api(doors, text):
    return doors.staff.post("users/devices/revoke", {"os": text, "dry_run": False})


def role_by_api(doors, text):
    return doors.staff.post("users/devices/revoke", {"role": text, "dry_run": False})


def note_of_user_by_command(doors, text):
    command("revoke_devices", "--user=alice", f"--note={text}")


def note_of_incident_by_command(doors, text):
    command("revoke_devices", "--all", f"--note={text}", "--json")


def name_by_command(doors, text):
    command("issue_token", "alice", f"--name={text}", "--expires=1d")


def user_by_command(doors, text):
    command("revoke_devices", f"--user={text}")


def token_user_by_command(doors, text):
    command("issue_token", text, "--name=script", "--expires=1d")


def role_by_command(doors, text):
    command("list_devices", f"--role={text}")


def client_by_command(doors, text):
    command("revoke_devices", f"--client={text}")


def username_by_command(doors, text):
    command("create_admin", text, "new@example.org", "--password-stdin")


def email_by_command(doors, text):
    command("create_admin", "new", QUOTED.format(text), "--password-stdin")


SIGNUP = {"username": "carol", "email": "carol@example.org"}
SECRETS = {"password1": PASSWORD, "password2": PASSWORD}
QUOTED = '"{}"@example.org'


def signup_username(doors, text):
    return doors.api().post("signup", {**SIGNUP, "username": text, "password": PASSWORD})


def signup_email(doors, text):
    body = {**SIGNUP, "email": f"{text}@example.org", "password": PASSWORD}
    return doors.api().post("signup", body)


def signup_quoted_email(doors, text):
    body = {**SIGNUP, "email": QUOTED.format(text), "password": PASSWORD}
    return doors.api().post("signup", body)


def signup_domain(doors, text):
    body = {**SIGNUP, "email": f"carol@exa{text}mple.org", "password": PASSWORD}
    return doors.api().post("signup", body)


def signup_page_username(doors, text):
    return submit(Client(), "/signup", **(SIGNUP | SECRETS | {"username": text}))


def signup_page_email(doors, text):
    data = SIGNUP | SECRETS | {"email": QUOTED.format(text)}
    return submit(Client(), "/signup", **data)


def profile_username(doors, text):
    return doors.phone.patch("me", {"username": text, "current_password": PASSWORD})


def profile_email(doors, text):
    body = {"email": QUOTED.format(text), "current_password": PASSWORD}
    return doors.phone.patch("me", body)


def admin_username(doors, text):
    return submit(doors.desk, "/admin/accounts/user/add/", **(SIGNUP | {"username": text}))


def admin_email(doors, text):
    data = SIGNUP | {"email": QUOTED.format(text)}
    return submit(doors.desk, "/admin/accounts/user/add/", **data)


def role_name(doors, text):
    return doors.staff.post("roles", {"name": text, "description": ""})


def role_description(doors, text):
    return doors.staff.post("roles", {"name": "new", "description": text})


def role_description_changed(doors, text):
    return doors.staff.patch("roles/helpers", {"description": text})


def admin_role_name(doors, text):
    return submit(doors.desk, "/admin/accounts/role/add/", name=text, description="")


def admin_role_description(doors, text):
    url = f"/admin/accounts/role/{doors.role.pk}/change/"
    return submit(doors.desk, url, name="helpers", description=text)


DOORS = [
    api_sign_in,
    page_sign_in,
    refresh,
    device_name,
    rename_page,
    rename_api,
    rename_admin,
    passkey_page,
    passkey_api,
    rename_passkey_page,
    rename_passkey_api,
    note_of_device,
    note_of_user,
    note_of_selection,
    note_of_incident,
    note_of_user_by_api,
    note_of_device_by_api,
    note_of_incident_by_api,
    client_by_api,
    os_by_api,
    role_by_api,
    note_of_user_by_command,
    note_of_incident_by_command,
    name_by_command,
    user_by_command,
    token_user_by_command,
    role_by_command,
    client_by_command,
    username_by_command,
    email_by_command,
    signup_username,
    signup_email,
    signup_quoted_email,
    signup_domain,
    signup_page_username,
    signup_page_email,
    profile_username,
    profile_email,
    admin_username,
    admin_email,
    role_name,
    role_description,
    role_description_changed,
    admin_role_name,
    admin_role_description,
]


def refusal(answer):
    """What the person is told, if they are told that the text will not do."""
    if answer.status_code == 400:
        return answer.json()
    if answer.status_code == 302:  # said on the next page
        return [str(message) for message in get_messages(answer.wsgi_request)]
    if answer.headers["Content-Type"] == "application/json":
        return answer.json() == {"matched": 0, "people": 0, "revoked": 0, "remaining": 0}
    return answer.status_code == 200 and re.search(rb'class="(errorlist|wrong)', answer.content)


@pytest.mark.parametrize("door", DOORS)
def test_text_is_kept_clean_or_refused_with_a_word(
    door, doors, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n" * len(TEXTS)))
    before, wrong = stored_texts(), {}
    for name, text in TEXTS.items():
        with undone(), django_capture_on_commit_callbacks(execute=True):
            try:
                answer = door(doors, text)
            except CommandError:
                answer = None
            kept = stored_texts()
        unclean = {place: value for place, value in kept.items() if not is_clean(value)}
        if unclean:
            wrong[name] = unclean
        elif answer is not None and kept == before and not refusal(answer):
            wrong[name] = answer.status_code, answer.content[:300]
    assert wrong == {}


# Out


def storable(text):
    """What the database at hand can hold of the text, whoever wrote it there."""
    if connection.vendor == "postgresql":
        text = text.replace("\0", "")
    return text.replace("\ud800", "")


def shown(text):
    """The text without its spaces, which a page sets as it likes."""
    return "".join(text.split())


@pytest.fixture
def eve(api, browser, alice, root, monkeypatch):
    """`eve(text)` fills every column of a person, her devices and role with the text, as if no
    door had kept it out. Each begins with its own name, so that a page is seen to show it."""
    person = make_user("eve")
    page, phone, ended, reused = browser(person), api(person), api(person), api(person)
    role, passkey = Role.objects.create(name="helpers"), passkey_of(person)
    person.roles.add(role)

    def fill(text):
        cache.clear()  # of the front page
        text = storable(text)
        words = {field: f"{field} {text}"[:length] for field, length in COLUMNS.items()}
        person.devices.update(**words)
        note, by = f"note {text}"[:500], f"by {text}"[:150]
        end = {"revoked_at": phone.device.now, "revoked_by_name": by, "revoked_note": note}
        person.devices.filter(pk=ended.device.pk).update(**end, revoked_reason="staff")
        twice = {"revoked_at": phone.device.now, "revoked_reason": "reuse"}
        twice |= {"alarm_at": phone.device.now, "alarm_ip": "203.0.113.7"}
        person.devices.filter(pk=reused.device.pk).update(**twice)
        account = {"username": f"user {text}"[:150], "email": f"mail {text}"[:254]}
        User.objects.filter(pk=person.pk).update(**account)
        Role.objects.filter(pk=role.pk).update(description=f"about {text}"[:200])
        words["passkey"] = f"passkey {text}"[:64]
        person.passkeys.update(name=words["passkey"])
        words |= account | {"note": note, "by": by, "about": f"about {text}"[:200]}
        words |= {"label": IssuedToken(**{name: words[name] for name in ("browser", "os")}).label}
        LogEntry.objects.create(
            user=root,
            content_type=ContentType.objects.get_for_model(IssuedToken),
            object_id=str(ended.device.pk),
            object_repr=words["name"],
            action_flag=CHANGE,
            change_message=f"message {text}"[:500],
        )
        return SimpleNamespace(
            words=words | {"message": f"message {text}"[:500]},
            user=User.objects.get(pk=person.pk),
            page=page,
            role=role,
            passkey=passkey,
            phone=phone,
            ended=ended.device,
            reused=reused.device,
        )

    return fill


def pages_of(her, desk):
    """Each page as who asks, its address, and whose words must stand on it."""
    phone, ended, reused = (f"{ADMIN}{d.pk}/" for d in (her.phone.device, her.ended, her.reused))
    user = f"/admin/accounts/user/{her.user.pk}/"
    role = f"/admin/accounts/role/{her.role.pk}/"
    not_me = notices.signing.dumps(str(her.phone.device.pk), salt=notices.NOT_ME_SALT)
    own = f"/devices/{her.phone.device.pk}"
    return [
        (her.page, "/devices/", "name label user_agent location note username by"),
        (her.page, f"{own}/sign-out/", "name label location username"),
        (her.page, "/devices/sign-out-others/", "name location"),
        (her.page, "/account/", "username email"),
        (her.page, "/account/delete", "username"),
        (her.page, "/account/passkeys/", "passkey"),
        (her.page, f"/account/passkeys/{her.passkey.pk}/remove", "passkey"),
        (her.page, f"/not-me/{not_me}", "name location"),
        (her.page, "/api/v1/me", "username email"),
        (her.page, "/api/v1/devices?state=all", "name label location note"),
        (her.page, f"/api/v1{own}", "name label browser os location"),
        (her.page, "/api/v1/me/passkeys", "passkey"),
        (her.page, f"/api/v1/me/passkeys/{her.passkey.pk}", "passkey"),
        (desk, "/admin/", "username name os"),
        (desk, ADMIN, "name label username location"),
        (desk, f"{phone}change/", "name label username user_agent location"),
        (desk, f"{ended}change/", "name note by"),
        (desk, f"{reused}change/", "name"),
        (desk, f"{ended}history/", "name message"),
        (desk, f"{phone}revoke/", "name username location"),
        (desk, f"{ADMIN}incident/?everybody=on", "name username location"),
        (desk, "/admin/accounts/user/", "username email"),
        (desk, f"{user}change/", "username email name location passkey"),
        (desk, f"{user}history/", "username"),
        (desk, f"{user}revoke/", "name username"),
        (desk, f"{user}delete/", "username"),
        (desk, "/admin/accounts/role/", "about"),
        (desk, f"{role}change/", "about"),
        (desk, "/admin/admin/logentry/", "name message"),
        (desk, "/api/v1/users", "username email"),
        (desk, "/api/v1/roles", "about"),
    ]


def assert_text_only(page, where):
    """Nothing that the hostile texts would be if a browser read them."""
    assert not [tag for tag in page.all("img") if tag.get("src") == "x"], where
    inline = [tag for tag in page.all("script") if not {"src", "type"} & set(tag)]
    assert inline == [], where
    handlers = [name for _, found in page.elements for name in found if name.startswith("on")]
    assert handlers == [], where


def everything(page):
    """The text of a page and the values of its fields, without spaces."""
    values = [value or "" for _, found in page.elements for value in found.values()]
    return shown(" ".join([page.text, *values]))


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_text_on_every_page(name, eve, browser, root):
    her, desk = eve(TEXTS[name]), browser(root)
    for page, url, words in pages_of(her, desk):
        found = Page(page.get(url, headers={"accept": "text/html"}))
        assert_text_only(found, url)
        text = everything(found)
        for word in words.split():
            # The browsable API shows JSON, in which a quote or a control character is escaped.
            expected = her.words[word]
            as_json = json.dumps(expected, ensure_ascii=False)[1:-1].replace("\u2028", "\\u2028")
            assert shown(expected) in text or shown(as_json) in text, (url, word)


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_text_on_pages_that_answer_a_form(name, eve, browser, root, age):
    her, desk = eve(TEXTS[name]), browser(root)
    chosen = {"_selected_action": [her.user.pk], "action": "delete_selected"}
    delete = desk.post("/admin/accounts/user/", chosen)
    chosen = {"_selected_action": [her.phone.device.pk], "action": "revoke_selected"}
    revoke = desk.post(ADMIN, chosen)
    for answer, words in ((delete, "username"), (revoke, "username name location")):
        found = Page(answer)
        assert_text_only(found, words)
        assert all(shown(her.words[word]) in everything(found) for word in words.split())

    age(root.devices.get(), minutes=16)
    typed = storable(TEXTS[name][:1000]).replace("\r", "")
    asked = Page(desk.post("/admin/accounts/role/add/", {"name": "x", "description": typed}))
    assert_text_only(asked, "step-up")
    assert shown(typed) in everything(asked)

    her.user.devices.filter(kind="browser").update(
        revoked_at=her.phone.device.now, revoked_reason="staff", revoked_note=her.words["note"]
    )
    told = Page(her.page.get("/devices/", follow=True))
    assert_text_only(told, "signed out")
    assert shown(her.words["note"]) in everything(told)


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_text_in_mails(name, eve, mailoutbox, django_capture_on_commit_callbacks):
    her = eve(TEXTS[name])
    User.objects.filter(pk=her.user.pk).update(email="eve@example.org")
    device = IssuedToken.objects.with_state().get(pk=her.phone.device.pk)
    reused = IssuedToken.objects.with_state().get(pk=her.reused.pk)
    her.user.devices.exclude(pk=device.pk).update(browser="other")

    with django_capture_on_commit_callbacks(execute=True):
        others = look_at_devices(device.user_id, device.browser, device.os)
        notices.tell_of_login(device, others._replace(places=[]))
        notices.tell_of_reuse(reused, client.Client(ip_address=None, user_agent=TEXTS[name]))
        notices.tell_of_password_change(device.user, notices.origin_of(device))
        staff = {"by": device.user, "note": her.words["note"]}
        notices.tell_of_revocation(device.user, [device], count=1, **staff)
        stored = her.user.passkeys.get()
        passkeys.remove(stored, device=device.pk, origin=notices.origin_of(device))

    said = [("name", "location"), ("name", "location"), ("name",), ("name", "location", "note")]
    said += [("name", "passkey")]
    for mail, words in zip(mailoutbox, said, strict=True):
        [(html, _)] = mail.alternatives
        page = Page(SimpleNamespace(status_code=200, content=html.encode()))
        assert_text_only(page, mail.subject)
        assert len(page.links()) == 1
        assert page.links()[0].startswith("https://testserver/")
        assert mail.subject.startswith("Guestlist: ")
        assert mail.message()["To"] == "eve@example.org"
        for word in ("username", *words):
            assert shown(her.words[word]) in shown(mail.body), (mail.subject, word)
            assert shown(her.words[word]) in everything(page), (mail.subject, word)


@pytest.mark.parametrize("name", TEXTS)
def test_address_that_is_none_costs_the_mail_alone(
    name, eve, browser, root, django_capture_on_commit_callbacks
):
    her, desk = eve(TEXTS[name]), browser(root)
    with django_capture_on_commit_callbacks(execute=True):
        url = f"{ADMIN}{her.phone.device.pk}/revoke/"
        answer = submit(desk, url, note="Lost.", **CONFIRMED)
    assert answer.status_code == 302
    assert her.phone.device.revoked_reason == "staff"


@pytest.mark.parametrize("name", TEXTS)
def test_table_of_a_terminal_has_one_clean_line_a_device(name, eve, capsys):
    eve(TEXTS[name])
    call_command("list_devices", "--state=all")
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 1 + 4 + 1 + 1  # the headings, the devices, their count, the end
    assert all(is_clean(line) for line in lines)
    assert all(len(line) < 300 for line in lines)
    assert {line[:5] for line in lines[1:5]} == {"user "}


@pytest.mark.parametrize("name", TEXTS)
def test_text_arrives_to_the_letter_in_json(name, eve, browser, root, capsys):
    her = eve(TEXTS[name])
    call_command("list_devices", "--state=all", "--json")
    listed = json.loads(capsys.readouterr().out)
    assert {device["user"] for device in listed} == {her.words["username"]}
    assert {device["name"] for device in listed} == {her.words["name"]}

    exported = json.loads(export(browser(root), "json", [her.ended]))
    answered = [her.phone.get(f"devices/{her.ended.pk}").json()]
    for found in (exported, answered):
        assert [(device["name"], device["revoked_note"]) for device in found] == [
            (her.words["name"], her.words["note"])
        ]
    assert exported[0]["revoked_by"] == her.words["by"]


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_one_cell_of_csv(name, eve, browser, root):
    her = eve(TEXTS[name])
    text = export(browser(root), "csv", [her.ended])
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    for column, word in [("name", "name"), ("username", "username"), ("revoked_by", "by")]:
        assert row[column] == her.words[word]
    assert row["revoked_note"] == her.words["note"]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff0b1"]
FORMULAS += ["\uff0d1", "\uff20SUM(A1)"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_any_column_is_a_formula(text, api, alice, browser, root):
    device = api(alice).device
    staff = browser(root)
    alice.devices.update(name=text, location=text, browser=text, revoked_note=text)
    alice.devices.update(
        revoked_at=device.now, revoked_reason="staff", revoked_by_name=text, device_type="app"
    )
    User.objects.filter(pk=alice.pk).update(username=text)

    [row] = csv.DictReader(io.StringIO(export(staff, "csv", [device]), newline=""))

    for column in ("name", "username", "label", "location", "revoked_note", "revoked_by"):
        assert row[column] == f"'{text}", column
