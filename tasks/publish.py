"""Makes the candidate the champion, if promote allows it.

    python -m tasks.publish [--again]

First the exported model must answer in a fresh process. Then, in this order: the champion's folder,
DVC's record of it, a push where a remote is configured, the registry, a commit. Each step leaves
alone what is done already, so that after a crash the same command goes on where it stopped. What
people rolled back is published again with `--again` alone. Outside the DAG: a champion that were an
output of the stage that judges it would be a cycle.
"""

import argparse
import shutil
import sys
from pathlib import Path

from pages.model_card import Card, Published
from tasks import card
from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.models import load_classifier
from tasks.artifacts.registry import REGISTRY, Registry, Version, load_registry, save_registry
from tasks.artifacts.snapshots import SNAPSHOT, load_snapshot
from tasks.core.errors import ArtifactError, VerdictError
from tasks.core.thresholds import Servable
from tasks.fingerprint import content_hash
from tasks.promote import Params
from tasks.releasing import CHAMPION, commit, exit_status, has_remote, record_champion, run
from tasks.rollback import restore
from tasks.sections import check_sections, load_sections
from tasks.servable import try_model

WEIGHTS, ONNX = Path("models/classifier.safetensors"), Path("models/classifier.onnx")
EVALUATED, OBSERVED = Path("metrics/evaluate.json"), Path("runs/publish.json")
MEASURED = tuple(Path(f"metrics/{name}.json") for name in Card._fields[2:])
PAGE, TEXT = "model_card.html", "model_card.md"
PARTS = (WEIGHTS, ONNX, Path("models/reference.parquet"), EVALUATED)


def main(argv: list[str]) -> int:
    """Exit status: 0 published (or published before), 1 a user's error or a refused verdict."""
    parser = argparse.ArgumentParser(prog="python -m tasks.publish", description=__doc__)
    parser.add_argument("--again", action="store_true", help="also what was rolled back")
    again = parser.parse_args(argv).again
    return exit_status(lambda: publish(again))


def publish(again: bool = False) -> str:
    """What was done, in a sentence.

    Raises:
        VerdictError: promote refused the candidate or judged another one, or it cannot be served.
        ArtifactError: a part of the model is missing, or DVC or git failed.
    """
    _check_verdict()
    weights, exported = content_hash(WEIGHTS), content_hash(ONNX)
    registry = load_registry(REGISTRY)
    known = next(
        (
            one
            for one in reversed(registry.versions)
            if (one.sha256, one.onnx_sha256) == (weights, exported)
        ),
        None,
    )
    if known is not None and known.rolled_back and not again:
        return f"version {known.version} was rolled back; --again publishes it nevertheless"
    if known is not None and known.rolled_back and known.md5 is not None:
        restore(known)
    elif not _is_champion():
        _check_servable()
        _set_champion(registry.next_number() if known is None else known.version)
    md5 = record_champion()
    if has_remote():
        run("dvc", "--wait-for-lock", "push", "--quiet")
    version = _register(registry, known, weights, exported, md5)
    return _commit(version)


def _check_verdict() -> None:
    judged = load_json(Path("metrics/promote.json"))
    if judged["verdict"] not in ("first", "pass", "is_champion"):
        reasons = "; ".join(judged["reasons"])
        raise VerdictError(f"the candidate was refused, nothing is published: {reasons}")
    missing = [str(part) for part in PARTS if not part.is_file()]
    if missing:
        raise ArtifactError(f"missing: {missing}; `dvc repro` makes them, `dvc pull` fetches them")
    if content_hash(WEIGHTS) != judged["candidate_sha256"]:
        raise VerdictError(f"{WEIGHTS} is not the candidate that was judged; `dvc repro promote`")


def _check_servable() -> None:
    sections = load_sections()
    check_sections(sections)
    limits: Servable = Params.model_validate(sections["promote"]).servable
    observed = try_model(ONNX, limits.timeout_seconds)
    save_json(observed, OBSERVED)
    if observed["p95_ms"] > limits.max_latency_ms:
        raise VerdictError(
            f"{ONNX}: 95 % of single images are answered within {observed['p95_ms']:.1f} ms; "
            f"promote.servable.max_latency_ms allows {limits.max_latency_ms}"
        )


def _is_champion() -> bool:
    return all(
        (CHAMPION / part.name).is_file()
        and content_hash(CHAMPION / part.name) == content_hash(part)
        for part in PARTS
    )


def _set_champion(number: int) -> None:
    params = card.Params.model_validate(load_sections()["card"])
    written = card.load_card(params, WEIGHTS, *MEASURED)
    with replacing_folder(CHAMPION) as folder:
        for part in PARTS:
            shutil.copyfile(part, folder / part.name)
        card.save_card(written, folder / PAGE, folder / TEXT, _observed(number))


def _observed(number: int) -> Published:
    """What no stage may know: of which commit it is, and what it took to make it."""
    runs = sorted(Path("runs").glob("*.json"))
    energy = {path.stem: load_json(path).get("energy", {}).get("watt_hours") for path in runs}
    return Published(
        version=number,
        commit=run("git", "rev-parse", "HEAD").strip(),
        hashes={part.name: content_hash(part) for part in PARTS},
        energy={stage: used for stage, used in energy.items() if used is not None},
    )


def _register(
    registry: Registry, known: Version | None, weights: str, exported: str, md5: str
) -> int:
    """The number of the champion's version: registered now, or before."""
    metrics = load_json(EVALUATED)["metrics"]
    number = registry.next_number() if known is None else known.version
    head = run("git", "rev-parse", "HEAD").strip()
    taken = load_snapshot(SNAPSHOT)
    version = Version(
        version=number,
        sha256=weights,
        onnx_sha256=exported,
        md5=md5,
        commit=head if known is None else known.commit,
        snapshot=taken.name if known is None else known.snapshot,
        taken_at=taken.taken_at if known is None else known.taken_at,
        classes=load_classifier(WEIGHTS)[1].classes,
        metrics={name: one["value"] for name, one in metrics.items()},
    )
    save_registry(registry.with_champion(version), REGISTRY)
    return number


def _commit(version: int) -> str:
    is_new = commit(
        lambda new: f"{'Publish' if new else 'Record the results of'} model version {version}"
    )
    if is_new:
        return f"published version {version}"
    more = "" if is_new is None else "; what changed since is committed"
    return f"version {version} was published before{more}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
