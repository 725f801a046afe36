from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from accounts.urls import urlpatterns as of_people
from accounts.views import SignupView, VerifyEmailView
from config import errors
from config.api import IndexView, SchemaView
from tokens.api.urls import urlpatterns as of_devices
from tokens.views import sign_in

# Each `include()` is a step more for every request, so the API has one.
api: tuple[list[URLPattern | URLResolver], str] = (
    [
        *of_devices,
        *of_people,
        path("", IndexView.as_view(), name="index"),
        path("schema", SchemaView.as_view(), name="schema"),
        path(
            "docs",
            # Without this, OPTIONS would answer with metadata, for which the page has no template.
            SpectacularSwaggerSplitView.as_view(url_name="api:schema", metadata_class=None),
            name="docs",
        ),
    ],
    "api",
)
login = sign_in.LoginView.as_view()
logout = LogoutView.as_view()
# The browsable API looks for the same two pages in the namespace `rest_framework`.
browsable_api = ([path("login", login, name="login"), path("logout", logout, name="logout")],)

urlpatterns = [
    # Django tries the patterns in turn. Programs ask far more often than people open pages.
    path("api/v1/", include(api)),
    path("", RedirectView.as_view(pattern_name="devices"), name="home"),
    path("favicon.ico", RedirectView.as_view(url="/static/guestlist.svg")),
    path(
        ".well-known/change-password",  # where password managers look (W3C)
        RedirectView.as_view(pattern_name="password_change"),
    ),
    path("login", login, name="login"),
    path("login/options", sign_in.LoginOptionsView.as_view(), name="login_options"),
    path("logout", logout, name="logout"),
    path("", include((*browsable_api, "rest_framework"))),
    path("signup", SignupView.as_view(), name="signup"),
    path("email/<str:token>", VerifyEmailView.as_view(), name="verify_email"),
    path("", include("tokens.views.urls")),
    path("admin/login/", sign_in.LoginView.as_view(next_page="admin:index")),
    path("admin/logout/", logout),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password_change")),
    path("admin/", admin.site.urls),
    path("api/v1", RedirectView.as_view(pattern_name="api:index")),
    re_path(r"^api(?:/.*)?$", errors.unknown_endpoint),
]

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
