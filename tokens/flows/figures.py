"""The counts that the purge takes for metrics and the admin, so that neither counts devices."""

from tokens.flows.keys import count_by_key
from tokens.models import Figure, IssuedToken


def take_figures() -> None:
    """Count what takes seconds at many millions of devices, and keep it as figures."""
    devices = IssuedToken.objects.all()
    uses, _ = count_by_key()
    Figure.objects.replace(
        {
            Figure.LIVE: devices.live().count(),
            "devices_past_retention": devices.past_retention().count(),
            **{
                f"{Figure.OF_KEY}{use.key.kid}": use.issued
                for use in uses
                if use.issued is not None
            },
        }
    )
