from django.urls import path

from accounts import api, converters  # noqa: F401

urlpatterns = [
    path("signup", api.SignupView.as_view(), name="signup"),
    path("roles", api.RoleListView.as_view(), name="roles"),
    path("roles/<slug:name>", api.RoleView.as_view(), name="role"),
    path("users", api.UserListView.as_view(), name="users"),
    path("users/<username:username>", api.UserView.as_view(), name="user"),
    path(
        "users/<username:username>/roles/<slug:name>",
        api.UserRoleView.as_view(),
        name="user-role",
    ),
]
