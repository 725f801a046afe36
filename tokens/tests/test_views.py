"""Every page: its headers, its forms, and hostile words on it."""

import pytest

from tokens import notices
from tokens.tests.pages import Page, other_device, reset_link

XSS = "<script>alert(1)</script><a href=//evil.example>x</a>\"'><img src=x onerror=alert(1)>"
WRITES = [
    "/logout",
    "/devices/{id}/rename/",
    "/devices/{id}/sign-out/",
    "/devices/sign-out-others/",
    "/devices/sign-out/?id={id}",
    "/account/",
    "/account/data",
    "/account/names",
    "/account/passkeys/add",
    "/account/passkeys/options",
    "/account/passkeys/step-up",
    "/account/passkeys/{passkey}/rename",
    "/account/passkeys/{passkey}/remove",
    "/account/delete",
    "/password/change",
    "/password/reset",
    "/login/options",
    "/signup",
]


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("url", WRITES)
def test_writes_need_a_csrf_token(laptop, alice, url):
    laptop.handler.enforce_csrf_checks = True
    device = alice.devices.get()
    passkey = alice.passkeys.create(credential=b"x", public_key=b"", name="Phone")
    address = url.format(id=device.pk, passkey=passkey.pk)
    page = Page(laptop.post(address, {"name": "x"}), status=403)
    assert "That form is too old" in page.text
    device.refresh_from_db()
    assert (device.name, device.revoked_at) == ("", None)
    assert alice.passkeys.get().name == "Phone"


def every_page(user, browser, api):
    """The pages that are there for this user, who may use the admin."""
    device = user.devices.filter(kind="api").first()
    passkey, _ = user.passkeys.get_or_create(credential=b"x", public_key=b"", name=XSS[:64])
    not_me = notices.signing.dumps(str(device.pk), salt=notices.NOT_ME_SALT)
    admin = "/admin/tokens/issuedtoken/"
    return [
        "/devices/",
        f"/devices/{device.pk}/sign-out/",
        "/devices/sign-out-others/",
        f"/devices/sign-out/?id={device.pk}",
        f"/not-me/{not_me}",
        "/not-me/nonsense",
        "/account/",
        "/account/activity/",
        "/account/names",
        "/account/data",
        "/account/passkeys/",
        "/account/passkeys/add",
        f"/account/passkeys/{passkey.pk}/remove",
        "/account/delete",
        "/password/change",
        "/password/reset",
        "/password/reset/done",
        "/password/reset/x/x-x",
        "/login",
        "/signup",
        "/email/nonsense",
        "/nothing-here",
        "/admin/",
        admin,
        f"{admin}{device.pk}/change/",
        f"{admin}{device.pk}/history/",
        f"{admin}{device.pk}/revoke/",
        f"/admin/accounts/user/{user.pk}/change/",
        f"/admin/accounts/user/{user.pk}/revoke/",
        "/api/v1/",
        "/api/v1/devices?state=all",
        f"/api/v1/devices/{device.pk}",
        "/api/v1/me",
        "/api/v1/me/passkeys",
        f"/api/v1/me/passkeys/{passkey.pk}",
        f"/api/v1/users/{user.username}/devices?state=all",
        "/api/v1/docs",
    ]


@pytest.mark.asvs("3.4.3")
def test_every_page_forbids_inline_script_and_has_none(browser, api, root):
    laptop, _ = browser(root), api(root)
    for url in every_page(root, browser, api):
        answer = laptop.get(url, headers={"accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self';" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (
            answer.headers["Cache-Control"] == "no-store"
            or "no-cache" in answer.headers["Cache-Control"]
        )
        assert answer.headers["Referrer-Policy"] == "same-origin"
        page = Page(answer, answer.status_code)
        assert len(page.elements) > 5, url
        for script in page.all("script"):
            assert "src" in script or script.get("type") == "application/json", url
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")], url
            assert not (attributes.get("href") or "").lower().startswith("javascript:"), url


@pytest.mark.asvs("7.4.4")
def test_every_page_of_the_signed_in_offers_to_sign_out(browser, api, root):
    laptop, _ = browser(root), api(root)
    for url in every_page(root, browser, api):
        if url == "/api/v1/docs":  # Swagger's page, which is for whoever asks
            continue
        page = Page(laptop.get(url, headers={"accept": "text/html"}), status=_status(url))
        forms = [form.get("action") for form in page.all("form") if form.get("method") == "post"]
        assert {"/logout", "/admin/logout/"} & set(forms), url


@pytest.mark.asvs("6.2.6", "6.2.7")
def test_passwords_are_hidden_and_left_to_password_managers(browser, client, verified, mails_of):
    laptop = browser(verified)
    link = reset_link(mails_of(lambda: client.post("/password/reset", {"email": verified.email})))
    pages = {
        "/login": ["current-password"],
        "/admin/login/": ["current-password"],
        "/signup": ["new-password"] * 2,
        "/password/change": ["current-password"] + ["new-password"] * 2,
        "/account/delete": ["current-password"],
        link: ["new-password"] * 2,
    }
    for url, expected in pages.items():
        fields = Page(laptop.get(url, follow=True)).all("input")
        passwords = [field for field in fields if "password" in field.get("name", "")]
        assert {field["type"] for field in passwords} == {"password"}, url
        assert [field["autocomplete"] for field in passwords] == expected, url


def test_hostile_words_are_only_words(browser, api, root):
    laptop = browser(root, headers={"user-agent": XSS})
    phone = other_device(root, api)
    hostile = {"name": XSS[:64], "browser": XSS[:64], "os": XSS[:64], "location": XSS}
    root.devices.update(user_agent=XSS, **hostile)
    ended = api(root)
    root.devices.filter(pk=ended.device.pk).update(user_agent=XSS, **hostile)
    root.devices.filter(pk=ended.device.pk).revoke(reason="staff", by=root, note=XSS)

    for url in every_page(root, browser, api):
        page = Page(laptop.get(url, headers={"accept": "text/html"}), status=_status(url))
        assert not [tag for tag in page.all("img") if tag.get("src") == "x"], url
        assert not [tag for tag in page.all("script") if not tag], url
        assert not [link for link in page.all("a") if "evil" in (link.get("href") or "")], url
    shown = Page(laptop.get("/devices/")).text
    assert XSS in shown
    renamed = laptop.post(f"/devices/{phone.device.pk}/rename/", {"name": XSS[:64]}, follow=True)
    assert not [tag for tag in Page(renamed).all("script") if not tag]
    root.devices.filter(kind="browser").revoke(reason="staff", note=XSS)
    told = Page(laptop.get("/devices/", follow=True))
    assert f"They say: “{XSS}”" in told.text
    assert not [tag for tag in told.all("script") if not tag]


def _status(url):
    if "nonsense" in url:
        return 400
    return 404 if url == "/nothing-here" else 200
