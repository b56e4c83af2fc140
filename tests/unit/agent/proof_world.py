"""A host with an Infisical on its loopback, for the proof of a change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infisical_iac.agent import login
from infisical_iac.agent.contents import MEMORY
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_people import ADMIN_TOKEN
from tests.unit.fake_state import ORGANIZATION, Json, Refused

PROJECT = "1"
NO_COLUMN = Refused(400, "BadRequest", "no such column")
# The answer of a host whose database has stopped.
STOPPED = "the database does not run"


class World(FakeInfisical):
    """A server with a canary and one secret, and an address that answers or does not."""

    shows_values = True

    def __init__(self) -> None:
        super().__init__()
        self.project = {"id": PROJECT, "slug": "chainalign"}
        self.canary = self.add_canary()
        self.add_environment("production")
        (self.secret,) = self.store("production", "/", "TOKEN")
        self.config["initialized"] = True
        self.database_runs = True
        self.administrator = False
        self.deployer = True
        self.public = True
        self.closed = True
        self.routes += [
            ("GET", "/status", lambda _: {}),
            ("POST", "/v1/auth/universal-auth/login", self._log_in),
            ("POST", "/v3/auth/login", self._log_person_in),
            ("POST", "/v3/auth/select-organization", lambda _: {"token": ADMIN_TOKEN}),
            ("GET", "/v1/organization", self._own_organizations),
        ]

    def _log_in(self, body: Json) -> Json:
        if body["clientId"] == "deployer" and self.deployer:
            return {"accessToken": "token"}
        raise Refused(401, "UnauthorizedError", "Invalid credentials")

    def _log_person_in(self, body: Json) -> Json:
        if self.administrator:
            return {"accessToken": "person"}
        raise Refused(400, "BadRequest", "Incorrect password")

    def _own_organizations(self, _: Json) -> Json:
        return {"organizations": [{"id": ORGANIZATION, "name": "ChainAlign"}]}

    def add(self, environment: str, number: int) -> list[Json]:
        """Store further secrets, and make their environment if there is none of the name."""
        if environment not in {each["slug"] for each in self.environments}:
            self.add_environment(environment)
        return self.store(environment, "/", *(f"KEY_{each}" for each in range(number)))

    def lose(self, *lost: Json) -> None:
        """Delete secrets from the database."""
        for place, secrets in self.stored.items():
            self.stored[place] = [each for each in secrets if each not in lost]

    def rows(self) -> set[str]:
        """Return the ids of the secrets that the database has."""
        return {each["id"] for secrets in self.stored.values() for each in secrets}


@dataclass(frozen=True)
class ProofHost(FakeRunner):
    """The host of a `World`: its credentials, and a database of each topology."""

    world: World = field(default_factory=World)
    asked: list[str] = field(default_factory=list)
    """The containers whose database was asked."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        if "psql" not in words:
            return super().run(words, stdin=stdin, seconds=seconds, environment=environment)
        if not self.world.database_runs:
            return Output(1, errors=STOPPED)
        self.asked.extend(each for each in words if each in ("single-db", "swarm-db"))
        if "secrets_v2" not in stdin:
            return Output(0, "1\n")
        found = self.world.rows() & {*re.findall("'([^']+)'", stdin)}
        return Output(0, "".join(f"{each}\n" for each in found))


def make_host(root: Path) -> ProofHost:
    databases = docker_answers(
        docker_container("single-db", project="infisical", service="postgres"),
        docker_container("swarm-db", swarm="infisical_postgres-1"),
    )
    host = ProofHost(root, databases)
    host.write(
        login.DEPLOYER_FILE,
        "INFISICAL_CLIENT_ID=deployer\nINFISICAL_CLIENT_SECRET=obviously-fake\n",
    )
    host.write(
        login.ADMIN_FILE,
        "INFISICAL_ADMIN_EMAIL=ada@example.com\nINFISICAL_ADMIN_PASSWORD=obviously-fake\n",
    )
    host.write(MEMORY, "{}")
    return host
