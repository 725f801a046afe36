import socket
import ssl
import time
import warnings

from config.doctor.findings import ERROR, OK, WARNING, Finding, printable
from config.doctor.front_door import TIMEOUT, FrontDoor

FEW_DAYS = 14
DAY = 86_400  # seconds


def tls(door: FrontDoor) -> Finding:
    """The certificate and the versions."""
    if door.scheme == "http":
        return _plain(door)
    if door.distrust:
        hint = "Clients refuse it. For an authority of your own, name its file in SSL_CERT_FILE."
        reason = printable(door.distrust).rstrip(".")
        message = f"The certificate does not verify: {reason}."
        return Finding(ERROR, message, hint)
    begin, end = (
        ssl.cert_time_to_seconds(door.certificate[name]) for name in ("notBefore", "notAfter")
    )
    days = int((end - time.time()) / DAY)
    message = f"{door.tls_version}, and the certificate lasts {days} more days."
    figures = {"days": days}
    # A certificate for a few days is renewed later than one for a year.
    if days < min(FEW_DAYS, (end - begin) / DAY / 4):
        return Finding(WARNING, message, "Renew it, and see why nothing does.", figures)
    if _speaks_old_tls(door):
        hint = "Let the proxy speak TLS 1.2 and 1.3 alone."
        return Finding(WARNING, "The server also speaks TLS 1.0 or 1.1.", hint, figures)
    return Finding(OK, message, figures=figures)


def _plain(door: FrontDoor) -> Finding:
    if door.is_private:
        return Finding(OK, "None is needed on this machine.")
    return Finding(ERROR, "The address is plain http.", "Everybody on the way reads passwords.")


def _speaks_old_tls(door: FrontDoor) -> bool:
    context = ssl._create_unverified_context()  # noqa: S323 -- nothing is sent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with (
            socket.create_connection((door.host, door.port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=door.host),
        ):
            return True
    except OSError:
        return False
