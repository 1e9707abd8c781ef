"""Work on raw shards in several processes, a row group at a time."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from tasks.artifacts.images import load_ids, num_row_groups
from tasks.core.errors import ArtifactError
from tasks.core.lifetime import end_with_parent

Result = TypeVar("Result")


class Piece(NamedTuple):
    """A row group of a shard, whether it is the shard's last, and which of its images are asked
    for (None: all)."""

    shard: Path
    group: int
    is_last: bool
    wanted: frozenset[str] | None


class Salvaged(NamedTuple):
    """What came of a piece during which a worker died: results of its parts, and the images that
    no worker survived."""

    parts: list[Any]
    deadly: list[str]


def find_pieces(wanted: Mapping[Path, frozenset[str] | None]) -> list[Piece]:
    """All row groups of the shards that are the keys of `wanted`, in order."""
    pieces = []
    for shard, image_ids in wanted.items():
        count = num_row_groups(shard)
        pieces += [Piece(shard, group, group == count - 1, image_ids) for group in range(count)]
    return pieces


class Workers:
    """Processes that are started with the block, so that they get ready while it begins, and end
    with it."""

    def __init__(self, num_workers: int, function: Callable[..., Any]):
        """`function`: what they will be asked for, whose module they import at once."""
        assert num_workers >= 1, num_workers
        self._num_workers = num_workers
        self._function = function

    def __enter__(self) -> Self:
        self._pool = _started(self._num_workers)
        for _ in range(self._num_workers):
            self._pool.submit(_get_ready, self._function)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def map(self, pieces: list[Piece], arguments: tuple) -> Iterator[tuple[Piece, Any | Salvaged]]:
        """Yields `function(piece, *arguments)` for each piece, in order.

        At most two pieces per worker are under way, so that memory does not grow with the data.
        A worker that is killed, by its decoder or by a lack of memory, takes nothing along: what
        was under way is done again, each piece by itself, and what came of that is `Salvaged`.
        """
        ahead = deque(pieces)
        waiting: deque[tuple[Piece, Future]] = deque()
        while ahead or waiting:
            try:
                while ahead and len(waiting) < 2 * self._num_workers:
                    waiting.append((ahead[0], self._submit(ahead[0], arguments)))
                    ahead.popleft()
                piece, result = waiting[0][0], waiting[0][1].result()
                waiting.popleft()
                yield piece, result
            except BrokenProcessPool:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = _started(self._num_workers)
                for piece, future in waiting:
                    is_done = future.done() and future.exception() is None
                    yield piece, future.result() if is_done else self._salvage(piece, arguments)
                waiting.clear()

    def _submit(self, piece: Piece, arguments: tuple) -> Future:
        return self._pool.submit(self._function, piece, *arguments)

    def _salvage(self, piece: Piece, arguments: tuple) -> Salvaged:
        """Halves the piece until each part either is done or is one image that kills."""
        salvaged = Salvaged([], [])
        ids = load_ids(piece.shard, piece.group)
        parts = deque([[one for one in ids if piece.wanted is None or one in piece.wanted]])
        while parts:
            part = parts.popleft()
            try:
                with _started(1) as alone:
                    asked = piece._replace(wanted=frozenset(part))
                    salvaged.parts.append(alone.submit(self._function, asked, *arguments).result())
            except BrokenProcessPool:
                if len(part) <= 1:
                    salvaged.deadly.extend(part)
                else:
                    middle = len(part) // 2
                    parts.extendleft([part[middle:], part[:middle]])
        return salvaged


def intact(results: Iterator[tuple[Piece, Any | Salvaged]]) -> Iterator[tuple[Piece, Any]]:
    """The results of those who cannot do without an image.

    Raises ArtifactError if a worker was killed.
    """
    for piece, result in results:
        if isinstance(result, Salvaged):
            raise ArtifactError(
                f"a worker was killed while it read {piece.shard.name}; too little memory, or an "
                f"image that crashes its decoder: {result.deadly[:5]}"
            )
        yield piece, result


def _started(num_workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, context, initializer=end_with_parent)


def _get_ready(function: Callable[..., Any]) -> None:
    """Nothing more than the import of the function's module, which comes with its name."""
