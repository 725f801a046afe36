from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from accounts.views import VerifyEmailView
from tokens.views import PasswordChangeView, unknown_endpoint

api = (
    [path("", include("tokens.urls")), path("", include("accounts.urls"))],
    "api",
)
login = auth_views.LoginView.as_view()
logout = auth_views.LogoutView.as_view()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api:index"), name="home"),
    path("login", login, name="login"),
    path("logout", logout, name="logout"),
    # The names under which the browsable API looks for the same pages.
    path(
        "",
        include(
            (
                [path("login", login, name="login"), path("logout", logout, name="logout")],
                "rest_framework",
            )
        ),
    ),
    path("email/<str:token>", VerifyEmailView.as_view(), name="verify_email"),
    path("admin/password_change/", PasswordChangeView.as_view()),
    path("admin/", admin.site.urls),
    path("api/v1", RedirectView.as_view(pattern_name="api:index")),
    path("api/v1/", include(api)),
    re_path(r"^api(?:/.*)?$", unknown_endpoint),
]

handler400 = "tokens.views.bad_request"
handler404 = "tokens.views.not_found"
handler500 = "tokens.views.server_error"
