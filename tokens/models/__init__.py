from tokens.models.days import DailyCount
from tokens.models.devices import IssuedToken, IssuedTokenQuerySet, idle_timeout, lifetime
from tokens.models.states import State

__all__ = ["DailyCount", "IssuedToken", "IssuedTokenQuerySet", "State", "idle_timeout", "lifetime"]
