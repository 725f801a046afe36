"""Refusals of the API. Each is a status and `{"detail": sentence, "code": word}`."""

from rest_framework import exceptions, status

CHALLENGE = 'Bearer realm="api"'


class Unauthorized(exceptions.APIException):
    """401 with a challenge of its own, also from a view without authenticators.

    It is not DRF's AuthenticationFailed, because DRF turns that into a 403 in such a view.
    """

    status_code = status.HTTP_401_UNAUTHORIZED
    auth_header = CHALLENGE


class LoginFailed(Unauthorized):
    default_code = "login_failed"
    default_detail = (
        "This password does not belong to this username or email address. Passwords are "
        "case-sensitive; usernames and email addresses are not. An email address works once it "
        "is confirmed."
    )


class ReauthenticationRequired(Unauthorized):
    """Step-up (RFC 9470): the password was not given on this device recently enough."""

    default_code = "reauthentication_required"
    default_detail = "Give your password again on this device, then repeat the request."

    def __init__(self, max_age: int) -> None:
        super().__init__()
        self.auth_header = (
            f'{CHALLENGE}, error="insufficient_user_authentication", max_age="{max_age}"'
        )


class PasskeyRequired(exceptions.PermissionDenied):
    """Staff's permissions wait for a passkey on this device."""

    default_code = "passkey_required"
    default_detail = "Staff use their passkey on this device first. Sign in with it, or give it."


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT


class UsernameTaken(Conflict):
    default_code = "username_taken"
    default_detail = "That username is taken."


class EmailTaken(Conflict):
    default_code = "email_taken"
    default_detail = "That email address is taken."


class RoleTaken(Conflict):
    default_code = "role_taken"
    default_detail = "A role with that name already exists."
