"""The worst day: devices of many people, found by what they have in common, and ended."""

from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import Role
from accounts.tests.admin import hidden, make_staff, text_of, url_of
from tests.plugins.guestlist import FIREFOX, IPHONE, PASSWORD
from tokens.models import IssuedToken
from tokens.tests.admin import make_devices

PAGE = "/admin/tokens/issuedtoken/incident/"
API = "users/devices/revoke"
THIEVES = "203.0.113.7"
NETWORK = "203.0.113.0/24"


@pytest.fixture
def stolen(api, alice, bob):
    """Devices of two people from one network, one of them moved there later."""
    moved = api(bob, HTTP_USER_AGENT=IPHONE, REMOTE_ADDR="203.0.113.99")
    IssuedToken.objects.filter(pk=moved.device.pk).update(ip_address="81.2.69.142")
    return [api(alice, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=THIEVES), moved]


@pytest.fixture
def honest(api, alice):
    return api(alice, REMOTE_ADDR="81.2.69.142")


def url(**criteria):
    return f"{PAGE}?{urlencode(criteria)}"


def end(page, shown_at, **fields):
    shown = page.get(shown_at)
    assert shown.status_code == 200
    if 'name="current_password"' in shown.content.decode():
        fields = {"current_password": PASSWORD, **fields}
    return page.post(shown_at, {**hidden(shown), "note": "We were attacked.", **fields})


def alive(client):
    return client.get("me").status_code == 200


def states(*clients):
    return [alive(client) for client in clients]


# The page


def test_a_search_without_a_result_says_so(browser, support, stolen):
    text = text_of(browser(support).get(url(network="192.0.2.0/24")))
    assert "No live device is like that." in text


def test_the_only_device_found_may_be_the_one_in_use(browser, support):
    text = text_of(browser(support).get(url(everybody="on")))
    assert "This is the device you use now, and no other." in text


def test_the_page_finds_nothing_until_asked(browser, support, stolen):
    text = text_of(browser(support).get(PAGE))
    assert "Nothing ends before you have seen what it would be." in text
    assert "Firefox on Linux" not in text


def test_a_dry_run_shows_what_would_end_and_ends_nothing(browser, support, stolen, honest):
    text = text_of(browser(support).get(url(network=NETWORK)))
    assert "These 2 devices of 2 people are signed out at the next request." in text
    assert "alice alice@example.org Firefox on Linux" in text
    assert "bob bob@example.org Safari on iPhone" in text
    assert states(*stolen, honest) == [True, True, True]


def test_the_confirmation_ends_them_as_an_incident(
    browser, support, stolen, honest, mailoutbox, django_capture_on_commit_callbacks
):
    page = browser(support)

    with django_capture_on_commit_callbacks(execute=True):
        answer = end(page, url(network=NETWORK))

    assert "2 devices were revoked." in text_of(page.get(answer.url))
    assert states(*stolen, honest) == [False, False, True]
    refused = stolen[0].get("me").json()
    assert (refused["reason"], refused["note"]) == ("incident", "We were attacked.")
    device = stolen[0].device
    assert (device.revoked_by, device.revoked_by_name) == (support, "support")
    entry = LogEntry.objects.get(object_id=str(device.pk))
    assert (entry.user, entry.change_message) == (support, "Revoked: We were attacked.")
    assert sorted(mail.to[0] for mail in mailoutbox) == ["alice@example.org", "bob@example.org"]


def test_a_breakdown_tells_many_apart(browser, support, alice, bob):
    make_devices(alice, 15, ip_address=THIEVES, os="Windows", browser="Chrome", location="Germany")
    make_devices(bob, 7, ip_address=THIEVES, os="", browser="curl", location="")
    text = text_of(browser(support).get(url(network=NETWORK)))
    assert "These 22 devices of 2 people" in text
    assert "and 2 more." in text
    assert "By OS Windows 15 unknown 7" in text
    assert "By client Chrome 15 curl 7" in text
    assert "By kind API 22" in text
    assert "By place Germany 15 unknown 7" in text


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"network": "203.0.113.7"}, [True, False]),
        ({"network": "2001:db8::/32"}, [False, False]),
        ({"network": "::ffff:203.0.113.7"}, [True, False]),
        ({"signed_in_after": "2026-03-01T12:00"}, [True, True]),
        ({"signed_in_after": "2026-03-01T12:01"}, [False, True]),
        ({"signed_in_before": "2026-03-01T12:01"}, [True, False]),
        ({"signed_in_before": "2026-03-01T12:00"}, [False, False]),
        ({"not_seen_since": "2026-03-02T00:00"}, [True, False]),
        ({"os": "Linux"}, [True, False]),
        ({"os": "iOS", "network": NETWORK}, [False, True]),
        ({"client": "safari"}, [False, True]),
        ({"role": "admin"}, [True, False]),
        ({"everybody": "on"}, [True, True]),
    ],
)
@pytest.mark.parametrize("how", ["page", "api"])
def test_everything_given_must_hold(browser, api, support, stolen, alice, how, criteria, expected):
    alice.roles.add(Role.objects.get(name="admin"))
    first = IssuedToken.objects.filter(pk=stolen[0].device.pk)
    first.update(created_at="2026-03-01T12:00Z", last_seen_at="2026-03-01T13:00Z")
    staff = api(support) if how == "api" else browser(support)

    if how == "page":
        end(staff, url(**criteria), confirmed="yes")
    else:
        body = {"all" if name == "everybody" else name: value for name, value in criteria.items()}
        if "everybody" in criteria:
            body |= {"all": True, "current_password": PASSWORD}
        assert staff.post(API, {**body, "dry_run": False}).json()["revoked"] == sum(expected)

    assert states(*stolen) == [not ended for ended in expected]


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"network": "here"}, "Write an IP address or a network, 203.0.113.0/24."),
        ({"network": "fe80::1%eth0"}, "Write an IP address or a network, 203.0.113.0/24."),
        ({"client": "\0"}, "Null characters are not allowed."),
        ({"signed_in_after": "noon"}, "Enter a valid date/time."),
        ({"os": "CP/M"}, "Select a valid choice."),
        ({"client": "x" * 65}, "at most 64 characters"),
        ({"role": "boss"}, "Select a valid choice."),
        ({"network": ""}, "Say which devices: fill in at least one field."),
        ({"everybody": "on", "os": "iOS"}, "Every device of everybody stands alone"),
    ],
)
def test_what_cannot_be_meant_is_said_and_ends_nothing(browser, support, stolen, criteria, message):
    page = browser(support)
    answer = page.get(url(**criteria))
    assert answer.status_code == 200
    assert message in text_of(answer)
    page.post(url(**criteria), {"confirmed": "yes"})
    assert states(*stolen) == [True, True]


def test_own_device_stays_unless_ticked(browser, support, stolen):
    page = browser(support)
    end(page, url(everybody="on"))
    assert states(*stolen) == [False, False]
    assert page.get(PAGE).status_code == 200

    answer = end(page, url(everybody="on"), include_current="yes")

    assert answer.url == "/admin/login/"
    assert page.get(PAGE).status_code == 302


def test_a_superusers_devices_are_left_out(browser, support, root, api, stolen):
    boss = api(root, REMOTE_ADDR=THIEVES)
    page = browser(support)
    assert "2 devices of 2 people" in text_of(page.get(url(network=NETWORK)))
    end(page, url(network=NETWORK))
    assert states(*stolen, boss) == [False, False, True]

    end(browser(root), url(network=NETWORK))
    assert not alive(boss)


@pytest.mark.parametrize("labels", [(), ("tokens.view_issuedtoken",)])
def test_without_the_permission_there_is_no_page_and_no_link(browser, stolen, labels):
    page = browser(make_staff("erin", *labels))
    assert page.get(url(network=NETWORK)).status_code == 403
    assert page.post(url(network=NETWORK), {"confirmed": "yes"}).status_code == 403
    assert PAGE not in page.get("/admin/tokens/issuedtoken/").content.decode()
    assert states(*stolen) == [True, True]


def test_an_old_password_is_asked_for_and_nothing_is_lost(browser, support, stolen, age):
    page = browser(support)
    age(IssuedToken.objects.get(user=support), minutes=16)

    asked = end(page, url(network=NETWORK))

    assert "Your password, please" in text_of(asked)
    assert states(*stolen) == [True, True]
    page.post(url(network=NETWORK), {**hidden(asked), "step_up_password": PASSWORD})
    assert states(*stolen) == [False, False]
    assert stolen[0].device.revoked_note == "We were attacked."


def test_many_end_in_pieces_and_the_page_shows_how_far(
    browser, support, alice, bob, api, monkeypatch, mailoutbox, django_capture_on_commit_callbacks
):
    monkeypatch.setattr("tokens.flows.incident.PIECE_SIZE", 1000)
    make_devices(alice, 2500, ip_address=THIEVES)
    page = browser(support)

    first = end(page, url(network=NETWORK), include_current="yes")
    assert "1,000 of 2,500 devices have ended." in text_of(first)
    returned = api(bob, REMOTE_ADDR=THIEVES)  # while the pieces end
    second = page.post(url(network=NETWORK), hidden(first))
    assert "2,000 of 2,500 devices have ended." in text_of(second)
    with django_capture_on_commit_callbacks(execute=True):
        last = page.post(url(network=NETWORK), hidden(second))

    assert "2,500 devices were revoked." in text_of(page.get(last.url))
    ended = IssuedToken.objects.filter(revoked_reason="incident")
    assert ended.count() == 2500
    assert not ended.exclude(revoked_note="We were attacked.").exists()
    assert LogEntry.objects.count() == 2500
    assert alive(returned)
    assert mailoutbox == []  # too many for mails from here


def test_own_device_ends_last_of_all_the_pieces(browser, support, alice, monkeypatch):
    monkeypatch.setattr("tokens.flows.incident.PIECE_SIZE", 1000)
    make_devices(alice, 1500)
    page = browser(support)

    first = end(page, url(everybody="on"), include_current="yes")
    last = page.post(url(everybody="on"), hidden(first))

    assert last.url == "/admin/login/"
    assert IssuedToken.objects.filter(revoked_reason="incident").count() == 1501


def test_what_is_not_signed_for_this_page_ends_nothing(browser, support, stolen, mailoutbox):
    page = browser(support)
    elsewhere = hidden(page.get(url(network="203.0.113.7")))
    other_desk = hidden(browser(support).get(url(network=NETWORK)))
    for fields in (
        {"total": "99999", "done": "0", "newest": "2030-01-01 00:00"},
        {"shown": "x"},
        elsewhere,
        other_desk,
    ):
        answer = page.post(url(network=NETWORK), {**fields, "confirmed": "yes", "note": "So."})
        assert "These 2 devices of 2 people" in text_of(answer)
        assert 'value="So."' in answer.content.decode()
    assert states(*stolen) == [True, True]


@pytest.mark.parametrize("how", ["incident", "list", "selection of one", "user"])
def test_only_what_was_shown_ends(browser, support, alice, api, how):
    """The button says what it ends: a device that signs in meanwhile stays."""
    page, phone = browser(support), api(alice, REMOTE_ADDR=THIEVES)
    laptop = api(alice, REMOTE_ADDR=THIEVES)
    at, selection = {
        "incident": (url(network=NETWORK), {}),
        "list": (
            "/admin/tokens/issuedtoken/?q=alice",
            {"action": "revoke_selected", "select_across": "1", "index": "0"},
        ),
        "selection of one": (url_of(phone.device, "revoke"), {}),
        "user": (url_of(alice, "revoke"), {}),
    }[how]
    selection |= {"_selected_action": [phone.device.pk]} if how == "list" else {}
    shown = page.post(at, selection)
    returned = api(alice, REMOTE_ADDR=THIEVES)

    answer = page.post(at, {**hidden(shown), "confirmed": "yes", "note": "Ended."})

    expected = "1 device was" if how == "selection of one" else "2 devices were"
    assert f"{expected} revoked." in text_of(page.get(answer.url))
    assert states(phone, laptop, returned) == [False, how == "selection of one", True]


def test_note_survives_a_sign_in_in_between(browser, client, support, stolen, age):
    """Staff's own device goes idle while they write."""
    page = browser(support)
    shown = hidden(page.get(url(network=NETWORK)))
    age(IssuedToken.objects.get(user=support), hours=2)

    fields = {**shown, "confirmed": "yes", "note": "A <long> note.", "reason": "Reported lost."}
    answer = page.post(url(network=NETWORK), fields)
    assert answer.status_code == 302
    page.post(answer.url, {"username": "support", "password": PASSWORD})

    def typed(**criteria):
        answer = page.get(url(**criteria))
        assert ("Your note is kept." in text_of(answer)) == bool(answer.context["form"].initial)
        return [answer.context["form"][name].value() for name in ("reason", "note")]

    assert typed(os="Linux") == [None, None]
    assert typed(network=NETWORK) == ["Reported lost.", "A <long> note."]
    assert typed(network=NETWORK) == [None, None]
    assert states(*stolen) == [True, True]


# The password, each time


@pytest.mark.asvs("7.5.3")
@pytest.mark.parametrize("how", ["incident", "list", "export"])
def test_everybodys_devices_need_the_password_each_time(browser, support, stolen, how):
    page, at = browser(support), "/admin/tokens/issuedtoken/"
    across = {"select_across": "1", "index": "0", "_selected_action": [stolen[0].device.pk]}
    if how == "incident":
        at = url(everybody="on")
        fields = hidden(page.get(at))
    elif how == "list":
        fields = hidden(page.post(at, {**across, "action": "revoke_selected"}))
    else:
        fields = {**across, "action": "export_csv"}
    fields |= {"confirmed": "yes", "note": "All."}

    asked = page.post(at, fields)
    assert "give your password each time" in text_of(asked)
    wrong = page.post(at, {**hidden(asked), "current_password": "wrong"})
    assert "This is not your password." in text_of(wrong)
    assert states(*stolen) == [True, True]
    done = page.post(at, {**hidden(wrong), "current_password": PASSWORD})

    assert done.status_code == (200 if how == "export" else 302)
    assert states(*stolen) == [how == "export"] * 2


def test_wrong_proofs_are_counted_and_limited(api, browser, support, stolen):
    staff, page = api(support), browser(support)
    asked = {"all": True, "dry_run": False}
    for wrong in ({}, {"current_password": ""}, *[{"current_password": "no"}] * 5):
        answer = staff.post(API, {**asked, **wrong})
        assert (answer.status_code, [*answer.json()]) == (400, ["current_password"])
    answer = staff.post(API, {**asked, "current_password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    shown = hidden(page.get(url(everybody="on")))
    fields = {**shown, "confirmed": "yes", "note": "All.", "current_password": "no"}
    assert [page.post(url(everybody="on"), fields).status_code for _ in range(6)][-2:] == [200, 429]
    assert states(*stolen) == [True, True]


def test_a_proof_needs_no_step_up_as_well(api, browser, support, stolen, age):
    staff = api(support)
    age(staff.device, minutes=16)
    answer = staff.post(API, {"all": True, "dry_run": False})
    assert (answer.status_code, [*answer.json()]) == (400, ["current_password"])
    asked = {"all": True, "dry_run": False, "current_password": PASSWORD}
    assert staff.post(API, asked).json()["revoked"] == 2


def test_the_page_says_who_is_mailed(browser, support, alice):
    """One person is mailed of however many devices, of many people's at most a thousand."""
    make_devices(alice, 1000, ip_address=THIEVES)
    page = browser(support)
    assert "The owner is mailed, too." in text_of(page.get(url(network=NETWORK)))
    make_devices(alice, 1, ip_address=THIEVES)
    assert "Nobody is mailed" in text_of(page.get(url(network=NETWORK)))
    assert "The owner is mailed, too." in text_of(page.get(url_of(alice, "revoke")))


# The API


def test_the_api_shows_first(api, support, stolen, honest):
    answer = api(support).post(API, {"network": NETWORK})
    assert answer.status_code == 200
    shown = answer.json()
    sample = shown.pop("sample")
    assert shown == {
        "matched": 2,
        "people": 2,
        "revoked": 0,
        "remaining": 2,
        "breakdown": {
            "os": [{"name": "Linux", "count": 1}, {"name": "iOS", "count": 1}],
            "browser": [{"name": "Firefox", "count": 1}, {"name": "Safari", "count": 1}],
            "kind": [{"name": "api", "count": 2}],
            "location": [{"name": "", "count": 2}],
        },
    }
    assert [device["username"] for device in sample] == ["alice", "bob"]
    assert "hash" not in sample[0]
    assert states(*stolen, honest) == [True, True, True]


@pytest.mark.asvs("7.4.5")
def test_the_api_ends_what_is_found(
    api, support, stolen, honest, mailoutbox, django_capture_on_commit_callbacks
):
    asked = {"network": NETWORK, "note": "We were attacked.", "dry_run": False}
    with django_capture_on_commit_callbacks(execute=True):
        answer = api(support).post(API, asked)
    assert answer.json() == {"matched": 2, "people": 2, "revoked": 2, "remaining": 0}
    assert states(*stolen, honest) == [False, False, True]
    device = stolen[1].device
    assert (device.revoked_reason, device.revoked_by_name) == ("incident", "support")
    assert len(mailoutbox) == 2


def test_the_api_never_ends_the_device_that_asks(api, support, stolen):
    staff = api(support)
    asked = {"all": True, "dry_run": False, "current_password": PASSWORD}
    assert staff.post(API, asked).json()["revoked"] == 2
    assert alive(staff)
    assert staff.post(API, asked).json() == {
        "matched": 0,
        "people": 0,
        "revoked": 0,
        "remaining": 0,
    }


def test_the_api_ends_many_in_pieces(api, support, alice, monkeypatch):
    monkeypatch.setattr("tokens.flows.incident.PIECE_SIZE", 1000)
    make_devices(alice, 1500, ip_address=THIEVES)
    staff = api(support)
    asked = {"network": NETWORK, "dry_run": False}
    first = staff.post(API, asked).json()
    assert (first["matched"], first["revoked"], first["remaining"]) == (1500, 1000, 500)
    second = staff.post(API, asked).json()
    assert (second["matched"], second["revoked"], second["remaining"]) == (500, 500, 0)


def test_the_api_leaves_a_superuser_alone(api, support, root, stolen):
    boss = api(root, REMOTE_ADDR=THIEVES)
    assert api(support).post(API, {"network": NETWORK, "dry_run": False}).json()["revoked"] == 2
    assert alive(boss)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dry_run": False},
        {"all": True, "os": "iOS"},
        {"all": False},
        {"network": "here"},
        {"network": "10.0.0.1%eth0"},
        {"network": 7},
        {"network": None},
        {"os": ""},
        {"client": " "},
        {"role": "boss"},
        {"role": "admin\u0000"},
        {"os": "\u0000"},
        {"signed_in_after": "noon"},
        {"signed_in_after": "0001-01-01T00:00:00+14:00"},
        {"all": "perhaps"},
        {"all": True, "note": "x" * 501},
    ],
)
def test_the_api_refuses_what_cannot_be_meant(api, support, stolen, body):
    answer = api(support).post(API, {"dry_run": False, **body})
    assert answer.status_code == 400, answer.content
    assert states(*stolen) == [True, True]


@pytest.mark.asvs("7.5.3")
def test_the_api_asks_for_the_permission_and_a_fresh_password(api, support, alice, stolen, age):
    asked = {"network": NETWORK, "dry_run": False}
    assert api().post(API, asked).status_code == 401
    assert api(alice).post(API, asked).status_code == 403
    staff = api(support)
    age(staff.device, minutes=16)
    answer = staff.post(API, asked)
    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert alive(stolen[0])
