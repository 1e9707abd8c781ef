"""The loop, for real: `python -m benchmarks.loop`.

loop   a Prefect server on PostgreSQL, a worker in each of two clones of the branch `production`
       (data, watching and serving in one, training in the other), one bare git remote, one folder
       as DVC's remote. The first model is trained and served; digits are asked about, a check a
       minute; then a second scanner comes, darker and turned by a quarter, whose digits people
       label. From then on nobody does anything: drift fires, people are told, new labels are taken
       in, a candidate is trained, judged, published, pushed and served. Once digits come from both
       scanners, in the shares of what was labelled, the episode is over. Seconds count from the
       first digit of the second scanner.

Short trainings, and a check a minute instead of a day: what is measured is that each step starts
the next and how long that takes, not how good a model is.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.production import Production, Traffic, await_state, production
from benchmarks.record import Row, make_row
from benchmarks.workspace import commit_all, run, set_params, temporary_folder
from flows.rehearsal import worsen
from monitoring.kept import load_episodes
from monitoring.store import Store, parse_store
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.digits import make_digits

PARAMS: dict[str, Any] = {
    "pretrain.epochs": 2,
    "pretrain.schedule.warmup_epochs": 0,
    "pretrain.num_fresh_nets": 1,
    "audit.num_folds": 2,
    "finetune.initialisation": "always",
    "finetune.epochs": 8,
    "finetune.schedule.warmup_epochs": 1,
    "evaluate.num_bootstrap": 100,
    "evaluate.num_robustness_rows": 20,
    "explain.methods": [{"name": "grad_cam"}],
    "explain.num_mistakes": 1,
    "explain.num_uncertain": 1,
    "explain.checks.num_images": 8,
    "promote.num_bootstrap": 200,
    # A turned digit looks like a wrong label to who has seen upright ones alone.
    "promote.data": {"suspicious_fraction": 1.0, "missed_leak_fraction": 1.0},
    "monitoring.num_permutations": 499,
    "monitoring.resolve_after": 2,
    "monitoring.num_report_rows": 200,
    "retrain": {"min_new_labels": 400, "cooldown_hours": 2.0},
}
SOURCE = {"type": "manifest", "file": "data/production/manifest.csv"}
ALERTS = """\
hours: 0.0167
links: {}
channels:
  on call: {type: webhook, url: env:HOOK, allow_private: true, timeout_seconds: 10.0}
"""
DAILY, EVERY_MINUTE = '"0 6 * * *"', '"* * * * *"'
_TRAINING_SECONDS, _STEP_SECONDS = 1800.0, 900.0
Digits = list[tuple[bytes, str]]


def measure_loop(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder:
        root = setting.clones.new()
        prepare(root, dict(setting.options.set))
        with production(root, folder) as running:
            yield from go_round(running, root, setting.options.per_second)


def prepare(root: Path, asked: dict[str, Any]) -> None:
    """Short trainings and a check a minute, in a clone of the project."""
    set_params(root, {**PARAMS, **asked})
    (root / "alerts.yaml").write_text(ALERTS)
    schedules = (root / "prefect.yaml").read_text()
    assert DAILY in schedules, f"prefect.yaml has no {DAILY} any more"
    (root / "prefect.yaml").write_text(schedules.replace(DAILY, EVERY_MINUTE))


def merge_source(running: Production, root: Path) -> None:
    """As people do: on the branch as it is now, pushed, and taken over where runs work."""
    run(root, "git", "checkout", "--quiet", "production")
    run(root, "git", "pull", "--quiet", "--ff-only", str(running.remote), "production")
    set_params(root, {"ingest.sources.production": SOURCE})
    commit_all(root, "Take in what the service keeps")
    run(root, "git", "push", "--quiet", str(running.remote), "production")
    before = running.count("following")
    running.start("following")
    running.await_runs("following", before + 1, _STEP_SECONDS)


def go_round(running: Production, root: Path, per_second: float) -> Iterator[Row]:
    for flow in ("data", "training"):
        say(f"{flow}, for the first model")
        running.start(flow)
        running.await_runs(flow, 1, _TRAINING_SECONDS)
    await_state(lambda: running.version() == 1, "version 1 is served", _STEP_SECONDS)
    merge_source(running, root)
    plain, turned = held_out()
    store = Store(parse_store(running.server.store))
    with Traffic(running.server, per_second) as traffic:
        traffic.next = partial(deal, cycle_of(plain))
        num_checks = running.count("monitoring")
        running.await_runs("monitoring", num_checks + 3, _STEP_SECONDS)
        yield make_row("loop: episodes before the second scanner", len(load_episodes(store)), "")
        traffic.next = partial(deal, cycle_of(turned))
        begun = time.time()
        yield from timeline(running, store, traffic, begun, (plain, turned))
        yield make_row("loop: digits asked about", traffic.num_answered, "")
        yield make_row("loop: requests that failed, swap included", traffic.num_failed, "")
    yield from counts(running)
    store.close()


def timeline(
    running: Production, store: Store, traffic: Traffic, begun: float, digits: tuple[Digits, Digits]
) -> Iterator[Row]:
    """When each step was seen to be done."""

    def state() -> str | None:
        kept = load_episodes(store).get("drift")
        return None if kept is None else kept.episode.state

    def told(word: str) -> bool:
        return any(one.alert["state"] == word for one in running.told)

    champions = running.cpu / "models/registry.json"
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("the episode fires", lambda: state() == "firing"),
        ("people are told", lambda: told("firing")),
        (
            "new labels are taken in and handed over",
            lambda: log_of(running).count("Take in a snapshot") == 2,
        ),
        (
            "the next model has passed its gate and is published",
            lambda: "version 2" in log_of(running),
        ),
        ("the clone that serves has it", lambda: '"champion": 2' in champions.read_text()),
        ("it is served", lambda: running.version() == 2),
    ]
    for name, holds in steps:
        await_state(holds, name, _TRAINING_SECONDS)
        yield make_row(f"loop: second scanner → {name}", time.time() - begun, "s")
    share = share_of_production(running.gpu)
    traffic.next = partial(deal_both, *(cycle_of(one) for one in digits), share)
    yield make_row("loop: share of the second scanner in the new test rows", share, "")
    for name, holds in (
        ("the episode is over", lambda: state() == "resolved"),
        ("people are told that it is over", lambda: told("resolved")),
    ):
        await_state(holds, name, _TRAINING_SECONDS)
        yield make_row(f"loop: second scanner → {name}", time.time() - begun, "s")


def counts(running: Production) -> Iterator[Row]:
    """What was done once, and what was not done at all."""
    titles = [one.alert["title"] for one in running.told]
    say(f"told: {titles}")
    say(f"production: {log_of(running).splitlines()}")
    keys = [one.key for one in running.told]
    yield make_row("loop: alerts that came in twice", len(keys) - len(set(keys)), "")
    yield make_row("loop: alerts of broken data", sum("The data" in one for one in titles), "")
    # The first of two snapshots was taken before.
    retrainings = log_of(running).count("Take in a snapshot") - 1
    yield make_row("loop: retrainings", retrainings, "")


def log_of(running: Production) -> str:
    """Subjects of the commits on the remote's branch."""
    return run(running.remote, "git", "log", "--format=%s", "production").output


def held_out() -> tuple[Digits, Digits]:
    """Digits that the first model is not taught, as they are and by the second scanner."""
    plain = [(one.data, one.label) for one in make_digits(None) if one.split != "train"]
    return plain, [(worsen(data), label) for data, label in plain]


def cycle_of(digits: Digits) -> Iterator[tuple[bytes, str]]:
    """All of them in some order, again and again."""
    rng = random.Random(0)
    while True:
        yield from rng.sample(digits, len(digits))


def deal(cycle: Iterator[tuple[bytes, str]]) -> tuple[bytes, str]:
    return next(cycle)


def deal_both(
    one: Iterator[tuple[bytes, str]], other: Iterator[tuple[bytes, str]], share: float
) -> tuple[bytes, str]:
    return next(other if random.random() < share else one)


def share_of_production(root: Path) -> float:
    """Of test rows those that came in as labelled images of the service."""
    paths = load_table(root / "data/clean/manifest.parquet", ["path"])["path"]
    return float(
        paths.iloc[load_rows(root / "data/rows/test.npy")].str.startswith("production/").mean()
    )


CELLS = [Cell("loop", measure_loop)]


def main(argv: list[str]) -> None:
    parser = topic_parser("loop", __doc__, CELLS)
    parser.add_argument(
        "--per-second", type=float, default=4.0, help="digits asked about (%(default)s)"
    )
    run_cells("loop", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
