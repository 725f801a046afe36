"""What a confirmation page has shown, and what staff have confirmed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing

from accounts.models import User
from tokens.browser import get_device
from tokens.flows import incident
from tokens.models import IssuedTokenQuerySet

SHOWN_FIELD = "shown"
SHOWN_MAX_AGE = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page has shown when, and how far the revocation is. The next form holds it, signed.

    Only devices that were `found` end. `proven` says that the password was given for this.
    """

    found: incident.Found
    at: datetime
    done: int = 0
    proven: bool = False

    def sign(self, request) -> str:
        times = [str(self.found.newest), str(self.at)]
        values = [self.found.devices, *times, self.done, self.proven]
        return signing.dumps(values, salt=_salt(request))

    @classmethod
    def read(cls, request) -> "Shown | None":
        """What the form holds. None if it holds nothing that this page has signed lately."""
        text = request.POST.get(SHOWN_FIELD, "")
        try:
            values = signing.loads(text, salt=_salt(request), max_age=SHOWN_MAX_AGE)
        except signing.BadSignature:
            return None
        devices, newest, at, done, proven = values
        found = incident.Found(devices=devices, newest=datetime.fromisoformat(newest))
        return cls(found=found, at=datetime.fromisoformat(at), done=done, proven=proven)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a member of staff has confirmed: to end those of the `devices` that were shown."""

    devices: IssuedTokenQuerySet
    shown: Shown
    user: User | None
    reason: str
    note: str
    back: str

    def left(self) -> IssuedTokenQuerySet:
        return incident.left_of(self.devices, self.shown.found)

    def ended_meanwhile(self) -> IssuedTokenQuerySet:
        """The devices that were shown, and were revoked before the order came."""
        devices = self.devices.with_state().filter(created_at__lte=self.shown.found.newest)
        return devices.filter(revoked_at__gte=self.shown.at).order_by("-revoked_at")


def held(request) -> list[tuple[str, str]]:
    """The fields that say which action runs on which devices. The next form sends them again."""
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _salt(request) -> str:
    """Ties what is signed to this device, this page and this selection."""
    return f"tokens.order {get_device(request).pk} {request.get_full_path()} {held(request)}"
