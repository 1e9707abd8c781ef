"""What Prefect finds in its environment; to be set before it is imported."""

from collections.abc import MutableMapping
from pathlib import Path

from tasks.telemetry import TELEMETRY_OFF

CACHE = Path(".cache/prefect")
# Set for the flow runs that `python -m flows` starts, which end with it.
SERVED = "TILTH_SERVED"
DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
# Whoever sets one of these has decided where the history of runs is kept.
DECIDED = ("PREFECT_API_URL", "PREFECT_HOME", DATABASE)


def prepare(root: Path, environ: MutableMapping[str, str]) -> None:
    """Turns telemetry off in `environ`, and has the history of runs kept in the checkout.

    A Prefect server that a command starts for itself would else write into the home folder,
    where all checkouts share one database and lock each other out of it.
    """
    environ.update(TELEMETRY_OFF)
    # On a busy machine an empty database takes longer than the 20 s that Prefect waits for.
    environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    if not any(environ.get(name) for name in DECIDED):
        folder = root.resolve() / CACHE
        folder.mkdir(parents=True, exist_ok=True)
        environ[DATABASE] = f"sqlite+aiosqlite:///{folder}/prefect.db"
