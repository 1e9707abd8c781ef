"""TIFF directories: the orientation that EXIF states, and TIFF files without their metadata.

EXIF is a TIFF file without pixels (JEITA CP-3451, Exif 2.3, section 4.5). Tag numbers and types are
those of TIFF 6.0 (Adobe, 1992), the EXIF standard, and the BigTIFF design of libtiff.
"""

import struct
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

ORIENTATION = 0x0112
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_PRIVATE_DIRECTORIES = {_EXIF, _GPS, _INTEROPERABILITY}
_SUB_IMAGES = 0x014A
# Where pixels lie and how long they are: strips, tiles, old-style JPEG.
_PIXELS = ((0x0111, 0x0117), (0x0144, 0x0145), (0x0201, 0x0202))

_ASCII = 2
_INK_NAMES = 0x014D
_BINARY_METADATA = {
    0x02BC,  # XMP
    0x83BB,  # IPTC
    0x8649,  # Photoshop image resources
    0x935C,  # Photoshop layers and masks
    0x927C,  # MakerNote
    0x9286,  # UserComment
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,  # title, comment, author, keywords, subject of Windows
    0x830E, 0x8480, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1,  # GeoTIFF: where on earth
    0xC4A5,  # PrintIM
    0xC634,  # DNG private data
    0xC65D,  # DNG identifier of the raw file
    0xC696, 0xC697,  # ImageJ
}  # fmt: skip

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_SIZES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_MAX_DIRECTORIES = 10_000  # a file of more exists to keep us reading
Span = tuple[int, int]


class _Layout(NamedTuple):
    """Byte order and widths: a directory is a count, entries, the offset of the next directory."""

    order: str
    count: str
    entry: str
    offset: str
    first: int


class _Entry(NamedTuple):
    tag: int
    kind: int
    count: int
    at: int
    value: Span
    is_inline: bool


class _Directory(NamedTuple):
    start: int
    end: int
    entries: list[_Entry]
    next: int


def orientation(exif: bytes) -> int | None:
    """What EXIF says of the orientation, 1 to 8, or None where it says nothing readable."""
    # Some writers put the prefix of JPEG's segment in other formats too, or put it twice.
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    layout = _layout(exif)
    if layout is None:
        return None
    for entry in _entries(exif, layout, _number(exif, layout, layout.first)):
        if entry.tag == ORIENTATION:
            values = _integers(exif, layout, entry)
            return values[0] if len(values) == 1 and 1 <= values[0] <= 8 else None
    return None


def only_orientation(value: int) -> bytes:
    """EXIF, without the prefix of JPEG's segment, that states the orientation and nothing else."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, ORIENTATION, 3, 1, value, 0, 0)


def strip_tiff(data: bytes) -> bytes:
    """The same TIFF file, of the same length, without metadata.

    Entries of text and of metadata leave their directories, and their values are zeroed. No other
    byte moves; bytes that belong to pixels or to other entries stay, whoever else points to them.
    What cannot be read as a directory stays as it is.
    """
    layout = _layout(data)
    if layout is None:
        return data
    images, private = _directories(data, layout)
    dropped = [(one.start, one.end) for one in private]
    kept: list[Span] = []
    rewritten: list[_Directory] = []
    for directory in images:
        pixels = _pixels(data, layout, directory)
        doomed = [entry for entry in directory.entries if _is_metadata(entry)]
        dropped += [entry.value for entry in doomed]
        kept += [e.value for e in directory.entries if not (_is_metadata(e) or e.is_inline)]
        kept += pixels
        # A directory that reaches into its pixels has a wrong count: its last entries are none.
        is_sound = all(end <= directory.start or directory.end <= start for start, end in pixels)
        if doomed and is_sound:
            rewritten.append(directory)
        else:
            kept.append((directory.start, directory.end))
    if not dropped:
        return data
    dropped += [e.value for one in private for e in one.entries if not e.is_inline]
    out = bytearray(data)
    for start, end in _merged(dropped, len(data)):
        out[start:end] = bytes(end - start)
    for start, end in _merged(kept, len(data)):
        out[start:end] = data[start:end]
    for directory in rewritten:
        out[directory.start : directory.end] = _without_metadata(data, layout, directory)
    return data if out == data else bytes(out)


def _layout(data: bytes) -> _Layout | None:
    if data[:4] in (b"II*\0", b"MM\0*") and len(data) >= 8:
        return _Layout("<" if data[0] == 0x49 else ">", "H", "HHI", "I", 4)
    if data[:8] in (b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0") and len(data) >= 16:
        return _Layout("<" if data[0] == 0x49 else ">", "Q", "HHQ", "Q", 8)
    return None


def _number(data: bytes, layout: _Layout, at: int) -> int:
    return struct.unpack_from(layout.order + layout.offset, data, at)[0]


def _entries(data: bytes, layout: _Layout, start: int) -> Iterator[_Entry]:
    """The entries of the directory at `start` that lie within the data, at most 65,535."""
    count_size, room = struct.calcsize(layout.count), struct.calcsize(layout.offset)
    head = struct.calcsize("<" + layout.entry)
    if start + count_size > len(data):
        return
    declared = struct.unpack_from(layout.order + layout.count, data, start)[0]
    at = start + count_size
    for _ in range(min(declared, 0xFFFF)):
        if at + head + room > len(data):
            return
        tag, kind, count = struct.unpack_from(layout.order + layout.entry, data, at)
        size = count * _TYPE_SIZES.get(kind, 1)
        is_inline = size <= room
        begin = at + head if is_inline else _number(data, layout, at + head)
        yield _Entry(tag, kind, count, at, (begin, begin + size), is_inline)
        at += head + room


def _directory(data: bytes, layout: _Layout, start: int) -> _Directory | None:
    """The directory at `start`, or None where it does not lie within the data as a whole."""
    count_size = struct.calcsize(layout.count)
    if start == 0 or start + count_size > len(data):
        return None
    declared = struct.unpack_from(layout.order + layout.count, data, start)[0]
    end = start + count_size + declared * struct.calcsize("<" + layout.entry + layout.offset)
    after = end + struct.calcsize(layout.offset)
    if declared > 0xFFFF or after > len(data):
        return None
    return _Directory(start, after, list(_entries(data, layout, start)), _number(data, layout, end))


def _directories(data: bytes, layout: _Layout) -> tuple[list[_Directory], list[_Directory]]:
    """The directories of images, and those that hold nothing but metadata."""
    images: list[_Directory] = []
    private: list[_Directory] = []
    waiting = [(_number(data, layout, layout.first), images)]
    seen: set[int] = set()
    # What is read of a sound file does not overlap; a hostile one could keep us reading for years.
    budget = len(data)
    while waiting and len(images) + len(private) < _MAX_DIRECTORIES:
        start, found = waiting.pop()
        directory = None if start in seen else _directory(data, layout, start)
        seen.add(start)
        if directory is None:
            continue
        budget -= directory.end - directory.start + _read_size(directory, len(data))
        if budget < 0:
            break
        found.append(directory)
        if found is images:
            waiting.append((directory.next, images))
        for entry in directory.entries:
            if entry.tag in _PRIVATE_DIRECTORIES or entry.tag == _SUB_IMAGES:
                into = private if entry.tag in _PRIVATE_DIRECTORIES else found
                waiting += [(offset, into) for offset in _integers(data, layout, entry)]
    return images, private


def _read_size(directory: _Directory, size: int) -> int:
    """Bytes outside the directory that `_integers` will read for it."""
    read = {_SUB_IMAGES, *_PRIVATE_DIRECTORIES, *(tag for pair in _PIXELS for tag in pair)}
    values = [e.value for e in directory.entries if e.tag in read and not e.is_inline]
    return sum(end - start for start, end in values if end <= size)


def _integers(data: bytes, layout: _Layout, entry: _Entry) -> tuple[int, ...]:
    """The values of the entry, or none where they are not whole numbers within the data."""
    start, end = entry.value
    if entry.kind not in _INTEGERS or end > len(data):
        return ()
    return struct.unpack_from(f"{layout.order}{entry.count}{_INTEGERS[entry.kind]}", data, start)


def _pixels(data: bytes, layout: _Layout, directory: _Directory) -> list[Span]:
    by_tag = {entry.tag: entry for entry in reversed(directory.entries)}
    spans: list[Span] = []
    for starts, sizes in _PIXELS:
        if starts in by_tag:
            begins = _integers(data, layout, by_tag[starts])
            lengths = _integers(data, layout, by_tag[sizes]) if sizes in by_tag else ()
            # Where it is not known how long, the rest of the file may be pixels.
            both = zip_longest(begins, lengths[: len(begins)], fillvalue=len(data))
            spans += [(begin, begin + length) for begin, length in both]
    return spans


def _is_metadata(entry: _Entry) -> bool:
    # No text says how to decode pixels; the names of the inks say what the channels are.
    if entry.kind == _ASCII:
        return entry.tag != _INK_NAMES
    return entry.tag in _BINARY_METADATA or entry.tag in _PRIVATE_DIRECTORIES


def _merged(spans: list[Span], size: int) -> Iterator[Span]:
    """The same bytes as spans that do not overlap, cut at `size`: each byte is written once."""
    covered = 0
    for start, end in sorted(spans):
        start, end = max(start, covered), min(end, size)
        if start < end:
            yield start, end
            covered = end


def _without_metadata(data: bytes, layout: _Layout, directory: _Directory) -> bytes:
    width = struct.calcsize("<" + layout.entry + layout.offset)
    entries = [data[e.at : e.at + width] for e in directory.entries if not _is_metadata(e)]
    count = struct.pack(layout.order + layout.count, len(entries))
    following = struct.pack(layout.order + layout.offset, directory.next)
    return (count + b"".join(entries) + following).ljust(directory.end - directory.start, b"\0")
