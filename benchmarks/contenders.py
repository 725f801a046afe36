"""Guestlist and its peers: how each is configured, logged in to, refreshed and revoked.

Each has the configuration that it documents as its default, except for HS256 and for lifetimes
longer than the run. Packages are imported late, after Django is set up with them.

A peer takes part twice: on Guestlist's settings, and, its name ending in STOCK, on the settings of
a new project.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

DAY = timedelta(days=1)
PASSWORD = "four quiet herons at dawn"
STOCK = " on stock settings"


@dataclass(frozen=True)
class Pair:
    access: str
    refresh: str = ""


@dataclass(frozen=True)
class Post:
    """A POST of `data`, as JSON or as a form."""

    path: str
    data: dict[str, str]
    headers: dict[str, str]
    as_form: bool = False
    method: str = "POST"
    address: str = "127.0.0.1"  # of the client


class Contender:
    """A way to authenticate requests.

    `device_list` says what a list of a person's devices could show. `rows` are the statements that
    fill its tables: `{hex}` is 64 random digits, `{now}` and `{later}` are times, `people` are the
    users, and `numbers` has a row for each row that a user is to have."""

    name: str
    title: str
    authentication: str
    apps: list[str] = []
    middleware: list[str] = []
    settings: dict[str, Any] = {}
    scheme = "Bearer"
    device_list = "none"
    profile = "/profile"  # of the person who is signed in
    refreshes = False
    rows: list[str] = []

    def urls(self) -> list[Any]:
        return []

    def prepare(self) -> None:
        """Write what the rows need."""

    def login(self, username: str) -> Post:
        return Post("/login", {"username": username, "password": PASSWORD}, {})

    def refresh(self, pair: Pair) -> Post:
        return Post("/refresh", {"refresh": pair.refresh}, {})

    def pair(self, answer: dict[str, Any]) -> Pair:
        """The pair in the answer to a login or a refresh."""
        return Pair(answer["token"])

    def headers(self, pair: Pair) -> dict[str, str]:
        return {"Authorization": f"{self.scheme} {pair.access}"}

    def end(self, pair: Pair, send: Callable[[Post], Any]) -> None:
        """Log out, in the way that the package documents."""
        send(Post("/logout", {}, self.headers(pair)))


class Guestlist(Contender):
    name = "guestlist"
    title = "Guestlist"
    authentication = "tokens.authentication.IssuedTokenAuthentication"
    device_list = "client, place, times"
    profile = "/api/v1/me"
    refreshes = True

    def login(self, username):
        return Post("/api/v1/login", {"username": username, "password": PASSWORD}, {})

    def refresh(self, pair):
        return Post("/api/v1/refresh", {"refresh_token": pair.refresh}, {})

    def pair(self, answer):
        return Pair(answer["access_token"], answer["refresh_token"])

    def end(self, pair, send):
        send(Post("/api/v1/logout", {}, self.headers(pair)))


class SimpleJWT(Contender):
    name = "simple_jwt"
    title = "Simple JWT"
    authentication = "rest_framework_simplejwt.authentication.JWTAuthentication"
    settings = {
        "SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": DAY, "REFRESH_TOKEN_LIFETIME": 14 * DAY},
    }
    refreshes = True

    def urls(self):
        from django.urls import path
        from rest_framework_simplejwt import views

        return [
            path("login", views.TokenObtainPairView.as_view()),
            path("refresh", views.TokenRefreshView.as_view()),
            path("logout", views.TokenBlacklistView.as_view()),
        ]

    def pair(self, answer):
        return Pair(answer["access"], answer.get("refresh", ""))

    def end(self, pair, send):
        """Does nothing: without its blacklist app a token cannot be ended."""


class StatelessSimpleJWT(SimpleJWT):
    name = "stateless"
    title = "Simple JWT, stateless"
    authentication = "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"


class BlacklistSimpleJWT(SimpleJWT):
    """With rotation and the blacklist app, in which access tokens are looked up too."""

    name = "blacklist"
    title = "Simple JWT, blacklist"
    apps = ["rest_framework_simplejwt.token_blacklist"]
    settings = {
        "SIMPLE_JWT": {
            **SimpleJWT.settings["SIMPLE_JWT"],
            "ROTATE_REFRESH_TOKENS": True,
            "BLACKLIST_AFTER_ROTATION": True,
            "AUTH_TOKEN_CLASSES": ["benchmarks.simple_jwt_blacklist.CheckedAccessToken"],
        }
    }
    device_list = "times"
    rows = [
        "INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at)"
        " {numbers} SELECT people.id, {hex}, {hex} || {hex} || {hex} || {hex}, {now}, {later}"
        " FROM people CROSS JOIN numbers",
        "INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at)"
        " SELECT id, {now} FROM token_blacklist_outstandingtoken WHERE id % 2 = 0",
    ]

    def end(self, pair, send):
        from benchmarks.simple_jwt_blacklist import CheckedAccessToken

        send(Post("/logout", {"refresh": pair.refresh}, {}))
        CheckedAccessToken(pair.access).blacklist()


class Knox(Contender):
    name = "knox"
    title = "django-rest-knox"
    authentication = "knox.auth.TokenAuthentication"
    apps = ["knox"]
    settings = {"REST_KNOX": {"TOKEN_TTL": 14 * DAY}}
    scheme = "Token"
    device_list = "times"
    rows = [
        "INSERT INTO knox_authtoken (digest, token_key, user_id, created, expiry)"
        " {numbers} SELECT {hex} || {hex}, substr({hex}, 1, 15), people.id, {now}, {later}"
        " FROM people CROSS JOIN numbers",
    ]

    def urls(self):
        from django.urls import path
        from knox import views
        from rest_framework.authentication import BasicAuthentication

        basic = [BasicAuthentication]
        return [
            path("login", views.LoginView.as_view(authentication_classes=basic)),
            path("logout", views.LogoutView.as_view()),
        ]

    def login(self, username):
        from base64 import b64encode

        basic = b64encode(f"{username}:{PASSWORD}".encode()).decode()
        return Post("/login", {}, {"Authorization": f"Basic {basic}"})


class DRFToken(Contender):
    """One token a user, so its table has one row a user."""

    name = "drf_token"
    title = "DRF TokenAuthentication"
    authentication = "rest_framework.authentication.TokenAuthentication"
    apps = ["rest_framework.authtoken"]
    scheme = "Token"
    device_list = "one token for all devices"
    rows = [
        "INSERT INTO authtoken_token (key, user_id, created)"
        " {numbers} SELECT substr({hex}, 1, 40), people.id, {now} FROM people",
    ]

    def urls(self):
        from django.urls import path
        from rest_framework.authtoken.views import obtain_auth_token

        return [path("login", obtain_auth_token)]

    def end(self, pair, send):
        from rest_framework.authtoken.models import Token

        Token.objects.get(key=pair.access).delete()


class Durin(Contender):
    name = "durin"
    title = "django-rest-durin"
    authentication = "durin.auth.TokenAuthentication"
    apps = ["durin"]
    settings = {"REST_DURIN": {"DEFAULT_TOKEN_TTL": 14 * DAY}}
    scheme = "Token"
    device_list = "client, times; one a client"
    rows = [
        "INSERT INTO durin_authtoken (token, user_id, client_id, created, expiry)"
        " {numbers} SELECT {hex}, people.id, durin_client.id, {now}, {later} FROM people"
        " CROSS JOIN numbers JOIN durin_client ON durin_client.name = CAST(numbers.n AS TEXT)",
    ]

    def prepare(self):
        from durin.models import Client

        Client.objects.bulk_create(Client(name=str(n)) for n in range(100))

    def urls(self):
        from django.urls import path
        from durin import views

        return [
            path("login", views.LoginView.as_view()),
            path("logout", views.LogoutView.as_view()),
        ]

    def login(self, username):
        data = {"username": username, "password": PASSWORD, "client": "0"}
        return Post("/login", data, {})


class OAuthToolkit(Contender):
    """Logged in to by the password grant, which asks for a name and a password as the others do."""

    name = "oauth_toolkit"
    title = "django-oauth-toolkit"
    authentication = "oauth2_provider.contrib.rest_framework.OAuth2Authentication"
    apps = ["oauth2_provider"]
    settings = {
        "OAUTH2_PROVIDER": {
            "ACCESS_TOKEN_EXPIRE_SECONDS": 86400,
            "REFRESH_TOKEN_EXPIRE_SECONDS": 14 * 86400,
        }
    }
    device_list = "application, times"
    refreshes = True
    rows = [
        "INSERT INTO oauth2_provider_accesstoken"
        " (user_id, token, token_checksum, application_id, expires, scope, resource, created,"
        " updated) {numbers} SELECT people.id, substr({hex}, 1, 30), {hex}, application.id,"
        " {later}, 'read write', '[]', {now}, {now} FROM people CROSS JOIN numbers"
        " CROSS JOIN oauth2_provider_application AS application",
        "INSERT INTO oauth2_provider_refreshtoken"
        " (user_id, token, token_checksum, application_id, access_token_id, resource, created,"
        " updated) {numbers} SELECT user_id, substr({hex}, 1, 30), {hex}, application_id, id,"
        " '[]', {now}, {now} FROM oauth2_provider_accesstoken",
    ]

    def prepare(self):
        from oauth2_provider.models import Application

        Application.objects.create(
            client_id="bench",
            client_type=Application.CLIENT_PUBLIC,
            authorization_grant_type=Application.GRANT_PASSWORD,
        )

    def urls(self):
        from django.urls import include, path

        return [path("o/", include("oauth2_provider.urls"))]

    def login(self, username):
        return self._grant("password", username=username, password=PASSWORD)

    def refresh(self, pair):
        return self._grant("refresh_token", refresh_token=pair.refresh)

    def pair(self, answer):
        return Pair(answer["access_token"], answer["refresh_token"])

    def end(self, pair, send):
        data = {"token": pair.access, "client_id": "bench"}
        send(Post("/o/revoke_token/", data, {}, as_form=True))

    def _grant(self, grant: str, **data: str) -> Post:
        data |= {"grant_type": grant, "client_id": "bench"}
        return Post("/o/token/", data, {}, as_form=True)


class Allauth(Contender):
    """Headless, with JWTs that each request looks up in Django's sessions."""

    name = "allauth"
    title = "allauth headless"
    authentication = "allauth.headless.contrib.rest_framework.authentication.JWTTokenAuthentication"
    apps = ["allauth", "allauth.account", "allauth.headless"]
    middleware = ["allauth.account.middleware.AccountMiddleware"]
    settings = {
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_RATE_LIMITS": False,
        "HEADLESS_ONLY": True,
        "HEADLESS_TOKEN_STRATEGY": "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy",
        "HEADLESS_JWT_ALGORITHM": "HS256",
        "HEADLESS_JWT_STATEFUL_VALIDATION_ENABLED": True,
        "HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN": 86400,
        "HEADLESS_JWT_REFRESH_TOKEN_EXPIRES_IN": 14 * 86400,
    }
    device_list = "none without usersessions"
    refreshes = True
    rows = [
        "INSERT INTO django_session (session_key, session_data, expire_date) {numbers}"
        " SELECT substr({hex}, 1, 40), {hex} || {hex} || {hex} || {hex} || {hex}, {later}"
        " FROM people CROSS JOIN numbers",
    ]

    def urls(self):
        from django.urls import include, path

        return [path("_allauth/", include("allauth.headless.urls"))]

    def login(self, username):
        data = {"username": username, "password": PASSWORD}
        return Post("/_allauth/app/v1/auth/login", data, {})

    def refresh(self, pair):
        data = {"refresh_token": pair.refresh}
        return Post("/_allauth/app/v1/tokens/refresh", data, {})

    def pair(self, answer):
        found = answer["meta"] if "meta" in answer else answer["data"]
        if "access_token" not in found:
            found = answer["data"]
        return Pair(found["access_token"], found["refresh_token"])

    def end(self, pair, send):
        path = "/_allauth/app/v1/auth/session"
        send(Post(path, {}, self.headers(pair), method="DELETE"))


# In the order of the tables.
CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        SimpleJWT(),
        StatelessSimpleJWT(),
        BlacklistSimpleJWT(),
        Knox(),
        DRFToken(),
        Durin(),
        OAuthToolkit(),
        Allauth(),
        Guestlist(),
    )
}
