"""What was answered, on disk before the answer leaves: files to which records are appended.

One record a line: the CRC-32 of the rest in hexadecimal, a space, JSON. A line that is torn or does
not fit its sum was never acknowledged, and counts for nothing. What is written outlives the death
of the process; `sync` has it outlive that of the machine.
"""

import fcntl
import os
import re
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Lock
from typing import Any
from zlib import crc32

import orjson

from tasks.core.errors import ArtifactError, BusyError

Record = dict[str, Any]
_SEGMENT = re.compile(r"(\d{12})\.log")
# So many records are remembered until they are elsewhere; what is more, is read again.
_MOST_HELD = 20_000


class _Segment:
    """A file that is being appended to. `num_bytes`: all that is in it."""

    def __init__(self, path: Path) -> None:
        self._path, self.number, self.num_bytes = path, int(path.stem), 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._file = os.open(path, flags, 0o600)
        self._synced, self._is_syncing, self._num_synced = Condition(), False, 0

    def write(self, data: bytes) -> None:
        """All or nothing. Raises OSError."""
        try:
            if os.write(self._file, data) < len(data):
                raise OSError("the disk is full")
        except OSError:
            # Half a line would take the next one with it.
            os.ftruncate(self._file, self.num_bytes)
            raise
        self.num_bytes += len(data)

    def sync(self, num_bytes: int) -> None:
        """Has so many bytes on the disk itself. Who comes while another waits for the disk, waits
        with those who came meanwhile, for one sync of them all. Raises OSError."""
        with self._synced:
            # Whose bytes a sync has taken along is not kept by the next one.
            self._synced.wait_for(lambda: not self._is_syncing or self._num_synced >= num_bytes)
            if self._num_synced >= num_bytes:
                return
            self._is_syncing, written, num_synced = True, self.num_bytes, self._num_synced
        try:
            os.fdatasync(self._file)
            if not num_synced:
                _sync_folder(self._path.parent)
            num_synced = written
        finally:
            with self._synced:
                self._is_syncing, self._num_synced = False, num_synced
                self._synced.notify_all()

    def close(self) -> None:
        """Once all is on the disk itself. Raises OSError."""
        try:
            self.sync(self.num_bytes)
        finally:
            with self._synced:
                self._synced.wait_for(lambda: not self._is_syncing)
                os.close(self._file)
                # By its number another file may go from now on.
                self._file = -1


def _sync_folder(folder: Path) -> None:
    # A file is found again by its name, and that stands in the folder.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """Records go into the open segment; `rotate` closes it, and closed ones are read and deleted
    once what is in them is elsewhere. One process at a time has a journal."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Raises BusyError if another process has it, ArtifactError if it cannot be written."""
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._owner = (folder / "lock").open("a")
        except OSError as error:
            raise ArtifactError(f"{folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._owner.close()
            raise BusyError(f"{folder}: another server has this journal") from None
        self._open: _Segment | None = None
        # By segment, all that is in it.
        self._held: dict[int, list[Record]] = {}
        left = self.closed()
        self._closed_bytes = sum(path.stat().st_size for path in left)
        self._number = int(left[-1].stem) if left else 0

    @property
    def num_bytes(self) -> int:
        """What waits to be taken elsewhere."""
        segment = self._open
        return self._closed_bytes + (0 if segment is None else segment.num_bytes)

    def append(self, records: Sequence[Record], synced: bool = False) -> None:
        """All of the records or none. `synced`: on the disk itself before it returns.

        Raises ArtifactError if the journal is full or the disk is; and if the disk does not confirm
        that it has them, which it may then all the same.
        """
        data = b"".join(_line(record) for record in records)
        with self._lock:
            if self.num_bytes + len(data) > self._max_bytes:
                raise ArtifactError(f"{self._folder}: holds {self.num_bytes:,} bytes and is full")
            segment = self._open or self._begin()
            try:
                segment.write(data)
            except OSError as error:
                raise self._unwritable(error) from None
            self._hold(records)
            end = segment.num_bytes
        if synced:
            # Outside the lock: others write meanwhile.
            try:
                segment.sync(end)
            except OSError as error:
                raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ArtifactError:
        return ArtifactError(f"{self._folder}: cannot be written: {error}")

    def _hold(self, records: Sequence[Record]) -> None:
        if sum(map(len, self._held.values())) + len(records) > _MOST_HELD:
            self._held.pop(self._number, None)
        elif self._number in self._held:
            self._held[self._number] += records

    def _begin(self) -> _Segment:
        self._number += 1
        path = self._folder / f"{self._number:012d}.log"
        try:
            self._open = _Segment(path)
        except OSError as error:
            raise ArtifactError(f"{path}: {error.strerror}") from None
        self._held[self._number] = []
        return self._open

    def rotate(self) -> None:
        """Closes the open segment, which is then on the disk itself."""
        with self._lock:
            segment, self._open = self._open, None
            if segment is not None:
                self._closed_bytes += segment.num_bytes
        # Outside the lock: nobody waits for the disk.
        if segment is not None:
            segment.close()

    def closed(self) -> list[Path]:
        """The segments that are complete, oldest first."""
        with self._lock:
            current = None if self._open is None else self._open.number
            found = [path for path in self._folder.iterdir() if _SEGMENT.fullmatch(path.name)]
        return sorted(path for path in found if int(path.stem) != current)

    def load(self, path: Path) -> tuple[list[Record], int]:
        """The records of a closed segment, and how many of its lines are damaged. What this process
        wrote, it need not read again."""
        with self._lock:
            held = self._held.get(int(path.stem))
        return load_segment(path) if held is None else (held, 0)

    def drop(self, path: Path) -> None:
        """Deletes a segment whose records are elsewhere."""
        num_bytes = path.stat().st_size
        path.unlink()
        with self._lock:
            self._closed_bytes -= num_bytes
            self._held.pop(int(path.stem), None)

    def close(self) -> None:
        self.rotate()
        self._owner.close()


def load_segment(path: Path) -> tuple[list[Record], int]:
    """The records of a segment, and how many lines are damaged."""
    records: list[Record] = []
    num_damaged = 0
    for line in path.read_bytes().split(b"\n"):
        record = _record(line)
        if record is not None:
            records.append(record)
        elif line:
            num_damaged += 1
    return records, num_damaged


def _line(record: Record) -> bytes:
    body = orjson.dumps(record)
    return b"%08x %b\n" % (crc32(body), body)


def _record(line: bytes) -> Record | None:
    stated, _, body = line.partition(b" ")
    if len(stated) != 8 or b"%08x" % crc32(body) != stated:
        return None
    return orjson.loads(body)
