"""Support at work in the admin: what the tests of it do in a browser."""

from playwright.sync_api import expect

DESK = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
STOLEN = "Reported stolen."


def button(tab, name):
    return tab.get_by_role("button", name=name, exact=True)


def assert_ended(client, note, reason="staff"):
    answer = client.get("me")
    assert answer.status_code == 401
    body = answer.json()
    assert (body["code"], body["reason"], body["note"]) == ("device_revoked", reason, note)


def counting(hands):
    """The same hands, which count what they press and what they write."""

    class Counting(hands):
        presses = fields = 0

        def press(self, target):
            self.presses += 1
            super().press(target)

        def choose(self, target):
            self.presses += 1
            super().choose(target)

        def write(self, target, text):
            self.fields += 1
            super().write(target, text)

    return Counting


def open_person(tab, its, begins="ann.m"):
    """Find the person: nothing is pressed before, because the cursor is in the field."""
    expect(tab.get_by_label("Find a person")).to_be_focused()
    its.fields += 1
    tab.keyboard.type(begins)
    its.press(button(tab, "Find"))
    expect(tab.get_by_role("heading", level=2, name="alice")).to_be_visible()


def ask(tab, its, device="Safari on iPhone"):
    its.press(tab.get_by_role("link", name=f"Revoke {device} of alice"))
    shown = tab.get_by_role("table", name="What would end").get_by_role("row").nth(1)
    for fact in ("alice", "ann.miller@example.org", device, "127.0.0.1", "just now"):
        expect(shown).to_contain_text(fact)


def end_stolen_phone(tab, its):
    open_person(tab, its)
    ask(tab, its)
    its.choose(tab.get_by_label(STOLEN))
    its.press(button(tab, "Revoke"))
