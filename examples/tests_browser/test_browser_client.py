"""The browser client in Chromium against a running site, from a page of another origin."""

import random
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from examples.tests.proxy import Fate
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.models import IssuedToken

# What a tab can be told to do, in terms of guestlist.js, and a look into its store.
SETUP = """async () => {
  const { Guestlist } = await import("./guestlist.js");
  const client = new Guestlist(document.documentElement.dataset.site);
  const database = await new Promise((resolve) => {
    const request = indexedDB.open("guestlist");
    request.onsuccess = () => resolve(request.result);
  });
  const transact = (act) => new Promise((resolve) => {
    const transaction = database.transaction("pairs", "readwrite");
    const request = act(transaction.objectStore("pairs"));
    transaction.oncomplete = () => resolve(request.result);
  });
  const load = () => transact((pairs) => pairs.get("pair"));
  const change = async (values) => {
    const pair = await load();
    await transact((pairs) => pairs.put({ ...pair, ...values }, "pair"));
  };
  const makeDue = () => change({ refresh_at: 0 });
  const me = async () => (await (await client.request("GET", "me")).json()).username;
  Object.assign(window, { client, load, change, makeDue, me });
}"""


@pytest.fixture
def new_tab(open_tab):
    """`new_tab()` is a tab with `client`, `load()`, `change(values)`, `makeDue()` and `me()`."""

    def new():
        tab = open_tab()
        tab.evaluate(SETUP)
        return tab

    return new


@pytest.fixture
def tab(new_tab, alice):
    """A tab in which alice has signed in."""
    tab = new_tab()
    tab.evaluate("password => client.logIn('alice', password, 'Web page')", PASSWORD)
    return tab


@pytest.fixture
def no_grace(settings):
    """A replaced refresh token is a reuse at once: nothing but the client's own care is left."""
    settings.REFRESH_GRACE = timedelta(0)


def start(tab, expression):
    """Let the tab work on it, without waiting for the result."""
    tab.evaluate(f"() => {{ window.result = {expression}; }}")


def device():
    return IssuedToken.objects.with_state().get()


def revoke(alice, note):
    flows.revoke_for_user(alice, alice.devices.all(), by=None, note=note)


def test_log_in_use_and_log_out(tab):
    assert tab.evaluate("me()") == "alice"
    assert (device().name, device().generation) == ("Web page", 1)

    tab.evaluate("client.logOut()")

    assert device().revoked_reason == "logout"
    assert tab.evaluate("load()") is None
    assert tab.evaluate("me().catch(error => error.code)") == "not_authenticated"


def test_refreshes_before_the_access_token_expires(tab, network):
    assert 200_000 < tab.evaluate("load().then(pair => pair.refresh_at - Date.now())") < 250_000
    tab.evaluate("makeDue()")

    assert tab.evaluate("me()") == "alice"

    assert network.statuses("refresh") == [200]
    assert 401 not in network.statuses("me")
    assert device().generation == 2


def test_expired_access_token_is_refreshed_once_and_the_request_repeated(tab, network, settings):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(0)
    tab.evaluate("password => client.logIn('alice', password)", PASSWORD)
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=5)
    tab.evaluate("change({ refresh_at: Infinity })")  # a clock that was put back

    assert tab.evaluate("me()") == "alice"

    assert network.statuses("me") == [401, 200]
    assert network.statuses("refresh") == [200]


def test_stays_signed_in_while_tokens_of_two_seconds_come_and_go(tab, network, no_grace, settings):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(seconds=2)
    tab.evaluate("password => client.logIn('alice', password)", PASSWORD)

    while len(network.statuses("refresh")) < 2:
        assert tab.evaluate("me()") == "alice"

    assert set(network.statuses("refresh")) == {200}


def test_tabs_refresh_once(tab, new_tab, no_grace):
    tabs = [tab, *(new_tab() for _ in range(3))]
    for generation in range(2, 12):
        tab.evaluate("makeDue()")
        for each in tabs:
            start(each, "me()")

        assert [each.evaluate("result") for each in tabs] == ["alice"] * 4
        assert (device().generation, device().state) == (generation, "live")


def test_step_up_in_one_tab_signs_no_other_out(tab, new_tab, no_grace):
    """The former tokens end at once, whichever tab is about to send them."""
    others = [new_tab() for _ in range(3)]
    for other in others:
        start(other, "(async () => { for (let i = 0; i < 40; i += 1) await me(); })()")

    for _ in range(5):
        tab.evaluate("password => client.reauthenticate(password)", PASSWORD)

    for other in others:
        other.evaluate("result")
    assert tab.evaluate("me()") == "alice"
    assert device().state == "live"


def test_hundred_refreshes_survive_a_network_that_loses_one_answer_in_five(tab, network, no_grace):
    dice = random.Random(5)
    fates = [Fate.LOST_AFTER] * 4 + [Fate.LOST_BEFORE] + [Fate.ANSWERED] * 15
    network.fate = lambda path: dice.choice(fates)

    tokens = tab.evaluate("""async () => {
      const tokens = new Set([(await load()).refresh_token]);
      for (let i = 0; i < 100; i += 1) {
        await makeDue();
        await me().catch(() => {}); // A lost `me` is lost, a lost refresh is not felt here.
        tokens.add((await load()).refresh_token);
      }
      return tokens.size;
    }""")

    assert tokens == 101
    assert (device().generation, device().state) == (101, "live")
    assert set(network.statuses("refresh")) == {200}
    assert len(network.statuses("refresh")) > 110


def test_tab_closed_while_it_refreshes_leaves_the_next_one_signed_in(tab, new_tab, network, age):
    network.fate = lambda path: Fate.HELD_AFTER
    tab.evaluate("makeDue()")
    start(tab, "me()")
    assert network.holds.wait(30)
    tab.close()
    assert device().generation == 2
    age(device(), days=2)

    network.fate = lambda path: Fate.ANSWERED

    assert new_tab().evaluate("me()") == "alice"
    assert network.statuses("refresh") == [200, 200]
    assert (device().generation, device().state) == (2, "live")


def test_gateway_error_is_no_refusal(tab, network):
    fates = iter([Fate.UNAVAILABLE])
    network.fate = lambda path: next(fates, Fate.ANSWERED)
    tab.evaluate("makeDue()")

    assert tab.evaluate("me()") == "alice"


@pytest.mark.parametrize("body", [b'{"message": "Unauthorized"}', b"<h1>401</h1>", b"null"])
def test_gateway_that_answers_401_keeps_the_pair(tab, network, body):
    network.unauthorized = body
    network.fate = lambda path: Fate.UNAUTHORIZED
    assert tab.evaluate("me().catch(error => error.status)") == 401
    assert tab.evaluate("client.logOut().catch(error => error.status)") == 401
    tab.evaluate("makeDue()")
    fates = iter([Fate.UNAUTHORIZED])
    network.fate = lambda path: next(fates, Fate.ANSWERED)

    assert tab.evaluate("me()") == "alice"
    assert device().generation == 2


def test_step_up_lets_a_refused_request_pass(tab, age):
    age(device(), hours=1)
    others = "client.request('POST', 'logout/others').then(answer => answer.json())"
    assert tab.evaluate(others)["code"] == "reauthentication_required"

    tab.evaluate("password => client.reauthenticate(password)", PASSWORD)

    assert tab.evaluate(others) == {"revoked": 0}


def test_step_up_with_an_expired_access_token(tab, settings):
    settings.ACCESS_TOKEN_LIFETIME = timedelta(0)
    tab.evaluate("password => client.logIn('alice', password)", PASSWORD)
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=5)

    tab.evaluate("password => client.reauthenticate(password)", PASSWORD)

    assert tab.evaluate("me()") == "alice"


def test_password_change_keeps_this_device(tab):
    tab.evaluate("password => client.changePassword(password, 'another, better horse')", PASSWORD)

    assert tab.evaluate("me()") == "alice"


def test_wrong_password_at_step_up_signs_nobody_out(tab):
    refused = "client.reauthenticate('not her password').catch(error => error.status)"
    assert tab.evaluate(refused) == 400
    assert tab.evaluate("me()") == "alice"


@pytest.mark.parametrize("prepare", ["null", "makeDue()"])
def test_revoked_device_is_told_the_reason_and_the_note(tab, alice, prepare):
    tab.evaluate(prepare)
    revoke(alice, "Call 555.")

    ended = tab.evaluate("me().catch(({ code, reason, note }) => ({ code, reason, note }))")

    assert ended == {"code": "device_revoked", "reason": "staff", "note": "Call 555."}
    assert tab.evaluate("load()") is None


# The page


@pytest.fixture
def her_page(open_tab, alice):
    """The page, with alice signed in by its form."""
    page = open_tab()
    sign_in(page, PASSWORD)
    expect(page.get_by_text("Signed in as alice")).to_be_visible()
    return page


def sign_in(page, password):
    page.get_by_role("textbox", name="Username").fill("alice")
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_page_lists_the_devices_and_signs_out(her_page):
    expect(her_page.get_by_role("listitem")).to_have_text(["HeadlessChrome on Linux This device"])

    her_page.get_by_role("button", name="Sign out").click()

    expect(her_page.get_by_role("button", name="Sign in")).to_be_visible()
    assert device().revoked_reason == "logout"


def test_page_says_why_a_login_was_refused(open_tab, alice):
    page = open_tab()
    sign_in(page, "not her password")

    expect(page.get_by_role("alert")).not_to_be_empty()


def test_page_asks_for_the_password_to_sign_another_device_out(her_page, api, alice, age):
    phone = api(alice)
    for each in IssuedToken.objects.all():
        age(each, hours=1)
    her_page.reload()
    her_page.get_by_role("listitem").get_by_role("button", name="Sign out").click()
    her_page.get_by_role("textbox", name="Password").fill(PASSWORD)
    her_page.get_by_role("button", name="Go on").click()

    expect(her_page.get_by_role("listitem")).to_have_count(1)
    assert phone.device.revoked_reason == "user"


def test_page_shows_the_note_of_a_revocation(her_page, alice):
    revoke(alice, "Call 555.")
    her_page.reload()

    expect(her_page.get_by_role("alert")).to_have_text("You were signed out (staff). Call 555.")
    expect(her_page.get_by_role("button", name="Sign in")).to_be_visible()
