"""Export from the device list: what is filtered, streamed, and safe in a spreadsheet."""

import csv
import io
import json

import pytest

from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken
from tokens.tests.admin import DEVICES, export


def test_selection_as_csv(api, alice, bob, browser, support):
    phone, other = api(alice).device, api(bob).device

    [row] = csv.DictReader(io.StringIO(export(browser(support), "csv", [phone])))

    assert (row["id"], row["username"], row["state"]) == (str(phone.pk), "alice", "live")
    assert str(other.pk) not in row.values()


def test_everything_that_the_filter_shows_as_json(api, alice, bob, browser, support):
    phone = api(alice)
    api(bob)
    phone.post("logout")

    rows = json.loads(
        export(
            browser(support), "json", [phone.device], "?state=revoked", select_across="1", index="0"
        )
    )

    assert [(row["username"], row["revoked_reason"]) for row in rows] == [("alice", "logout")]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(api, alice, browser, support, name):
    phone = api().log_in(alice, device_name=name)

    [row] = csv.DictReader(io.StringIO(export(browser(support), "csv", [phone.device])))

    assert row["name"] == f"'{name}"


def test_no_hash_and_no_handle_is_exported(api, alice, browser, support):
    phone = api(alice)
    row = IssuedToken.objects.get()

    text = export(browser(support), "json", [phone.device])

    assert row.hash.hex() not in text
    assert "hash" not in text


def test_export_needs_the_permission_to_view(api, alice, browser, support):
    phone = api(alice).device
    support.roles.clear()

    answer = browser(support).post(
        DEVICES, {"action": "export_csv", "_selected_action": [str(phone.pk)]}
    )

    assert answer.status_code == 403


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_no_separator_that_a_spreadsheet_guesses_makes_a_formula(
    api, alice, browser, support, separator
):
    phone = api(alice).device
    IssuedToken.objects.update(name=f"phone{separator}=2+5{separator} @SUM(1)")

    text = export(browser(support), "csv", [phone])

    for row in csv.reader(io.StringIO(text), delimiter=separator):
        assert not [cell for cell in row if cell.strip().startswith(("=", "+", "-", "@"))]


def test_csv_opens_in_excel_with_every_letter(api, alice, browser, support):
    phone = api(alice).device
    IssuedToken.objects.update(name="Zoë")

    answer = browser(support).post(
        DEVICES,
        {
            "action": "export_csv",
            "_selected_action": [str(phone.pk)],
            "current_password": PASSWORD,
        },
    )

    assert b"".join(answer.streaming_content).startswith(b"\xef\xbb\xbfid,")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
