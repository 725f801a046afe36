import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Role, User
from tests.plugins.guestlist import FIREFOX
from tokens.keys import KeyRing, generate_signing_key
from tokens.models import IssuedToken

LONDON, SWEDEN = "81.2.69.142", "89.160.20.112"
CURL = "curl/8.16.0"


@pytest.fixture
def laptop(api, alice):
    """Alice's: Firefox on Linux, in London."""
    return api(alice, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=LONDON)


@pytest.fixture
def script(api, bob):
    """Bob's: curl, in Sweden."""
    return api(bob, HTTP_USER_AGENT=CURL, REMOTE_ADDR=SWEDEN)


def run(*args):
    return run_both(*args)[0]


def run_both(*args):
    """What the command wrote to stdout and to stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*args, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def refusal(*args):
    with pytest.raises(CommandError) as raised:
        run(*args)
    return str(raised.value)


def columns(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# list_devices


def test_list_devices_shows_an_aligned_table(laptop, script, age):
    laptop.patch(f"devices/{laptop.device.pk}", {"name": "Work"})
    age(laptop.device, days=3, hours=2)
    age(script.device, hours=5)
    heading, first, second, summary = run("list_devices").splitlines()
    assert columns(heading) == [
        *("USER", "CLIENT", "KIND", "STATE", "ADDRESS", "PLACE", "SEEN", "SIGNED IN", "ID")
    ]
    assert columns(first) == [
        *("bob", "curl", "api", "live", SWEDEN, "Sweden", "5h", "5h", str(script.device.pk))
    ]
    assert columns(second) == [
        *("alice", "Work (Firefox on Linux)", "api", "live", LONDON, "United Kingdom", "3d", "3d"),
        str(laptop.device.pk),
    ]
    assert heading.index("PLACE") == first.index("Sweden") == second.index("United Kingdom")
    assert summary == "2 devices."


def test_list_devices_counts_minutes_and_cuts_long_names(laptop, age):
    laptop.patch(f"devices/{laptop.device.pk}", {"name": "W" * 64})
    age(laptop.device, minutes=7)
    _, line, summary = run("list_devices").splitlines()
    assert columns(line)[1] == "W" * 35 + "…"
    assert columns(line)[-3:-1] == ["7m", "7m"]
    assert summary == "1 device."


def test_list_devices_shows_a_device_without_an_address(alice):
    run("issue_token", "alice", "--name", "cron", "--expires", "1d")
    cells = columns(run("list_devices").splitlines()[1])
    assert cells[4:-1] == ["-", "-", "now", "now"]


def test_list_devices_shows_live_ones_unless_asked(laptop, script):
    laptop.post("logout")
    assert "alice" not in run("list_devices")
    revoked = run("list_devices", "--state", "revoked")
    assert columns(revoked.splitlines()[1])[:4] == [
        *("alice", "Firefox on Linux", "api", "revoked (logout)")
    ]
    assert run("list_devices", "--state", "all").endswith("\n2 devices.\n")
    assert run("list_devices", "--state", "idle") == "No device matches.\n"


def test_list_devices_says_when_there_are_more(laptop, script):
    shown = run("list_devices", "--limit", "1")
    assert shown.endswith("\nThe newest 1. There are more: raise --limit.\n")
    assert len(shown.splitlines()) == 3


def test_list_devices_as_json_is_the_device_of_the_api(laptop, script):
    as_listed = laptop.get("devices").json()["results"][0]
    listed = json.loads(run("list_devices", "--json", "--user", "alice"))
    assert listed == [{"user": "alice", **as_listed, "is_current": False}]
    assert len(json.loads(run("list_devices", "--json", "--limit", "1"))) == 1


@pytest.mark.parametrize(
    "predicates",
    [
        ["--user", "ALICE"],
        ["--ip", LONDON],
        ["--ip", "81.2.69.200/24"],
        ["--os", "linux"],
        ["--client", "firefox"],
        ["--role", "support"],
        ["--inactive-for", "2d"],
        ["--inactive-for", "2"],
        ["--inactive-for", "48h"],
        ["--inactive-for", "2880m"],
        ["--user", "alice", "--ip", LONDON, "--os", "Linux", "--inactive-for", "1d"],
    ],
)
def test_every_predicate_selects(laptop, script, age, alice, predicates):
    alice.roles.add(Role.objects.get(name="support"))
    age(laptop.device, days=3)
    assert [device["user"] for device in _listed(*predicates)] == ["alice"]


@pytest.mark.parametrize(
    "predicates",
    [
        ["--user", "alice", "--ip", SWEDEN],
        ["--os", "Windows"],
        ["--client", "Chrome"],
        ["--role", "admin"],
        ["--ip", "2001:db8::/32"],
        ["--inactive-for", "4d"],
    ],
)
def test_predicates_must_all_hold(laptop, script, age, predicates):
    age(laptop.device, days=3)
    assert _listed(*predicates) == []


def test_a_verified_email_address_names_the_user(laptop, script):
    User.objects.filter(username="alice").update(email_verified_at="2026-01-01T00:00Z")
    assert [device["user"] for device in _listed("--user", "alice@example.org")] == ["alice"]


def test_an_address_counts_at_sign_in_and_when_last_seen(laptop):
    IssuedToken.objects.update(last_ip="2001:db8::7")
    assert len(_listed("--ip", LONDON)) == 1
    assert len(_listed("--ip", "2001:db8::/64")) == 1


def test_times_of_sign_in_are_utc_and_half_open(laptop):
    IssuedToken.objects.update(created_at="2026-03-01T12:00Z")
    assert _listed("--signed-in-after", "2026-03-01T12:00")
    assert _listed("--signed-in-after", "2026-03-01")
    assert _listed("--signed-in-before", "2026-03-01T13:00:01+01:00")
    assert not _listed("--signed-in-after", "2026-03-01T12:00:01Z")
    assert not _listed("--signed-in-before", "2026-03-01T12:00")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--user", "carol"], "There is no user 'carol'."),
        (["--role", "boss"], "There is no role 'boss'."),
        (["--os", " "], "argument --os: it is empty."),
        (["--user", ""], "argument --user: it is empty."),
        (["--ip", "here"], "'here' is neither an IP address nor a CIDR block."),
        (["--ip", "fe80::1%eth0"], "'fe80::1%eth0' is neither an IP address nor a CIDR block."),
        (
            ["--signed-in-after", "noon"],
            "'noon' is not an ISO 8601 time. Write 2026-01-31T18:30 (UTC) or 2026-01-31.",
        ),
        (
            ["--signed-in-before", "0001-01-01T00:00+14:00"],
            "'0001-01-01T00:00+14:00' is not an ISO 8601 time. "
            "Write 2026-01-31T18:30 (UTC) or 2026-01-31.",
        ),
        (["--inactive-for", "1y"], "'1y' is not a duration. Write 90d, 12h or 30m."),
        (["--inactive-for", "0"], "'0' is not between 1m and 3650d."),
        (["--inactive-for", "3651d"], "'3651d' is not between 1m and 3650d."),
        (["--limit", "0"], "'0' is not a whole number of at least 1."),
        (["--limit", "-1"], "'-1' is not a whole number of at least 1."),
        (["--limit", "²"], "'²' is not a whole number of at least 1."),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(db, args, message):
    assert refusal("list_devices", *args).endswith(message)


def _listed(*args):
    return json.loads(run("list_devices", "--json", *args))


# revoke_devices


@pytest.mark.asvs("7.4.5")
def test_revoking_by_user_ends_their_devices_as_staff(laptop, script, mailoutbox):
    out = run("revoke_devices", "--user", "alice", "--note", "Your laptop was found.")
    assert out == "Revoked 1 live device.\n"
    refused = laptop.get("me")
    assert refused.status_code == 401
    assert refused.json()["code"] == "device_revoked"
    assert refused.json()["reason"] == "staff"
    assert refused.json()["note"] == "Your laptop was found."
    assert laptop.device.revoked_by is None
    assert script.get("me").status_code == 200


def test_a_user_and_a_predicate_end_only_what_fits_both(laptop, api, alice):
    phone = api(alice, HTTP_USER_AGENT=CURL, REMOTE_ADDR=SWEDEN)
    assert run("revoke_devices", "--user", "alice", "--os", "linux") == "Revoked 1 live device.\n"
    assert laptop.device.state == "revoked"
    assert phone.device.state == "live"


def test_revoking_by_network_ends_devices_of_everybody_as_an_incident(laptop, api, bob):
    other = api(bob, REMOTE_ADDR="81.2.69.7")
    outside = api(bob, REMOTE_ADDR=SWEDEN)
    out = run("revoke_devices", "--ip", "81.2.69.0/24", "--note", "Stolen passwords.")
    assert out == "Revoked 2 live devices.\n"
    for client in (laptop, other):
        assert client.device.revoked_reason == "incident"
        assert client.get("me").json()["note"] == "Stolen passwords."
    assert outside.get("me").status_code == 200


@pytest.mark.asvs("7.4.5")
def test_revoking_all_ends_everything_and_again_nothing(laptop, script, browser, alice):
    signed_in = browser(alice)
    assert run("revoke_devices", "--all") == "Revoked 3 live devices.\n"
    assert laptop.get("me").status_code == script.get("me").status_code == 401
    assert signed_in.get("/api/v1/me").status_code == 401
    assert run("revoke_devices", "--all") == "Revoked 0 live devices.\n"


def test_revoking_leaves_what_has_ended_before_as_it_was(laptop, script):
    laptop.post("logout")
    before = laptop.device.revoked_at
    assert run("revoke_devices", "--all", "--note", "later") == "Revoked 1 live device.\n"
    assert laptop.device.revoked_at == before
    assert laptop.device.revoked_reason == "logout"
    assert laptop.device.revoked_note == ""


def test_a_dry_run_shows_what_would_end_and_ends_nothing(laptop, script):
    out = run("revoke_devices", "--user", "alice", "--dry-run").splitlines()
    assert columns(out[1])[:2] == ["alice", "Firefox on Linux"]
    assert out[2:] == ["Would revoke 1 live device of 1 person.", "Nothing was changed."]
    assert laptop.get("me").status_code == 200


def test_a_dry_run_shows_a_sample_and_a_breakdown_of_many(api, alice, bob):
    for _ in range(9):
        api(alice)
    for _ in range(3):
        api(bob, HTTP_USER_AGENT=FIREFOX)
    out = run("revoke_devices", "--all", "--dry-run").splitlines()
    assert out[11:] == [
        "... and 2 more:",
        "  by OS: unknown 9, Linux 3",
        "  by client: unknown 9, Firefox 3",
        "  by kind: api 12",
        "  by place: unknown 12",
        "Would revoke 12 live devices of 2 people.",
        "Nothing was changed.",
    ]


def test_a_dry_run_of_nothing_says_so(db):
    expected = "Would revoke 0 live devices.\nNothing was changed.\n"
    assert run("revoke_devices", "--all", "--dry-run") == expected


def test_revoke_devices_as_json_counts(laptop, script):
    dry = run("revoke_devices", "--all", "--json", "--dry-run")
    assert json.loads(dry) == {"matched": 2, "revoked": 0}
    assert json.loads(run("revoke_devices", "--all", "--json")) == {"matched": 2, "revoked": 2}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Say which devices, by --user, --ip or the like, or --all."),
        (
            ["--all", "--os", "iOS"],
            "--all stands alone: leave it out to revoke only what you describe.",
        ),
        (["--all", "--note", "x" * 501], "The note is longer than 500 characters."),
        (["--user", "carol"], "There is no user 'carol'."),
        (["--user", "alice", "--os", ""], "Error: argument --os: it is empty."),
    ],
)
def test_revoke_devices_refuses_what_it_cannot_mean(laptop, args, message):
    assert refusal("revoke_devices", *args) == message
    assert laptop.get("me").status_code == 200


# purge_devices


@pytest.fixture
def old(laptop, script, age, api, alice):
    """Two devices past retention; one that is live stays, and so does one that ended later."""
    script.post("logout")
    age(script.device, days=29)
    age(laptop.device, days=30 + 29)
    api(alice)
    age(api(alice).device, days=31)


def test_purge_devices_deletes_what_is_past_retention(old):
    """The device that expired yesterday had been idle for longer, so it is forgotten."""
    assert run("purge_devices") == (
        "Purged 2 devices past retention. Forgot the exact addresses of 1 device.\n"
    )
    assert IssuedToken.objects.count() == 2
    assert run("purge_devices") == (
        "Purged 0 devices past retention. Forgot the exact addresses of 0 devices.\n"
    )


def test_purge_devices_counts_one_as_one(laptop, script, age):
    age(laptop.device, days=59)
    age(script.device, days=40)
    assert run("purge_devices") == (
        "Purged 1 device past retention. Forgot the exact addresses of 1 device.\n"
    )


def test_a_dry_run_of_the_purge_changes_nothing(old, api, alice, age):
    age(api(alice).device, days=40)
    out = run("purge_devices", "--dry-run")
    assert out == (
        "Would purge 2 devices past retention, and forget the exact addresses of 2 devices. "
        "Nothing was changed.\n"
    )
    counts = {"matched": 2, "purged": 0, "to_forget": 2, "forgotten": 0}
    assert json.loads(run("purge_devices", "--dry-run", "--json")) == counts
    assert IssuedToken.objects.filter(forgotten_at=None).count() == 5


def test_purge_devices_as_json_counts(old, api, alice, age):
    age(api(alice).device, days=40)
    counts = {"matched": 2, "purged": 2, "to_forget": 2, "forgotten": 2}
    assert json.loads(run("purge_devices", "--json")) == counts


# issue_token


def test_issue_token_prints_a_token_that_works_and_nothing_else(alice, api):
    out, err = run_both("issue_token", "alice", "--name", "nightly backup", "--expires", "90d")
    token = out.removesuffix("\n")
    device = IssuedToken.objects.with_state().get()
    end = f"{device.expires_at:%Y-%m-%d %H:%M} UTC"
    assert err.startswith(f"A token of alice for 'nightly backup', good until {end}. Keep it")
    assert token not in err
    answer = api().get("me", authorization=f"Bearer {token}")
    assert answer.json()["username"] == "alice"
    assert device.state == "live"
    assert device.idle_at is None
    assert device.expires_at - device.created_at == timedelta(days=90)


def test_an_issued_token_is_revocable_and_cannot_be_refreshed(alice, api):
    token = run("issue_token", "alice", "--name", "cron", "--expires", "12h").strip()
    refused = api().post("refresh", {"refresh_token": token})
    assert refused.status_code == 401
    assert run("revoke_devices", "--user", "alice") == "Revoked 1 live device.\n"
    assert api().get("me", authorization=f"Bearer {token}").json()["code"] == "device_revoked"


def test_issue_token_as_json_is_like_the_pair_of_the_api(alice, api):
    out, err = run_both("issue_token", "alice", "--name", "ci", "--expires", "30m", "--json")
    answer = json.loads(out)
    assert list(answer) == ["access_token", "token_type", "expires_in", "device"]
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 1800
    listed = api().get("devices", authorization=f"Bearer {answer['access_token']}").json()
    assert listed["results"][0]["id"] == answer["device"]["id"]
    assert answer["device"]["name"] == "ci"
    assert err == ""


@pytest.mark.parametrize("name", ["", " \u202e ", "x" * 65])
def test_issue_token_refuses_a_name_that_would_not_show(alice, name):
    message = refusal("issue_token", "alice", f"--name={name}", "--expires", "1d")
    assert message == "The name must have 1 to 64 characters."
    assert not IssuedToken.objects.exists()


@pytest.mark.parametrize("expires", ["0", "-1d", "4000d", "999999999", "soon"])
def test_issue_token_refuses_an_end_that_is_none(alice, expires):
    assert repr(expires) in refusal("issue_token", "alice", "--name=ci", f"--expires={expires}")
    assert not IssuedToken.objects.exists()


def test_issue_token_refuses_an_unknown_user(db):
    message = refusal("issue_token", "carol", "--name", "ci", "--expires", "1d")
    assert message == "There is no user 'carol'."


def test_issue_token_refuses_an_inactive_user(alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    message = refusal("issue_token", "alice", "--name", "ci", "--expires", "1d")
    assert message == "No token for alice. This account is deactivated."


# generate_signing_key


@pytest.mark.parametrize(
    ("args", "alg"),
    [([], "HS256"), (["--algorithm=HS256"], "HS256"), (["--algorithm=EdDSA"], "EdDSA")],
)
def test_generate_signing_key_prints_a_key_that_signs(settings, args, alg):
    out, err = run_both("generate_signing_key", *args)
    key = KeyRing([json.loads(out), *settings.JWT_SIGNING_KEYS]).signing_key(timezone.now())
    assert key.alg == alg
    assert key.verify(b"message", key.sign(b"message"))
    assert err.startswith("For a new site, or in place of a stolen key: JWT_SIGNING_KEYS=")


@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_generate_signing_key_prints_the_ring_with_a_key_to_come(settings, alg):
    before = timezone.now().replace(microsecond=0)
    out, err = run_both("generate_signing_key", "--use-from", "+1h", "--algorithm", alg)

    *former, new = json.loads(out)["keys"]
    assert former == settings.JWT_SIGNING_KEYS
    ring = KeyRing([*former, new])
    use_from = ring.keys[-1].use_from
    assert before + timedelta(hours=1) <= use_from <= timezone.now() + timedelta(hours=1)
    assert ring.signing_key(use_from).kid == new["kid"]
    assert ring.signing_key(timezone.now()).kid == former[0]["kid"]
    assert err.startswith(f"{new['kid']!r} signs from {use_from:%Y-%m-%d %H:%M:%S} UTC on.")
    assert repr(former[0]["kid"]) in err
    for key in (*former, new):
        assert (key.get("k") or key["d"]) not in err


def test_generate_signing_key_takes_the_time_of_another_zone():
    out = run("generate_signing_key", "--use-from", "2099-01-31T23:30:00+05:00")
    assert json.loads(out)["keys"][-1]["use_from"] == "2099-01-31T18:30:00+00:00"


@pytest.mark.parametrize("time", ["2026-01-01", "2026-01-01T12:00Z", "1h", "+0h", "soon"])
def test_generate_signing_key_takes_no_time_that_has_passed_or_is_none(time):
    assert "--use-from" in refusal("generate_signing_key", "--use-from", time)


def test_new_key_begins_after_every_other_one(settings):
    settings.JWT_SIGNING_KEYS = [
        *settings.JWT_SIGNING_KEYS,
        generate_signing_key() | {"kid": "later", "use_from": "2099-01-31T18:30:00Z"},
    ]
    for time in ("+1h", "2099-01-31T18:30:00Z"):
        message = refusal("generate_signing_key", "--use-from", time)
        assert message == "'later' signs from 2099-01-31T18:30:00+00:00 on. Choose a later time."


def test_no_ring_is_printed_that_cannot_be_used(settings):
    weak = {"kty": "oct", "alg": "HS256", "kid": "a", "k": "A" * 43}
    settings.JWT_SIGNING_KEYS = [weak]
    message = refusal("generate_signing_key", "--use-from", "+1h")
    assert message.startswith("The ring of this site cannot be used. JWT_SIGNING_KEYS: key 1 can")


def test_generate_signing_key_knows_no_other_algorithm():
    assert "RS256" in refusal("generate_signing_key", "--algorithm", "RS256")


def test_two_generated_keys_differ():
    assert run("generate_signing_key") != run("generate_signing_key")


def test_time_without_its_plus_is_told_what_to_write(db):
    message = "'1h' is not a time. Write +1h for so long from now."
    assert refusal("generate_signing_key", "--use-from", "1h").endswith(message)
