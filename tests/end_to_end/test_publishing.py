"""From the candidate to predictions: what is published, what may not be promoted, what is said."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.workspace import load_metrics
from tests.end_to_end.checkout import Checkout, ran, refused, succeeded
from tests.end_to_end.conftest import Copy


@pytest.fixture(scope="module")
def published(copy_at: Copy, finished: Checkout) -> Checkout:
    """A checkout whose candidate became the champion."""
    checkout = copy_at(finished)
    assert succeeded(checkout.module("tasks.publish")) == "published version 1\n"
    return checkout


def test_publishing_sets_the_champion_and_commits_its_record(
    finished: Checkout, published: Checkout
) -> None:
    champion = published.root / "models/champion"
    assert {path.name for path in champion.iterdir()} == {
        "classifier.safetensors",
        "classifier.onnx",
        "reference.parquet",
        "evaluate.json",
        "model_card.html",
        "model_card.md",
    }
    assert (champion / "classifier.safetensors").read_bytes() == (
        finished.root / "models/classifier.safetensors"
    ).read_bytes()
    registry = json.loads((published.root / "models/registry.json").read_text())
    assert registry["aliases"] == {"champion": 1, "previous": None}
    (entry,) = registry["versions"]
    assert entry["version"] == 1
    for key, name in (("sha256", "safetensors"), ("onnx_sha256", "onnx")):
        assert entry[key] == sha256((champion / f"classifier.{name}").read_bytes()).hexdigest()
    assert entry["commit"] == published.git("rev-parse", "HEAD~1").strip()
    tracked = set(published.git("ls-files").splitlines())
    assert {"models/champion.dvc", "models/registry.json", "dvc.lock"} <= tracked
    assert not any(name.startswith("models/champion/") for name in tracked)
    assert published.git("log", "-1", "--format=%s") == "Publish model version 1\n"
    assert published.git("status", "--porcelain") == ""


def test_what_was_published_is_champion_and_publishing_it_again_does_nothing(
    copy_at: Copy, published: Checkout
) -> None:
    copy = copy_at(published)
    head = copy.git("rev-parse", "HEAD")
    assert succeeded(copy.module("tasks.publish")) == "version 1 was published before\n"
    assert copy.git("rev-parse", "HEAD") == head
    assert ran(copy.dvc("repro")) == {"promote", "report", "card"}
    assert load_metrics(copy.root, "promote")["verdict"] == "is_champion"
    record = copy.contents("models/champion", "models/champion.dvc", "models/registry.json")
    assert "version 1 was published before" in succeeded(copy.module("tasks.publish"))
    assert record == copy.contents("models/champion", "models/champion.dvc", "models/registry.json")


def test_without_the_champions_bytes_nothing_is_promoted(
    tmp_path: Path, published: Checkout
) -> None:
    clone = Checkout(tmp_path / "checkout", tmp_path)
    published.git("clone", "--quiet", str(published.root), str(clone.root))
    before = clone.contents("metrics/promote.json", "dvc.lock")
    needed = ("data/clean", "data/labels.parquet", "data/rows", "data/slices.parquet")
    for name in (*needed, "models/classifier.safetensors"):
        source, target = published.root / name, clone.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    refused(clone.stage("promote"), "models/champion", "dvc pull")
    (clone.root / "models/champion").mkdir()
    refused(clone.stage("promote"), "ArtifactError: models/champion", "`dvc pull models/champion`")
    assert clone.contents("metrics/promote.json", "dvc.lock") == before
    (clone.root / "models/champion").rmdir()
    refused(clone.run("dvc", "repro", "--single-item", "promote"), "models/champion")
    assert clone.contents("dvc.lock") == {"dvc.lock": before["dvc.lock"]}


def some_images(checkout: Checkout, folder: Path) -> list[str]:
    """Saves three test images as files; what the net says of each."""
    index = checkout.table("data/raw/index.parquet").set_index("image_id")
    reference = checkout.table("models/reference.parquet").head(3)
    classes = load_metrics(checkout.root, "evaluate")["confusion"]["classes"]
    for number, image_id in enumerate(reference["image_id"]):
        place = index.loc[image_id]
        shard = pq.read_table(checkout.root / "data/raw/shards" / str(place["shard"]))
        data = shard["image"][int(place["row"])].as_py()["bytes"]
        (folder / f"{number}.png").write_bytes(data)
    return [classes[np.argmax(shares)] for shares in reference["probabilities"]]


def test_prediction_of_a_file_a_folder_and_a_table(published: Checkout, tmp_path: Path) -> None:
    folder = tmp_path / "new images"
    folder.mkdir()
    expected = some_images(published, folder)
    one = tmp_path / "one.parquet"
    succeeded(published.module("tasks.predict", str(folder / "0.png"), "--out", str(one)))
    assert pd.read_parquet(one)["label"].tolist() == expected[:1]

    (folder / "broken.png").write_bytes(b"no picture")
    many = tmp_path / "deep/many.csv"
    said = succeeded(published.module("tasks.predict", str(folder), "--out", str(many)))
    assert "4 images, 1 of them unusable" in said
    table = pd.read_csv(many, dtype={"label": str}, keep_default_na=False)
    assert table["path"].tolist() == ["0.png", "1.png", "2.png", "broken.png"]
    assert table["label"].tolist() == [*expected, ""]
    assert table["problem"].tolist()[:3] == [""] * 3
    assert table["problem"].iloc[3].startswith("unknown_format: ")
    shares = table.filter(like="probability_").iloc[:3].astype(float)
    np.testing.assert_allclose(shares.sum(axis=1), 1)

    listed = folder / "list.csv"
    listed.write_text("note,path\nx,2.png\ny,0.png\n")
    out = tmp_path / "listed.parquet"
    succeeded(published.module("tasks.predict", str(listed), "--out", str(out)))
    labels = pd.read_parquet(out).set_index("path")["label"]
    assert labels.to_dict() == {"0.png": expected[0], "2.png": expected[2]}


def test_wrong_questions_for_predictions_are_told_apart(
    published: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/classifier.onnx").write_bytes(b"no model")
    image = tmp_path / "0.png"
    some_images(published, tmp_path)
    out = str(tmp_path / "out.parquet")
    ask = ("tasks.predict", "--out", out)
    refused(published.module(*ask, str(tmp_path / "gone.png")), "SourceError", "gone.png")
    refused(published.module(*ask, str(tmp_path / "empty")), "SourceError", "holds no image")
    refused(published.module("tasks.predict", str(image), "--out", "x.json"), ".parquet or .csv")
    model = ("--model", str(tmp_path / "model"))
    refused(published.module(*ask, str(image), *model), "ArtifactError", "classifier.onnx")
    refused(published.module(*ask, str(image), "--num-threads", "-3"), "num-threads")
    assert not Path(out).exists()
