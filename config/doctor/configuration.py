from django.core import checks

from config.doctor.findings import ERROR, OK, WARNING, Finding


def system_checks() -> Finding:
    """What `check --deploy` says."""
    said = [
        one for one in checks.run_checks(include_deployment_checks=True) if not one.is_silenced()
    ]
    if not said:
        return Finding(OK, "check --deploy finds nothing.")
    level = ERROR if any(message.is_serious() for message in said) else WARNING
    ids = ", ".join(sorted({message.id or "unnamed" for message in said}))
    return Finding(level, f"{ids}.", "Run check --deploy.")
