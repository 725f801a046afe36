from django.urls import path

from accounts import converters  # noqa: F401
from tokens.api import devices, incidents, me, passkeys, sign_in, staff

urlpatterns = [
    # Django tries them in turn, so those that clients ask for most often come first.
    path("me", me.MeView.as_view(), name="me"),
    path("devices", devices.DeviceListView.as_view(), name="devices"),
    path("devices/<str:id>", devices.DeviceView.as_view(), name="device"),
    path("refresh", sign_in.RefreshView.as_view(), name="refresh"),
    path("login", sign_in.LoginView.as_view(), name="login"),
    path("login/options", sign_in.LoginOptionsView.as_view(), name="login-options"),
    path("reauthenticate", sign_in.ReauthenticateView.as_view(), name="reauthenticate"),
    path(
        "reauthenticate/options",
        sign_in.ReauthenticateOptionsView.as_view(),
        name="reauthenticate-options",
    ),
    path("logout", sign_in.LogoutView.as_view(), name="logout"),
    path("logout/others", sign_in.LogoutOthersView.as_view(), name="logout-others"),
    path("logout/all", sign_in.LogoutAllView.as_view(), name="logout-all"),
    path("me/passkeys", passkeys.PasskeyListView.as_view(), name="passkeys"),
    path("me/passkeys/options", passkeys.PasskeyOptionsView.as_view(), name="passkey-options"),
    path("me/passkeys/<str:id>", passkeys.PasskeyView.as_view(), name="passkey"),
    path("password", me.PasswordView.as_view(), name="password"),
    path("users/devices/revoke", incidents.IncidentView.as_view(), name="incident"),
    path(
        "users/<username:username>/devices",
        staff.UserDeviceListView.as_view(),
        name="user-devices",
    ),
    path(
        "users/<username:username>/devices/revoke",
        staff.UserDevicesRevokeView.as_view(),
        name="user-devices-revoke",
    ),
    path(
        "users/<username:username>/devices/<str:id>/revoke",
        staff.UserDeviceRevokeView.as_view(),
        name="user-device-revoke",
    ),
]
