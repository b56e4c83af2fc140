"""Run the script that reads second factors, with psql of this machine in place of a container."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker

if TYPE_CHECKING:
    from pathlib import Path

    from .postgres import Postgres

_DOCKER = """
ps*) echo "aa infisical/postgres / Up 5 seconds" ;;
inspect*State.Status*) echo running ;;
inspect*) echo ;;
exec*psql*)
    while [ "$1" != psql ]; do shift; done
    shift
    PGHOST=127.0.0.1 psql "$@"
    ;;
"""


def run(directory: Path, postgres: Postgres) -> subprocess.CompletedProcess[str]:
    """Run the script on the database `infisical`; its fake Docker is written to `directory`."""
    fake_docker(directory, _DOCKER)
    path = f"{directory}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", script("second-factors")],
        env={"PATH": path, "HOST": str(directory), "PGPORT": str(postgres.port)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def make_database(postgres: Postgres) -> str:
    """Make the database `infisical`, which `run` reads, and return its address."""
    return postgres.create_database("infisical")


def drop_database(postgres: Postgres) -> None:
    """Remove the database, with the sessions on it."""
    postgres.psql("postgres", "DROP DATABASE infisical WITH (FORCE)")
