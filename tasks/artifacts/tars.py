"""Tar archives, plain or gzipped: what they list and hold, however they lie.

The chain of headers is followed here and each is read by `tarfile`, whose own way along the chain
trusts the sizes that headers state: of Python 3.11 it can be led round for ever, made to take any
amount of memory, and takes a damaged header for the end of the archive.
"""

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tasks.artifacts.members import Member
from tasks.core.errors import ImageError, SourceError

_BLOCK = tarfile.BLOCKSIZE
# The longest path that Linux takes has 4 kB, its extended attributes 64 kB each.
_MAX_HEADER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_SHARED, _EXTENDED = tarfile.XGLTYPE, (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}
# In place of the keys that GNU tar has for them.
_SPARSE = "holes"
_OTHER_KIND = "a device, pipe or the like"


class _Header(NamedTuple):
    """`body` is where the data begin, `size` their length in bytes."""

    name: str
    type: bytes
    body: int
    size: int


class TarMembers:
    """As `Members` has it."""

    def __init__(self, opened: IO[bytes]):
        """Raises SourceError, naming the byte, where the archive is damaged or cut."""
        self._opened = opened
        self._num_bytes = opened.seek(0, 2)
        self._members: list[Member] = []
        self._starts: list[int] = []
        self._list()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def read(self, number: int) -> bytes:
        num_bytes = self._members[number].num_bytes
        try:
            data = self._read(self._starts[number], num_bytes)
        except OSError as error:
            raise ImageError("unreadable", f"within its archive: {error.strerror}") from error
        if len(data) != num_bytes:
            raise ImageError("unreadable", "its archive has become shorter")
        return data

    def _list(self) -> None:
        at = 0
        shared: dict[str, bytes] = {}
        own: dict[str, bytes] = {}
        while header := self._header(at):
            at = _padded(header.body + header.size)
            if header.type == _SHARED:
                shared |= _records(self._extension(header), header.body)
            elif header.type in _EXTENDED:
                own |= _records(self._extension(header), header.body)
            elif header.type == _LONG_NAME:
                own["path"] = self._extension(header).split(b"\0")[0]
            elif header.type == _LONG_LINK:
                self._extension(header)
            else:
                at = self._add(header, shared | own)
                own = {}
                # Where the data of another kind end is another matter, and it is refused anyway.
                if self._members[-1].kind not in ("file", "folder"):
                    return
        if own:
            raise SourceError(f"is cut short at byte {at:,}: a name without its member")

    def _add(self, header: _Header, extended: dict[str, bytes]) -> int:
        """Lists a member; returns where the next header begins."""
        kind = _KINDS.get(header.type, _OTHER_KIND)
        if _SPARSE in extended:
            kind = _KINDS[tarfile.GNUTYPE_SPARSE]
        name = extended["path"].decode("utf-8", "surrogateescape") if "path" in extended else None
        size = _whole(extended["size"], header.body) if "size" in extended else header.size
        size = size if kind == "file" else 0
        end = _padded(header.body + size)
        if header.body + size > self._num_bytes:
            raise SourceError(f"is cut short at byte {self._num_bytes:,}; expected {end:,} or more")
        self._members.append(Member(header.name if name is None else name, kind, size))
        self._starts.append(header.body)
        return end

    def _header(self, at: int) -> _Header | None:
        """The header at a byte; None at the end mark, a block of zeros."""
        block = self._read(at, _BLOCK)
        if len(block) < _BLOCK:
            raise SourceError(f"is cut short at byte {at + len(block):,}: no end mark")
        if not any(block):
            return None
        try:
            found = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise SourceError(f"is damaged at byte {at:,}: {error}") from None
        if found.size < 0:
            raise SourceError(f"is damaged at byte {at:,}: a size of {found.size}")
        return _Header(found.name, found.type, at + _BLOCK, found.size)

    def _extension(self, header: _Header) -> bytes:
        if header.size > _MAX_HEADER_BYTES:
            raise SourceError(
                f"is damaged at byte {header.body:,}: a header of {header.size:,} bytes; expected "
                f"{_MAX_HEADER_BYTES:,} at most"
            )
        body = self._read(header.body, header.size)
        if len(body) < header.size:
            raise SourceError(f"is cut short at byte {self._num_bytes:,}: within a header")
        return body

    def _read(self, at: int, size: int) -> bytes:
        self._opened.seek(at)
        return self._opened.read(size)


def _padded(at: int) -> int:
    return -(-at // _BLOCK) * _BLOCK


def _records(body: bytes, start: int) -> dict[str, bytes]:
    """The records `<length> <key>=<value>\\n` that bear on what is read: `path`, `size`, holes
    (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html)."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(body) and body[at]:
        digits = body[at : at + 21].partition(b" ")[0]
        end = at + _whole(digits, start + at)
        key, equals, value = body[at + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            raise SourceError(f"is damaged at byte {start + at:,}: expected a record of pax")
        if key in (b"path", b"size"):
            records[key.decode()] = value
        elif key.startswith(b"GNU.sparse."):
            records[_SPARSE] = value
        at = end
    return records


def _whole(digits: bytes, at: int) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise SourceError(f"is damaged at byte {at:,}: {digits[:20]!r} is no length")
    return int(digits)


@contextmanager
def open_tar(file: Path, max_bytes: int) -> Iterator[TarMembers]:
    """Raises SourceError if it is no tar archive, damaged, cut short, or unpacks to more than
    `max_bytes`."""
    with file.open("rb") if file.suffix.lower() == ".tar" else _unzipped(file, max_bytes) as opened:
        try:
            members = TarMembers(opened)
        except SourceError as error:
            raise SourceError(f"{file}: {error}") from None
        yield members


@contextmanager
def _unzipped(file: Path, max_bytes: int) -> Iterator[IO[bytes]]:
    """The tar within, in a file without a name: in order of path, members lie far apart, and gzip
    only reads forward."""
    with tempfile.TemporaryFile() as whole:
        for piece in _pieces(file):
            if whole.tell() + len(piece) > max_bytes:
                raise SourceError(
                    f"{file}: unpacks to more than {max_bytes:,} bytes, which no images would"
                )
            try:
                whole.write(piece)
                whole.flush()
            except OSError as error:
                raise SourceError(
                    f"{file}: cannot be unpacked in {tempfile.gettempdir()}: {error.strerror}; "
                    "TMPDIR may name another folder"
                ) from error
        yield whole


def _pieces(file: Path) -> Iterator[bytes]:
    with gzip.open(file) as packed:
        try:
            while piece := packed.read(_PIECE_BYTES):
                yield piece
        except (EOFError, OSError, zlib.error) as error:
            raise SourceError(f"{file}: is not a whole gzip file: {error}") from error
