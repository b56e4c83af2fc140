"""Read second factors as on a host, with psql of this machine in place of a container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_iac.agent.database import second_factors
from infisical_iac.agent.runner import Output, Runner
from tests.unit.agent.fake_runner import docker_container

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infisical_iac.agent.database import AccountFactor

    from .postgres import Postgres


@dataclass(frozen=True)
class LocalPostgres(Runner):
    """A host whose container of PostgreSQL is a server on a port of this machine."""

    port: int = 0

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 60,
        environment: Mapping[str, str] = {},
    ) -> Output:
        match words[1]:
            case "ps":
                return Output(0, "aa\n")
            case "inspect":
                container = docker_container("aa", project="infisical", service="postgres")
                return Output(0, json.dumps(container))
        command = words[words.index("psql") :]
        there = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port)}
        return super().run(command, stdin=stdin, seconds=seconds, environment=there)


def read(postgres: Postgres) -> list[AccountFactor]:
    """Return the second factors in the database `infisical`."""
    return second_factors(LocalPostgres(port=postgres.port))


def make_database(postgres: Postgres) -> str:
    """Make the database `infisical`, which `read` reads, and return its address."""
    return postgres.create_database("infisical")


def drop_database(postgres: Postgres) -> None:
    """Remove the database, with the sessions on it."""
    postgres.psql("postgres", "DROP DATABASE infisical WITH (FORCE)")
