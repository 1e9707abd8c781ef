"""Images that are kept for people to look at and to label: a uniform sample, and all abstentions.

    python -m monitoring.images --out data/production --store sqlite:///runs/monitoring/store.sqlite

writes those that are still there as files beside a manifest.csv (path, label, split, captured_at),
which ingest takes as a source of type `manifest`. An image without feedback has no label.
"""

import argparse
import csv
import errno
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken

from monitoring.layout import open_store
from monitoring.references import read_reference
from monitoring.store import DEFAULT_STORE, Store
from monitoring.tables import FEEDBACK, PREDICTIONS
from tasks.artifacts.atomic import replacing_folder
from tasks.core.errors import ArtifactError, ParamsError, TilthError
from tasks.core.gate import find_extension
from tasks.core.hashing import id_fraction

Kept = Literal["", "sample", "abstained"]
_SECONDS_A_DAY = 86_400
_ENCRYPTED = ".fernet"


def why_kept(prediction_id: str, abstained: bool, fraction: float) -> Kept:
    """A sample depends on the id alone, whose last digits are drawn at random: abstentions are in
    it as often as the rest, so that it stands for all."""
    if id_fraction(prediction_id) < fraction:
        return "sample"
    return "abstained" if abstained else ""


def images_folder() -> Path:
    """Where the service keeps them, by the settings that it is given."""
    return Path(os.environ.get("TILTH_SERVE_FOLDER", "runs/monitoring")) / "images"


def load_cipher(reference: str) -> Fernet | None:
    """None for an empty reference. Raises ParamsError if it names no Fernet key."""
    if not reference:
        return None
    try:
        return Fernet(read_reference(reference, "the key of kept images"))
    except ValueError:
        raise ParamsError(
            "the key of kept images: expected 32 bytes in URL-safe base64, as "
            "cryptography.fernet.Fernet.generate_key() makes them"
        ) from None


class KeptImages:
    """A folder of image files, each named by its prediction, encrypted where there is a cipher."""

    def __init__(self, folder: Path, cipher: Fernet | None) -> None:
        self._folder, self._cipher = folder, cipher

    def keep(self, prediction_id: str, data: bytes) -> None:
        """Raises ArtifactError if it cannot be written."""
        ending = "" if self._cipher is None else _ENCRYPTED
        content = data if self._cipher is None else self._cipher.encrypt(data)
        path = f"{self._folder}/{prediction_id}{ending}"
        try:
            try:
                _write(path, content)
            except FileNotFoundError:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write(path, content)
        except OSError as error:
            raise ArtifactError(f"{path}: {error.strerror}") from None

    def load(self, prediction_id: str) -> bytes | None:
        """None if it was not kept, or not so long. Raises ArtifactError if it is encrypted under
        another key."""
        with suppress(FileNotFoundError):
            return (self._folder / prediction_id).read_bytes()
        try:
            token = (self._folder / f"{prediction_id}{_ENCRYPTED}").read_bytes()
        except FileNotFoundError:
            return None
        try:
            if self._cipher is not None:
                return self._cipher.decrypt(token)
        except InvalidToken:
            pass
        raise ArtifactError(f"{self._folder / prediction_id}: is encrypted under another key")

    def delete_old(self, days: float) -> int:
        """Deletes what was kept longer ago; gives their number."""
        oldest = time.time() - days * _SECONDS_A_DAY
        num_deleted = 0
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    num_deleted += 1
        return num_deleted

    def ids(self) -> list[str]:
        """Of predictions whose image is here, in order."""
        if not self._folder.is_dir():
            return []
        names = {path.name.removesuffix(_ENCRYPTED) for path in self._folder.iterdir()}
        return sorted(name for name in names if not name.startswith("."))


def _write(path: str, content: bytes) -> None:
    """Neither synced nor renamed into its place: the prediction is recorded after it, and an image
    without a prediction is none."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, "the disk is full")
    finally:
        os.close(descriptor)


def export(store: Store, images: KeptImages, out: Path) -> int:
    """Writes the kept images and their manifest as a source of ingest; gives their number.

    Raises ArtifactError if the store or the folder cannot be read or written.
    """
    with replacing_folder(out) as folder:
        lines = io.StringIO()
        manifest = csv.writer(lines, lineterminator="\n")
        manifest.writerow(["path", "label", "split", "captured_at"])
        num_images = 0
        for prediction_id, data in _each(images):
            found = store.load(PREDICTIONS, prediction_id=prediction_id)
            told = store.load(FEEDBACK, prediction_id=prediction_id)
            if not found:
                continue
            moment = datetime.fromtimestamp(found[0]["predicted_at"] / 1e6, UTC)
            path = f"{prediction_id}{find_extension(data)}"
            (folder / path).write_bytes(data)
            label = told[0]["label"] if told else ""
            manifest.writerow([path, label, "", moment.isoformat(timespec="seconds")])
            num_images += 1
        (folder / "manifest.csv").write_text(lines.getvalue(), encoding="utf-8")
    return num_images


def _each(images: KeptImages) -> Iterator[tuple[str, bytes]]:
    for prediction_id in images.ids():
        data = images.load(prediction_id)
        if data is not None:
            yield prediction_id, data


def main(argv: list[str]) -> int:
    """Exit status: 0 done, 1 a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--store", default=os.environ.get("TILTH_SERVE_STORE", DEFAULT_STORE))
    parser.add_argument("--images", type=Path, default=images_folder())
    key = os.environ.get("TILTH_SERVE_IMAGE_KEY", "")
    parser.add_argument("--key", default=key, help="where the Fernet key stands: env: or file:")
    asked = parser.parse_args(argv)
    try:
        store = open_store(asked.store)
        num_images = export(store, KeptImages(asked.images, load_cipher(asked.key)), asked.out)
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{asked.out}: {num_images:,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
