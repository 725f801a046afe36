"""What the site says through its front door, compared with what its settings say."""

import http.client
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from config.doctor.findings import ERROR, OK, WARNING, Finding, printable, told
from config.doctor.front_door import Answer, FrontDoor, claim

SEES_NO_TLS = "If a proxy ends TLS, name it in TRUSTED_PROXIES, and let it send X-Forwarded-Proto."
DROP = "drop what clients send of it, with underscores too"
PROXY_HOST = "Let the proxy pass the Host header on."
STRANGE_HOST = "doctor.invalid"  # RFC 2606
MAX_AGE = re.compile(r"""max-age\s*=\s*"?([0-9]+)""", re.IGNORECASE)


def answer(door: FrontDoor) -> Finding:
    """Whether the sign-in page is there."""
    try:
        page = door.get("/login")
    except (OSError, http.client.HTTPException, ValueError) as error:
        hint = "Is the address right, does the server run, and is the way to it open?"
        return Finding(ERROR, f"{door.origin} gives no answer. {told(error)}", hint)
    if page.status == 200:
        return Finding(OK, f"{door.origin} answers.")
    if page.status in (301, 302, 307, 308):
        target = _target(door, page)
        if target == f"{door.origin}/login":
            return Finding(ERROR, "The sign-in page leads to itself, again and again.", SEES_NO_TLS)
        where = printable(target)
        return Finding(
            WARNING, f"The sign-in page leads to {where}.", "Give that address to --url."
        )
    hint = "See the log of the server. 400: add the host to ALLOWED_HOSTS. " + PROXY_HOST
    return Finding(ERROR, f"The sign-in page answers {page.status}.", hint)


def scheme(door: FrontDoor) -> Finding:
    """Whether the server knows that it is asked over TLS."""
    index = _index(door)
    refuses = index.status == 403 and index.json().get("code") == "tls_required"
    seen = "http" if refuses else urlsplit(_link(index)).scheme
    if not seen:
        return Finding(ERROR, f"/api/v1/ answers {index.status}, and not its links.", PROXY_HOST)
    if door.scheme == "https" and seen == "http":
        message = "The server takes https for plain http."
        return Finding(ERROR, message, SEES_NO_TLS)
    if door.scheme == "http" and seen == "https":
        message = "The server takes plain http for https."
        hint = "Let the proxy set X-Forwarded-Proto to the scheme that it was asked with."
        return Finding(ERROR, message, hint)
    if refuses:
        return Finding(OK, "The API refuses plain http.")
    return Finding(OK, f"The server knows that it is asked over {seen}.")


def host(door: FrontDoor) -> Finding:
    """Whether the server sees the host of the address, and refuses others."""
    seen = urlsplit(_link(_index(door))).netloc
    if seen and seen != urlsplit(door.origin).netloc:
        return Finding(ERROR, f"Links of the API lead to {printable(seen)}.", PROXY_HOST)
    if door.get("/login", Host=STRANGE_HOST).status == 200:
        hint = "Name the hosts in ALLOWED_HOSTS, or refuse others at the proxy."
        return Finding(WARNING, "The site answers to any host.", hint)
    if door.origin != settings.SITE_URL:
        message = f"Links in mails lead to {settings.SITE_URL}, not to {door.origin}."
        return Finding(WARNING, message, "See SITE_URL.")
    return Finding(OK, "It is that of SITE_URL, and others are refused.")


def plain_http(door: FrontDoor) -> Finding:
    """What the port 80 answers. Pages redirect, and the API refuses, so that a leak is noticed."""
    if door.scheme == "http" or not door.origin.endswith(door.host):
        return Finding(OK, "Not examined: it belongs to an https address without a port.")
    try:
        page, index = door.get_over_http("/login"), door.get_over_http("/api/v1/")
    except (OSError, http.client.HTTPException):
        return Finding(OK, "Nothing answers there.")
    if page.status == 200 or index.status == 200:
        hint = "Turn SECURE_SSL_REDIRECT on, and let the proxy redirect."
        return Finding(ERROR, "The site answers over plain http.", hint)
    if page.status in (301, 302, 307, 308) and not _target(door, page).startswith("https:"):
        return Finding(ERROR, "It leads to plain http.", "Let it lead to https.")
    if index.status in (301, 302, 307, 308):
        hint = "Let the proxy pass /api/ on, which answers 403: so a client that leaks is noticed."
        return Finding(WARNING, "The API leads from http to https.", hint)
    return Finding(OK, f"Pages answer {page.status}, and the API {index.status}.")


def hsts(door: FrontDoor) -> Finding:
    wanted = settings.SECURE_HSTS_SECONDS
    if door.scheme == "http" or not wanted:
        return Finding(OK, "Not needed over plain http, or turned off.")
    found = door.get("/login").headers.get_all("Strict-Transport-Security") or []
    if not found:
        return Finding(ERROR, "Answers have no Strict-Transport-Security.", SEES_NO_TLS)
    match = MAX_AGE.search(found[0])
    if len(found) > 1:
        hint = "Let the proxy set none. Browsers take the first one."
        return Finding(WARNING, "Answers have Strict-Transport-Security twice.", hint)
    if match is None or int(match[1][:12]) < wanted:
        hint = f"Let the proxy leave the header of the server alone: max-age={wanted}."
        return Finding(WARNING, f"It lasts shorter than {wanted} s.", hint)
    return Finding(OK, f"It lasts {match[1][:12]} s.")


def cookies(door: FrontDoor) -> Finding:
    """The cookie of the sign-in form, which has the same rules as that of a sign-in."""
    name = settings.CSRF_COOKIE_NAME
    found = _cookies(door.get("/login"))
    if name not in found:
        hint = "The server runs with other settings, or the proxy takes the cookie away."
        return Finding(ERROR, f"The sign-in page sets no cookie {name}.", hint)
    is_secure = bool(found[name]["secure"])
    if is_secure and door.scheme == "http":
        hint = "Use https, or for a trial on this machine SESSION_COOKIE_SECURE=false."
        return Finding(WARNING, "Browsers send no secure cookie over plain http.", hint)
    if door.scheme == "https" and not is_secure:
        return Finding(WARNING, "Cookies are not secure.", "Turn SESSION_COOKIE_SECURE on.")
    return Finding(OK, f"{name} arrives{', secure' if is_secure else ''}.")


def claims(door: FrontDoor) -> Finding:
    """Whether a client that claims another scheme, or an id of its request, is believed."""
    other = "http" if door.scheme == "https" else "https"
    index = door.get("/api/v1/", Accept="application/json", **claim("X-Forwarded-Proto", other))
    seen = urlsplit(_link(index)).scheme or ("http" if index.status == 403 else "")
    usual = _index(door)
    if seen == other and usual.status == 200:
        hint = f"Let the proxy set X-Forwarded-Proto itself, and {DROP}."
        return Finding(WARNING, f"A client that claims {other} is believed.", hint)
    made_up = f"doctor-{secrets.token_hex(8)}"
    page = door.get("/login", **claim("X-Request-ID", made_up))
    if made_up in (page.headers["X-Request-ID"] or ""):
        hint = f"Let the proxy set X-Request-ID itself, and {DROP}."
        return Finding(WARNING, "A client that makes up its request id is believed.", hint)
    return Finding(OK, "What a client claims about itself is not believed.")


def health(door: FrontDoor) -> Finding:
    """What the checks of load balancers answer, where they can be reached."""
    alive, ready = door.get("/healthz"), door.get("/readyz")
    if door.get("/metrics").status == 200:
        return Finding(ERROR, "Everybody can read /metrics.", "Let the proxy refuse it.")
    if ready.status == 503:
        failed = ready.json().get("failed") or ["503"]
        hint = "Run doctor on the host of the server, and see its log."
        named = printable(", ".join(map(str, failed)))
        return Finding(ERROR, f"The server is not ready: {named}.", hint)
    if {alive.status, ready.status} == {200}:
        return Finding(OK, "The server is alive and ready.")
    return Finding(OK, f"Not seen from here: {alive.status} and {ready.status}.")


def _index(door: FrontDoor) -> Answer:
    return door.get("/api/v1/", Accept="application/json")


def _link(index: Answer) -> str:
    """An absolute link of the API, made of the scheme and the host that the server sees."""
    link = index.json().get("login")
    return link if index.status == 200 and isinstance(link, str) else ""


def _target(door: FrontDoor, answer: Answer) -> str:
    """Where a redirect leads, without its query."""
    try:
        target = urljoin(f"{door.origin}/login", answer.headers["Location"] or "")
    except ValueError:
        return "nowhere"
    return target.partition("?")[0]


def _cookies(answer: Answer) -> SimpleCookie:
    found = SimpleCookie()
    for line in answer.headers.get_all("Set-Cookie") or []:
        try:
            found.load(line)
        except CookieError:
            continue
    return found
