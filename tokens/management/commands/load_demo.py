from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from tokens import demo
from tokens.management.progress import add_up
from tokens.models import IssuedToken

CARD = """
  Site       {site}/
  Admin      {site}/admin/
  API        {site}/api/v1/
  API docs   {site}/api/v1/docs

  Password of everybody: {password}
  ana        an ordinary person with several devices
  support    staff: finds people and revokes their devices
  admin      superuser
  ...        ben, chiara, daniel, farid and grace; emma has left and cannot sign in

  Sign in over the API:
  curl {site}/api/v1/login -H 'Content-Type: application/json' \\
    -d '{{"username": "ana", "password": "{password}"}}'
"""


class Command(BaseCommand):
    help = (
        "Load people and devices to look around with. This needs DEBUG, because their password is "
        "public, and a database without accounts."
    )
    requires_migrations_checks = True

    def handle(self, **options):
        if not settings.DEBUG:
            raise CommandError("DEBUG is off. The demo's password is public, so it needs DEBUG.")
        if not User.objects.exists():
            self._load()
        else:
            self.stdout.write("There are accounts already: nothing was loaded or changed.")
        if User.objects.filter(username="ana", email="ana@example.org").exists():
            self.stdout.write(CARD.format(site=settings.SITE_URL, password=demo.PASSWORD))

    def _load(self) -> None:
        add_up((1 for _ in demo.load()), total=len(demo.VISITS))
        people, devices = User.objects.count(), IssuedToken.objects.count()
        self.stdout.write(
            self.style.SUCCESS(f"Loaded {people} people and their {devices} devices.")
        )
