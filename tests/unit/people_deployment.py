"""A deployer of a workspace that names people, against the Infisical in memory."""

from functools import cache
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import converge, difference
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import remember
from infisical_iac.workspace.model import PERSON_PRIVILEGE
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from infisical_iac.workspace.state import Actual, ApiChange
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.fake_people import ADMIN_TOKEN

PEOPLE = (
    TEXT
    + """
people:
  ada@example.com: admin
  ben@example.com:
    development: developer
    staging: viewer
    production: {/backend: viewer, /shared: viewer}
  cy@example.com: none
"""
)
BEN = "developer in development, viewer in staging, viewer of /backend and /shared in production"


class PeopleDeployment(Deployment):
    """A deployer that can also log the administrator in."""

    def __init__(self) -> None:
        super().__init__()
        self.server.add_deployer("client-of-the-deployer")
        self.server.organization[ADMIN] = {"username": ADMIN, "email": ADMIN}
        self.logins = 0
        self.made: list[ApiChange] = []

    def admin(self) -> Client:
        self.logins += 1
        return self.client.with_token(ADMIN_TOKEN)

    def inspect(self, text: str = PEOPLE, *, prune: bool = False) -> WorkspacePlan:
        """Return the plan that the command line makes."""
        return compute_plan(self.reach(text), prune=prune)

    def prune(self, text: str) -> list[str]:
        """Plan and apply with `--prune`, and return the changes as lines."""
        done: list[str] = []
        apply_plan(
            self.reach(text), self.inspect(text, prune=True), lambda each: done.append(str(each))
        )
        return done

    def reach(self, text: str = PEOPLE) -> Reached:
        return Reached(
            client=self.client,
            address="http://127.0.0.1:8080",
            deployer="client-of-the-deployer",
            admin=self.admin,
            has_admin=True,
            desired=load(text),
            isolation="privilege",
            admin_email=ADMIN,
            memory=self.remembered,
        )

    def actual(self, text: str = PEOPLE) -> Actual:
        return read(self.client, self.goal(load(text)), self.admin)

    def plan(self, text: str = PEOPLE) -> list[ApiChange]:
        return difference(self.goal(load(text)), self.actual(text))

    def settle(self, text: str = PEOPLE) -> list[str]:
        """Converge, and return the changes as lines; `made` has the changes themselves."""
        self.made = []
        goal = self.goal(load(text))
        actual = converge(self.client, goal, self.made.append, self.admin)
        self.remembered = remember(goal, actual)
        return [str(change) for change in self.made]

    def seat(self, email: str) -> dict[str, Any]:
        """Return a person's membership of the project."""
        return next(each for each in self.server.persons if each["user"]["email"] == email)

    def mark(self, email: str) -> dict[str, Any]:
        """Return the privilege that marks a person as managed by the deployment."""
        id = self.seat(email)["id"]
        return next(
            each
            for each in self.server.grants.values()
            if each["projectMembershipId"] == id and each["slug"] == PERSON_PRIVILEGE
        )


def make_people_deployment() -> PeopleDeployment:
    """Return a deployer that has converged `PEOPLE`: a copy, because that takes long."""
    made, first = PeopleDeployment(), _settle()
    made.server.take_state(first.server)
    made.remembered, made.made, made.logins = first.remembered, [*first.made], first.logins
    return made


@cache
def _settle() -> PeopleDeployment:
    made = PeopleDeployment()
    made.settle()
    return made
