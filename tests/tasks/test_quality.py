"""The page on the quality of the data fits into 4 MB whatever the images, and is repeatable."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.artifacts.documents import save_json
from tasks.artifacts.images import save_pixels
from tasks.artifacts.tables import save_csv, save_table
from tasks.core.errors import ArtifactError
from tasks.quality import Params, load_previous, main
from tests.pages.qualities import MEASURES, a_quality

SIDE, NUM = 96, 60
IDS = [f"id{n:02d}" for n in range(NUM)]


def paths_of(folder: Path) -> dict[str, Path]:
    """What the stage reads; `images` holds noise, as nothing makes a larger PNG."""
    quality, rng = a_quality(), np.random.default_rng(0)
    images = folder / "images"
    images.mkdir()
    save_pixels(rng.integers(0, 256, (NUM, SIDE, SIDE, 3), dtype=np.uint8), images / "0.npy")
    names = pd.DataFrame({"image_id": IDS, "path": [f"cat/{one}" for one in IDS], "label": "cat"})
    copies = names.assign(image_id=names["image_id"] + "-copy", path=names["path"] + "-copy")
    pairs = pd.DataFrame(
        {"image_id": IDS, "split": "train", "twin_id": IDS[::-1], "twin_split": "val"}
    )
    kinds = ["duplicate", "duplicate_with_other_label"]
    tables = {
        "index": pd.concat([names, copies]),
        "measures": pd.DataFrame(rng.random((NUM, len(MEASURES))), columns=MEASURES),
        "issues": pd.concat(
            names[["image_id", "path"]].assign(issue=f"odd{n}", score=0.1, against="data")
            for n in range(10)
        ),
        "quarantine": quality.quarantine,
        "manifest": names,
        "dropped": pd.concat(copies.assign(twin_id=IDS, reason=kind) for kind in kinds),
        "leaks": pairs,
        "embedding_duplicates": pairs,
        "augmentation": quality.augmentation,
    }
    for name, table in tables.items():
        save_table(table, folder / name)
    queue = names.assign(suggested_label="b", score=0.1)
    save_csv(queue, folder / "queue")
    issues = {f"odd{n}": NUM for n in range(10)}
    save_json({**quality.verdict, "images_by_issue": issues}, folder / "verdict")
    save_json(quality.splits, folder / "splits")
    save_json(quality.audit, folder / "audit")
    save_json(quality.rebalanced, folder / "rebalanced")
    save_json({"quality": None}, folder / "previous")
    sheet = rng.integers(0, 256, (1200, 1000, 3), dtype=np.uint8)
    Image.fromarray(sheet).save(folder / "sheet", "PNG")
    texts = ("queue", "verdict", "splits", "audit", "rebalanced", "previous", "sheet", "images")
    return {name: folder / name for name in (*tables, *texts)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return paths_of(tmp_path_factory.mktemp("quality"))


def test_the_page_fits_and_is_the_same_twice(inputs, tmp_path):
    for name in ("first", "second"):
        out = {"out_page": tmp_path / f"{name}.html", "out_metrics": tmp_path / f"{name}.json"}
        main(**inputs, **out, params=Params(num_thumbnails=1000))
    page = (tmp_path / "first.html").read_bytes()
    assert page == (tmp_path / "second.html").read_bytes()
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert 2_000_000 < len(page) <= 4_000_000


def test_every_kind_of_image_is_shown(inputs, tmp_path):
    out = {"out_page": tmp_path / "page.html", "out_metrics": tmp_path / "numbers.json"}
    main(**inputs, **out, params=Params(num_thumbnails=2))
    html = out["out_page"].read_text(encoding="utf-8")
    assert {f"The worst of {NUM}: odd{n}." in html for n in range(10)} == {True}
    assert "cat/id00-copy: cat" in html
    assert 'alt="cat/id00 beside cat/id59"' in html
    assert re.search(r"<span>cat → b</span>\s*<span>cat/id00</span>", html)
    assert json.loads(out["out_metrics"].read_text())["num_conflicts"] == NUM


@pytest.mark.parametrize("document", ["{}", "[]", "null", '{"quality": 1}', '{"quality": {}}'])
def test_a_former_document_of_another_make_is_refused(tmp_path, document):
    path = tmp_path / "previous.json"
    path.write_text(document)
    with pytest.raises(ArtifactError, match=r'previous\.json: expected \{"quality": null\}'):
        load_previous(path)


def test_the_document_of_this_checkout_can_be_read():
    load_previous(Path(__file__).parents[2] / "metrics/previous/quality.json")
