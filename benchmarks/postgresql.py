"""A PostgreSQL server of our own, that asks for a password: for tests and benchmarks."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "a:secret@of/ours"
_QUOTED = "a%3Asecret%40of%2Fours"


class PostgreSQL:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        # The server refuses to run as root, and temporary folders of one are closed to others.
        self._user: dict[str, Any] = (
            {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        )
        self._folder = folder
        (folder / "password").write_text(PASSWORD)
        if self._user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._data = folder / "data"
        self._run(
            "initdb", "-D", str(self._data), "-U", "tilth", "-A", "scram-sha-256", "--no-sync",
            f"--pwfile={folder / 'password'}",
        )  # fmt: skip

    def start(self) -> None:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", settings, "start")

    def kill(self) -> None:
        """As a crash does: nobody is asked to finish."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def make_database(self, name: str) -> str:
        """Its address."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="tilth", password=PASSWORD, dbname="postgres",
            autocommit=True,
        ) as connection:  # fmt: skip
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return f"postgresql://tilth:{_QUOTED}@127.0.0.1:{self.port}/{name}"

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [_program(name), *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,
        )


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A server that is gone when the block ends, with all that was in it."""
    folder = Path(tempfile.mkdtemp(prefix="tilth-postgresql-"))
    try:
        server = PostgreSQL(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else str(shutil.which(name))
