"""The people and devices of `load_demo`. Their password is public, so they are for DEBUG only.

Each device is made, used and ended by the same flows as a real one. Then its times are moved into
the past. Times in this module are in days before now.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from accounts import mail
from accounts.models import Role, User
from tokens import flows
from tokens.client import Client
from tokens.models import IssuedToken

PASSWORD = "guestlist demo password"  # noqa: S105
API, BROWSER = IssuedToken.Kind.API, IssuedToken.Kind.BROWSER

DAY = timedelta(days=1)
HOUR = 1 / 24
MINUTE = HOUR / 60
JOINED = 200
JUST_NOW = timedelta(minutes=20)  # an end within this time belongs to the visit that is played

X11 = "Mozilla/5.0 (X11; Linux x86_64"
CROS = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X"
IPAD = "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X"
GECKO = "; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROMIUM = ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0"
WEBKIT = ") AppleWebKit/605.1.15 (KHTML, like Gecko)"

FIREFOX_LINUX = X11 + GECKO
FIREFOX_MAC = MAC + ".15" + GECKO
FIREFOX_ANDROID = "Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"
CHROME_WINDOWS = WINDOWS + CHROMIUM + " Safari/537.36"
CHROME_MAC = MAC + "_15_7" + CHROMIUM + " Safari/537.36"
CHROME_CHROMEBOOK = CROS + CHROMIUM + " Safari/537.36"
CHROME_ANDROID = ANDROID + CHROMIUM + " Mobile Safari/537.36"
CHROME_IPAD = IPAD + WEBKIT + " CriOS/143.0.7499.92 Mobile/15E148 Safari/604.1"
EDGE_WINDOWS = WINDOWS + CHROMIUM + " Safari/537.36 Edg/143.0.0.0"
SAFARI_MAC = MAC + "_15_7" + WEBKIT + " Version/26.1 Safari/605.1.15"
SAFARI_IPHONE = IPHONE + WEBKIT + " Version/26.1 Mobile/15E148 Safari/604.1"
SAMSUNG_TABLET = (
    "Mozilla/5.0 (Linux; Android 15; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/29.0 Chrome/136.0.0.0 Safari/537.36"
)
HEADLESS = X11 + ") AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36"
IOS_APP = "Guestlist/41 CFNetwork/3826.600.41 Darwin/24.6.0"
ANDROID_APP = "Guestlist/4.1 (Android 16; Pixel 9) okhttp/5.1.0"
OLD_APP = "Guestlist/3.8 (Android 12; SM-G973F) okhttp/4.12.0"
DART_APP = "Dart/3.9 (dart:io)"
CURL = "curl/8.16.0"
REQUESTS = "python-requests/2.32.5"

BERLIN, BERLIN_6, BERLIN_LTE = "91.64.12.10", "2a02:8109:9a00:1::1", "80.187.96.12"
BERN, BERN_6 = "85.1.20.30", "2a02:1205:34c0:1::1"
FRANKFURT, FRANKFURT_6 = "34.89.140.3", "2a01:4f8:c17:1::1"
LISBON = "85.240.12.9"
LONDON, LONDON_6 = "81.2.69.142", "2a00:23c4:1d00:1::1"
MELBOURNE = "1.128.96.12"
NAIROBI = "41.90.64.3"
RIO, RIO_6 = "177.32.12.8", "2804:14c:65d0:1::1"
TOKYO, TOKYO_6 = "126.72.30.4", "2400:2410:9000:1::1"
TORONTO = "99.224.60.8"
WARSAW, WARSAW_6 = "83.8.12.4", "2a02:a310:e140:1::1"
THIEVES, THIEVES_NETWORK = "185.220.101.17", "185.220.101.0/24"


@dataclass(frozen=True)
class Visit:
    """One sign-in, and what became of its device.

    `signed_in`, `seen` and `ended` are days ago, and `lasts` is in days. With `lasts`, the device
    is an issued token. `then` ends the device. A later visit in the same browser replaces it.
    """

    who: str
    kind: str
    agent: str
    ip: str
    signed_in: float
    seen: float
    _: KW_ONLY
    name: str = ""
    seen_ip: str = ""
    lasts: int = 0
    then: Callable[[IssuedToken, str], object] | None = None
    ended: float = 0


def load() -> Iterator[None]:
    """Create everything, or nothing if there is an error. Yield after each visit."""
    hashes = {username: make_password(PASSWORD) for username in PEOPLE}
    handles: dict[tuple[str, str], str] = {}
    with _in_silence(), transaction.atomic():
        for username, role in PEOPLE.items():
            _add_person(username, role, hashes[username])
        for visit in sorted(VISITS, key=lambda visit: visit.signed_in, reverse=True):
            _play(visit, handles)
            yield
        for user in User.objects.annotate(latest=Max("devices__created_at")):
            User.objects.filter(pk=user.pk).update(last_login=user.latest)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Write no log line and send no mail, because none of this really happens."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mail.silence():
            yield
    finally:
        logging.disable(level)


def _add_person(username: str, role: str, password: str) -> None:
    joined = _ago(JOINED)
    user = User.objects.create(
        username=username,
        email=f"{username}@example.org",
        email_verified_at=joined,
        password=password,
        password_changed_at=joined,
        date_joined=joined,
        is_staff=bool(role),
        is_superuser=role == "admin",
    )
    user.roles.set(Role.objects.filter(name=role))


def _play(visit: Visit, handles: dict[tuple[str, str], str]) -> None:
    user = User.objects.get(username=visit.who)
    device, refresh_token = _log_in(user, visit, handles)
    _date_ends(visit.signed_in)
    if visit.then:
        visit.then(device, refresh_token)
        _date_ends(visit.ended)
    signed_in, seen = visit.signed_in * DAY, visit.seen * DAY
    IssuedToken.objects.filter(pk=device.pk).update(
        created_at=F("created_at") - signed_in,
        authenticated_at=F("authenticated_at") - signed_in,
        expires_at=F("expires_at") - signed_in,
        rotated_at=F("rotated_at") - seen,
        last_seen_at=F("last_seen_at") - seen,
        idle_at=F("idle_at") - seen,
    )


def _log_in(
    user: User, visit: Visit, handles: dict[tuple[str, str], str]
) -> tuple[IssuedToken, str]:
    """Log in and use the device once. Return it and its refresh token, "" if it has none."""
    client = Client(ip_address=visit.ip, user_agent=visit.agent)
    later = Client(ip_address=visit.seen_ip or visit.ip, user_agent=visit.agent)
    if visit.lasts:
        _, token = flows.issue_token(user, name=visit.name, lasts=visit.lasts * DAY)
        return flows.authenticate(token, later), ""
    if visit.kind == BROWSER:
        browser = (visit.who, visit.agent)
        handles[browser] = flows.log_in_browser(user, client, handles.get(browser))
        return flows.authenticate_browser(handles[browser], later), ""
    pair = flows.log_in(user, client, name=visit.name)
    return flows.authenticate(pair.access_token, later), pair.refresh_token


def _date_ends(days: float) -> None:
    """Move the ends of the visit that is played to `days` ago."""
    just_now, then = timezone.now() - JUST_NOW, _ago(days)
    for time in ("revoked_at", "alarm_at", "password_epoch"):
        IssuedToken.objects.filter(**{f"{time}__gte": just_now}).update(**{time: then})
    # The note of a reuse names times. Without one, it is told by the times of the row.
    IssuedToken.objects.filter(revoked_reason="reuse").update(revoked_note="")
    User.objects.filter(password_changed_at__gte=just_now).update(password_changed_at=then)


def _ago(days: float) -> datetime:
    return timezone.now() - days * DAY


def log_out(device: IssuedToken, refresh_token: str) -> None:
    flows.log_out(device)


def end_elsewhere(device: IssuedToken, refresh_token: str) -> None:
    another = device.user.devices.exclude(pk=device.pk)[0]
    flows.end_own_device(another, device)


def report_lost(device: IssuedToken, refresh_token: str) -> None:
    flows.revoke_for_user(
        device.user,
        IssuedToken.objects.filter(pk=device.pk),
        by=User.objects.get(username="support"),
        note="You told us that this phone was left on a train. If it turns up, sign in again.",
    )


def change_password(device: IssuedToken, refresh_token: str) -> None:
    device.user.set_password(PASSWORD)
    flows.change_password(device.user, device)


def leave(device: IssuedToken, refresh_token: str) -> None:
    device.user.is_active = False
    device.user.save(update_fields=["is_active"])


def lose_refresh_token(device: IssuedToken, refresh_token: str) -> None:
    """The device refreshes. Then a thief sends a copy of its former refresh token."""
    owner = Client(ip_address=device.last_ip, user_agent=device.user_agent)
    pair = flows.refresh(refresh_token, owner)
    flows.authenticate(pair.access_token, owner)
    row = IssuedToken.objects.filter(pk=device.pk)
    row.update(rotated_at=F("rotated_at") - DAY)  # so that the grace is over
    with suppress(flows.Refused):
        flows.refresh(refresh_token, Client(ip_address=THIEVES, user_agent=REQUESTS))
    row.update(rotated_at=F("rotated_at") + DAY)


def close_incident(device: IssuedToken, refresh_token: str) -> None:
    devices = IssuedToken.objects.filter(ip_address__within=THIEVES_NETWORK)
    note = "A stranger signed in here with your password. Please choose a new one."
    for _ in flows.incident.end(devices, flows.incident.find(devices), note=note):
        pass


# Usernames and the role of each; "" is no role.
PEOPLE = {
    "admin": "admin",
    "support": "support",
    **dict.fromkeys(["ana", "ben", "chiara", "daniel", "emma", "farid", "grace"], ""),
}

VISITS = [
    # Staff: their browsers go idle after one hour and end after twelve.
    Visit("admin", BROWSER, FIREFOX_LINUX, BERN_6, 3.2, 3, then=log_out, ended=3),
    Visit("admin", BROWSER, FIREFOX_MAC, BERN, 5 * HOUR, 2 * HOUR),
    Visit("support", BROWSER, CHROME_WINDOWS, LISBON, 1.3, 1),
    Visit("support", BROWSER, CHROME_MAC, LISBON, 2.5 * HOUR, 4 * MINUTE),
    # Ana has a little of everything. She signed in again in the same Safari and the same Firefox.
    Visit("ana", BROWSER, SAFARI_MAC, BERLIN_6, 47, 33.5),
    Visit("ana", API, OLD_APP, BERLIN_LTE, 27.5, 20.2, then=end_elsewhere, ended=19.3),
    Visit("ana", BROWSER, SAFARI_MAC, BERLIN_6, 26, 17.3),
    Visit("ana", BROWSER, CHROME_IPAD, BERLIN_6, 21.1, 9.2),
    Visit("ana", API, IOS_APP, BERLIN, 19.4, 25 * MINUTE, name="Ana's phone", seen_ip=BERLIN_LTE),
    Visit("ana", BROWSER, FIREFOX_LINUX, BERLIN, 12.2, 5.6),
    Visit("ana", BROWSER, CHROME_WINDOWS, LISBON, 9.1, 8.9, then=log_out, ended=8.9),
    Visit("ana", BROWSER, FIREFOX_LINUX, BERLIN, 5.3, 3 * MINUTE),
    Visit("ana", API, CURL, BERLIN, 1.2, 1.2),
    # Ben lost his phone.
    Visit("ben", BROWSER, EDGE_WINDOWS, LONDON_6, 23.5, 16),
    Visit("ben", API, OLD_APP, LONDON_6, 13.3, 6.8, name="Work", then=report_lost, ended=6.4),
    Visit("ben", BROWSER, CHROME_WINDOWS, LONDON, 7.7, 1.5 * HOUR),
    Visit("ben", API, ANDROID_APP, LONDON_6, 5.2, 40 * MINUTE, name="New phone"),
    # Chiara changed her password on her Mac.
    Visit("chiara", API, IOS_APP, WARSAW_6, 12.1, 4.3),
    Visit("chiara", BROWSER, SAFARI_IPHONE, WARSAW, 10.8, 4.6),
    Visit("chiara", BROWSER, SAFARI_MAC, WARSAW, 8.4, 6 * HOUR, then=change_password, ended=4.1),
    Visit("chiara", API, IOS_APP, WARSAW_6, 4, 12 * MINUTE, name="iPhone"),
    # A copy of Daniel's refresh token was used.
    Visit("daniel", BROWSER, CHROME_ANDROID, RIO, 15, 5 * HOUR),
    Visit("daniel", API, DART_APP, RIO, 8.6, 2.2, then=lose_refresh_token, ended=2.1),
    Visit("daniel", API, DART_APP, RIO_6, 1.9, 3 * HOUR, name="Beach phone"),
    # Emma has left.
    Visit("emma", BROWSER, CHROME_WINDOWS, TORONTO, 18, 6.6),
    Visit("emma", API, IOS_APP, TORONTO, 14.4, 6.2, then=leave, ended=6),
    # Farid has a token for his backups. His script report.py signed in every ten minutes, and the
    # limit of live devices ended its first ones.
    Visit("farid", API, CURL, FRANKFURT, 10.8, 9 * HOUR, name="nightly backup", lasts=90),
    *(
        Visit("farid", API, REQUESTS, FRANKFURT_6, days, days - MINUTE, name="report.py")
        for days in (11 + 10 * MINUTE * number for number in range(22))
    ),
    Visit("farid", BROWSER, CHROME_CHROMEBOOK, NAIROBI, 2.7, 50 * MINUTE),
    # Grace moved from Tokyo to Melbourne. Her first device is past retention.
    Visit("grace", API, DART_APP, TOKYO, 75, 47),
    Visit("grace", API, ANDROID_APP, TOKYO, 41, 11.8),
    Visit("grace", BROWSER, SAMSUNG_TABLET, TOKYO_6, 28, 15.2),
    Visit("grace", BROWSER, FIREFOX_ANDROID, TOKYO, 16.9, 20 * HOUR, seen_ip=MELBOURNE),
    # An incident: stolen passwords were used from one network.
    Visit("ben", API, HEADLESS, THIEVES, 10.3, 10.3),
    Visit("daniel", API, REQUESTS, THIEVES, 10.25, 10.2),
    Visit("grace", API, REQUESTS, THIEVES, 10.2, 10.2, then=close_incident, ended=10.1),
]
