from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts import converters  # noqa: F401
from tokens import api

urlpatterns = [
    path("", api.IndexView.as_view(), name="index"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs",
        # It has a page and no metadata: without this, OPTIONS looks for a template of them.
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", metadata_class=None),
        name="docs",
    ),
    path("login", api.LoginView.as_view(), name="login"),
    path("refresh", api.RefreshView.as_view(), name="refresh"),
    path("reauthenticate", api.ReauthenticateView.as_view(), name="reauthenticate"),
    path("logout", api.LogoutView.as_view(), name="logout"),
    path("logout/others", api.LogoutOthersView.as_view(), name="logout-others"),
    path("logout/all", api.LogoutAllView.as_view(), name="logout-all"),
    path("me", api.MeView.as_view(), name="me"),
    path("password", api.PasswordView.as_view(), name="password"),
    path("devices", api.DeviceListView.as_view(), name="devices"),
    path("devices/<str:id>", api.DeviceView.as_view(), name="device"),
    path("users/devices/revoke", api.IncidentView.as_view(), name="incident"),
    path(
        "users/<username:username>/devices",
        api.UserDeviceListView.as_view(),
        name="user-devices",
    ),
    path(
        "users/<username:username>/devices/revoke",
        api.UserDevicesRevokeView.as_view(),
        name="user-devices-revoke",
    ),
    path(
        "users/<username:username>/devices/<str:id>/revoke",
        api.UserDeviceRevokeView.as_view(),
        name="user-device-revoke",
    ),
]
