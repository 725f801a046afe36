import json

from django.core.management.base import BaseCommand

from tokens.management.arguments import positive
from tokens.management.selection import add_criteria, select_devices
from tokens.management.tables import device_table
from tokens.models import IssuedTokenQuerySet, State
from tokens.serializers import DeviceSerializer


class Command(BaseCommand):
    help = "List devices, the newest sign-in first."

    def add_arguments(self, parser):
        add_criteria(parser)
        parser.add_argument(
            "--state",
            choices=[*State.values, "all"],
            default=State.LIVE.value,
            help="in this state (default: live)",
        )
        parser.add_argument(
            "--limit", type=positive, default=50, help="at most this many (default: 50)"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="a JSON array, as in the API"
        )

    def handle(self, *, state, limit, as_json, **options):
        devices = select_devices(options)
        if state != "all":
            devices = devices.in_state(state)
        devices = devices.with_state().order_by("-created_at", "-pk")
        if as_json:
            self.stdout.write(_as_json(devices[:limit]))
        else:
            self._print(devices, limit)

    def _print(self, devices: IssuedTokenQuerySet, limit: int) -> None:
        found = list(devices[: limit + 1])
        if not found:
            self.stdout.write("No device matches.")
            return
        self.stdout.write(device_table(found[:limit]))
        if len(found) > limit:
            self.stdout.write(f"The newest {limit}. There are more: raise --limit.")
        else:
            self.stdout.write("1 device." if len(found) == 1 else f"{len(found)} devices.")


def _as_json(devices: IssuedTokenQuerySet) -> str:
    listed = [{"user": device.user.username, **DeviceSerializer(device).data} for device in devices]
    return json.dumps(listed, indent=2)
