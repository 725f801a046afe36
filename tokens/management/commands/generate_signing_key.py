import json

from django.core.checks import run_checks
from django.core.management.base import BaseCommand

from tokens.keys import KEY_TYPES, generate_signing_key

HINT = (
    'To sign with it, put it first in JWT_SIGNING_KEYS: {"keys": [<this key>, <former keys>]}. '
    "Keep a former key until every token that it signed has ended."
)


class Command(BaseCommand):
    help = "Print a new private key (JWK, RFC 7517) for JWT_SIGNING_KEYS. It is stored nowhere."
    requires_system_checks = []  # also for a site that does not start without a new key

    def add_arguments(self, parser):
        parser.add_argument(
            "--algorithm",
            choices=list(KEY_TYPES),
            default="HS256",
            help="HS256, a shared secret (default), or EdDSA, a key pair",
        )

    def handle(self, *, algorithm, **options):
        self.stdout.write(json.dumps(generate_signing_key(algorithm)))
        self.stderr.write(HINT, self.style.SUCCESS)
        for message in run_checks():
            if message.is_serious() and not message.is_silenced():
                self.stderr.write(str(message))
