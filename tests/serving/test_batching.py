"""Batches grow under load, a lone job waits for nobody, and nothing is lost on the way."""

import asyncio
import threading

import pytest

from serving.batching import Batcher, FullError


def test_what_arrives_while_a_batch_is_worked_on_makes_up_the_next():
    begun, go, batches = threading.Event(), threading.Event(), []

    def work(jobs):
        batches.append(list(jobs))
        begun.set()
        go.wait(10)
        return [job * 10 for job in jobs]

    async def run():
        batcher = Batcher([work], max_batch=3, max_queue=100)
        first = batcher.submit([0])
        await asyncio.to_thread(begun.wait, 10)
        others = batcher.submit([1, 2, 3, 4])
        given_up = batcher.submit([5])
        given_up[0].cancel()
        last = batcher.submit([6])
        assert batcher.num_waiting == 6
        go.set()
        results = await asyncio.gather(*first, *others, *last)
        await batcher.close()
        return results

    assert asyncio.run(run()) == [0, 10, 20, 30, 40, 60]
    assert batches == [[0], [1, 2, 3], [4, 6]]


def test_more_than_may_wait_is_refused_whole():
    go = threading.Event()

    def work(jobs):
        go.wait(10)
        return jobs

    async def run():
        batcher = Batcher([work], max_batch=1, max_queue=2)
        futures = batcher.submit([0])
        futures += batcher.submit([1])
        with pytest.raises(FullError):
            batcher.submit([2, 3])
        futures += batcher.submit([4])
        with pytest.raises(FullError):
            batcher.submit([5])
        go.set()
        assert await asyncio.gather(*futures) == [0, 1, 4]
        await batcher.close()

    asyncio.run(run())


def test_an_error_is_told_to_those_of_its_batch_alone():
    def work(jobs):
        if 13 in jobs:
            raise ValueError("unlucky")
        return jobs

    async def run():
        batcher = Batcher([work], max_batch=1, max_queue=9)
        futures = batcher.submit([1, 13, 2])
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert results[0::2] == [1, 2] and str(results[1]) == "unlucky"
        await batcher.close()

    asyncio.run(run())


def test_closing_waits_for_all_that_was_submitted_and_threads_share_the_work():
    barrier = threading.Barrier(2)

    def work(jobs):
        barrier.wait(10)
        return jobs

    async def run():
        batcher = Batcher([work, work], max_batch=1, max_queue=9)
        futures = batcher.submit([1, 2, 3, 4])
        await batcher.close()
        assert [future.result() for future in futures] == [1, 2, 3, 4]

    asyncio.run(run())
