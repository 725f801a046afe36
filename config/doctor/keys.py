from config.doctor.findings import OK, Finding
from tokens import signing


def signing_keys() -> Finding:
    ring = signing.key_ring()
    others = len({key.kid for key, _ in ring.headers.values()}) - 1
    return Finding(OK, f"{ring.signing_key.kid!r} signs, {others} more only verify.")
