from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from tokens import demo
from tokens.management.progress import progress_bar
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
        "Load people and devices to look around with. Only with DEBUG, because their password is "
        "public, and only into a database without accounts."
    )
    requires_migrations_checks = True

    def handle(self, **options):
        if not settings.DEBUG:
            raise CommandError("DEBUG is off. The demo's password is public: it never goes there.")
        if not User.objects.exists():
            self._load()
        else:
            self.stdout.write("There are accounts already: nothing was loaded or changed.")
        if User.objects.filter(username="ana", email="ana@example.org").exists():
            self.stdout.write(CARD.format(site=settings.SITE_URL, password=demo.PASSWORD))

    def _load(self) -> None:
        with progress_bar(len(demo.VISITS)) as bar:
            for _ in demo.load():
                bar.update()
        people, devices = User.objects.count(), IssuedToken.objects.count()
        self.stdout.write(
            self.style.SUCCESS(f"Loaded {people} people and their {devices} devices.")
        )
