"""Work on raw shards in several processes, a row group at a time."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, TypeVar

from tasks.artifacts.images import num_row_groups
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


def find_pieces(wanted: Mapping[Path, frozenset[str] | None]) -> list[Piece]:
    """All row groups of the shards that are the keys of `wanted`, in order."""
    pieces = []
    for shard, image_ids in wanted.items():
        count = num_row_groups(shard)
        pieces += [Piece(shard, group, group == count - 1, image_ids) for group in range(count)]
    return pieces


def map_pieces(
    function: Callable[..., Result], pieces: list[Piece], arguments: tuple, num_workers: int
) -> Iterator[tuple[Piece, Result]]:
    """Yields `function(piece, *arguments)` for each piece, in order.

    At most two pieces per worker are under way, so that memory does not grow with the data.

    Raises ArtifactError if a worker is killed, as by a lack of memory.
    """
    if not pieces:
        return
    waiting: deque[tuple[Piece, Future[Result]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=end_with_parent) as pool:
        try:
            for piece in pieces:
                waiting.append((piece, pool.submit(function, piece, *arguments)))
                if len(waiting) >= 2 * num_workers:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        except BrokenProcessPool as error:
            shards = sorted({piece.shard.name for piece, _ in waiting})
            raise ArtifactError(
                f"a worker was killed while it read {shards}; too little memory, or an image that "
                "crashes its decoder"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _first(waiting: deque[tuple[Piece, Future[Result]]]) -> tuple[Piece, Result]:
    piece, future = waiting[0]
    result = future.result()
    waiting.popleft()
    return piece, result
