"""Progress of long work: a bar on a terminal, sparse lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 15.0


def progress(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    """Yields `items` and shows how many of `total` (None: not known) are done."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=title, file=sys.stderr, leave=False)
        return
    last = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            of_total = f" of {total:,}" if total else ""
            print(f"{title}: {number:,}{of_total}", file=sys.stderr, flush=True)
