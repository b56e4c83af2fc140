"""A deployer that remembers its resources on the host, against the Infisical in memory."""

from collections.abc import Sequence

from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError
from infisical_iac.workspace.goal import Memory, Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan
from tests.unit.deployment import ADMIN, TEXT, Deployment


def without(
    *, services: Sequence[str] = (), environments: Sequence[str] = (), imports: bool = True
) -> Workspace:
    """Return the small workspace without some services, environments or imports."""
    whole = load(TEXT)
    left = {name: each for name, each in whole.services.items() if name not in services}
    if not imports:
        left = {name: each.model_copy(update={"imports": ()}) for name, each in left.items()}
    stay = tuple(each for each in whole.environments if each.slug not in environments)
    return whole.model_copy(update={"services": left, "environments": stay})


WHOLE = load(TEXT)
NO_BACKEND = without(services=["backend"])
NO_STAGING = without(environments=["staging"])
# The end of the line that reports a removed environment.
RESTORABLE = "restorable until the server's grace period ends"


class RememberingDeployment(Deployment):
    """A deployer that plans and applies as the command line does, with and without `--prune`."""

    def __init__(self) -> None:
        super().__init__()
        self.server.add_deployer("client-of-the-deployer")
        self.memory = Memory()
        self.credentials: dict[str, str] = {}  # client ids in files on the host, by path

    def plan(self, desired: Workspace, *, prune: bool = False) -> WorkspacePlan:
        return compute_plan(self.reach(desired), prune=prune)

    def apply(self, desired: Workspace, *, prune: bool = False) -> list[str]:
        """Plan and apply, and return the changes as lines."""
        return self.make(desired, self.plan(desired, prune=prune))

    def make(self, desired: Workspace, plan: WorkspacePlan) -> list[str]:
        done: list[str] = []
        apply_plan(self.reach(desired), plan, lambda change: done.append(str(change)))
        return done

    def reach(self, desired: Workspace) -> Reached:
        return Reached(
            client=self.client,
            address="http://127.0.0.1:8080",
            deployer="client-of-the-deployer",
            admin=self._refuse_admin,
            has_admin=False,
            desired=desired,
            isolation="privilege",
            admin_email=ADMIN,
            memory=self.memory,
            remember=self._remember,
            credentials=lambda: self.credentials,
            discard=self._discard,
        )

    def _refuse_admin(self) -> Client:
        raise UserError("the administrator's login is not available here")

    def _remember(self, memory: Memory) -> None:
        self.memory = memory

    def _discard(self, paths: Sequence[str]) -> None:
        for path in paths:
            del self.credentials[path]


def apply_whole() -> RememberingDeployment:
    """Return a deployment that has applied the whole small project file."""
    deployment = RememberingDeployment()
    deployment.apply(WHOLE)
    return deployment
