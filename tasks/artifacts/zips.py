"""Zip archives: what they list and hold, however they lie.

Read through `zipfile`, which never gives more of a member than its listed size. Only members that
are stored or deflated are read, the two ways whose memory is bounded.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tasks.artifacts.members import Member
from tasks.core.errors import ImageError, SourceError

_ENCRYPTED, _UTF8 = 0x1, 0x800
_LOCAL_HEADER_BYTES = 30
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for bytes that are not what they should be.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, OverflowError,
    ValueError,
)  # fmt: skip


class ZipMembers:
    """As `Members` has it."""

    def __init__(self, opened: zipfile.ZipFile, num_bytes: int):
        """Raises SourceError if members overlap or lie outside of the file's `num_bytes`."""
        self._opened = opened
        self._infos = opened.infolist()
        _check_spans(self._infos, num_bytes)

    def __iter__(self) -> Iterator[Member]:
        for listed in self._infos:
            yield Member(_name(listed), _kind(listed), listed.file_size)

    def read(self, number: int) -> bytes:
        """Raises ImageError `unreadable` if the member is damaged or packed in another way."""
        listed = self._infos[number]
        if listed.compress_type not in _COMPRESSIONS:
            raise ImageError(
                "unreadable",
                f"packed by method {listed.compress_type}; expected 0 (stored) or 8 (deflated)",
            )
        try:
            with self._opened.open(listed) as member:
                data = member.read(listed.file_size)
        except _BROKEN as error:
            raise ImageError("unreadable", f"damaged in its archive: {error}") from error
        if len(data) != listed.file_size:
            raise ImageError(
                "unreadable",
                f"damaged in its archive: {len(data):,} bytes of {listed.file_size:,} are there",
            )
        return data


@contextmanager
def open_zip(file: Path) -> Iterator[ZipMembers]:
    """Raises SourceError if it is no zip archive, cut short, or one whose members overlap."""
    try:
        opened = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise SourceError(f"{file}: is not a whole zip archive: {error}") from error
    with opened:
        try:
            members = ZipMembers(opened, file.stat().st_size)
        except SourceError as error:
            raise SourceError(f"{file}: {error}") from None
        yield members


def _check_spans(infos: Sequence[zipfile.ZipInfo], num_bytes: int) -> None:
    """Members that share bytes make gigabytes of kilobytes
    (Fifield, A better zip bomb, WOOT 2019)."""
    spans = sorted(
        (info.header_offset, info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size)
        for info in infos
    )
    if spans and (spans[0][0] < 0 or max(end for _, end in spans) > num_bytes):
        raise SourceError("lists members that lie outside of it")
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise SourceError("lists members that overlap")


def _name(listed: zipfile.ZipInfo) -> str:
    # As it was written: `filename` ends at a NUL. The archiver of macOS writes UTF-8 and does not
    # say so; text in the old code page is hardly ever valid UTF-8.
    name = listed.orig_filename
    if name.isascii() or listed.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _kind(listed: zipfile.ZipInfo) -> str:
    if listed.flag_bits & _ENCRYPTED:
        return "encrypted"
    # The upper half is what Unix calls the mode; other systems leave it empty.
    mode = listed.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a device or pipe"
    return "folder" if listed.orig_filename.endswith("/") or stat.S_ISDIR(mode) else "file"
