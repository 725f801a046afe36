"""Who has passkeys: somebody with a finger on the sensor, by Chromium's virtual authenticator."""

import re

from playwright.sync_api import expect

from tests.browser.hands import Mouse


class Finger:
    """The sensor of the computer that this tab runs on, and whose finger is on it."""

    def __init__(self, tab, **options):
        self.cdp = tab.context.new_cdp_session(tab)
        self.cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        self.id = self.send("addVirtualAuthenticator", options=options)["authenticatorId"]

    def send(self, command, **parameters):
        return self.cdp.send(f"WebAuthn.{command}", parameters)

    def verify(self, is_verified):
        self.send("setUserVerified", authenticatorId=self.id, isUserVerified=is_verified)

    def touch(self, *, by_itself):
        """Whether the finger touches. What was asked before stays without an answer."""
        self.send("setAutomaticPresenceSimulation", authenticatorId=self.id, enabled=by_itself)

    def lie(self, what):
        self.send("setResponseOverrideBits", authenticatorId=self.id, **{what: True})

    def credentials(self):
        return self.send("getCredentials", authenticatorId=self.id)["credentials"]

    def hold(self, credential):
        self.send("addCredential", authenticatorId=self.id, credential=credential)

    def forget(self):
        self.send("clearCredentials", authenticatorId=self.id)

    def leave(self):
        self.send("removeVirtualAuthenticator", authenticatorId=self.id)


def add_passkey(tab, person=None, name="My laptop"):
    """Add a passkey, from the account page on, and wait for it."""
    ask_for_passkey(tab, person or Mouse(tab), name)
    expect(tab.get_by_role("status")).to_contain_text("The passkey was added.")


def ask_for_passkey(tab, person, name="My laptop"):
    tab.goto("/account/")
    person.press(tab.get_by_role("link", name="See and add passkeys"))
    person.press(tab.get_by_role("link", name="Add a passkey"))
    person.write(tab.get_by_label("Name"), name)
    person.press(add_button(tab))


def add_button(tab):
    return tab.get_by_role("button", name="Add a passkey")


def use_button(tab):
    return tab.get_by_role("button", name="Use a passkey")


def hurry(tab):
    """What a person does not do takes a second, where the site gives them five minutes.

    Chromium tells a page the same of whoever presses "Cancel" in its dialog (WebAuthn, section
    14.5.1), and a browser without a screen has no dialog.
    """

    def answer(route):
        given = route.fetch()
        route.fulfill(response=given, json={**given.json(), "timeout": 1000})

    tab.route(re.compile("/(options|step-up)$"), answer)
