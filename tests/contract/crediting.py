"""A project whose service credentials are kept in a directory, and the commands for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.cli.main import main
from infisical_iac.workspace.credential_file import Credential, parse

from .world import World, ok

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_iac.workspace.model import Isolation

_numbers = count(1)
ENVIRONMENTS = ("development", "production")


@dataclass
class Case:
    """A project with one service in two environments.

    Attributes:
        deliver: the value of `deliver` of the service in the project file.
        variables: environment variables of the commands.
    """

    world: World
    root: Path
    deliver: dict[str, Any] = field(default_factory=dict)
    ttl: int = 0
    isolation: Isolation = "privilege"
    variables: dict[str, str] = field(default_factory=dict)
    service: str = field(default_factory=lambda: f"backend-{next(_numbers)}")

    @property
    def directory(self) -> Path:
        return self.root / "credentials"

    def deploy(self) -> None:
        """Apply the project file."""
        self.write()
        ran = self.invoke("workspace", "apply", "--yes", "--isolation", self.isolation)
        assert ran.exit_code == 0, ran.output

    def write(self) -> None:
        """Write the project file."""
        service = {"folder": "/backend", "deliver": self.deliver, "client_secret_ttl": self.ttl}
        content = {
            "project": {"name": self.service, "slug": self.service},
            "environments": [{"slug": each, "name": each.title()} for each in ENVIRONMENTS],
            "services": {self.service: service},
        }
        (self.root / "workspace.json").write_text(json.dumps(content), encoding="utf-8")

    def invoke(self, *arguments: str, answer: str = "") -> Result:
        environment = {**self.world.variables(), **self.variables}
        given = [*arguments, "--project-file", str(self.root / "workspace.json")]
        return CliRunner(env=environment).invoke(main, given, input=answer)

    def run(self, *arguments: str, answer: str = "") -> Result:
        """Run `infisical-iac credentials <arguments>`."""
        where = ("--credentials", str(self.directory))
        return self.invoke("credentials", *arguments, *where, answer=answer)

    def rotate(self, *options: str) -> Result:
        """Rotate the credentials of the service in production, which must succeed."""
        ran = self.run("rotate", self.service, "--env", "production", *options)
        assert ran.exit_code == 0, ran.output
        return ran

    def read_credential(self, environment: str = "production") -> Credential:
        """Return the credentials in the file."""
        file = self.directory / f"{self.service}.{environment}.env"
        found = parse(file.read_text(encoding="utf-8"))
        assert found is not None
        return found

    def logs_in(self, credential: Credential) -> bool:
        """Return whether one login with the credentials succeeds."""
        body = {"clientId": credential.client_id, "clientSecret": credential.client_secret}
        with self.world.standin.client() as client:
            answer = client.post("/api/v1/auth/universal-auth/login", json=body)
        return answer.status_code == 200

    def list_client_secrets(self, environment: str = "production") -> list[str]:
        """Return the ids of the client secrets that the server lists."""
        at: dict[str, str | int] = {"orgId": self.world.org_id, "limit": 1000}
        found = ok(self.world.deployer.get("/api/v1/identities", params=at))["identities"]
        name = f"{self.service}-{environment}"
        (id,) = (each["identity"]["id"] for each in found if each["identity"]["name"] == name)
        url = f"/api/v1/auth/universal-auth/identities/{id}/client-secrets"
        return [each["id"] for each in ok(self.world.deployer.get(url))["clientSecretData"]]

    def overview(self, environment: str = "production") -> dict[str, Any]:
        """Return the row of `list --json`."""
        ran = self.run("list", "--json")
        assert ran.exit_code == 0, ran.output
        rows = json.loads(ran.stdout)["credentials"]
        (row,) = (each for each in rows if each["environment"] == environment)
        return dict(row)

    def client(self) -> Client:
        """Return a client with the token of the deployer."""
        identity, anyone = self.world.deployer_identity, Client(self.world.standin.url)
        return login.universal(anyone, identity.client_id, identity.client_secret)
