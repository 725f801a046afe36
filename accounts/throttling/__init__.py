"""Limits on attempts, counted in the database. Names and addresses are stored as HMACs only."""

from accounts.throttling.counting import deciding
from accounts.throttling.doors import (
    check_password,
    count_mail,
    count_reset_mail,
    count_reset_request,
    count_signup,
    log_in,
    log_in_by_passkey,
    may_prove,
    on_device,
)
from accounts.throttling.known import forget_all_networks, forget_networks
from accounts.throttling.lifting import lift, of_superusers, of_user, search
from accounts.throttling.limits import Limit, TooManyAttempts, in_words, limit_of, log_too_many
from accounts.throttling.shown import wrong_passwords

__all__ = [
    "Limit",
    "TooManyAttempts",
    "check_password",
    "count_mail",
    "count_reset_mail",
    "count_reset_request",
    "count_signup",
    "deciding",
    "forget_all_networks",
    "forget_networks",
    "in_words",
    "lift",
    "limit_of",
    "log_in",
    "log_in_by_passkey",
    "log_too_many",
    "may_prove",
    "of_superusers",
    "of_user",
    "on_device",
    "search",
    "wrong_passwords",
]
