"""prefect.yaml as deployments to serve from this machine."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Cron
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.core.errors import TilthError


class ScheduleError(TilthError, ValueError):
    """prefect.yaml cannot be served."""


def load_deployments(
    path: Path, interval_seconds: float | None, names: Collection[str] = ()
) -> list[RunnerDeployment]:
    """The deployments of a prefect.yaml, or those of them that are named, without their work pools.

    Each runs on its own cron schedules, or, if it has any and `interval_seconds` is given, that
    often instead; what waits for an event alone goes on waiting for it.

    Raises:
        ScheduleError: the file is missing or malformed, a deployment in it is incomplete, or it
            has none of a name.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        entries = {entry["name"]: entry for entry in document["deployments"]}
        if unknown := sorted(set(names) - entries.keys()):
            raise ScheduleError(f"{path} has no deployment {unknown[0]!r}, but {[*entries]}")
        return [_deployment(entries[name], interval_seconds) for name in names or entries]
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise ScheduleError(f"{path} cannot be served: {type(error).__name__}: {error}") from error


def _deployment(entry: dict[str, Any], interval_seconds: float | None) -> RunnerDeployment:
    flow = load_flow_from_entrypoint(entry["entrypoint"])
    limit = entry.get("concurrency_limit")
    schedules = [_cron(schedule) for schedule in entry.get("schedules", [])]
    when: dict[str, Any] = (
        {"interval": timedelta(seconds=interval_seconds)}
        if schedules and interval_seconds is not None
        else {"schedules": schedules}
    )
    deployment = flow.to_deployment(
        entry["name"],
        description=entry.get("description"),
        parameters=entry.get("parameters"),
        tags=entry.get("tags"),
        triggers=[DeploymentEventTrigger(**trigger) for trigger in entry.get("triggers", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
        **when,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment


def _cron(schedule: dict[str, Any]) -> Any:
    return Cron(schedule["cron"], timezone=schedule.get("timezone"))
