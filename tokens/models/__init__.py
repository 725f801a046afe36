from tokens.models.days import DailyCount
from tokens.models.devices import (
    NAME_LENGTH,
    NOTE_LENGTH,
    IssuedToken,
    idle_timeout,
    lifetime,
)
from tokens.models.figures import Figure
from tokens.models.queries import IssuedTokenQuerySet
from tokens.models.states import State

__all__ = [
    "NAME_LENGTH",
    "NOTE_LENGTH",
    "DailyCount",
    "Figure",
    "IssuedToken",
    "IssuedTokenQuerySet",
    "State",
    "idle_timeout",
    "lifetime",
]
