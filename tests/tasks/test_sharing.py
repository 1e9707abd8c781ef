"""Several workers share a study in PostgreSQL: no trial twice, none lost, whoever dies."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import ArtifactError
from tests.tasks.studying import run, search_of, start

pytestmark = pytest.mark.needs("postgresql")
PASSWORD = "a:secret@of/ours"
ADDRESS = "postgresql://tilth:a%3Asecret%40of%2Fours@127.0.0.1"
QUICK = "objective = bowl\n"
SLOW = "def objective(sections, report):\n    time.sleep(0.3)\n    return bowl(sections, report)\n"
STUCK = "def objective(sections, report):\n    time.sleep(600)\n"


def program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else str(shutil.which(name))


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a PostgreSQL server that asks for a password."""
    # The server refuses to run as root, and pytest's folders are closed to others.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="tilth-postgresql-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begin = [program("initdb"), "-D", str(data), "-U", "tilth", "-A", "scram-sha-256", "--no-sync",
             f"--pwfile={folder / 'password'}"]  # fmt: skip
    subprocess.run(begin, check=True, cwd=folder, **user, **quiet)
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    control = [program("pg_ctl"), "-D", str(data), "-w"]
    subprocess.run([*control, "-o", settings, "start"], check=True, cwd=folder, **user, **quiet)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd=folder, **user, **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server: int, request: pytest.FixtureRequest) -> str:
    """A database of its own for each test."""
    import psycopg

    name = f"study_{abs(hash(request.node.name))}"
    with psycopg.connect(
        host="127.0.0.1", port=server, user="tilth", password=PASSWORD, dbname="postgres",
        autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return f"{ADDRESS}:{server}/{name}"


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


def test_a_wrong_password_is_told_without_it(server: int) -> None:
    with pytest.raises(ArtifactError, match="password authentication failed") as raised:
        run(f"postgresql://tilth:wrong-secret@127.0.0.1:{server}/postgres", search_of())
    assert "wrong-secret" not in str(raised.value)
    assert raised.value.__suppress_context__
