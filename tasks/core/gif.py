"""The blocks of GIF files (GIF89a specification, sections 17 to 27)."""

from collections.abc import Iterator
from itertools import islice

GIF_EXTENSION, GIF_IMAGE, GIF_END = 0x21, 0x2C, 0x3B
# An animation has two blocks a frame; a hostile file could hold millions.
MAX_GIF_BLOCKS = 50_000


def gif_blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of each block, `MAX_GIF_BLOCKS` at most; ends where it makes no sense."""
    yield from islice(_blocks(data), MAX_GIF_BLOCKS)


def _blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    if len(data) < 13:
        return
    at = 13 + _colour_table_size(data[10])
    while at < len(data):
        start, kind = at, data[at]
        if kind == GIF_END:
            yield kind, start, start + 1
            return
        if kind == GIF_EXTENSION:
            at += 2
        elif kind == GIF_IMAGE and start + 10 <= len(data):
            at += 11 + _colour_table_size(data[start + 9])
        elif kind == 0:  # some writers end a block twice, and decoders let them
            at += 1
            continue
        else:
            return
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        if at > len(data):
            return
        yield kind, start, at


def _colour_table_size(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0
