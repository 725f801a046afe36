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

SCHEME = re.compile(r"bearer(?![^\W_])", re.IGNORECASE)
# RFC 6750, section 2.1. A comma is what servers make of a repeated header.
BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


class InvalidRequest(APIException):
    """The `Authorization` header cannot be read (RFC 6750, section 3.1)."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_request"
    default_detail = "The Authorization header is malformed, repeated or too long."
    auth_header = f'{CHALLENGE}, error="invalid_request"'


class TokenRefused(Unauthorized):
    """A credential that was read and is not accepted."""

    auth_header = f'{CHALLENGE}, error="invalid_token"'

    def __init__(self, refusal: flows.Refused) -> None:
        super().__init__(REFUSALS[refusal.code], refusal.code)
        if refusal.code == "device_revoked":
            self.extra = {"reason": refusal.reason, "note": refusal.note}


class IssuedTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`, accepted only while its device is live.

    `request.user` is the person, `request.auth` the device. A token that is refused is an error
    whatever cookie comes with it.
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
    """The browser device of the session cookie; writes need a CSRF token."""

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
