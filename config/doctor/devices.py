from datetime import timedelta

from config.doctor.findings import OK, WARNING, Finding
from tokens.models import IssuedToken

MAX_PURGE_DELAY = timedelta(days=2)  # the purge should run daily
MAX_COUNTED = 10_000  # devices


def purge() -> Finding:
    waiting = IssuedToken.objects.past_retention(MAX_PURGE_DELAY)[: MAX_COUNTED + 1].count()
    if not waiting:
        return Finding(OK, "No device is long past its retention.")
    count = f"More than {MAX_COUNTED:,}" if waiting > MAX_COUNTED else f"{waiting:,}"
    return Finding(
        WARNING, f"Devices long past their retention: {count}.", "Run purge_devices daily."
    )
