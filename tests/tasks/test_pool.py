"""Pieces come back in order from real processes, and a worker that dies takes nothing along."""

import io
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.artifacts.images import RawImage, raw_table
from tasks.core.errors import ArtifactError, ImageError
from tasks.core.gate import Limits
from tasks.decoding import MeasuredGroup, measure_row_group, wanted_images
from tasks.pool import Piece, Salvaged, Workers, find_pieces, intact

LIMITS = Limits(max_file_bytes=1000, max_pixels=1000, max_frames=1, min_size=1)


@pytest.fixture
def shards(tmp_path) -> list[Path]:
    file = io.BytesIO()
    Image.new("L", (8, 8), 7).save(file, "PNG")
    paths = []
    for name, count in (("b", 5), ("a", 1), ("c", 9)):
        rows = [RawImage(f"{name}{number}", file.getvalue(), "x") for number in range(count)]
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(raw_table(rows), paths[-1], row_group_size=2 if name != "c" else 9)
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
    with Workers(num_workers, measure_row_group) as workers:
        results = list(workers.map(pieces, (LIMITS,)))
    assert [piece for piece, _ in results] == pieces
    groups = [group for _, group in results if isinstance(group, MeasuredGroup)]
    ids = [image_id for group in groups for image_id, _ in group.measured]
    assert ids == ["b0", "b1", "b2", "b3", "b4", "a0", *(f"c{n}" for n in range(9))]


def test_no_pieces_give_no_results():
    with Workers(1, measure_row_group) as workers:
        assert list(workers.map([], ())) == []


DEADLY = {"b2", "c0", "c7"}


def die_of_some(piece: Piece) -> list[str]:
    """As a decoder that crashes on some images does."""
    ids = [image.image_id for image in wanted_images(piece)]
    if not DEADLY.isdisjoint(ids):
        os.kill(os.getpid(), signal.SIGKILL)
    return ids


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_worker_that_dies_costs_the_deadly_images_alone(shards, num_workers):
    pieces = find_pieces(dict.fromkeys(shards))
    done: list[str] = []
    deadly: list[str] = []
    with Workers(num_workers, die_of_some) as workers:
        results = list(workers.map(pieces, ()))
    assert [piece for piece, _ in results] == pieces
    for _, result in results:
        if isinstance(result, Salvaged):
            deadly += result.deadly
            done += [image_id for part in result.parts for image_id in part]
        else:
            done += result
    assert set(deadly) == DEADLY
    everything = [f"b{n}" for n in range(5)] + ["a0"] + [f"c{n}" for n in range(9)]
    assert done == [image_id for image_id in everything if image_id not in DEADLY]


def test_those_who_need_every_image_are_told_of_the_deadly_one(shards):
    with Workers(1, die_of_some) as workers:
        results = intact(workers.map(find_pieces({shards[2]: frozenset({"c7", "c8"})}), ()))
        with pytest.raises(ArtifactError, match=r"killed while it read c\.parquet.*\['c7'\]"):
            list(results)


def refuse(piece: Piece, limits: Limits) -> None:
    raise ImageError("corrupt", f"{piece.group} {limits.max_frames}")


def test_an_error_in_a_worker_arrives_as_it_was(shards):
    with (
        Workers(1, refuse) as workers,
        pytest.raises(ImageError, match="corrupt: 0 1") as caught,
    ):
        list(workers.map(find_pieces({shards[1]: None}), (LIMITS,)))
    assert caught.value.reason == "corrupt"
