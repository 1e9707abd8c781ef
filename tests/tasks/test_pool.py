"""Pieces come back in order from real processes, and a killed worker is told."""

import io
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.artifacts.images import RawImage, raw_table
from tasks.core.errors import ArtifactError, ImageError
from tasks.core.pixels import Canonical
from tasks.pool import Piece, find_pieces, map_pieces
from tasks.validate import measure_row_group


@pytest.fixture
def shards(tmp_path) -> list[Path]:
    file = io.BytesIO()
    Image.new("L", (8, 8), 7).save(file, "PNG")
    paths = []
    for name, count in (("b", 5), ("a", 1)):
        rows = [RawImage(f"{name}{number}", file.getvalue(), "x") for number in range(count)]
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(raw_table(rows), paths[-1], row_group_size=2)
    return paths


def test_pieces_are_all_row_groups_in_order(shards):
    wanted = frozenset({"a0"})
    pieces = find_pieces({shards[0]: None, shards[1]: wanted})
    assert pieces == [
        Piece(shards[0], 0, False, None),
        Piece(shards[0], 1, False, None),
        Piece(shards[0], 2, True, None),
        Piece(shards[1], 0, True, wanted),
    ]


def test_a_torn_shard_is_told(tmp_path):
    (tmp_path / "s.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"s\.parquet: is not a readable shard"):
        find_pieces({tmp_path / "s.parquet": None})


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_order_of_pieces(shards, num_workers):
    pieces = find_pieces(dict.fromkeys(shards))
    results = list(map_pieces(measure_row_group, pieces, (1000, 1), num_workers))
    assert [piece for piece, _ in results] == pieces
    ids = [image_id for _, frame in results for image_id in frame["image_id"]]
    assert ids == ["b0", "b1", "b2", "b3", "b4", "a0"]


def test_no_pieces_need_no_process():
    assert list(map_pieces(measure_row_group, [], (), 1)) == []


def kill_itself(piece: Piece) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(piece: Piece, canonical: Canonical) -> None:
    raise ImageError("corrupt", f"{piece.group} {canonical.size}")


def test_a_killed_worker_is_told_with_its_shard(shards):
    pieces = find_pieces({shards[1]: None})
    with pytest.raises(ArtifactError, match=r"a worker was killed while it read \['a\.parquet'\]"):
        list(map_pieces(kill_itself, pieces, (), 1))


def test_an_error_in_a_worker_arrives_as_it_was(shards):
    canonical = Canonical(size=4, channels=1, resize="pad", max_pixels=1)
    with pytest.raises(ImageError, match="corrupt: 0 4") as caught:
        list(map_pieces(refuse, find_pieces({shards[1]: None}), (canonical,), 1))
    assert caught.value.reason == "corrupt"
