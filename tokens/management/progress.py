import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress_bar(total: int, *, hidden: bool = False) -> Iterator[tqdm]:
    """A bar on stderr for work of more than a second, on a terminal only. Log lines stay whole
    above it."""
    with (
        logging_redirect_tqdm([logging.getLogger("tokens")]),
        tqdm(total=total, unit=" devices", delay=1, leave=False, disable=hidden or None) as bar,
    ):
        yield bar
