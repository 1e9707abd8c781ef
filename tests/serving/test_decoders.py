"""A decoder that dies or hangs costs the image that did it."""

import os
import signal

import numpy as np
import pytest

from benchmarks.gate_fuzz import find_faults
from serving.decoders import Decoder
from tasks.core.errors import ImageError
from tasks.core.incoming import Incoming, take_in
from tasks.core.pixels import Canonical
from tests.serving.champions import LIMITS, png

CANONICAL = Canonical(size=8, channels=1, resize="squash", limits=LIMITS)


@pytest.fixture
def decoder():
    decoder = Decoder(20.0)
    yield decoder
    decoder.close()


def shades(decoder, *asked):
    """Of the first pixels of what is decoded."""
    taken = decoder.take_in([(png(shade), "") for shade in asked], CANONICAL)
    return [int(one.pixels[0, 0, 0]) for one in taken]


def test_it_gives_what_the_function_gives(decoder):
    faults = [fault for fault in find_faults() if len(fault.data) < 100_000]
    files = [(png(77), "a.png"), *((fault.data, fault.name) for fault in faults)]
    given, expected = decoder.take_in(files, CANONICAL), take_in(files, CANONICAL)
    whole, same = given[0], expected[0]
    assert isinstance(whole, Incoming) and isinstance(same, Incoming)
    np.testing.assert_array_equal(whole.pixels, same.pixels)
    assert whole.measures == same.measures
    refused = [one.reason for one in given if isinstance(one, ImageError)]
    assert refused == [fault.reason for fault in faults]


def test_a_killed_process_is_replaced_and_the_batch_done_again(decoder):
    decoder._process.kill()
    decoder._process.join()
    assert shades(decoder, 1, 2) == [1, 2]


def test_an_image_that_takes_too_long_is_refused_and_the_next_is_not():
    decoder = Decoder(20.0)
    try:
        assert shades(decoder, 1) == [1]
        assert decoder._process.pid is not None
        os.kill(decoder._process.pid, signal.SIGSTOP)
        decoder._seconds = 0.5
        (given,) = decoder.take_in([(png(1), "")], CANONICAL)
        assert isinstance(given, ImageError) and given.reason == "crashed_decoder"
        assert "0.5 s" in given.detail
        decoder._seconds = 20.0
        assert shades(decoder, 9) == [9]
    finally:
        decoder.close()
