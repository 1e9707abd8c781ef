"""Studies of `python -m tasks.tune`: Optuna's trials, in SQLite or in PostgreSQL.

A study remembers what was asked of it; trials of another space or other data are no comparison. A
trial whose worker died is marked as failed, and waits to be run again with the same values.
"""

import fcntl
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from tasks.core.errors import ArtifactError, BusyError, ParamsError
from tasks.core.samplers import (
    IS_PRESENT,
    REASON,
    RETRY_OF,
    encoded,
    make_pruner,
    make_sampler,
)
from tasks.core.search import Search

HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
_OPENING_SECONDS = 10.0
_ASKED, _NUM_DEATHS = "asked", "num_deaths"
_MOST_DEATHS = 3


def parse_storage(text: str) -> URL:
    """The address of a database. Raises ParamsError for one of another kind; a password in it is
    told to nobody."""
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        raise ParamsError("--storage: is no address; expected postgresql://…") from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    on_disk = url.drivername == "sqlite" and url.database not in (None, "", ":memory:")
    if not on_disk and url.drivername != "postgresql+psycopg":
        raise ParamsError(f"--storage: {_shown(url)}; expected postgresql://… or sqlite:///<file>")
    return url


@contextmanager
def opened_study(
    url: URL,
    search: Search,
    asked: dict[str, Any],
    present: dict[str, Any] | None,
    grace_seconds: int = GRACE_SECONDS,
) -> Iterator[Study]:
    """The study of that name, begun if there is none. The first trial of a new one has the values
    in `present`.

    Raises:
        ArtifactError: the database cannot be reached, opened or written.
        BusyError: another worker has the study, and they share no PostgreSQL.
        ParamsError: the study was begun for something other than `asked`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _only_worker(url), _explained(url):
        study, is_new = _open(url, search, grace_seconds)
        if is_new:
            study.set_user_attr(_ASKED, asked)
            if present is not None:
                values = {name: encoded(search.space[name], v) for name, v in present.items()}
                study.enqueue_trial(values, user_attrs={IS_PRESENT: True})
        _check_asked(study, _wait_for_asked(study), asked)
        if url.drivername == "sqlite":
            retry_dead(study)
        yield study


def retry_stale(study: Study) -> None:
    """Marks trials as failed whose workers gave no sign of life for too long, and queues them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def retry_dead(study: Study) -> None:
    """Marks every running trial as failed and queues it again; for the only worker of a study."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        retry(study, trial)


def retry(study: Study, trial: FrozenTrial, has_died: bool = True) -> None:
    """Queues a trial again: with its values if it had got them all, else to be drawn again. What
    ends every worker, as shapes that crash PyTorch do, is queued with a reason not to be run."""
    num_deaths = trial.user_attrs.get(_NUM_DEATHS, 0) + has_died
    attributes = {RETRY_OF: trial.number, **trial.user_attrs, _NUM_DEATHS: num_deaths}
    if num_deaths == _MOST_DEATHS:
        attributes[REASON] = f"the process that ran it died, {_MOST_DEATHS} times"
    fixed = trial.system_attrs.get("fixed_params")
    if fixed is not None:
        study.enqueue_trial(fixed, user_attrs=attributes)
        return
    has_all = len(trial.params) == len(study.user_attrs[_ASKED]["space"])
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params if has_all else {},
            distributions=trial.distributions if has_all else {},
            user_attrs=attributes,
        )
    )


@contextmanager
def _only_worker(url: URL) -> Iterator[None]:
    """Of a SQLite study, which is how a running trial is known to be dead."""
    if url.drivername != "sqlite":
        yield
        return
    path = Path(f"{url.database}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(
                f"{url.database}: another worker has this study; several share one in PostgreSQL "
                "(--storage postgresql://…)"
            ) from None
        yield


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        said = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        for secret in _secrets(url):
            said = said.replace(secret, "***")
        raise ArtifactError(f"the study's database {_shown(url)}: {said}") from None


def _shown(url: URL) -> str:
    """Without the user's password, and without those that may stand among the parameters."""
    return repr(url.difference_update_query(_password_keys(url)))


def _secrets(url: URL) -> list[str]:
    stated = (url.query[key] for key in _password_keys(url))
    return [str(secret) for secret in (url.password, *stated) if secret]


def _password_keys(url: URL) -> list[str]:
    return [key for key in url.query if "password" in key.lower()]


def _open(url: URL, search: Search, grace_seconds: int) -> tuple[Study, bool]:
    # A driver is asked for with the address, password included, so errors are cut off above.
    address = url.render_as_string(hide_password=False)
    storage = _storage(address, grace_seconds)
    settings: dict[str, Any] = {
        "storage": storage,
        "sampler": make_sampler(search),
        "pruner": make_pruner(search),
        "study_name": search.study,
    }
    direction = "minimize" if search.is_lower_better else "maximize"
    try:
        return optuna.create_study(direction=direction, **settings), True
    except optuna.exceptions.DuplicatedStudyError:
        return optuna.load_study(**settings), False


def _storage(address: str, grace_seconds: int) -> RDBStorage:
    deadline = time.monotonic() + _OPENING_SECONDS
    logging.getLogger("alembic").setLevel(logging.WARNING)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    address,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=grace_seconds,
                    heartbeat_stale_trial_callback=retry,
                )
        except (SQLAlchemyError, OptunaError) as error:
            # Workers that begin together all make the tables, and one of them is the first.
            is_race = any(word in str(error) for word in ("already exists", "duplicate key"))
            if not is_race or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _wait_for_asked(study: Study) -> dict[str, Any]:
    """What another worker, which began the study a moment ago, writes next."""
    deadline = time.monotonic() + _OPENING_SECONDS
    while _ASKED not in study.user_attrs:
        if time.monotonic() > deadline:
            raise ArtifactError(f"study {study.study_name!r}: was not begun by tasks.tune")
        time.sleep(0.1)
    return study.user_attrs[_ASKED]


def _check_asked(study: Study, former: dict[str, Any], asked: dict[str, Any]) -> None:
    changed = sorted(k for k in {*former, *asked} if former.get(k) != asked.get(k))
    if changed:
        raise ParamsError(
            f"search.yaml: study {study.study_name!r} was begun with other {', '.join(changed)}; "
            "its trials are no comparison: give another name (study:)"
        )
