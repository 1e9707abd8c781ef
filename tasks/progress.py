"""Progress of long work: a bar on a terminal, sparse lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_UPDATES = 0.5


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


class LearningBar:
    """How far a training is, which knows its loss but must not ask the device for it too often."""

    def __init__(self, title: str, num_images: int, num_done: int):
        self._title, self._total, self._done = title, num_images, num_done
        self._num_before = num_done
        self._started = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            bar = tqdm(total=num_images, initial=num_done, desc=title, unit=" images", leave=False)
            self._bar = bar

    def advance(self, num_images: int) -> bool:
        """Whether it is time to `show` something."""
        self._done += num_images
        seconds = _SECONDS_BETWEEN_LINES if self._bar is None else _SECONDS_BETWEEN_UPDATES
        return time.monotonic() - self._last >= seconds

    def show(self, told: str) -> None:
        self._last = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.n = self._done
            self._bar.refresh()
            return
        speed = (self._done - self._num_before) / (self._last - self._started)
        left = _duration((self._total - self._done) / speed) if speed else "?"
        line = f"{self._title}: {told}, {speed:,.0f} images/s, {left} left"
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
