from collections.abc import Iterable

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


def add_up(counts: Iterable[int], *, total: int, hidden: bool = False) -> int:
    """Add up counts of devices as they come in. A bar on stderr shows the sum out of `total`.

    The bar appears after one second, and only on a terminal. Log lines stay whole above it.
    """
    done = 0
    with (
        logging_redirect_tqdm(),
        tqdm(total=total, unit=" devices", delay=1, leave=False, disable=hidden or None) as bar,
    ):
        for count in counts:
            done += count
            bar.update(count)
    return done
