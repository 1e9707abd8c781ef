"""The stage as a whole: its page fits, answers on it can be pasted, bytes are the same twice."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.artifacts.documents import load_yaml
from tasks.artifacts.images import save_pixels
from tasks.artifacts.models import Description, new_encoder, save_encoder
from tasks.artifacts.tables import load_csv, save_rows, save_table
from tasks.audit import Params, main
from tasks.core.adoption import Adoption
from tasks.core.decisions import parse_decisions
from tasks.core.gate import Limits
from tasks.core.pixels import Canonical
from tests.nets import tiny

CLASSES = ["ant", "bee <b>", "cat"]
PARAMS = load_yaml(Path(__file__).parents[2] / "params.yaml")["audit"] | {"num_landmarks": 50}
OUTPUTS = (
    *("labels.parquet", "queue.csv", "review.html", "audit.json"),
    *("embeddings.npy", "duplicates.parquet"),
)
ADOPTION = Adoption(score=0.8, fresh_score=0.7, gain=0.1, low=-0.02, high=0.2, adopted=False)
LIMITS = Limits(max_file_bytes=10**6, max_pixels=10**6, max_frames=1, min_size=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Large noisy colour images, the hardest to pack, under labels that nobody could guess."""
    folder = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    pixels = rng.integers(0, 256, (150, 128, 128, 3), dtype=np.uint8)
    save_pixels(pixels, folder / "images/0.npy")
    table = pd.DataFrame(
        {
            "image_id": [f"id{row}" for row in range(150)],
            "path": [f"{row} <i>.jpg" for row in range(150)],
            "label": pd.Series(rng.choice(CLASSES, 150), dtype="string"),
            "group": pd.Series([None] * 150, dtype="string"),
        }
    )
    save_table(table, folder / "manifest.parquet")
    for split, rows in (("train", (0, 110)), ("val", (110, 130)), ("test", (130, 150))):
        save_rows(np.arange(*rows), folder / f"{split}.npy")
    description = Description(
        architecture=tiny(),
        mean=[0.5] * 3,
        std=[0.3] * 3,
        canonical=Canonical(size=128, channels=3, resize="crop", limits=LIMITS),
        classes=[],
        fingerprint={},
        adoption=ADOPTION,
    )
    torch.manual_seed(0)
    save_encoder(new_encoder(description), description, folder / "encoder")
    return folder


def audit(folder: Path, out: Path, lines: list[str], **changed) -> dict:
    out.mkdir()
    (out / "decisions.csv").write_text("\n".join(["image_id,decision,name,time", *lines]) + "\n")
    main(
        images=folder / "images",
        manifest=folder / "manifest.parquet",
        train=folder / "train.npy",
        val=folder / "val.npy",
        test=folder / "test.npy",
        encoder=folder / "encoder",
        decisions=out / "decisions.csv",
        out_embeddings=out / "embeddings.npy",
        out_labels=out / "labels.parquet",
        out_queue=out / "queue.csv",
        out_duplicates=out / "duplicates.parquet",
        out_page=out / "review.html",
        out_metrics=out / "audit.json",
        params=Params.model_validate(PARAMS | changed),
        seed=0,
        num_threads=1,
        precision="float32",
        device="cpu",
    )
    return json.loads((out / "audit.json").read_text())


def test_the_page_fits_whatever_is_asked_and_is_the_same_twice(folder, tmp_path):
    for name in ("first", "second"):
        audit(folder, tmp_path / name, [], num_shown=1000, outlier_reach=0.0)
    first, second = (
        [(tmp_path / name / output).read_bytes() for output in OUTPUTS]
        for name in ("first", "second")
    )
    assert first == second
    page = first[2].decode()
    assert 2_000_000 < len(page) <= 4_000_000
    assert "<b>" not in page and "<i>" not in page


def test_lines_on_the_page_can_be_pasted_once_they_are_signed(folder, tmp_path):
    before = audit(folder, tmp_path / "before", [], num_shown=4)
    page = (tmp_path / "before/review.html").read_text()
    lines = [html.unescape(line) for line in re.findall(r"<pre[^>]*>(.*?)</pre>", page)]
    assert len(lines) == 4
    signed = [line.removesuffix(",,") + ",Ada,2026-01-31" for line in lines]
    after = audit(folder, tmp_path / "after", [*signed, "gone,drop,Ada,2026-01-31"], num_shown=4)
    decided = parse_decisions(load_csv(tmp_path / "after/decisions.csv"), CLASSES, "decisions")
    labels = pd.read_parquet(tmp_path / "after/labels.parquet").set_index("image_id")
    for image_id in set(decided) - {"gone"}:
        assert labels.loc[image_id, "label"] == decided[image_id].label
    assert before["answers"]["num_unknown"] == 0
    assert after["answers"]["first_unknown"] == ["gone"]
    counted = after["answers"]
    assert counted["num_flags_upheld"] + counted["num_unflagged"] == 4
    page = (tmp_path / "after/review.html").read_text()
    assert "they name: 1 (gone)." in page
