"""Where images come from: folders, archives, manifests, Parquet files and the built-in digits.

A source lists what it has in order of path, and reads each file when its turn comes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks.artifacts.archives import find_archive, list_archive
from tasks.artifacts.folders import Arrival, list_folder
from tasks.artifacts.manifests import list_manifest
from tasks.artifacts.parquets import list_parquet
from tasks.core.digits import Faults, make_digits
from tasks.core.params import Section


class DigitsSource(Section):
    type: Literal["digits"]
    faults: Faults | None = None


class FolderSource(Section):
    """`root/<class>/…` or `root/<train|val|test>/<class>/…`; folders named in `unlabelled` hold
    images without a class. The root may be an archive (.zip, .tar, .tar.gz, .tgz), or a folder in
    one (`photos.zip/2026`)."""

    type: Literal["folder"]
    root: Annotated[str, Field(min_length=1)]
    unlabelled: list[str] = Field(default_factory=list)


class ManifestSource(Section):
    """A CSV or Parquet table with `path`, `label` and optionally `split`, `group`, `captured_at`,
    `sha256`; paths are relative to the table's folder."""

    type: Literal["manifest"]
    file: Annotated[str, Field(min_length=1)]


class ParquetSource(Section):
    """Parquet files in the Hugging Face image layout: one file, or a folder of them, whose names
    may begin with a split."""

    type: Literal["parquet"]
    root: Annotated[str, Field(min_length=1)]


Source = Annotated[
    DigitsSource | FolderSource | ManifestSource | ParquetSource, Field(discriminator="type")
]


def arrivals(source: Source) -> Iterator[Arrival]:
    """All images of a source in order of path.

    Raises:
        SourceError: the source is missing, empty or malformed, or names a path out of its root.
    """
    if isinstance(source, DigitsSource):
        for digit in make_digits(source.faults):
            yield Arrival(**digit._asdict())
    elif isinstance(source, FolderSource):
        root = Path(source.root)
        if place := find_archive(root):
            yield from list_archive(place, source.unlabelled)
        else:
            yield from list_folder(root, source.unlabelled)
    elif isinstance(source, ManifestSource):
        yield from list_manifest(Path(source.file))
    else:
        yield from list_parquet(Path(source.root))
