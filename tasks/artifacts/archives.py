"""Archives of images, read as the folder that they would unpack to, without unpacking them there.

Every member is checked before the first is read. Archives within archives are not opened. In memory
are one image and, of each member, what the archive lists of it: less than 1 kB.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tasks.artifacts.folders import (
    Arrival,
    is_image_name,
    place_images,
    printable,
    sorted_images,
    too_many_bytes,
)
from tasks.artifacts.members import Member, Members
from tasks.artifacts.tars import open_tar
from tasks.artifacts.zips import open_zip
from tasks.core.errors import ImageError, SourceError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
# Deflate reaches 1,032 on zeros; a picture of one colour some hundreds, a pile of pictures hardly
# 10. The allowance is for small archives of flat pictures.
_MAX_RATIO, _ALLOWANCE_BYTES = 100, 16_000_000
_MAX_NAME = 4096
_DRIVE = re.compile(r"[A-Za-z]:")


class Place(NamedTuple):
    """An archive, and the folder inside it that counts as the root (empty: all of it)."""

    file: Path
    inside: str


def find_archive(root: Path) -> Place | None:
    """The archive that a path names or leads into (`photos.zip/2026`); None if there is none."""
    for file in (root, *root.parents):
        if file.name.lower().endswith(ENDINGS) and file.is_file():
            inside = root.relative_to(file).as_posix()
            return Place(file, "" if inside == "." else f"{inside}/")
    return None


def list_archive(place: Place, unlabelled: list[str]) -> Iterator[Arrival]:
    """The images of an archive, labelled as those of a folder are.

    Raises:
        SourceError: the archive is damaged as a whole or cut; a member is a link, a device or
            encrypted, has a name that leads out or that another has; all of it unpacks to more
            than images would; or its folders are not as `list_folder` expects.
    """
    root = str(place.file / place.inside)
    with _opened(place.file) as members:
        found = _find_images(place, members)
        for path, split, label in place_images(root, list(found), unlabelled):
            data, problem = _read(members, found[path])
            yield Arrival(printable(path), data, label, split, problem=problem)


def list_members(place: Place) -> Iterator[Arrival]:
    """The images of an archive, whatever its folders are called.

    Raises SourceError as `list_archive` does for the archive and its members.
    """
    with _opened(place.file) as members:
        for path, found in _find_images(place, members).items():
            data, problem = _read(members, found)
            yield Arrival(printable(path), data, problem=problem)


def _opened(file: Path) -> AbstractContextManager[Members]:
    try:
        file.open("rb").close()
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}") from error
    if file.suffix.lower() == ".zip":
        return open_zip(file)
    return open_tar(file, _max_bytes(file))


def _max_bytes(file: Path) -> int:
    return _MAX_RATIO * file.stat().st_size + _ALLOWANCE_BYTES


class _Found(NamedTuple):
    number: int
    num_bytes: int


def _find_images(place: Place, members: Iterable[Member]) -> dict[str, _Found]:
    """The images beneath `place.inside`, by their path in it and in order of it; hidden ones are
    left out."""
    found: dict[str, _Found] = {}
    total = 0
    for number, (path, member) in enumerate(_checked(place.file, members)):
        if not is_image_name(path) or not path.startswith(place.inside):
            continue
        path = path[len(place.inside) :]
        if any(part.startswith(".") for part in path.split("/")):
            continue
        found[path] = _Found(number, member.num_bytes)
        total += member.num_bytes
    if total > _max_bytes(place.file):
        raise SourceError(
            f"{place.file}: unpacks to {total:,} bytes, which no images would; expected "
            f"{_max_bytes(place.file):,} at most"
        )
    return {path: found[path] for path in sorted_images(str(place.file / place.inside), [*found])}


def _checked(file: Path, members: Iterable[Member]) -> Iterator[tuple[str, Member]]:
    """Each member with its path, which is empty for a folder."""
    seen: set[str] = set()
    for member in members:
        where = f"{file}: member {_shown(member.name)}"
        if reason := _unsafe(member.name):
            raise SourceError(f"{where}: its name {reason}; expected a path within the archive")
        if member.kind == "folder":
            yield "", member
            continue
        if member.kind != "file":
            raise SourceError(f"{where}: is {member.kind}; expected plain files and folders")
        path = str(PurePosixPath(member.name))
        if path in seen:
            raise SourceError(f"{where}: is there more than once")
        seen.add(path)
        yield path, member


def _unsafe(name: str) -> str:
    """What is wrong with a member's name; empty if nothing is."""
    if not name:
        return "is empty"
    if len(name) > _MAX_NAME:
        return f"has {len(name):,} characters"
    if "\0" in name or "\\" in name:
        return "holds a backslash or NUL"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    return "leads upwards" if ".." in name.split("/") else ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "…")


def _read(members: Members, found: _Found) -> tuple[bytes, str]:
    """The bytes of a member and, if it cannot be read, the problem as an `Arrival` states it."""
    if problem := too_many_bytes(found.num_bytes):
        return b"", problem
    try:
        return members.read(found.number), ""
    except ImageError as error:
        return b"", str(error)
