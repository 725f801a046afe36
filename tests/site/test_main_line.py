"""The main line: sign in, use, see the device, revoke it, refused."""


def test_sign_in_use_see_revoke_refused(api, alice):
    phone = api(alice)
    assert phone.get("me").json()["username"] == "alice"

    listed = phone.get("devices").json()["results"]
    assert [device["is_current"] for device in listed] == [True]

    laptop = api(alice)
    assert laptop.delete(f"devices/{listed[0]['id']}").status_code == 204

    refused = phone.get("me")
    assert refused.status_code == 401
    assert refused.json()["code"] == "device_revoked"
