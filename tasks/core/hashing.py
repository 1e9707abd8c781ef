"""Draws that depend on content alone: the same everywhere and for ever."""

from hashlib import sha256


def content_id(data: bytes) -> str:
    """32 hexadecimal digits."""
    return sha256(data).hexdigest()[:32]


def id_fraction(image_id: str) -> float:
    """A number in [0, 1) that looks uniform over what `content_id` gives."""
    return int(image_id[19:32], 16) / 2**52


def hashed_fraction(key: bytes) -> float:
    """A number in [0, 1) that looks uniform over keys."""
    # 53 bits are what a float holds: one more could round up to 1.
    return (int.from_bytes(sha256(key).digest()[:7], "big") >> 3) / 2**53
