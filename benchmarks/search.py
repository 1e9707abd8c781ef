"""Whether TPE finds better params than chance: `python -m benchmarks.search`.

digits    scikit-learn's digits, 20 labels a class, 500 rows of val, the rest without labels

The search is that of search.yaml, with either sampler and none of the present values to begin with;
the encoder is pretrained once per seed. What counts is the best score on val after so many trials.
What is done is remembered in .cache/benchmarks, by commit and seed.
"""

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pandas as pd
import torch

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.memory import remembered
from benchmarks.pictures import NUM_CLASSES, digits
from benchmarks.record import ROOT, Row, make_row
from benchmarks.workspace import temporary_folder
from tasks import pretrain, trials
from tasks.artifacts.documents import load_yaml, save_json
from tasks.artifacts.embeddings import Synthetic, save_synthetic
from tasks.artifacts.images import save_pixels
from tasks.artifacts.studies import opened_study, parse_storage
from tasks.artifacts.tables import save_rows, save_table
from tasks.core.params import Run
from tasks.core.policy import build_policy
from tasks.core.search import Search, with_values
from tasks.tune import load_search
from tasks.worker import Worker

NUM_LABELS, NUM_VAL = 20, 500
SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "tpe": {"name": "tpe", "startup_trials": 10, "multivariate": True},
}
AFTER = (10, 20, 30)


def save_inputs(folder: Path, seed: int) -> dict[str, dict[str, Path]]:
    """What both stages read, by stage and argument; an encoder is not among it."""
    stages = {stage: trials.stage_paths(stage) for stage in ("pretrain", "finetune")}
    paths = {stage: {n: folder / p for n, p in named.items()} for stage, named in stages.items()}
    read, tuned = paths["pretrain"], paths["finetune"]
    pictures = digits("float32")
    order = np.random.default_rng(seed).permutation(len(pictures.labels_N))
    val, others = order[:NUM_VAL], order[NUM_VAL:]
    train = np.concatenate(
        [others[pictures.labels_N[others] == label][:NUM_LABELS] for label in range(NUM_CLASSES)]
    )
    save_pixels(pictures.images_NHWC, read["images"] / "digits.npy")
    table = pd.DataFrame({"label": pictures.labels_N.astype(str), "weight": 1.0, "group": None})
    save_table(table, read["manifest"])
    save_table(table, tuned["labels"])
    save_rows(np.sort(train), read["train"])
    save_rows(np.sort(train), tuned["balanced"])
    save_rows(np.sort(val), read["val"])
    save_rows(np.setdiff1d(others, train), read["unlabelled"])
    levels = pictures.images_NHWC[others] / np.float32(255)
    save_json({"mean": [float(levels.mean())], "std": [float(levels.std())]}, read["statistics"])
    limits = {"min_size": 1, "max_pixels": 10**6, "max_file_bytes": 10**6, "max_frames": 1}
    shape = pictures.images_NHWC.shape[1:]
    canonical = {"size": shape[0], "channels": shape[2], "resize": "squash", "limits": limits}
    save_json(canonical, read["canonical"])
    save_json({str(label): 1 / NUM_CLASSES for label in range(NUM_CLASSES)}, tuned["priors"])
    nothing = Synthetic(np.empty((0, 1), np.float32), np.empty(0, str))
    save_synthetic(nothing, tuned["synthetic"])
    policy = A.to_dict(build_policy(pictures.augmentation, shape))
    mixing = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}
    save_json({"transforms": policy, "mixing": mixing}, tuned["policy"])
    return paths


def scores_of(
    search: Search, sections: dict[str, Any], ground: trials.Ground, folder: Path
) -> list[float | None]:
    """Of each trial; those that were stopped early have none."""
    url = parse_storage(f"sqlite:///{folder / search.sampler.name}.db")
    with opened_study(url, search, {"space": list(search.space)}, None) as study:
        Worker(
            study, search, sections, lambda each, report: trials.run_trial(each, ground, report)
        ).run()
        return [one.value if one.state.name == "COMPLETE" else None for one in study.trials]


def best_of(scores: Sequence[float | None], search: Search) -> float:
    known = [score for score in scores if score is not None]
    return min(known, default=np.inf) if search.is_lower_better else max(known, default=-np.inf)


def search_seed(
    seed: int, num_trials: int, changed: dict[str, Any]
) -> tuple[float, dict[str, list[float | None]]]:
    """The score of the present values, and by sampler that of each trial."""
    sections = load_yaml(ROOT / "params.yaml")
    search = load_search(ROOT / "search.yaml", sections)
    sections = with_values(sections, changed)
    sections["run"] |= {"seed": seed, "num_threads": 1}
    with temporary_folder() as folder:
        paths = save_inputs(folder, seed)
        ground = trials.Ground(paths, search.metric, [], None, folder)
        say(f"pretraining, seed {seed}")
        written = {n: p for n, p in paths["pretrain"].items() if n.startswith("out_")}
        assert written["out_encoder"] == paths["finetune"]["encoder"]
        params = pretrain.Params.model_validate(sections["pretrain"])
        pretrain.main(**paths["pretrain"], params=params, run=Run(**sections["run"]))
        present = trials.run_trial(sections, ground, lambda step, score: None)
        found = {}
        for name, sampler in SAMPLERS.items():
            settings = {"sampler": sampler, "seed": seed, "num_trials": num_trials}
            one = Search.model_validate({**search.model_dump(), **settings})
            found[name] = scores_of(one, sections, ground, folder)
            best = best_of(found[name], one)
            say(f"seed {seed}, {name}: {best:.4f}, present values {present:.4f}")
    return present, found


def recall(
    seed: int, num_trials: int, changed: dict[str, Any]
) -> tuple[float, dict[str, list[float | None]]]:
    key = {"search": seed, "num_trials": num_trials, "set": changed}
    present, found = remembered(key, partial(search_seed, seed, num_trials, changed))
    return present, found


def measure_digits(setting: Setting) -> Iterator[Row]:
    options = setting.options
    changed = dict(options.set)
    measure = partial(recall, num_trials=options.num_trials, changed=changed)
    # Forked, a process would inherit threads of torch that no longer run.
    context = multiprocessing.get_context("spawn")
    alone = partial(torch.set_num_threads, 1)
    with ProcessPoolExecutor(options.processes, context, alone) as pool:
        outcomes = list(pool.map(measure, options.seeds))
    search = load_search(ROOT / "search.yaml", load_yaml(ROOT / "params.yaml"))
    what = search.metric.replace("_", " ")
    yield make_row(f"digits: {what} on val, present values", [one for one, _ in outcomes], "")
    for after in (n for n in AFTER if n <= options.num_trials):
        tpe, random = (
            [best_of(found[name][:after], search) for _, found in outcomes]
            for name in ("tpe", "random")
        )
        name = f"digits: best {what} on val after {after} trials, TPE against random"
        yield make_row(name, tpe, "", random)
        wins = sum(best_of(pair, search) == pair[0] for pair in zip(tpe, random, strict=True))
        yield make_row(f"digits: seeds with TPE ≥ random after {after} trials", wins, "", len(tpe))


CELLS = (Cell("digits", measure_digits),)


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("search", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--num-trials", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1, help="seeds at once, a thread each")
    run_cells("search", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
