"""The processor that a command runs on, as Linux tells it."""

import hashlib
import platform
from pathlib import Path
from typing import NamedTuple

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
