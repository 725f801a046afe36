"""Simple JWT refuses only refresh tokens that are on its blacklist. This is its own mixin on the
access token, for those who want revocation to be felt before the token's end."""

from rest_framework_simplejwt.tokens import AccessToken, BlacklistMixin


class CheckedAccessToken(BlacklistMixin, AccessToken):
    pass
