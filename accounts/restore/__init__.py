"""After a restore: reads the log since the copy, and takes away again what was taken since."""

from accounts.restore.files import Reading, read
from accounts.restore.redo import Change, advance_keys, redo
from accounts.restore.words import Words, words_of

__all__ = ["Change", "Reading", "Words", "advance_keys", "read", "redo", "words_of"]
