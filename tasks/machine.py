"""The machine that a command runs on: its processor, as Linux tells it, and its memory."""

import ctypes
import hashlib
import platform
from pathlib import Path
from typing import NamedTuple

# mallopt(3) of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_VECTOR_FLAGS = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16")


class Processor(NamedTuple):
    """`flags`: the instruction sets it has."""

    model: str
    flags: frozenset[str]


def load_processor() -> Processor:
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        return Processor(platform.processor() or platform.machine(), frozenset())
    flags = facts.get("flags") or facts.get("Features", "")
    return Processor(facts.get("model name") or platform.machine(), frozenset(flags.split()))


def describe_processor() -> str:
    """The model, and a hash of the vector instructions, which sums are ordered by."""
    processor = load_processor()
    vectors = " ".join(sorted(flag for flag in processor.flags if flag.startswith(_VECTOR_FLAGS)))
    digest = hashlib.sha256(vectors.encode()).hexdigest()[:8]
    return f"{processor.model}, vector instructions {digest}"


def keep_freed_memory() -> None:
    """Has this process keep the memory it frees, where its C library is GNU's.

    A net frees its activations at every step and asks for as much at the next. By default each of
    those blocks goes back to the system, which then hands out pages to be zeroed once more.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(_TOP_PAD, 2**26)
