"""What happens to devices. The only place that joins a signature to a row.

Flows take plain values and return plain values, without HTTP. They hash no password: the caller
verifies it first and passes the user. So no lock is held while Argon2 works.
"""

from tokens.flows import incident, restore
from tokens.flows.ending import (
    end_by_mail,
    end_own_device,
    log_out,
    log_out_all,
    log_out_others,
    mark_ended,
    purge,
    revoke_for_user,
    revoke_inactive,
)
from tokens.flows.figures import take_figures
from tokens.flows.forgetting import forget
from tokens.flows.keys import KeyUse, count_by_key
from tokens.flows.login import issue_token, log_in, log_in_browser
from tokens.flows.pairs import Pair, pair_of
from tokens.flows.passkeys import (
    add_passkey,
    make_codes,
    remove_passkey,
    reset_passkeys,
    voucher_of,
)
from tokens.flows.refusals import Refused
from tokens.flows.renewal import change_password, reauthenticate, reset_password
from tokens.flows.rotation import refresh
from tokens.flows.use import authenticate, authenticate_browser

__all__ = [
    "KeyUse",
    "Pair",
    "Refused",
    "add_passkey",
    "authenticate",
    "authenticate_browser",
    "change_password",
    "count_by_key",
    "end_by_mail",
    "end_own_device",
    "forget",
    "incident",
    "issue_token",
    "log_in",
    "log_in_browser",
    "log_out",
    "log_out_all",
    "log_out_others",
    "make_codes",
    "mark_ended",
    "pair_of",
    "purge",
    "reauthenticate",
    "refresh",
    "remove_passkey",
    "reset_passkeys",
    "reset_password",
    "restore",
    "revoke_for_user",
    "revoke_inactive",
    "take_figures",
    "voucher_of",
]
