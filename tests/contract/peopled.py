"""A deployed project with people in it."""

import re
from dataclasses import dataclass, field

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import converge, difference
from infisical_iac.workspace.goal import Goal, Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.state import Actual, ApiChange

from .first import EMAIL, PASSWORD
from .mailed import accept
from .services import Standin

ADA, BEN, CYD = (f"{each}-peopled@example.com" for each in ("ada", "ben", "cyd"))
_HEAD = """
project: {name: Peopled, slug: peopled}
environments:
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
services: {office: {folder: /backend, imports: [/shared]}}
people:
"""
_FILE = (
    _HEAD
    + """
  ada-peopled@example.com: admin
  cyd-peopled@example.com: none
  ben-peopled@example.com:
    staging: developer
    production: {/backend: viewer}
"""
)
WITHOUT_BEN = _HEAD + "  ada-peopled@example.com: admin\n  cyd-peopled@example.com: none\n"


def goal(text: str) -> Goal:
    """Return the desired state, with an empty memory."""
    return Goal(desired=load(text), isolation="privilege", admin_email=EMAIL)


@dataclass
class Place:
    """A server, with the clients of the deployer and of the administrator.

    Attributes:
        password: the one of the administrator.
        first: the changes that deployed the project.
        last: the changes of the last `converge`.
        links: the links of open invitations, by e-mail address.
    """

    standin: Standin
    anyone: Client
    deployer: Client
    client_id: str
    organization: str
    project: str = ""
    first: list[ApiChange] = field(default_factory=list)
    last: list[ApiChange] = field(default_factory=list)
    password: str = PASSWORD
    links: dict[str, str] = field(default_factory=dict)

    def at(self, environment: str, folder: str) -> dict[str, str]:
        """Return the parameters of a request for the secrets of a folder."""
        return {"projectId": self.project, "environment": environment, "secretPath": folder}

    def admin(self) -> Client:
        return login.password(self.anyone, EMAIL, self.password, self.organization)

    def read(self, text: str = _FILE) -> Actual:
        return read(self.deployer, goal(text), self.admin)

    def inspect(self, text: str = _FILE, *, prune: bool = False) -> WorkspacePlan:
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
        actual = converge(self.deployer, goal(text), self._keep, self.admin)
        self.project = actual.project.id if actual.project else ""
        return self.last

    def _keep(self, change: ApiChange) -> None:
        self.last.append(change)
        self.keep_link(change.shown)

    def keep_link(self, sentence: str) -> None:
        """Remember the link of an invitation in a sentence for the operator."""
        for email, link in re.findall(r"invitation link for (\S+): (\S+)", sentence):
            self.links[email] = link

    def accept(self, email: str) -> Client:
        """Accept a person's invitation if it is open, and return a login of this person."""
        if link := self.links.pop(email, ""):
            accept(self.standin, link, PASSWORD)
        return login.password(self.anyone, email, PASSWORD, self.organization)


def write(client: Client, at: dict[str, str], name: str) -> None:
    """Make a secret."""
    client.post(f"/api/v4/secrets/{name}", json={**at, "secretValue": "fake-value"})


def values(client: Client, at: dict[str, str]) -> list[str]:
    """Return the values of the secrets at a place."""
    return [each["secretValue"] for each in client.get("/api/v4/secrets", params=at)["secrets"]]
