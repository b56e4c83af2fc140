"""Run the commands for credentials on an Infisical in memory and a directory of files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.agent.identities import ClientSecret
from infisical_iac.cli import credentials as commands
from infisical_iac.core.errors import UserError
from infisical_iac.workspace import reach
from infisical_iac.workspace.credential_file import Credential, parse
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.targets import Target
from tests.unit.deployment import ADMIN, Deployment

TARGET = "/srv/env on app-1"
TEXT = """
project: {name: ChainAlign, slug: chainalign}
environments: [{slug: qa, name: QA}, {slug: production, name: Production}]
services:
  backend: {folder: /backend, deliver: {production: {file: {host: app-1, path: /srv/env}}}}
  web: {folder: /web}
"""


class FakeCourier:
    """A courier to a target that holds the credentials `there`.

    `deploys`: the courier can deploy the target. `broken`: its checks fail. `calls` records the
    calls of its methods.
    """

    def __init__(self) -> None:
        self.there: Credential | None = None
        self.deploys = True
        self.broken = False
        self.calls: list[str] = []

    def check(self) -> None:
        self.calls.append("check")
        if self.broken:
            raise UserError("app-1 is broken", code="error.broken")

    def differs(self, credential: Credential) -> bool:
        return self.there != credential.without_rotation

    def deliver(self, credential: Credential) -> bool:
        is_new = self.differs(credential)
        self.there = credential.without_rotation
        self.calls.append("deliver" if is_new else "compare")
        return is_new

    def deploy(self) -> None:
        self.calls.append("deploy")


class CredentialHost:
    """A deployed project, whose credentials are files in a directory.

    Attributes:
        opened: the inventory, the project file, and whether the lock was taken, of each command.
        audited: the entries of the audit log, each an event and its changes.
        text: the project file.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.courier = FakeCourier()
        self.opened: list[tuple[str, Path | None, bool]] = []
        self.audited: list[tuple[str, list[str]]] = []
        self.targets: list[tuple[str, Mapping[str, str]]] = []
        self._deployment = Deployment()
        self._deployment.deploy(TEXT)
        self._deployment.server.routes.insert(
            0, ("POST", "/v1/auth/universal-auth/login", lambda _: {"accessToken": "fake-token"})
        )
        monkeypatch.setattr(reach, "reach", self._reach)
        monkeypatch.setattr(commands, "courier", self._courier_to)

    @contextmanager
    def _reach(
        self, inventory: str, file: Path | None, _: object, *, lock: object, needs_admin: bool
    ) -> Iterator[Reached]:
        assert not needs_admin
        self.opened.append((inventory, file, lock is not None))
        yield Reached(
            client=self._deployment.client,
            address="http://fake",
            deployer="client-of-the-deployer",
            admin=lambda: self._deployment.client,
            has_admin=False,
            desired=load(TEXT),
            isolation="privilege",
            admin_email=ADMIN,
            recorded=self._record,
        )

    @contextmanager
    def _record(self, event: str, changes: Sequence[str]) -> Iterator[None]:
        try:
            yield
        finally:
            self.audited.append((event, [*changes]))

    def _courier_to(self, target: Target, environ: Mapping[str, str]) -> FakeCourier:
        self.targets.append((str(target), environ))
        return self.courier

    def run(self, *arguments: str, answer: str = "", has_files: bool = True) -> Result:
        """Run `infisical-iac credentials <arguments>`."""
        where = ("--credentials", str(self.directory)) if has_files else ()
        return CliRunner().invoke(commands.credentials, [*arguments, *where], input=answer)

    def rotate(self, service: str, environment: str, *options: str) -> str:
        """Rotate credentials, which must succeed, and return the output."""
        ran = self.run("rotate", service, "--env", environment, *options)
        assert ran.exit_code == 0, ran.output
        self.audited.clear()
        self.opened.clear()
        return ran.stdout

    def refusal(self, *arguments: str, answer: str = "") -> UserError:
        """Run a command that must be refused, and return its error."""
        ran = self.run(*arguments, answer=answer)
        assert isinstance(ran.exception, UserError), ran.output
        return ran.exception

    def file(self, name: str) -> Path:
        return self.directory / f"{name}.env"

    def read_credential(self, name: str) -> Credential:
        """Return the credentials in a file."""
        found = parse(self.file(name).read_text())
        assert found is not None
        return found

    def list_client_secrets(self, identity: str) -> list[str]:
        """Return the ids of the client secrets of an identity."""
        id = self._deployment.server.identity(identity)["id"]
        return [each["id"] for each in self._deployment.server.secrets[id]]

    def forget(self, identity: str) -> None:
        """Revoke all client secrets of an identity on the server."""
        server = self._deployment.server
        server.secrets[server.identity(identity)["id"]].clear()


NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def client_secret(id: str, **changes: Any) -> ClientSecret:
    """Return a client secret of `backend` in production, made three days ago."""
    made = NOW - timedelta(days=3)
    return ClientSecret(id, "infisical-iac: backend.production", made, made, **changes)
