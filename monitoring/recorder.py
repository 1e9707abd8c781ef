"""Takes what the journal holds to the store, in the background and once, and forgets in time."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import NamedTuple

from monitoring.images import KeptImages
from monitoring.journal import Journal, Record
from monitoring.store import Store

_EVERY_SECONDS = 0.5
_RETENTION_SECONDS = 3600.0
_LONGEST_PAUSE_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Retention(NamedTuple):
    """How long predictions and images are kept, in days, and how many predictions."""

    days: float
    rows: int
    image_days: float


class Recorder:
    """A thread that empties the journal into the store as long as there is a store; while there is
    none, the journal grows. What a segment holds is written before the segment goes, and once: its
    ids are known if it is read again."""

    def __init__(
        self, journal: Journal, store: Store, images: KeptImages, retention: Retention
    ) -> None:
        self._journal, self._store, self._images = journal, store, images
        self._retention = retention
        self._ending = Event()
        self.num_failures = 0
        self.is_behind = False
        self._thread = Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def append(self, records: Sequence[Record], synced: bool) -> None:
        """Returns once the records outlive this process. Raises ArtifactError if they cannot."""
        self._journal.append(records, synced)

    @property
    def num_bytes(self) -> int:
        """What waits in the journal."""
        return self._journal.num_bytes

    def stop(self) -> None:
        """Writes what it can; the rest stays in the journal for the next start."""
        self._ending.set()
        self._thread.join()
        self._journal.close()
        self._store.close()

    def _run(self) -> None:
        pause, forgotten = _EVERY_SECONDS, float("-inf")
        while not self._ending.wait(pause):
            pause = _EVERY_SECONDS if self._empty() else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if time.monotonic() - forgotten > _RETENTION_SECONDS and not self.is_behind:
                forgotten = time.monotonic()
                self._forget()
        self._empty()

    def _empty(self) -> bool:
        """Whether all that was in the journal is in the store now."""
        try:
            self._journal.rotate()
            for path in self._journal.closed():
                records, num_damaged = self._journal.load(path)
                if num_damaged:
                    _log.warning("%s: %d lines are damaged and left out", path, num_damaged)
                self._store.add(records)
                self._journal.drop(path)
        except Exception as error:
            # Whatever it is, the thread must live: it is the only one that empties the journal.
            self.num_failures += 1
            if not self.is_behind:
                _log.error("%s; predictions wait in the journal", error)
            self.is_behind = True
            return False
        if self.is_behind:
            _log.warning("the store is there again")
        self.is_behind = False
        return True

    def _forget(self) -> None:
        try:
            before = datetime.now(UTC) - timedelta(days=self._retention.days)
            self._store.delete_old(before, self._retention.rows)
            self._images.delete_old(self._retention.image_days)
        except Exception as error:
            _log.error("old predictions stay: %s", error)
