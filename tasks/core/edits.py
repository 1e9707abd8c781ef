"""Spans of a file to cut out, and the orientation that they stated."""

import re
from collections.abc import Callable

from tasks.core.exif import only_orientation, orientation

# XMP specification part 2, section 8.6 (the TIFF namespace): an attribute or an element.
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")


class Edits:
    """Spans to replace, given in the order of the file, and the orientation that they stated."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int, bytes]] = []
        self._exif: int | None = None
        self._xmp: int | None = None
        self._place: int | None = None

    def replace(self, start: int, end: int, by: bytes = b"") -> None:
        if start < end:
            self.spans.append((start, end, by))

    def drop_exif(self, start: int, end: int, blob: bytes) -> None:
        self._exif = self._exif or orientation(blob)
        self._drop_with_place(start, end)

    def drop_text(self, start: int, end: int, text: bytes) -> None:
        """Drops what may be XMP, whose orientation counts where EXIF states none."""
        if stated := _XMP_ORIENTATION.search(text):
            self._xmp = self._xmp or int(stated[1])
        self._drop_with_place(start, end)

    def _drop_with_place(self, start: int, end: int) -> None:
        if self._place is None:
            self._place = len(self.spans)
        self.replace(start, end)

    @property
    def orientation(self) -> int:
        return self._exif or self._xmp or 1

    def apply(self, data: bytes, wrapped: Callable[[bytes], bytes] | None = None) -> bytes:
        """The data as edited, with an orientation that is not 1 as minimal EXIF, wrapped."""
        if not self.spans:
            return data
        if wrapped is not None and self._place is not None and self.orientation != 1:
            start, end, _ = self.spans[self._place]
            only = wrapped(only_orientation(self.orientation))
            self.spans[self._place] = (start, end, only)
        pieces, at = [], 0
        for start, end, by in self.spans:
            pieces += [data[at:start], by]
            at = end
        edited = b"".join([*pieces, data[at:]])
        return data if edited == data else edited
