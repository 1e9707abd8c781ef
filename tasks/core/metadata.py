"""Image files without what they tell of people, places and devices.

Pixels are never decoded: files are cut between the segments, chunks and blocks of their formats,
so what remains is the same to the byte. The orientation stays, since pixels without it are another
picture. Where a file stops making sense it is left alone from there on, for validation to judge.
"""

import re
import struct
import zlib
from binascii import crc32, unhexlify
from collections.abc import Iterator

from tasks.core.edits import Edits
from tasks.core.exif import strip_tiff
from tasks.core.gif import GIF_END, GIF_EXTENSION, gif_blocks


def strip_metadata(data: bytes) -> bytes:
    """The same image without metadata other than orientation; the same object if there is none.

    JPEG, PNG (APNG too), WebP, GIF and TIFF; anything else is returned as it is. What follows the
    end of the image goes as well: cameras put previews with metadata of their own there. Colour
    profiles stay. Never raises, whatever the bytes.
    """
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _strip_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _strip_webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _strip_gif(data)
    if data.startswith((b"II", b"MM")):
        return strip_tiff(data)
    return data


# JPEG: ITU-T T.81, annex B. APP0: JFIF 1.02. APP1: Exif 2.3, XMP part 3. APP2: ICC.1, annex B.
# A marker that may be metadata, or the end: in files without metadata the only hit is at the end.
_JPEG_SUSPECT = re.compile(rb"\xff(?:[\xe1-\xef\xfe\xd9]|\xe0(?!\x00\x10JFIF\x00))")
# In coded data 0xFF is followed by 0 or by a restart marker, neither of which is a segment.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_SOS, _EOI, _APP0, _APP1, _APP15, _COM = 0xDA, 0xD9, 0xE0, 0xE1, 0xEF, 0xFE
_JPEG_EMPTY = b"\xff\xe0\0\2"
_JPEG_KEPT = ((0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe"))


def _strip_jpeg(data: bytes) -> bytes:
    suspect = _JPEG_SUSPECT.search(data)
    if suspect and suspect.end() == len(data) and data.endswith(b"\xff\xd9"):
        return data
    edits = Edits()
    for marker, start, body, end in _jpeg_segments(data):
        if marker == _EOI:
            edits.replace(end, len(data))
        elif marker == _COM or _APP0 <= marker <= _APP15:
            content = data[body:end]
            if marker == _APP0 and content.startswith(b"JFIF\0") and len(content) >= 14:
                if len(content) > 14:  # a thumbnail follows its size, the last two bytes
                    edits.replace(start, end, b"\xff\xe0\0\x10" + content[:12] + b"\0\0")
            elif marker == _APP1 and content.startswith(b"Exif\0\0"):
                edits.drop_exif(start, end, content)
            elif marker == _APP1:
                edits.drop_text(start, end, content)
            elif not any(marker == kept and content.startswith(by) for kept, by in _JPEG_KEPT):
                edits.replace(start, end)
    edited = edits.apply(data, _jpeg_exif)
    if data[2:3] == b"\xff" != edited[2:3]:
        # Junk may follow a segment, but no decoder takes a file that begins with it for a JPEG.
        return edited[:2] + _JPEG_EMPTY + edited[2:]
    return edited


def _jpeg_exif(blob: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(blob) + 8) + b"Exif\0\0" + blob


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Marker, start, start of the content and end of each segment, coded data left out."""
    at, in_scans = 2, False
    # Searching for the next marker, as libjpeg does, passes over coded data, fill bytes and junk.
    while found := _JPEG_MARKER.search(data, at):
        start, body, marker = found.end() - 2, found.end() + 2, found[0][-1]
        if marker == _EOI:
            yield marker, start, found.end(), found.end()
            return
        if body > len(data):
            return
        at = found.end() + struct.unpack_from(">H", data, found.end())[0]
        # One wrong bit in coded data can look like a segment; hardly ever does a marker follow it.
        is_chance = in_scans and marker != _SOS and data[at : at + 1] != b"\xff"
        if at < body or at > len(data) or is_chance:
            return
        in_scans = in_scans or marker == _SOS
        yield marker, start, body, at


# PNG: W3C PNG, third edition, section 11; APNG is part of it.
_PNG_KEPT = {
    b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI",
    b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
}  # fmt: skip


def _strip_png(data: bytes) -> bytes:
    edits = Edits()
    for kind, start, end in _png_chunks(data):
        if kind == b"IEND":
            edits.replace(end, len(data))
        # A chunk whose name starts with a capital is critical: no decoder can do without.
        elif kind in _PNG_KEPT or kind[:1].isupper():
            continue
        elif kind == b"eXIf":
            edits.drop_exif(start, end, data[start + 8 : end - 4])
        elif profile := _raw_profile(kind, data[start + 8 : end - 4]):
            edits.drop_exif(start, end, profile)
        else:
            edits.drop_text(start, end, data[start + 8 : end - 4])
    return edits.apply(data, _png_exif)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data) or not kind.isalpha():
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _raw_profile(kind: bytes, content: bytes) -> bytes:
    """EXIF as ImageMagick writes it into text: name, length and hexadecimal digits, in lines."""
    keyword, _, text = content.partition(b"\0")
    if keyword != b"Raw profile type exif":
        return b""
    try:
        if kind == b"zTXt":
            # As much as a JPEG segment holds, in hexadecimal: what is longer is no EXIF.
            text = zlib.decompressobj().decompress(text[1:], 140_000)
        return unhexlify(b"".join(text.split(b"\n")[3:]))
    except (zlib.error, ValueError):
        return b""


def _png_exif(blob: bytes) -> bytes:
    return struct.pack(">I", len(blob)) + b"eXIf" + blob + struct.pack(">I", crc32(b"eXIf" + blob))


# WebP: RFC 9649, section 2.
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04


def _strip_webp(data: bytes) -> bytes:
    edits = Edits()
    flags_at = None
    end = 12
    for kind, start, end in _webp_chunks(data):
        if kind == b"VP8X" and end - start >= 18:
            flags_at = start + 8
        elif kind == b"EXIF":
            edits.drop_exif(start, end, data[start + 8 : end])
        elif kind not in _WEBP_KEPT:
            edits.drop_text(start, end, data[start + 8 : end])
    declared = struct.unpack_from("<I", data, 4)[0]
    body = data[:end] if end == 8 + declared else data
    # Only the extended format has a place for EXIF.
    edited = edits.apply(body, _webp_exif if flags_at is not None else None)
    if edited is body:
        return body
    out = bytearray(edited)
    struct.pack_into("<I", out, 4, min(declared + len(edited) - len(body), 0xFFFFFFFE))
    if flags_at is not None:
        out[flags_at] &= 0xFF ^ (_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)
        out[flags_at] |= _WEBP_EXIF_FLAG if edits.orientation != 1 else 0
    return bytes(out)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at, limit = 12, min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    while at + 8 <= limit:
        kind, size = struct.unpack_from("<4sI", data, at)
        end = at + 8 + size
        if end > limit or not kind.rstrip().isalnum():
            return
        end = min(end + size % 2, limit)
        yield kind, at, end
        at = end


def _webp_exif(blob: bytes) -> bytes:
    return b"EXIF" + struct.pack("<I", len(blob)) + blob


# GIF: GIF89a specification, sections 17 to 27; NETSCAPE2.0 and ANIMEXTS1.0 say how often to repeat.
_GIF_KEPT_LABELS = {0x01, 0xF9}  # text that is drawn, times and transparency
_GIF_APPLICATION = 0xFF
_GIF_KEPT_APPLICATIONS = {b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"}


def _strip_gif(data: bytes) -> bytes:
    edits = Edits()
    for kind, start, end in gif_blocks(data):
        if kind == GIF_END:
            edits.replace(end, len(data))
        elif kind == GIF_EXTENSION:
            label, application = data[start + 1], data[start + 3 : start + 14]
            is_known = label == _GIF_APPLICATION and application in _GIF_KEPT_APPLICATIONS
            if label not in _GIF_KEPT_LABELS and not is_known:
                edits.replace(start, end)
    return edits.apply(data)
