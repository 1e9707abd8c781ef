"""A project of pretrain and finetune alone, on images of which each class has its brightness."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.documents import load_yaml, save_json
from tasks.artifacts.embeddings import Synthetic, save_synthetic
from tasks.artifacts.images import save_pixels
from tasks.artifacts.tables import save_rows, save_table
from tasks.core.yaml_edits import edit_values

ROOT = Path(__file__).parents[2]
CLASSES = ["a", "b", "c"]
TRAIN, VAL = np.arange(90), np.arange(90, 120)
SMALL = {
    "run.num_threads": 1,
    "pretrain.epochs": 1,
    "pretrain.schedule.warmup_epochs": 0,
    "pretrain.num_fresh_nets": 1,
    "pretrain.batch_size": 64,
    "pretrain.architecture.width": 4,
    "finetune.epochs": 2,
    "finetune.batch_size": 64,
    "finetune.probe.steps": 5,
}


def sections_of(path: Path, names: tuple[str, ...]) -> str:
    """The text of some sections, comments and all."""
    parts = re.split(r"^(?=\w)", path.read_bytes().decode(), flags=re.MULTILINE)
    return "".join(part for part in parts if part.split(":")[0] in names)


def make_project(folder: Path, **changed: Any) -> Path:
    """A project of two stages and what they read, rows of test excepted: there are none. `changed`
    are values of params.yaml, in which a double underscore stands for a dot."""
    values = SMALL | {name.replace("__", "."): value for name, value in changed.items()}
    graph = load_yaml(ROOT / "dvc.yaml")["stages"]
    stages = {name: graph[name] for name in ("pretrain", "finetune")}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    params = sections_of(ROOT / "params.yaml", ("run", "pretrain", "finetune"))
    (folder / "params.yaml").write_bytes(edit_values(params, values).encode())
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, (120, 8, 8, 1), dtype=np.uint8)
    codes = np.arange(120) % 3
    data = folder / "data"
    (data / "clean/images").mkdir(parents=True)
    images = noise + (90 * codes).astype(np.uint8)[:, None, None, None]
    save_pixels(images, data / "clean/images/a.npy")
    groups = [f"pair {row // 2}" if row < 30 else None for row in range(120)]
    labels = np.array(CLASSES)[codes]
    save_table(pd.DataFrame({"label": labels, "group": groups}), data / "clean/manifest.parquet")
    save_table(pd.DataFrame({"label": labels, "weight": 1.0}), data / "labels.parquet")
    save_rows(np.concatenate([TRAIN, TRAIN[:5]]), data / "rows/balanced.npy")
    for name, rows in (("train", TRAIN), ("val", VAL), ("unlabelled", VAL[:0])):
        save_rows(rows, data / f"rows/{name}.npy")
    save_json(dict.fromkeys(CLASSES, 1 / 3), data / "priors.json")
    save_json({"mean": [0.5], "std": [0.25]}, data / "statistics.json")
    limits = {"max_file_bytes": 10**6, "max_frames": 1, "min_size": 1, "max_pixels": 10**6}
    canonical = {"channels": 1, "limits": limits, "resize": "squash", "size": 8}
    save_json(canonical, data / "clean/canonical.json")
    mixing = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}
    nothing = {"__class_fullname__": "Compose", "p": 1.0, "transforms": []}
    policy = {"__version__": "2.0.8", "transform": nothing}
    save_json({"mixing": mixing, "transforms": policy}, data / "policy.json")
    save_synthetic(Synthetic(np.empty((0, 4), np.float32), np.empty(0, str)),
                   data / "synthetic.parquet")  # fmt: skip
    return folder
