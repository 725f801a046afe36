"""The counts that the purge takes for metrics and the admin, so that neither counts devices."""

from tokens.models import Figure, IssuedToken


def take_figures() -> None:
    """Count what takes seconds at many millions of devices, and keep it as figures."""
    devices = IssuedToken.objects.all()
    Figure.objects.replace(
        {
            "live_devices": devices.live().count(),
            "devices_past_retention": devices.past_retention().count(),
        }
    )
