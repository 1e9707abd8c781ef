"""Micro-batches: whoever is free takes all that wait.

A lone request waits for nobody, and under load batches grow by themselves: what arrives while one
is worked on makes up the next. So there is no time to wait for, and none to choose.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class FullError(Exception):
    """As many wait as may."""


class Batcher(Generic[Job, Result]):
    """A bounded queue and the threads that work on it. All methods are for the event loop's
    thread."""

    def __init__(
        self, works: Sequence[Callable[[list[Job]], list[Result]]], max_batch: int, max_queue: int
    ) -> None:
        """`works`: what each thread makes of a batch, a result per job."""
        self._free = deque(works)
        self._max_batch, self._max_queue = max_batch, max_queue
        self._queue: deque[tuple[Job, asyncio.Future[Result]]] = deque()
        self._threads = ThreadPoolExecutor(len(works), "batch")
        self._running: set[asyncio.Task[None]] = set()

    @property
    def num_waiting(self) -> int:
        return len(self._queue)

    def submit(self, jobs: Sequence[Job]) -> list[asyncio.Future[Result]]:
        """All of the jobs or none. Raises FullError."""
        if len(self._queue) + len(jobs) > self._max_queue:
            raise FullError
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in jobs]
        self._queue.extend(zip(jobs, futures, strict=True))
        self._begin()
        return futures

    async def close(self) -> None:
        """Ends when all that was submitted is done."""
        while self._running:
            await asyncio.wait(self._running)
        self._threads.shutdown()

    def _begin(self) -> None:
        while self._free and (batch := self._take()):
            task = asyncio.create_task(self._run(self._free.popleft(), batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[tuple[Job, asyncio.Future[Result]]]:
        batch = []
        while self._queue and len(batch) < self._max_batch:
            job, future = self._queue.popleft()
            # Whoever asked may have given up meanwhile.
            if not future.cancelled():
                batch.append((job, future))
        return batch

    async def _run(
        self,
        work: Callable[[list[Job]], list[Result]],
        batch: list[tuple[Job, asyncio.Future[Result]]],
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._threads, work, [job for job, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._free.append(work)
            self._begin()
