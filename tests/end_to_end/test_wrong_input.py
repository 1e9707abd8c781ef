"""Wrong input: a message that says what, where and what was expected; nothing is lost by it.

Long because there are many ways to be wrong.
"""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.end_to_end.checkout import Checkout, end, ran, refused, succeeded
from tests.end_to_end.conftest import Copy
from tests.end_to_end.pictures import draw, encode, save_shapes

WRONG_PARAMS = {
    "finetune.lerning_rate": (0.1, "finetune.lerning_rate: Extra inputs are not permitted"),
    "finetune.epochs": ("3", "finetune.epochs: Input should be a valid integer (given: '3')"),
    "finetune.dropout": (1.5, "finetune.dropout: Input should be less than 1 (given: 1.5)"),
    "finetune.optimiser.weight_decay": (
        float("inf"),
        "finetune.optimiser.weight_decay: Input should be a finite number (given: inf)",
    ),
    "evaluate.num_bins": (None, "evaluate.num_bins: Input should be a valid integer"),
    "split.val_fraction": (0.9, "together must leave some train rows"),
    "promote.value": ({"balanced_acuracy": 0.5}, "promote.value.balanced_acuracy"),
    "clean.classes": ({"size": "x"}, "clean.classes.size: DVC's run cache overlooks the name"),
    "ingest.snapshot": ("first", "ingest.snapshot: Extra inputs are not permitted"),
}


@pytest.fixture(scope="module")
def mistaken(copy_at: Copy, finished: Checkout) -> Checkout:
    """A finished checkout with many mistakes in params.yaml."""
    checkout = copy_at(finished)
    checkout.set_params({name: value for name, (value, _) in WRONG_PARAMS.items()})
    checkout.set_params({"pretrian": {"epochs": 1}, "pretrain.optimiser.learning_rate": 0.01})
    return checkout


def test_all_mistakes_in_params_are_told_at_once_before_any_stage(mistaken: Checkout) -> None:
    before = mistaken.contents("data", "models", "metrics", "reports", "dvc.lock")
    said = refused(mistaken.module("tasks.stage", "--check"), "ParamsError: params.yaml:")
    for _, message in WRONG_PARAMS.values():
        assert message in said
    assert "pretrian: unknown section" in said
    assert refused(mistaken.stage("pretrain")) == said
    assert mistaken.contents("data", "models", "metrics", "reports", "dvc.lock") == before


def test_a_typo_below_stops_dvc_before_pretraining_and_costs_nothing(copy: Checkout) -> None:
    before = copy.lock()
    encoder = copy.contents("models/encoder.safetensors")
    params = (copy.root / "params.yaml").read_text()
    copy.set_params({"pretrain.epochs": 2, "finetune.lerning_rate": 0.1})
    said = refused(copy.run("dvc", "repro"), "finetune.lerning_rate")
    assert ran(said) == {"pretrain"}
    assert "failed to reproduce 'pretrain'" in said
    assert copy.lock() == before
    (copy.root / "params.yaml").write_text(params)
    assert ran(copy.dvc("repro")) == set()
    assert copy.contents("models/encoder.safetensors") == encoder


@pytest.mark.slow
def test_a_typo_stops_the_flow_before_any_stage(mistaken: Checkout) -> None:
    before = mistaken.contents("data", "models", "metrics", "reports", "dvc.lock")
    ended = mistaken.module("flows.training", "--no-publish")
    assert ended.status == 1
    assert "FlowFailed: python -m tasks.stage --check: exit status 1" in ended.said
    assert "finetune.lerning_rate: Extra inputs are not permitted" in ended.said
    assert not ran(ended.said)
    assert mistaken.contents("data", "models", "metrics", "reports", "dvc.lock") == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: {seed: [0}", "params.yaml: is not valid YAML"),
        ("", "params.yaml: expected the sections"),
        ("run: {}\nrun: {}\n", "params.yaml: is not valid YAML"),
    ],
)
def test_params_that_are_no_params(mistaken: Checkout, text: str, expected: str) -> None:
    path = mistaken.root / "params.yaml"
    kept = path.read_text()
    path.write_text(text)
    refused(mistaken.module("tasks.stage", "--check"), expected)
    path.write_text(kept)


@pytest.fixture(scope="module")
def listing(copy_at: Copy, fresh: Checkout) -> Checkout:
    """A checkout that took in a manifest once; its folder also holds a link that leads out."""
    checkout = copy_at(fresh)
    folder = checkout.root / "pictures"
    save_shapes(folder, {"circle": 3, "square": 3})
    (folder / "out.png").symlink_to(checkout.around / "outside.png")
    (checkout.around / "outside.png").write_bytes(encode(draw("circle", 0), "PNG"))
    (folder / "list.csv").write_text(rows("circle/000.png,round", "square/000.png,square"))
    checkout.set_params(
        {"ingest.sources": {"own": {"type": "manifest", "file": "pictures/list.csv"}}}
    )
    succeeded(checkout.stage("ingest"))
    return checkout


def rows(*lines: str, header: str = "path,label") -> str:
    return "\n".join((header, *lines)) + "\n"


ROW = "circle/000.png,round"
MANIFESTS = {
    "above": (rows("../outside.png,a"), ["row 1", "'../outside.png'", "must be relative to"]),
    "within, then above": (rows("circle/../../outside.png,a"), ["row 1", "must be relative to"]),
    "absolute": (rows(ROW, "/etc/passwd,a"), ["row 2", "'/etc/passwd'", "must be relative"]),
    "backslash": (rows("circle\\000.png,a"), ["row 1", "must be relative"]),
    "link": (rows("out.png,a"), ["row 1", "leads out of pictures through a link"]),
    "no column": (rows("circle/000.png", header="path"), ["lacks the columns ['label']"]),
    "other columns": (rows("x,y", header="file,class"), ["lacks the columns ['path', 'label']"]),
    "column twice": (
        rows("circle/000.png,a,b", header="path,label,label"),
        ["['label'] more than once"],
    ),
    "split": (
        rows("circle/000.png,a,holdout", header="path,label,split"),
        ["row 1 (circle/000.png)", "split 'holdout' is not one of ['train', 'val', 'test']"],
    ),
    "path twice": (rows(ROW, ROW), ["names 'circle/000.png', which a row before it does"]),
    "ragged": (rows("circle/000.png,a,b"), ["equally long rows", "row 1 has 3 cells"]),
    "no rows": (rows(), ["has a header but no rows"]),
    "nothing": ("", ["is not a CSV file"]),
    "moment": (
        rows("circle/000.png,a,yesterday", header="path,label,captured_at"),
        ["row 1", "captured_at 'yesterday' is not ISO 8601"],
    ),
    "utf-16": (rows(ROW).encode("utf-16"), ["list.csv", "UTF-8"]),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_wrong_manifest_is_refused_and_what_was_taken_in_stays(
    listing: Checkout, case: str
) -> None:
    text, expected = MANIFESTS[case]
    before = listing.contents("data")
    data = text if isinstance(text, bytes) else text.encode()
    (listing.root / "pictures/list.csv").write_bytes(data)
    refused(listing.stage("ingest"), "SourceError: pictures/list.csv", *expected)
    assert listing.contents("data") == before
    assert len(listing.table("data/raw/index.parquet")) == 2


def test_labels_of_another_type_and_a_missing_manifest(listing: Checkout) -> None:
    before = listing.contents("data")
    (listing.root / "pictures/list.csv").unlink()
    refused(listing.stage("ingest"), "SourceError: pictures/list.csv: no such manifest")
    sources = {"own": {"type": "manifest", "file": "pictures/list.parquet"}}
    listing.set_params({"ingest.sources": sources})
    table = pd.DataFrame({"path": ["circle/000.png"], "label": [1.5]})
    table.to_parquet(listing.root / "pictures/list.parquet")
    refused(
        listing.stage("ingest"),
        "SourceError: pictures/list.parquet: row 1 (circle/000.png): label 1.5 is float",
    )
    (listing.root / "pictures/list.parquet").write_bytes(b"PAR1")
    refused(listing.stage("ingest"), "is not a readable Parquet file")
    assert listing.contents("data") == before


@pytest.fixture(scope="module")
def folder(copy_at: Copy, fresh: Checkout) -> Checkout:
    """A checkout whose source is the folder `pictures`, which is not there."""
    checkout = copy_at(fresh)
    checkout.set_params(
        {
            "ingest.sources": {"own": {"type": "folder", "root": "pictures"}},
            "clean.image_size": 16,
            "validate.max_rejected_fraction": 0.3,
        }
    )
    succeeded(checkout.module("tasks.stage", "--check"))
    return checkout


def refuse_ingest(checkout: Checkout, *expected: str) -> None:
    refused(checkout.stage("ingest"), "SourceError: pictures", *expected)
    assert set(checkout.contents("data")) == {"data/README.md"}


def test_a_folder_that_is_missing_empty_or_leads_out(folder: Checkout) -> None:
    pictures = folder.root / "pictures"
    refuse_ingest(folder, "no such folder")
    pictures.mkdir()
    refuse_ingest(folder, "holds no image", ".png")
    (pictures / "a").mkdir()
    (folder.around / "outside.png").write_bytes(encode(draw("circle", 0), "PNG"))
    link = pictures / "a/out.png"
    link.symlink_to(folder.around / "outside.png")
    refuse_ingest(folder, "a/out.png", "leads out of")
    link.unlink()
    (pictures / "loose.png").write_bytes(b"x")
    refuse_ingest(folder, "loose.png", "lies in no class folder")


def fill(checkout: Checkout, counts: dict[str, int]) -> Path:
    pictures = checkout.root / "pictures"
    subprocess.run(["rm", "-rf", str(pictures)], check=True)
    save_shapes(pictures, counts)
    return pictures


def test_one_class_alone_stops_at_clean_with_the_page_written(
    copy_at: Copy, folder: Checkout
) -> None:
    checkout = copy_at(folder)
    fill(checkout, {"circle": 12})
    said = refused(checkout.run("dvc", "repro", "split"), "VerdictError", "reports/arrivals.html")
    assert ran(said) == {"ingest", "validate", "clean"}
    assert "ExpectColumnUniqueValueCountToBeBetween label" in said
    assert "label" in (checkout.root / "reports/arrivals.html").read_text()
    assert json.loads((checkout.root / "metrics/validate.json").read_text())["verdict"] == "fail"
    assert not (checkout.root / "data/clean/manifest.parquet").exists()


def test_unreadable_images_are_set_apart_and_a_class_too_small_is_named(
    copy_at: Copy, folder: Checkout
) -> None:
    checkout = copy_at(folder)
    pictures = fill(checkout, {"circle": 16, "square": 1})
    whole = encode(draw("circle", 99), "JPEG")
    (pictures / "circle/cut.jpg").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(pictures / "circle/pipe.png")
    (pictures / "circle/dangling.png").symlink_to("gone.png")
    (pictures / "circle/loop.png").symlink_to("loop.png")
    said = refused(checkout.run("dvc", "repro", "split"), "SplitError", "'square' has")
    assert ran(said) == {"ingest", "validate", "clean", "split"}
    quarantine = checkout.table("data/quarantine.parquet").set_index("path")["reason"]
    assert quarantine.to_dict() == {
        "own/circle/cut.jpg": "truncated",
        "own/circle/dangling.png": "unreadable",
        "own/circle/loop.png": "unreadable",
        "own/circle/pipe.png": "unreadable",
    }
    assert len(checkout.table("data/clean/manifest.parquet")) == 17


def test_a_stage_without_its_inputs_or_name(bare: Checkout, finished: Checkout) -> None:
    (bare.root / ".cache").mkdir(exist_ok=True)
    stamp = ".cache/params-checked"
    (bare.root / stamp).write_bytes((finished.root / stamp).read_bytes())
    refused(
        bare.stage("split"),
        "ArtifactError: split: input data/clean/images (--images) does not exist",
        "`dvc repro split` makes it",
    )
    refused(bare.module("tasks.stage", "splt"), "ParamsError: no stage 'splt'", "'split'")
    refused(bare.module("tasks.stage", "predict"), "ParamsError: no stage 'predict'")
    refused(bare.module("tasks.stage"), "ParamsError: no stage ''")
    refused(bare.module("tasks.stage", "split", "--images", "x"), "are required")
    assert set(bare.contents("data")) == {"data/README.md"}


def test_torn_inputs_are_named(copy: Checkout) -> None:
    before = copy.contents("metrics", "models/reference.parquet")
    torn = copy.around / "torn"
    torn.write_bytes((copy.root / "models/classifier.safetensors").read_bytes()[:3000])
    refused(copy.stage("evaluate", classifier=str(torn)), f"ArtifactError: {torn}", "safetensors")
    refused(copy.stage("evaluate", test=str(torn)), f"ArtifactError: {torn}", ".npy")
    refused(copy.stage("evaluate", labels=str(torn)), f"ArtifactError: {torn}", "Parquet")
    encoder = str(copy.root / "models/encoder.safetensors")
    refused(copy.stage("evaluate", classifier=encoder), "holds an encoder, expected a classifier")
    assert copy.contents("metrics", "models/reference.parquet") == before


def test_a_stage_never_runs_twice_at_once(copy: Checkout) -> None:
    copy.set_params({"pretrain.epochs": 300})
    first = copy.start(*copy.stage_command("pretrain"))
    try:
        pid = copy.await_stage("pretrain", first)
        said = refused(copy.stage("pretrain"))
        assert said == f"BusyError: pretrain: already runs here, as process {pid}\n"
        os.killpg(first.pid, signal.SIGINT)
        out, _ = first.communicate(timeout=60)
        assert first.returncode == 130
        assert out.endswith("pretrain: interrupted; run again to go on\n")
        assert "Traceback" not in out
    finally:
        end(first)


def limit_file_size(num_bytes: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("ingest", "data/raw/shards"),
        ("clean", "data/clean/images"),
        ("split", "data/rows/train.npy"),
        ("evaluate", "metrics/evaluate.json"),
        ("export", "models/classifier.onnx"),
    ],
)
def test_a_file_that_cannot_be_written_leaves_the_former_one(
    copy: Checkout, stage: str, file: str
) -> None:
    # What is remembered would need no writing.
    subprocess.run(["rm", "-rf", str(copy.root / ".cache" / stage)], check=True)
    before = copy.contents("data", "models", "metrics", "reports")
    ended = copy.run(*copy.stage_command(stage), preexec_fn=limit_file_size(4096))
    refused(ended, "ArtifactError: ", file, "cannot be written", "before is unchanged")
    assert copy.contents("data", "models", "metrics", "reports") == before


@pytest.fixture
def small_disk(copy: Checkout) -> Iterator[Path]:
    """A disk with room for what is in .cache and little more, mounted over it."""
    folder = copy.root / ".cache"
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    stamp = (folder / "params-checked").read_bytes()
    subprocess.run(mount, check=True)
    try:
        (folder / "params-checked").write_bytes(stamp)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.needs("tmpfs")
def test_a_full_disk_is_told_and_nothing_is_torn(copy: Checkout, small_disk: Path) -> None:
    before = copy.contents("data", "models", "metrics", "reports")
    refused(copy.stage("clean"), "ArtifactError: .cache/clean/", "no space is left on the disk")
    assert not list((small_disk / "clean").iterdir())
    (small_disk / "filler").write_bytes(b"")
    with (small_disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    refused(copy.stage("report"), "report: ", "No space left on device")
    assert copy.contents("data", "models", "metrics", "reports") == before


def promote(checkout: Checkout, champion: Path, *expected: str) -> None:
    before = checkout.contents("metrics", "models")
    refused(
        checkout.stage("promote", champion=str(champion)), f"ArtifactError: {champion}", *expected
    )
    assert checkout.contents("metrics", "models") == before


def test_a_champion_that_is_none_or_cannot_be_judged(finished: Checkout, tmp_path: Path) -> None:
    import torch

    from tasks.artifacts.models import load_classifier, save_classifier
    from tasks.core.encoder import Classifier

    promote(finished, tmp_path, "holds neither classifier.safetensors nor NONE", "dvc pull")
    weights = tmp_path / "classifier.safetensors"
    whole = (finished.root / "models/classifier.safetensors").read_bytes()
    weights.write_bytes(whole[:-100])
    promote(finished, tmp_path, "is not a readable safetensors file")
    weights.write_bytes((2**62).to_bytes(8, "little") + whole[8:])
    promote(finished, tmp_path, "is not a readable safetensors file")
    net, description = load_classifier(finished.root / "models/classifier.safetensors")
    fewer = Classifier(net.encoder, 2, 0.0)
    save_classifier(fewer, description.model_copy(update={"classes": ["0", "1"]}), weights)
    promote(finished, tmp_path, "knows the classes ['0', '1']", "also the classes ['2', '3'")
    net.head.weight.data[0, 0] = torch.nan
    save_classifier(net, description, weights)
    promote(finished, tmp_path, "values that are not finite")


def test_nothing_refused_or_unjudged_is_published(copy: Checkout) -> None:
    before = copy.contents("models")
    path = copy.root / "metrics/promote.json"
    judged = json.loads(path.read_text())
    head = copy.git("rev-parse", "HEAD")
    path.write_text(json.dumps({**judged, "verdict": "refused", "reasons": ["too weak"]}))
    refused(copy.module("tasks.publish"), "VerdictError: the candidate was refused", "too weak")
    path.write_text(json.dumps({**judged, "candidate_sha256": "0" * 64}))
    refused(copy.module("tasks.publish"), "VerdictError", "not the candidate that was judged")
    path.unlink()
    refused(copy.module("tasks.publish"), "ArtifactError: metrics/promote.json: does not exist")
    assert copy.contents("models") == before
    assert copy.git("rev-parse", "HEAD") == head


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{id},relabel:cat,Ada,2026-01-01", "line 2 ({id}): class 'cat' is not one of ['0',"),
        ("{id},remove,Ada,2026-01-01", "decision 'remove' is none of keep, relabel:<class>, drop"),
        ("{id},drop,,2026-01-01", "name and time say who decided and when"),
        ("{id},drop,Ada", "row 1 has 3 cells"),
    ],
)
def test_a_wrong_decision_is_told_by_its_line(
    finished: Checkout, tmp_path: Path, line: str, expected: str
) -> None:
    image_id = str(finished.table("data/labels.parquet")["image_id"].iloc[0])
    decisions = tmp_path / "labels.csv"
    decisions.write_text(f"image_id,decision,name,time\n{line.format(id=image_id)}\n")
    before = finished.contents("data", "metrics")
    ended = finished.stage("audit", decisions=str(decisions))
    refused(ended, str(decisions), expected.format(id=image_id))
    assert finished.contents("data", "metrics") == before
