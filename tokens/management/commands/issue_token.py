import json

from django.core.management.base import BaseCommand, CommandError

from accounts.text import clean_text
from tokens import flows
from tokens.management.arguments import duration, find_user, word
from tokens.models import NAME_LENGTH, IssuedToken
from tokens.serializers import DeviceSerializer
from tokens.stories import REFUSALS


class Command(BaseCommand):
    help = (
        "Issue an access token for a script. It is good until its end, or until it is revoked "
        "like any other device. It has no refresh token. Only the token is written to stdout, "
        "and it is shown only once."
    )

    def add_arguments(self, parser):
        parser.add_argument("username", type=word, help="the user it acts as")
        parser.add_argument("--name", required=True, help="what it is for, as the lists show it")
        parser.add_argument(
            "--expires",
            metavar="DURATION",
            required=True,
            type=duration,
            help="how long it is good, at most 3650d: 90d (or 90), 12h, 30m",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="write the token and its device as JSON",
        )

    def handle(self, *, username, name, expires, as_json, **options):
        user = find_user(username)
        if not clean_text(name, NAME_LENGTH) or len(name) > NAME_LENGTH:
            raise CommandError(f"The name must have 1 to {NAME_LENGTH} characters.")
        try:
            device, token = flows.issue_token(user, name=name, lasts=expires)
        except flows.Refused as refusal:
            raise CommandError(f"No token for {user}. {REFUSALS[refusal.code]}") from None
        if as_json:
            self.stdout.write(_as_json(device, token, int(expires.total_seconds())))
            return
        end = f"{device.expires_at:%Y-%m-%d %H:%M} UTC"
        self.stderr.write(
            f"A token of {user} for {device.name!r}, good until {end}. Keep it: it is not shown "
            "again.",
            self.style.SUCCESS,
        )
        self.stdout.write(token)


def _as_json(device: IssuedToken, token: str, expires_in: int) -> str:
    answer = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "device": DeviceSerializer(device).data,
    }
    return json.dumps(answer, indent=2)
