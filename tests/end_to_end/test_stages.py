"""Every stage on a small set, by the files it leaves, and what runs again when something changed.

Long because the graph has many stages.
"""

import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from benchmarks.workspace import load_metrics
from tests.end_to_end.checkout import Checkout, outcomes, ran, succeeded

AFTER_AUDIT = {
    *("audit", "rebalance", "augment", "quality"),
    *("finetune", "evaluate", "explain", "export", "promote", "report", "card"),
}
AFTER_FINETUNE = {"finetune", "evaluate", "explain", "export", "promote", "report", "card"}


def load_rows(checkout: Checkout) -> dict[str, np.ndarray]:
    folder = checkout.root / "data/rows"
    return {name: np.load(folder / f"{name}.npy") for name in ("train", "val", "test")}


def load_pixels(checkout: Checkout) -> np.ndarray:
    folder = checkout.root / "data/clean/images"
    return np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])


def test_shards_hold_what_the_index_says(finished: Checkout) -> None:
    index = finished.table("data/raw/index.parquet")
    stored = {
        path.name: pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()
        for path in (finished.root / "data/raw/shards").iterdir()
    }
    assert sum(map(len, stored.values())) == len(index) > 1500
    assert index["image_id"].is_unique
    for shard, row, image_id in index[["shard", "row", "image_id"]].to_numpy():
        assert stored[shard][row] == image_id


def test_tables_have_the_columns_that_the_readme_of_data_names(finished: Checkout) -> None:
    readme = (finished.root / "data/README.md").read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in readme.splitlines() if line.startswith("| `")]
    told = {cells[0].strip("| `"): re.findall("`(.+?)`", cells[3]) for cells in lines if cells[3:]}
    found = {}
    for name in told:
        path = finished.root / "data" / name
        path = next(path.iterdir()) if path.is_dir() else path
        read = pd.read_csv(path) if path.suffix == ".csv" else pq.read_schema(path).empty_table()
        found[name] = list(read.columns if path.suffix == ".csv" else read.schema.names)
    assert told == found


def test_rows_are_disjoint_and_cover_the_manifest(finished: Checkout) -> None:
    manifest = finished.table("data/clean/manifest.parquet")
    leaks = set(finished.table("data/leaks.parquet")["image_id"])
    pixels, rows = load_pixels(finished), load_rows(finished)
    assert pixels.shape == (len(manifest), 8, 8, 1)
    assert pixels.dtype == np.uint8
    together = np.concatenate(list(rows.values()))
    assert len(set(together)) == len(together)
    assert set(together) == set(np.flatnonzero(~manifest["image_id"].isin(leaks)))
    for split, indices in rows.items():
        assert load_metrics(finished.root, "split")["num_rows"][split] == len(indices) > 100


def test_planted_faults_are_found(finished: Checkout) -> None:
    faults = finished.table("data/raw/faults.parquet")
    planted = {kind: set(rows["image_id"]) for kind, rows in faults.groupby("fault")}
    quarantine = finished.table("data/quarantine.parquet")
    dropped = finished.table("data/clean/dropped.parquet")
    manifest = finished.table("data/clean/manifest.parquet")
    assert set(planted) == {"truncated", "duplicate", "wrong_label"}
    assert set(quarantine["image_id"]) == planted["truncated"]
    assert set(quarantine["reason"]) <= {"truncated", "corrupt", "unknown_format"}
    assert planted["duplicate"] <= set(dropped["image_id"]) | set(dropped["twin_id"])
    assert not set(manifest["image_id"]) & (set(dropped["image_id"]) | planted["truncated"])
    index = set(finished.table("data/raw/index.parquet")["image_id"])
    assert index == {*manifest["image_id"], *dropped["image_id"], *quarantine["image_id"]}
    found = load_metrics(finished.root, "report")["faults"]
    assert found["truncated"]["recall"] == found["duplicate"]["recall"] == 1


def numbers_in(document: Any) -> list[float]:
    if isinstance(document, dict):
        return [number for value in document.values() for number in numbers_in(value)]
    if isinstance(document, list):
        return [number for value in document for number in numbers_in(value)]
    return [document] if isinstance(document, int | float) else []


def test_every_metric_is_there_and_finite(finished: Checkout) -> None:
    for stage in finished.load_yaml("dvc.yaml")["stages"]:
        path = finished.root / f"metrics/{stage}.json"
        if stage in ("ingest", "clean", "augment", "card"):
            assert not path.exists()
            continue
        numbers = numbers_in(json.loads(path.read_text()))
        assert numbers or stage == "promote", stage
        assert all(map(math.isfinite, numbers)), stage


def test_evaluate_measures_as_scikit_learn_does(finished: Checkout) -> None:
    reference = finished.table("models/reference.parquet")
    measured = load_metrics(finished.root, "evaluate")
    classes = measured["confusion"]["classes"]
    probabilities = np.stack(reference["probabilities"].to_list()).astype(np.float64)
    given = reference["label"].to_numpy(dtype=str)
    said = np.array(classes)[probabilities.argmax(axis=1)]
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": metrics.accuracy_score(given, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(given, said),
        "macro_f1": metrics.f1_score(given, said, average="macro"),
        "weighted_f1": metrics.f1_score(given, said, average="weighted"),
        "log_loss": metrics.log_loss(given, shares, labels=classes),
    }
    for name, value in expected.items():
        one = measured["metrics"][name]
        assert one["value"] == pytest.approx(value, abs=1e-6), name
        assert one["low"] <= one["value"] <= one["high"], name
    confusion = metrics.confusion_matrix(given, said, labels=classes)
    assert measured["confusion"]["counts"] == confusion.tolist()
    listed = pd.read_csv(finished.root / "metrics/confusion.csv", dtype=str)
    assert listed["actual"].tolist() == given.tolist()
    assert listed["predicted"].tolist() == said.tolist()
    rows = load_rows(finished)["test"]
    image_ids = finished.table("data/labels.parquet")["image_id"].iloc[rows]
    assert reference["image_id"].tolist() == image_ids.tolist()


def test_nets_load_and_the_exported_one_agrees(finished: Checkout) -> None:
    import onnxruntime

    from tasks.artifacts.models import load_classifier, load_encoder

    _, of_encoder = load_encoder(finished.root / "models/encoder.safetensors")
    _, of_classifier = load_classifier(finished.root / "models/classifier.safetensors")
    assert of_encoder.classes == []
    assert of_classifier.classes == [str(digit) for digit in range(10)]
    session = onnxruntime.InferenceSession(finished.root / "models/classifier.onnx")
    images = load_pixels(finished)[load_rows(finished)["test"]]
    logits = np.asarray(session.run(None, {"images": images})[0])
    reference = finished.table("models/reference.parquet")
    said = np.stack(reference["probabilities"].to_list()).argmax(axis=1)
    assert (logits.argmax(axis=1) == said).all()


def test_pages_exist_and_run_nothing(finished: Checkout) -> None:
    for name in ("arrivals", "review", "quality", "training"):
        page = (finished.root / f"reports/{name}.html").read_text(encoding="utf-8")
        assert "Content-Security-Policy" in page
        assert "<script" not in page.lower()
        assert page.rstrip().endswith("</html>")


def test_what_was_observed_lies_beside_and_git_stays_clean(finished: Checkout) -> None:
    stages = set(finished.load_yaml("dvc.yaml")["stages"])
    assert {path.stem for path in (finished.root / "runs").iterdir()} == stages
    changed = {
        line[3:].split("/")[0] for line in finished.git("status", "--porcelain").splitlines()
    }
    assert changed == {"dvc.lock", "metrics"}
    assert not finished.git("diff", "--stat", "--", "metrics"), "what is tracked there stays"


def test_a_second_run_runs_nothing(copy: Checkout) -> None:
    said = copy.dvc("repro")
    assert set(outcomes(said).values()) == {"skipped"}
    assert set(outcomes(said)) == set(copy.load_yaml("dvc.yaml")["stages"])


def test_a_changed_value_reruns_what_reads_it_and_what_follows(copy: Checkout) -> None:
    before = copy.lock()["stages"]
    copy.set_params({"finetune.optimiser.learning_rate": 0.003})
    assert ran(copy.dvc("repro", "evaluate")) == {"finetune", "evaluate"}
    after = copy.lock()["stages"]
    assert {stage for stage in before if before[stage] != after[stage]} == {"finetune", "evaluate"}
    copy.set_params({"finetune.optimiser.learning_rate": 0.001})
    said = copy.dvc("repro")
    restored = {stage for stage, outcome in outcomes(said).items() if outcome == "restored"}
    assert restored == {"finetune", "evaluate"}
    assert not ran(said)
    assert copy.lock()["stages"] == before


@pytest.mark.slow
def test_a_changed_value_reruns_all_that_follows(copy: Checkout) -> None:
    copy.set_params({"finetune.optimiser.learning_rate": 0.003})
    assert ran(copy.dvc("repro")) == AFTER_FINETUNE


def test_the_size_of_images_is_never_taken_from_another_run(copy: Checkout) -> None:
    copy.set_params({"clean.image_size": 12})
    assert ran(copy.dvc("repro", "clean")) == {"clean"}
    assert load_pixels(copy).shape[1:] == (12, 12, 1)


def scramble(copy: Checkout, rows: np.ndarray) -> None:
    """Permutes pixels, and apart from them labels, of the given rows."""
    rng = np.random.default_rng(0)
    (shard,) = (copy.root / "data/clean/images").glob("*.npy")
    pixels = np.load(shard)
    pixels[rows] = pixels[rng.permutation(rows)]
    # Others may have the same file under another name.
    shard.unlink()
    np.save(shard, pixels)
    path = copy.root / "data/clean/manifest.parquet"
    manifest = pd.read_parquet(path)
    labels = manifest["label"].to_numpy(dtype=object).copy()
    labels[rows] = labels[rng.permutation(rows)]
    path.unlink()
    manifest.assign(label=pd.Series(labels, dtype="string")).to_parquet(path, index=False)


def test_test_rows_have_no_say_in_what_is_learnt(finished: Checkout, copy: Checkout) -> None:
    from safetensors.numpy import load_file

    rows = load_rows(copy)
    scramble(copy, rows["test"])
    succeeded(copy.stage("pretrain"))
    succeeded(copy.stage("audit"))
    before, after = (
        load_file(checkout.root / "models/encoder.safetensors") for checkout in (finished, copy)
    )
    assert before.keys() == after.keys()
    # The header tells what images it was made of, and so differs.
    for name in before:
        assert before[name].tobytes() == after[name].tobytes(), name
    learnt = ("metrics/pretrain.json", "metrics/pretrain_epochs.csv")
    assert finished.contents(*learnt) == copy.contents(*learnt)
    was, now = (checkout.table("data/labels.parquet") for checkout in (finished, copy))
    assert not was.equals(now)
    for split in ("train", "val"):
        pd.testing.assert_frame_equal(was.iloc[rows[split]], now.iloc[rows[split]])


def test_decisions_change_the_rows_they_name_and_rerun_nothing_above(
    finished: Checkout, copy: Checkout
) -> None:
    was = copy.table("data/labels.parquet")
    train = load_rows(copy)["train"]
    suspicious = pd.read_csv(copy.root / "data/review_queue.csv", dtype=str)
    suspicious = suspicious[suspicious["split"] == "train"]
    relabelled, dropped, kept = (
        suspicious["image_id"].iloc[0],
        suspicious["image_id"].iloc[1],
        suspicious["image_id"].iloc[2],
    )
    given = was.set_index("image_id")["label"]
    other = "1" if given[relabelled] != "1" else "2"
    lines = [
        f"{relabelled},relabel:{other},Ada,2026-01-02",
        f"{dropped},drop,Ada,2026-01-02",
        f"{kept},keep,Ada,2026-01-02",
    ]
    with (copy.root / "decisions/labels.csv").open("a") as file:
        file.write("\n".join(lines) + "\n")

    said = copy.dvc("repro", "quality", "rebalance")
    assert ran(said) == {"audit", "rebalance", "augment", "quality"}
    above = set(outcomes(said)) - AFTER_AUDIT
    assert {outcomes(said)[stage] for stage in above} == {"skipped"}

    now = copy.table("data/labels.parquet").set_index("image_id")
    assert now.loc[relabelled, ["label", "weight"]].tolist() == [other, 1.0]
    assert pd.isna(now.loc[dropped, "label"])
    assert now.loc[dropped, "weight"] == 0
    assert now.loc[kept, ["label", "weight"]].tolist() == [given[kept], 1.0]
    others = ~was["image_id"].isin([relabelled, dropped, kept]).to_numpy()
    pd.testing.assert_frame_equal(
        now.reset_index().loc[others, ["image_id", "label", "decision"]],
        was.loc[others, ["image_id", "label", "decision"]],
    )
    balanced = np.load(copy.root / "data/rows/balanced.npy")
    assert set(balanced) == set(train) - set(np.flatnonzero(was["image_id"] == dropped))
    queue = pd.read_csv(copy.root / "data/review_queue.csv", dtype=str)
    assert not set(queue["image_id"]) & {relabelled, dropped, kept}
    assert finished.contents("data/rows/train.npy") == copy.contents("data/rows/train.npy")
