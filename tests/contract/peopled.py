"""A deployed project with people in it."""

import json
from dataclasses import dataclass, field

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.api_change import ApiChange
from infisical_iac.workspace.converge import converge, difference
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.reach import Reached
from infisical_iac.workspace.state import Actual

from ..standin.crypto import hash_secret
from .first import EMAIL, PASSWORD
from .postgres import Postgres

BEN = "ben@example.com"
_HEAD = """
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
services: {backend: {folder: /backend, imports: [/shared]}}
people:
"""
_FILE = (
    _HEAD
    + """
  ada@example.com: admin
  cyd@example.com: none
  ben@example.com:
    staging: developer
    production: {/backend: viewer}
"""
)
WITHOUT_BEN = _HEAD + "  ada@example.com: admin\n  cyd@example.com: none\n"


def goal(text: str) -> Goal:
    """Return the desired state, with an empty memory."""
    return Goal(desired=load(text), isolation="privilege", admin_email=EMAIL)


@dataclass
class Place:
    """A server, with the clients of the deployer and of the administrator.

    Attributes:
        first: the changes that deployed the project.
        last: the changes of the last `converge`.
    """

    postgres: Postgres
    database: str
    anyone: Client
    deployer: Client
    client_id: str
    organization: str
    project: str = ""
    first: list[ApiChange] = field(default_factory=list)
    last: list[ApiChange] = field(default_factory=list)

    def at(self, environment: str, folder: str) -> dict[str, str]:
        """Return the parameters of a request for the secrets of a folder."""
        return {"projectId": self.project, "environment": environment, "secretPath": folder}

    def admin(self) -> Client:
        return login.password(self.anyone, EMAIL, PASSWORD)

    def read(self, text: str = _FILE) -> Actual:
        return read(self.deployer, goal(text), self.admin)

    def look(self, text: str = _FILE, *, prune: bool = False) -> WorkspacePlan:
        """Return the plan of the command line."""
        return compute_plan(self._reach(text), prune=prune)

    def make(self, text: str, plan: WorkspacePlan) -> list[ApiChange]:
        """Make the changes of a plan, and return those that were made."""
        done: list[ApiChange] = []
        apply_plan(self._reach(text), plan, done.append)
        return done

    def _reach(self, text: str) -> Reached:
        return Reached(
            client=self.deployer,
            address="",
            deployer=self.client_id,
            admin=self.admin,
            has_admin=True,
            desired=load(text),
            isolation="privilege",
            admin_email=EMAIL,
        )

    def plan(self, text: str = _FILE) -> list[ApiChange]:
        return list(difference(goal(text), self.read(text)))

    def converge(self, text: str = _FILE) -> list[ApiChange]:
        """Converge, and return the changes that were made."""
        self.last = []
        actual = converge(self.deployer, goal(text), self.last.append, self.admin)
        self.project = actual.project.id if actual.project else ""
        return self.last

    def accept(self, email: str) -> Client:
        """Accept an invitation: set a password in the database, and return the first login."""
        known = {"isAccepted": True, "isEmailVerified": True}
        chosen = json.dumps({"passwordHash": hash_secret(PASSWORD), **known})
        self.postgres.psql(
            self.database,
            f"UPDATE users SET data = data || '{chosen}' WHERE data->>'username' = '{email}'",
        )
        return login.password(self.anyone, email, PASSWORD, self.organization)


def write(client: Client, at: dict[str, str], name: str) -> None:
    """Make a secret."""
    client.post(f"/api/v4/secrets/{name}", json={**at, "secretValue": "fake-value"})


def values(client: Client, at: dict[str, str]) -> list[str]:
    """Return the values of the secrets at a place."""
    return [each["secretValue"] for each in client.get("/api/v4/secrets", params=at)["secrets"]]
