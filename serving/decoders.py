"""Decoding in a process of its own: a decoder that crashes, hangs or takes all memory costs the
image that did it, and nothing else."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from tasks.core.errors import ImageError
from tasks.core.incoming import Incoming, take_in
from tasks.core.lifetime import end_with_parent
from tasks.core.pixels import Canonical

File = tuple[bytes, str]
Taken = Incoming | ImageError


class _Deadly(NamedTuple):
    """Why a decoder had to be ended."""

    detail: str


class Decoder:
    """A process that is asked for a batch at a time, by one thread."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long an image may take."""
        self._seconds = seconds
        self._start()

    def take_in(self, files: Sequence[File], canonical: Canonical) -> list[Taken]:
        """As `tasks.core.incoming.take_in`. An image that the process does not survive, or that
        takes too long, is refused as `crashed_decoder`."""
        found = self._ask(files, canonical)
        if not isinstance(found, _Deadly):
            return found
        if len(files) == 1:
            return [ImageError("crashed_decoder", found.detail)]
        # One of them did it, the others are innocent.
        return [one for file in files for one in self.take_in([file], canonical)]

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._ours.close()

    def _ask(self, files: Sequence[File], canonical: Canonical) -> list[Taken] | _Deadly:
        try:
            self._ours.send((files, canonical))
            if self._ours.poll(self._seconds):
                return self._ours.recv()
            deadly = _Deadly(f"it was not decoded within {self._seconds:g} s")
        except (EOFError, OSError):
            deadly = _Deadly("the process that decoded it died")
        self.close()
        self._start()
        return deadly

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection) -> None:
    end_with_parent(above=False)
    while True:
        try:
            files, canonical = pipe.recv()
        except EOFError:
            return
        pipe.send(take_in(files, canonical))
