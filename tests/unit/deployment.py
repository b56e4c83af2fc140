"""A deployer of a small workspace, against the Infisical in memory."""

from functools import cache

from infisical_iac.workspace import load as loading
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import apply, converge, difference
from infisical_iac.workspace.goal import Goal, Memory
from infisical_iac.workspace.memory import remember
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.state import ApiChange
from tests.unit.fake_infisical import FakeInfisical

ADMIN = "admin@example.com"
TEXT = """
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: development, name: Development}
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
services:
  backend: {folder: /backend, imports: [/shared]}
  python-service: {folder: /services/python}
"""
load = cache(loading.load)


def folder(path: str, environment: str) -> str:
    """Return the name of a folder in a plan."""
    return f"folder {path} in {environment}"


def import_of(source: str, into: str, environment: str) -> str:
    """Return the name of an import in a plan."""
    return f"import of {source} into {into} in {environment}"


def order_of_imports(into: str, environment: str) -> str:
    """Return the name of the imports of a folder in a plan that changes their order."""
    return f"imports into {into} in {environment}"


def update(what: str, field: str, old: str, new: str) -> str:
    """Return the line of a plan that sets a field of an object."""
    return f"~ {what}: {field} {old} → {new}"


class Deployment:
    """A fake server, and a deployer with the memory that a host keeps for it."""

    def __init__(self) -> None:
        self.server = FakeInfisical()
        self.client = self.server.client()
        self.remembered = Memory()

    def changes(self, text: str = TEXT, isolation: Isolation = "privilege") -> list[ApiChange]:
        """Return the changes that a plan would show."""
        goal = self.goal(load(text), isolation)
        return difference(goal, read(self.client, goal))

    def deploy(self, text: str = TEXT, isolation: Isolation = "privilege") -> list[str]:
        """Apply the changes once, and return them as lines."""
        done = [str(change) for change in apply(self.client, self.changes(text, isolation))]
        goal = self.goal(load(text), isolation)
        self.remembered = remember(goal, read(self.client, goal))
        return done

    def converge(self) -> list[str]:
        """Apply until nothing differs, and return the changes as lines."""
        done: list[str] = []
        goal = self.goal(load(TEXT))
        actual = converge(self.client, goal, lambda change: done.append(str(change)))
        self.remembered = remember(goal, actual)
        return done

    def goal(self, desired: Workspace, isolation: Isolation = "privilege") -> Goal:
        """Return the desired state, with the memory of the last run."""
        return Goal(desired=desired, isolation=isolation, admin_email=ADMIN, memory=self.remembered)


def make_deployment(text: str = TEXT) -> Deployment:
    """Return a deployer after its first deploy; it is a copy, because a deploy takes long."""
    made, first = Deployment(), _deploy(text)
    made.server.take_state(first.server)
    made.remembered = first.remembered
    return made


@cache
def _deploy(text: str) -> Deployment:
    made = Deployment()
    made.deploy(text)
    return made
