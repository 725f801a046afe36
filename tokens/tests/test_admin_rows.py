"""The rows of the list of devices are Django's own, to the letter, in a third of the calls."""

import pytest
from django.contrib import admin
from django.contrib.admin.templatetags import admin_list

from tests.plugins.guestlist import FIREFOX, make_user
from tokens.admin.rows import result_list
from tokens.models import IssuedToken
from tokens.tests.admin import DEVICES, make_devices
from tokens.tests.test_costs import calls_of

NASTY = "<script>&'\"{}%s</script>"
CEILING = 90_000


@pytest.fixture
def devices(alice, bob, root, age):
    """Devices in every state, of people and of a superuser, with and without each text."""
    plain = make_devices(alice, 8)
    named = make_devices(
        bob, 3, name=NASTY, browser=NASTY, os=NASTY, location=NASTY, last_ip="2001:db8::1"
    )
    make_devices(root, 1, kind="browser", browser="Firefox", os="Linux", device_type="desktop")
    IssuedToken.objects.filter(pk=plain[0].pk).revoke(reason="staff", by=root, note=NASTY)
    IssuedToken.objects.filter(pk=plain[1].pk).revoke(reason="reuse")
    IssuedToken.objects.filter(pk=plain[2].pk).update(alarm="client")
    for device, days in zip([*plain[3:6], named[0]], (1, 31, 400, 2), strict=True):
        age(device, days=days)
    idle = make_devices(alice, 1)[0]
    IssuedToken.objects.filter(pk=idle.pk).update(idle_at=idle.created_at)
    make_devices(make_user("carol", is_active=False), 1)


@pytest.mark.parametrize("staff", ["root", "support", "viewer"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?state=all",
        "?state=idle",
        "?state=expired",
        "?state=revoked&kind__exact=api",
        "?q=alice&state=all",
        "?q=nobody",
        "?o=-7",
    ],
)
def test_rows_are_those_of_django(browser, request, devices, staff, query):
    if staff == "viewer":
        user = request.getfixturevalue("support")
        for role in user.roles.all():
            role.permissions.remove(*role.permissions.filter(codename="revoke_issuedtoken"))
    else:
        user = request.getfixturevalue(staff)
    answer = browser(user, headers={"user-agent": FIREFOX}).get(DEVICES + query)
    cl = answer.context["cl"]

    expected, found = admin_list.result_list(cl), result_list(cl)

    rows = ["".join(row) for row in found.pop("results")]
    assert rows == ["".join(row) for row in expected.pop("results")]
    assert len(rows) == len(cl.result_list)
    assert found == {name: expected[name] for name in found}
    assert set(expected) - set(found) == {"result_hidden_fields"}
    assert all(f"<tr>{row}</tr>" in answer.content.decode() for row in rows)


def test_link_holds_the_filters_of_the_list(browser, root, alice):
    [device] = make_devices(alice, 1)
    page = browser(root).get(f"{DEVICES}?q={device.pk}").content.decode()
    assert f'"{DEVICES}{device.pk}/change/?_changelist_filters=q%3D{device.pk}"' in page


def test_box_of_a_row_is_that_of_django(alice):
    devices = admin.site._registry[IssuedToken]
    [device] = make_devices(alice, 1, name=NASTY)
    assert devices.action_checkbox(device) == admin.ModelAdmin.action_checkbox(devices, device)


def test_list_of_fifty_stays_below_its_ceiling_of_calls(browser, support, alice):
    """A count and not a time. Also of ended ones, whose links hold the filter."""
    live = make_devices(alice, 50, browser="Firefox", os="Linux", last_ip="203.0.113.7")
    make_devices(alice, 50, revoked_at=live[0].created_at, revoked_reason="staff")
    tab = browser(support, headers={"user-agent": FIREFOX})

    for query in ("", "?state=revoked"):
        for _ in range(3):
            tab.get(DEVICES + query)
        answer, calls = calls_of(tab.get, DEVICES + query)
        assert len(answer.context["cl"].result_list) == 50
        assert calls <= CEILING
