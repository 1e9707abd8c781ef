"""What archives of every kind tell of a member."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Member(NamedTuple):
    """`kind` is `file`, `folder`, or what else it is, in words; `num_bytes` as read, not packed."""

    name: str
    kind: str
    num_bytes: int


class Members(Protocol):
    """The members of an open archive, in its own order, as it states them."""

    def __iter__(self) -> Iterator[Member]: ...

    def read(self, number: int) -> bytes:
        """The data of a file, by its number in order. Raises ImageError `unreadable`."""
        ...
