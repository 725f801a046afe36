"""How the API finds the device of a request: by its access token, or by its session cookie."""

import re

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import status
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException

from accounts.exceptions import CHALLENGE, Unauthorized
from tokens import flows, signing
from tokens.browser import get_device
from tokens.client import Client
from tokens.flows.log import log_fields
from tokens.stories import REFUSALS

# The header means a bearer token, whether it is well formed or not.
SCHEME = re.compile(r"bearer(?![^\W_])", re.IGNORECASE)
# RFC 6750, section 2.1. Servers join a repeated header with a comma, which never matches.
BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


class InvalidRequest(APIException):
    """The `Authorization` header cannot be read (RFC 6750, section 3.1)."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_request"
    default_detail = "The Authorization header is malformed, repeated or too long."
    auth_header = f'{CHALLENGE}, error="invalid_request"'


class TokenRefused(Unauthorized):
    """A credential that can be read but is not accepted (RFC 6750, section 3.1)."""

    auth_header = f'{CHALLENGE}, error="invalid_token"'

    def __init__(self, refusal: flows.Refused) -> None:
        super().__init__(REFUSALS[refusal.code], refusal.code)
        if refusal.code == "device_revoked":
            self.extra = {"reason": refusal.reason, "note": refusal.note}


class IssuedTokenAuthentication(BaseAuthentication):
    """Accepts `Authorization: Bearer <access token>` while its device is live.

    `request.user` is the person, and `request.auth` the device. A refused token is an error, even
    if a good session cookie comes with it.
    """

    def authenticate(self, request):
        request = request._request
        header = request.META.get("HTTP_AUTHORIZATION", "")
        match = BEARER.fullmatch(header)
        if match is None and not SCHEME.match(header):
            return None
        if match is None or len(match[1]) > signing.MAX_LENGTH:
            raise InvalidRequest
        try:
            device = flows.authenticate(match[1], Client.from_request(request))
        except flows.Refused as refusal:
            raise TokenRefused(refusal) from None
        request.device = device
        request.logged_as = log_fields(device)
        return device.user, device

    def authenticate_header(self, request):
        return CHALLENGE


class BrowserDeviceAuthentication(SessionAuthentication):
    """Accepts the session cookie of a live browser device. Writes need a CSRF token as well."""

    def authenticate(self, request):
        device = get_device(request._request)
        if device is None:
            return None
        self.enforce_csrf(request)
        return device.user, device


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "tokens.authentication.IssuedTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class BrowserScheme(OpenApiAuthenticationExtension):
    target_class = "tokens.authentication.BrowserDeviceAuthentication"
    name = "browserCookie"

    def get_security_definition(self, auto_schema):
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
