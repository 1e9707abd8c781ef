"""Every image is measured or rejected with a reason; the verdict follows from the suites alone."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from expectations.check import Checked, Finding
from tasks.artifacts.images import RawImage, raw_table
from tasks.core.issues import find_issues
from tasks.core.measures import measure
from tasks.core.pixels import decode
from tasks.decoding import measure_row_group
from tasks.pool import Piece
from tasks.validate import Params, find_rejected, judge, measure_shards

THRESHOLDS = dict.fromkeys(
    (
        *("dark", "light", "low_contrast", "low_information", "near_uniform", "blurred"),
        *("odd_aspect", "odd_size", "odd_colour", "over_compressed"),
    ),
    0.1,
)
PARAMS = Params.model_validate(
    {
        **{"max_pixels": 10_000, "max_file_bytes": 100_000, "max_frames": 2, "min_size": 4},
        **{
            "max_rejected_fraction": 0.1,
            "issues": THRESHOLDS,
            "issue_fence": 3.0,
            "expectations": {"raw": [], "measures": []},
        },
    }
)
LIMITS = PARAMS.limits()


def png(number: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, images: dict[str, bytes], row_group_size: int | None = None) -> Path:
    rows = [RawImage(image_id, data, "x.png") for image_id, data in images.items()]
    pq.write_table(raw_table(rows), path, row_group_size=row_group_size)
    return path


MIXED = {"a": png(1), "b": b"", "c": png(2)[:60], "d": png(3, 3), "e": png(4, 200), "f": png(5)}


def test_each_image_is_measured_or_rejected_with_a_reason(tmp_path):
    path = shard(tmp_path / "s.parquet", MIXED)
    group = measure_row_group(Piece(path, 0, True, None), LIMITS)
    assert {one.image_id: one.reason for one in group.rejected} == {
        "b": "empty",
        "c": "truncated",
        "d": "too_small",
        "e": "too_large",
    }
    details = {one.image_id: one.detail for one in group.rejected}
    assert all(details.values())
    assert "3 × 3 pixels; expected 4" in details["d"]
    expected = measure([(decode(MIXED[name], "", LIMITS), len(MIXED[name])) for name in "af"])
    assert group.measured == list(zip("af", expected, strict=True))


def test_only_wanted_images_are_measured(tmp_path):
    path = shard(tmp_path / "s.parquet", MIXED)
    group = measure_row_group(Piece(path, 0, True, frozenset("fb")), LIMITS)
    assert [image_id for image_id, _ in group.measured] == ["f"]
    assert [one.image_id for one in group.rejected] == ["b"]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shards_are_measured_once_and_remembered(elsewhere):
    shards = [
        shard(elsewhere / "s1.parquet", MIXED, row_group_size=4),
        shard(elsewhere / "s2.parquet", {"g": b"", "h": png(9)}),
    ]
    measured = measure_shards(shards, PARAMS, 1)
    assert sorted(measured.measures["image_id"]) == ["a", "f", "h"]
    assert sorted(measured.rejected["image_id"]) == ["b", "c", "d", "e", "g"]
    assert measured.measures["width"].dtype == "int64"
    # Measured again, these bytes could not be read.
    for path in shards:
        path.write_bytes(b"")
    again = measure_shards(shards, PARAMS, 1)
    pd.testing.assert_frame_equal(again.measures, measured.measures)
    pd.testing.assert_frame_equal(again.rejected, measured.rejected)
    measure_shards(shards[:1], PARAMS, 1)
    assert len(list((elsewhere / ".cache" / "validate").iterdir())) == 1


def arrived(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(name, f"s/{name}", problem) for name, problem in rows],
        columns=["image_id", "path", "problem"],
        dtype="string",
    )


def rejected(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(name, reason, "why") for name, reason in rows],
        columns=["image_id", "reason", "detail"],
        dtype="string",
    )


def test_what_could_not_be_read_goes_before_what_could_not_be_decoded():
    quarantine = find_rejected(
        arrived(("a", ""), ("b", "wrong_hash: not 12: but 34"), ("c", "")),
        rejected(("b", "empty"), ("c", "corrupt")),
    )
    assert list(quarantine.itertuples(index=False, name=None)) == [
        ("b", "s/b", "wrong_hash", "not 12: but 34", "b"),
        ("c", "s/c", "corrupt", "why", "c"),
    ]


def test_nothing_rejected_is_an_empty_quarantine():
    quarantine = find_rejected(arrived(("a", "")), rejected())
    assert len(quarantine) == 0 and "reason" in quarantine


NO_ISSUES = find_issues(pd.DataFrame(), PARAMS.issues, PARAMS.issue_fence)


def checked(*passed: tuple[bool, str]) -> Checked:
    return Checked(
        "some",
        3,
        [
            Finding(f"r{n}", "c", severity, ok, 1, 0, "d", [])
            for n, (ok, severity) in enumerate(passed)
        ],
    )


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([(True, "critical")], "pass"),
        ([(True, "critical"), (False, "warning")], "pass"),
        ([(True, "critical"), (False, "critical")], "fail"),
        ([], "pass"),
    ],
)
def test_only_a_critical_finding_fails(findings, verdict):
    quarantine = find_rejected(arrived(("a", ""), ("b", "unreadable: x")), rejected())
    document = judge(
        arrived(("a", ""), ("b", "unreadable: x")),
        quarantine,
        NO_ISSUES,
        [checked((True, "critical")), checked(*findings)],
        LIMITS,
    )
    assert document["verdict"] == verdict
    assert bool(document["reasons"]) == (verdict == "fail")
    assert document["rejected_fraction"] == 0.5
    assert document["rejected_by_reason"] == {"unreadable": 1}


def test_nothing_that_arrived_is_no_division_by_nothing():
    assert (
        judge(arrived(), find_rejected(arrived(), rejected()), NO_ISSUES, [], LIMITS)[
            "rejected_fraction"
        ]
        == 0
    )
