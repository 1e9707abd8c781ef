"""Several workers share a study in PostgreSQL: no trial twice, none lost, whoever dies."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.postgresql import PostgreSQL, running_postgresql
from tasks.core.errors import ArtifactError
from tests.tasks.studying import run, search_of, start

pytestmark = pytest.mark.needs("postgresql")
QUICK = "objective = bowl\n"
SLOW = "def objective(sections, report):\n    time.sleep(0.3)\n    return bowl(sections, report)\n"
STUCK = "def objective(sections, report):\n    time.sleep(600)\n"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def url(postgresql: PostgreSQL, request: pytest.FixtureRequest) -> str:
    """A database of its own for each test."""
    return postgresql.make_database(f"study_{abs(hash(request.node.name))}")


def test_two_workers_at_once_run_each_trial_once(url: str) -> None:
    workers = [start(url, SLOW, num_trials=10, sampler={"name": "random"}) for _ in range(2)]
    begun = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], begun
    counts = [out.count("begins") for out, _ in begun]
    trials = run(url, search_of(num_trials=10, sampler={"name": "random"}))
    assert sum(counts) == len(trials) == 11
    assert all(counts)
    assert [one["place"] for one in trials] == [*range(-1, 10)]
    assert set(Counter(str(one["params"]) for one in trials).values()) == {1}


def test_the_trial_of_a_worker_that_was_killed_is_run_by_another(url: str) -> None:
    worker = start(url, STUCK)
    assert worker.stdout is not None and worker.stdout.readline() == "begins\n"
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    other = start(url, SLOW, num_trials=12)
    out, err = other.communicate(timeout=120)
    assert other.returncode == 0, err
    assert out.count("begins") == 13
    trials = run(url, search_of(num_trials=12))
    assert [one["place"] for one in trials] == [*range(-1, 12)]


def test_one_worker_draws_in_postgresql_what_it_draws_in_a_file(url: str, tmp_path: Path) -> None:
    in_file = run(f"sqlite:///{tmp_path}/a.db", search_of())
    assert run(url, search_of()) == in_file


def test_a_wrong_password_is_told_without_it(postgresql: PostgreSQL) -> None:
    with pytest.raises(ArtifactError, match="password authentication failed") as raised:
        run(f"postgresql://tilth:wrong-secret@127.0.0.1:{postgresql.port}/postgres", search_of())
    assert "wrong-secret" not in str(raised.value)
    assert raised.value.__suppress_context__
