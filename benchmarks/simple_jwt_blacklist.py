"""Simple JWT looks up only refresh tokens in its blacklist. This adds its own mixin to the access
token, so that a revocation counts before the token's end."""

from rest_framework_simplejwt.tokens import AccessToken, BlacklistMixin


class CheckedAccessToken(BlacklistMixin, AccessToken):
    pass
