import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from tokens.keys import KEY_TYPES, KeyRing, generate_signing_key
from tokens.management.arguments import future

HINT = (
    'For a new site, or in place of a stolen key: JWT_SIGNING_KEYS={"keys": [<this key>]}. To '
    "refuse nobody on a site that runs, print its ring with the new key in it, with --use-from."
)
RING_HINT = (
    "{kid!r} signs from {use_from:%Y-%m-%d %H:%M:%S} UTC on. Until then, put this ring into "
    "JWT_SIGNING_KEYS (or its file) on every host, and restart each one. The ring also holds, with "
    "their secrets: {others}."
)


class Command(BaseCommand):
    help = (
        "Print a new private key (JWK, RFC 7517) for JWT_SIGNING_KEYS. With --use-from, print the "
        "ring of this site (JWK Set) with the new key in it. It is stored nowhere."
    )
    requires_system_checks = []  # also for a site that does not start without a new key

    def add_arguments(self, parser):
        parser.add_argument(
            "--algorithm",
            choices=list(KEY_TYPES),
            default="HS256",
            help="HS256, a shared secret (default), or EdDSA, a key pair",
        )
        parser.add_argument(
            "--use-from",
            metavar="TIME",
            type=future,
            help="when every host has the new ring, and the new key begins to sign: +1h, +30m, or "
            "an ISO 8601 time (UTC)",
        )

    def handle(self, *, algorithm, use_from, **options):
        key = generate_signing_key(algorithm)
        if use_from:
            self._print_ring(key, use_from)
        else:
            self.stdout.write(json.dumps(key))
            self.stderr.write(HINT, self.style.SUCCESS)
        for message in run_checks():
            if message.is_serious() and not message.is_silenced():
                self.stderr.write(str(message))

    def _print_ring(self, key: dict[str, str], use_from: datetime) -> None:
        former: list[dict[str, Any]] = settings.JWT_SIGNING_KEYS
        try:
            keys = KeyRing(former).keys
        except ImproperlyConfigured as error:
            raise CommandError(f"The ring of this site cannot be used. {error}.") from None
        latest = max(keys, key=lambda one: one.use_from)
        if use_from <= latest.use_from:
            message = f"{latest.kid!r} signs from {latest.use_from.isoformat()} on. Choose a later "
            raise CommandError(f"{message}time.")
        # Last, because the release before this one signs with the first key of the ring.
        key["use_from"] = use_from.astimezone(UTC).isoformat(timespec="seconds")
        self.stdout.write(json.dumps({"keys": [*former, key]}))
        others = ", ".join(repr(one.kid) for one in keys)
        self.stderr.write(
            RING_HINT.format(kid=key["kid"], use_from=use_from, others=others), self.style.SUCCESS
        )
