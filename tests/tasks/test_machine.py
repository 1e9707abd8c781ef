"""Freed memory stays with the process, by the C library's own account of it."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIZE = 64 * 2**20
# mallinfo2(3): ten counts, of which the fourth is blocks mapped one by one and the ninth is bytes
# that are free and kept.
ACCOUNT = f"""
import ctypes
import sys
from tasks.machine import keep_freed_memory
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
library.malloc.argtypes = [ctypes.c_size_t]
library.mallinfo2.restype = type("Account", (ctypes.Structure,), {{
    "_fields_": [(f"count{{number}}", ctypes.c_size_t) for number in range(10)]
}})
if "keep" in sys.argv:
    keep_freed_memory()
mapped = library.mallinfo2().count3
block = library.malloc({SIZE})
mapped = library.mallinfo2().count3 - mapped
library.free(block)
print(mapped, int(library.mallinfo2().count8 >= {SIZE}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("does", "mapped", "kept"), [("nothing", "1", "0"), ("keep", "0", "1")])
def test_a_large_block_comes_from_the_heap_and_stays_there(does, mapped, kept):
    command = [sys.executable, "-c", ACCOUNT, does]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.stdout.split(), ran.stderr) == ([mapped, kept], "")
