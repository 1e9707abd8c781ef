"""Shards are cut by content: what changes in one place leaves the others as they were."""

from pathlib import Path

import numpy as np
import pytest

from tasks.artifacts.images import RawImage, load_row_group, num_row_groups
from tasks.artifacts.shards import Place, ShardWriter
from tasks.core.hashing import content_id

SHARD_BYTES = 20_000


def images(numbers, size: int = 400) -> list[RawImage]:
    made = []
    for number in numbers:
        data = np.random.default_rng(number).bytes(size + number % 7)
        made.append(RawImage(content_id(data), data, f"{number}.png"))
    return made


def written(folder: Path, listed: list[RawImage], shard_bytes: int = SHARD_BYTES) -> list[Place]:
    folder.mkdir()
    writer = ShardWriter(folder, shard_bytes)
    for image in listed:
        writer.add(image)
    return writer.finish()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(folder: Path, name: str) -> list[RawImage]:
    path = folder / name
    return [image for group in range(num_row_groups(path)) for image in load_row_group(path, group)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "base"
    listed = images(range(1500))
    return folder, listed, written(folder, listed)


def test_the_same_images_give_the_same_names_and_bytes(base, tmp_path):
    folder, listed, places = base
    assert written(tmp_path / "again", listed) == places
    assert contents(tmp_path / "again") == contents(folder)
    assert len(contents(folder)) > 15


def test_places_are_where_the_images_lie(base):
    folder, listed, places = base
    assert len(places) == len(listed)
    shards = {name: read(folder, name) for name in contents(folder)}
    assert sum(map(len, shards.values())) == len(listed)
    for image, place in zip(listed, places, strict=True):
        assert shards[place.shard][place.row] == image


def test_images_of_several_row_groups_have_right_places(tmp_path):
    listed = images(range(4500), size=1)
    places = written(tmp_path / "s", listed, shard_bytes=10**9)
    (name,) = contents(tmp_path / "s")
    assert num_row_groups(tmp_path / "s" / name) == 2
    assert read(tmp_path / "s", name) == listed
    assert places == [Place(name, row) for row in range(4500)]


@pytest.mark.parametrize(
    "change",
    [
        lambda listed: listed[:700] + images(range(9000, 9010)) + listed[700:],
        lambda listed: listed[:700] + listed[701:],
        lambda listed: images([9999]) + listed,
        lambda listed: listed + images([9999]),
    ],
    ids=["inserted", "removed", "before", "after"],
)
def test_a_change_in_one_place_leaves_nearly_all_shards(base, tmp_path, change):
    folder, listed, _ = base
    written(tmp_path / "changed", change(listed))
    before, after = contents(folder), contents(tmp_path / "changed")
    kept = set(before) & set(after)
    assert 1 <= len(set(after) - kept) <= 4
    assert len(kept) >= len(before) - 4
    assert all(before[name] == after[name] for name in kept)


def test_shards_keep_their_bounds(base):
    folder, _, places = base
    order = list(dict.fromkeys(place.shard for place in places))
    sizes = [sum(len(image.data) for image in read(folder, name)) for name in order]
    assert min(sizes[:-1]) >= SHARD_BYTES / 4
    # The image that reaches the bound is the last of its shard.
    assert max(sizes) <= 4 * SHARD_BYTES + 407
    assert SHARD_BYTES / 2 < sum(sizes) / len(sizes) < 2 * SHARD_BYTES


def test_a_bound_ends_a_shard_that_no_draw_ends(tmp_path):
    # One image again and again draws the same each time.
    image = max(images(range(50)), key=lambda each: each.image_id)
    places = written(tmp_path / "s", [image] * 1000)
    per_shard = 4 * SHARD_BYTES / len(image.data)
    assert max(place.row for place in places) + 1 == int(np.ceil(per_shard))


def test_no_images_give_no_shards(tmp_path):
    assert written(tmp_path / "s", []) == []
    assert contents(tmp_path / "s") == {}


def test_files_without_bytes_have_a_place_too(tmp_path):
    listed = [RawImage(str(number), b"", "x") for number in range(10)]
    places = written(tmp_path / "s", listed)
    assert read(tmp_path / "s", places[0].shard) == listed


def test_nothing_unfinished_is_left(base):
    folder, _, _ = base
    assert all(path.suffix == ".parquet" for path in folder.iterdir())
