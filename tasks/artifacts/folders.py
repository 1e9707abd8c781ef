"""Folders of image files, and what every source hands over for one image."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.core.errors import SourceError

SPLITS = ("train", "val", "test")
EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
# A 25-megapixel image of four 16-bit channels, uncompressed, has 200 MB. What is larger would be
# held in memory only to be refused.
MAX_FILE_BYTES = 1 << 28


class Arrival(NamedTuple):
    """One image as its source gives it.

    `problem` says why `data` is not there: a reason code (`unreadable`, `too_many_bytes`,
    `wrong_hash`), a colon, a sentence. It is empty where nothing is wrong.
    """

    path: str
    data: bytes
    label: str | None = None
    split: str | None = None
    group: str | None = None
    captured_at: str | None = None
    problem: str = ""
    fault: str = ""
    true_label: str | None = None


def list_folder(root: Path, unlabelled: list[str]) -> Iterator[Arrival]:
    """The images of a folder, labelled by the folder names beneath the root.

    Raises:
        SourceError: the root is missing or empty, an image lies outside every class folder, a
            link leads out of the root, or split names and class names are mixed.
    """
    for path, split, label in place_images(str(root), find_images(root), unlabelled):
        data, problem = read_file(f"{root}/{path}")
        yield Arrival(printable(path), data, label, split, problem=problem)


def place_images(
    root: str, paths: list[str], unlabelled: list[str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Each path with its split and its label, as the names of folders beneath the root say.

    Raises SourceError for an image outside every class folder, for split names beside others, and
    for an `unlabelled` folder without images.
    """
    tops = {path.split("/")[0] for path in paths if "/" in path}
    if unknown := sorted(set(unlabelled) - tops):
        raise SourceError(
            f"{root}: `unlabelled` names {unknown}, which hold no image; expected folders right "
            f"beneath the root, as {sorted(tops)[:5]}"
        )
    tops -= set(unlabelled)
    in_splits = bool(tops & set(SPLITS))
    if in_splits and tops - set(SPLITS):
        raise SourceError(
            f"{root}: holds folders named like splits ({sorted(tops & set(SPLITS))}) beside others "
            f"({sorted(tops - set(SPLITS))[:5]}); expected either <class>/… or "
            "<train|val|test>/<class>/…, with others named in `unlabelled`"
        )
    for path in paths:
        yield path, *_place(root, path, in_splits, unlabelled)


def _place(
    root: str, path: str, in_splits: bool, unlabelled: list[str]
) -> tuple[str | None, str | None]:
    parts = path.split("/")
    if parts[0] in unlabelled:
        return None, None
    split = parts.pop(0) if in_splits and len(parts) > 1 else None
    if len(parts) < 2:
        raise SourceError(f"{root}/{path}: lies in no class folder; expected {root}/…<class>/…")
    return split, clean_text(parts[0])


def find_images(root: Path) -> list[str]:
    """Paths of all image files beneath a folder, relative to it, sorted; hidden files are left out.

    Raises SourceError for a missing folder, one without images, and links that lead out of it.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder")
    real_root = os.path.realpath(root)
    found: list[str] = []
    folders = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _check_inside(entry.path, real_root)
                # Unlike `entry.is_dir()`, no error for a link to itself.
                if os.path.isdir(entry.path):
                    raise SourceError(
                        f"{entry.path}: is a link to a folder; links may lead to files"
                    )
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{prefix}{entry.name}/"))
            elif is_image_name(entry.name):
                found.append(prefix + entry.name)
    return sorted_images(str(root), found)


def is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def sorted_images(root: str, paths: list[str]) -> list[str]:
    """Raises SourceError if there are none."""
    if not paths:
        raise SourceError(
            f"{root}: holds no image; expected files ending in {', '.join(sorted(EXTENSIONS))}"
        )
    return sorted(paths)


def _check_inside(path: str, real_root: str) -> None:
    target = os.path.realpath(path)
    if not target.startswith(real_root + os.sep):
        raise SourceError(f"{path}: is a link that leads out of {real_root}")


def read_file(path: str | Path) -> tuple[bytes, str]:
    """The bytes of a file and, if it cannot be read, the problem as an `Arrival` states it."""
    try:
        # Non-blocking, so that a named pipe cannot hold the run.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return b"", _unreadable(error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b"", "unreadable: is not a regular file"
        if problem := too_many_bytes(status.st_size):
            return b"", problem
        data = _read_all(descriptor, status.st_size)
        problem = too_many_bytes(len(data))
        return b"" if problem else data, problem
    except OSError as error:
        return b"", _unreadable(error)
    finally:
        os.close(descriptor)


def _unreadable(error: OSError) -> str:
    return f"unreadable: {error.strerror or type(error).__name__}"


def too_many_bytes(num_bytes: int) -> str:
    """The problem of a file of that size; empty if it may be read."""
    if num_bytes <= MAX_FILE_BYTES:
        return ""
    return f"too_many_bytes: {num_bytes:,} bytes; expected {MAX_FILE_BYTES:,} at most"


def _read_all(descriptor: int, size: int) -> bytes:
    # Descriptors without a file object around them: a third of the time of a small file's `open`.
    data = os.read(descriptor, size + 1)
    # A file may grow while it is read.
    while len(data) != size and len(data) <= MAX_FILE_BYTES:
        more = os.read(descriptor, 1 << 20)
        if not more:
            break
        data += more
    return data


def clean_text(text: str) -> str:
    """Text without surrounding space, in Unicode's composed form, so that look-alikes are equal."""
    return unicodedata.normalize("NFC", printable(text).strip())


def printable(path: str) -> str:
    """A path as valid Unicode: bytes that are not UTF-8 become `\\xNN`."""
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
