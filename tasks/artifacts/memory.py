"""What a stage remembers of shards that it has read before, in a folder that anyone may delete."""

import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy
import PIL
import simplejpeg

from tasks.artifacts.atomic import replacing

_ROOT = Path(".cache")
_CODE = Path(__file__).parents[1]


class Memory:
    """One file per shard, named by the shard's content, the arguments and the code that read it."""

    def __init__(self, stage: str, suffix: str, *arguments: Any):
        self._folder = _ROOT / stage
        self._suffix = suffix
        versions = [library.__version__ for library in (PIL, cv2, numpy, simplejpeg)]
        self._basis = repr((arguments, _code(), versions))

    def path(self, shard: Path, *arguments: Any) -> Path:
        """Where the result for a shard is remembered, or would be.

        A shard's name is a hash of its content, so the name stands for the bytes.
        """
        key = hashlib.sha256(repr((shard.stem, self._basis, arguments)).encode()).hexdigest()[:24]
        return self._folder / f"{key}{self._suffix}"

    def keep_only(self, paths: set[Path]) -> None:
        """Deletes what no shard of this snapshot needs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{self._suffix}"):
            if path not in paths:
                path.unlink()


def link(remembered: Path, path: Path) -> None:
    """The same file under a second name, without a second copy where the file system allows."""
    try:
        os.link(remembered, path)
    except OSError:
        with replacing(path) as temporary:
            temporary.write_bytes(remembered.read_bytes())


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
