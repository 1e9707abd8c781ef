"""prefect.yaml as deployments to serve from this machine."""

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


def load_deployments(path: Path, interval_seconds: float | None) -> list[RunnerDeployment]:
    """The deployments of a prefect.yaml, without their work pools.

    Each runs on its own cron schedules, or all of them every `interval_seconds` where given.

    Raises:
        ScheduleError: the file is missing or malformed, or a deployment in it is incomplete.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        entries = document["deployments"]
        return [_deployment(entry, interval_seconds) for entry in entries]
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise ScheduleError(f"{path} cannot be served: {type(error).__name__}: {error}") from error


def _deployment(entry: dict[str, Any], interval_seconds: float | None) -> RunnerDeployment:
    flow = load_flow_from_entrypoint(entry["entrypoint"])
    limit = entry.get("concurrency_limit")
    when: dict[str, Any] = (
        {"interval": timedelta(seconds=interval_seconds)}
        if interval_seconds is not None
        else {"schedules": [_cron(schedule) for schedule in entry.get("schedules", [])]}
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
