"""A throw-away PostgreSQL cluster on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.ports import free_port

from .services import MissingProgram

LOCALE = "en_US.utf8"
USER = "infisical"


class Postgres:
    """One cluster in a separate directory, owned by a user that is not root."""

    def __init__(self) -> None:
        self.port = free_port()
        self._bin = _postgres_programs()
        self._home = Path(tempfile.mkdtemp(prefix="standin-postgres-"))
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self._home, owner.pw_uid, owner.pw_gid)
            ids = ["--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid)]
            self._prefix = ["setpriv", *ids, "--clear-groups"]
        self._data = self._home / "data"
        self._run(
            "initdb",
            "-D",
            self._data,
            "-U",
            USER,
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale",
            self._locale(),
        )
        self.start()

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
            f" -c unix_socket_directories={self._home}"
        )
        log = self._home / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "20", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "20", "-m", "fast", "stop")

    def close(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self._home, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Make a database with the collation that the server needs, and return its address."""
        self.psql("postgres", f'CREATE DATABASE "{name}"')
        self.psql(
            name, f"CREATE COLLATION IF NOT EXISTS \"{LOCALE}\" (provider = icu, locale = 'en-US')"
        )
        return self.uri(name)

    def uri(self, name: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def psql(self, database: str, statement: str) -> str:
        return self._run("psql", "-X", "-q", "-A", "-t", "-c", statement, self.uri(database))

    def rename_collation(self, database: str, old: str, new: str) -> None:
        query = f"SELECT collnamespace::regnamespace FROM pg_collation WHERE collname = '{old}'"
        for schema in self.psql(database, query).split():
            self.psql(database, f'ALTER COLLATION {schema}."{old}" RENAME TO "{new}"')

    def copy_by_dump(self, source: str, target: str) -> str:
        """Dump one database and restore it into a new one; return its name."""
        dump = self._home / f"{source}.dump"
        self._run("pg_dump", "-Fc", "-f", dump, self.uri(source))
        self.psql("postgres", f'CREATE DATABASE "{target}"')
        self._run("pg_restore", "--no-owner", "-d", self.uri(target), dump)
        return target

    def _run(self, program: str, *arguments: str | Path) -> str:
        command = [*self._prefix, str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60, cwd="/"
        )
        return done.stdout

    @staticmethod
    def _locale() -> str:
        known = subprocess.run(["locale", "-a"], check=True, capture_output=True, text=True)
        return LOCALE if LOCALE in known.stdout.split() else "C.UTF-8"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        raise MissingProgram(
            "The PostgreSQL server programs were not found under /usr/lib/postgresql: "
            "install the Debian package postgresql"
        )
    return found[-1].parent
