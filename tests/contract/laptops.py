"""A person's machine with the loaders of both languages, and the project that Anna works in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.on_terminal import PROJECT, run_on_terminal

from .mailed import join
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.on_terminal import OnTerminal

    from .world import World

ANNA = "anna@example.com"
_SECONDS = 120
NODE = str(shutil.which("node"))
RUNNERS = {
    "node": (NODE, str(PROJECT / "loaders/node/bin/with-secrets.js")),
    "python": (sys.executable, "-m", "infisical_config"),
}

_CHANGE = """
import dataclasses, json, os, sys
from infisical_config.keyring import Logins
logins = Logins(os.environ)
login = dataclasses.replace(logins.find(sys.argv[1]), **json.loads(sys.argv[2]))
logins.keep(login)
print(json.dumps(dataclasses.asdict(login)))
"""


@dataclass(frozen=True)
class Laptop:
    """A machine without any credential of a service.

    Attributes:
        language: that of the runner.
        variables: of the shell, in addition to those that every shell has.
    """

    home: Path
    language: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> Path:
        return self.home / "service"

    def check_out(self, **settings: Any) -> None:
        """Write the service's `.infisical.json`."""
        self.service.mkdir(parents=True, exist_ok=True)
        (self.service / ".infisical.json").write_text(json.dumps(settings))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the runner without a terminal."""
        return subprocess.run(
            [*RUNNERS[self.language], *arguments],
            cwd=self.service,
            env=self._environment() | variables,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @contextmanager
    def on_terminal(self, *arguments: str) -> Iterator[OnTerminal]:
        """Run the runner on a terminal."""
        with run_on_terminal(
            [*RUNNERS[self.language], *arguments],
            directory=self.service,
            environment=self._environment(),
            seconds=_SECONDS,
        ) as running:
            yield running

    def log_in(self, email: str, *answers: tuple[str, str]) -> tuple[int, str]:
        """Log in by password; return the status and what the terminal showed.

        Args:
            answers: the questions after the e-mail, with their answers.
        """
        with self.on_terminal("login") as running:
            running.answer("E-mail", email)
            for question, answer in answers:
                running.answer(question, answer)
            return running.finish(), running.shown

    def read(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Print the child's value of A."""
        child = ("--", "sh", "-c", 'printf %s "$A"')
        return self.run(*options, *child, **variables)

    def change_login(self, **changes: str) -> dict[str, str]:
        """Change parts of the kept login, and return it."""
        address = json.loads((self.service / ".infisical.json").read_text())["domain"]
        done = subprocess.run(
            [sys.executable, "-c", _CHANGE, address, json.dumps(changes)],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT / "loaders/python"),
            "TMPDIR": str(self.home),
            **self.variables,
        }


@dataclass(frozen=True)
class Office:
    """A project in which Anna reads development's `/backend`, and nothing else."""

    world: World
    anna: httpx.Client

    @classmethod
    def open(cls, world: World) -> Office:
        """Make the folder, its secrets and Anna's access."""
        for environment in ("development", "production"):
            world.folder("/", "backend", environment)
            world.write("/backend", environment, A=f"fake-{environment}")
        anna = join(world.standin, world.admin, world.org_id, ANNA)
        grant(world, ANNA, "development")
        return cls(world, anna)

    def prepare(self, laptop: Laptop) -> Laptop:
        """Check the service out on a laptop, which is returned."""
        laptop.check_out(
            workspaceId=self.world.project_id,
            domain=self.world.standin.url,
            defaultEnvironment="development",
            defaultSecretPath="/backend",
        )
        return laptop

    def invite(self, email: str) -> httpx.Client:
        return join(self.world.standin, self.world.admin, self.world.org_id, email)


def grant(world: World, email: str, environment: str, project: str = "") -> None:
    """Let a person read `/backend` in an environment."""
    project = project or world.project_id
    body = {"emails": [], "usernames": [email], "roleSlugs": ["no-access"]}
    ok(world.deployer.post(f"/api/v1/projects/{project}/memberships", json=body))
    members = ok(world.deployer.get(f"/api/v1/projects/{project}/memberships"))["memberships"]
    (member,) = [each["id"] for each in members if each["user"]["email"] == email]
    url = f"/api/v1/organization-admin/projects/{project}/grant-admin-access"
    ok(world.admin.post(url))
    conditions = {"environment": {"$eq": environment}, "secretPath": {"$glob": "/backend"}}
    permission = {
        "subject": "secrets",
        "action": ["describeSecret", "readValue"],
        "conditions": conditions,
    }
    privilege = {
        "projectMembershipId": member,
        "slug": "granted",
        "type": {"isTemporary": False},
        "permissions": [permission],
    }
    ok(world.admin.post("/api/v1/user-project-additional-privilege", json=privilege))
