"""Cases of the operations inside Infisical: bootstrap, project, canary and credentials."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from infisical_iac.workspace import bootstrap, canary, credentials_issue, reconcile
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.bootstrap import DesiredInstance, InstanceState
from infisical_iac.workspace.canary import Canary
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.credentials import Step, plan
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import Goal, Memory, remember
from infisical_iac.workspace.state import Actual
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.operations.cases import Cases, due, noop

_WORKSPACE = load(TEXT)
_UNSEEN = "the project in Infisical can be inspected once it runs and the deployer can log in"
_DESIRED = DesiredInstance("ChainAlign", ADMIN, 8080)
_NEW_INSTANCE = (
    f"+ administrator {ADMIN}",
    "+ organization ChainAlign",
    "~ sign-up: open → closed",
    "+ identity infisical-iac-deployer",
)
_CONVERGE, _STORE, _KEEP = ("_converge",), ("_store",), ("_keep",)
# The changes of an empty Infisical.
_GOAL = Goal(desired=_WORKSPACE, isolation="privilege", admin_email=ADMIN)
_ALL = difference(_GOAL, Actual(""))
_CANARY = canary.due(Canary(), ADMIN)
_CREDENTIALS = plan(_WORKSPACE, {}, {})
_FIRST = _CREDENTIALS[0]


@cache
def _converge() -> tuple[Actual, Memory]:
    """Return the state of a converged project, and the memory of that state."""
    deployment = Deployment()
    deployment.converge()
    goal = deployment.goal(_WORKSPACE)
    found = read(deployment.client, goal)
    return found, remember(goal, found)


def _reconcile(found: Actual, known: Memory, *, unseen: str = "") -> Iterable[Any]:
    return reconcile.decide(replace(_GOAL, memory=known), found, 8080, unseen=unseen)


def _rename() -> Actual:
    found, _ = _converge()
    assert found.project
    fields = {**found.project.fields, "name": "Another"}
    return replace(found, project=replace(found.project, fields=fields))


def _canary(due: list[Any], *, is_known: bool = False, unseen: str = "") -> Iterable[Any]:
    return reconcile.decide_canary(due, ADMIN, 8080, is_known=is_known, unseen=unseen)


def _store(*steps: Step, unseen: str = "") -> Iterable[Any]:
    return credentials_issue.decide(steps, _WORKSPACE, 8080, unseen=unseen)


OPERATIONS = {
    "workspace.bootstrap.accounts": Cases(
        noop(
            lambda: bootstrap.decide(_DESIRED, InstanceState(True, organization="ChainAlign")),
            "the instance is bootstrapped, sign-up is closed, the deployer logs in",
        ),
        due(
            lambda: bootstrap.decide(
                _DESIRED, InstanceState(True, True, "Other", differs="can't log in → can")
            ),
            "~ organization ChainAlign: name Other → ChainAlign",
            "~ sign-up: open → closed",
            "~ identity infisical-iac-deployer: can't log in → can",
            steps=("_bootstrap",),
        ),
        due(
            lambda: bootstrap.decide(_DESIRED, InstanceState(is_open=True)),
            *_NEW_INSTANCE,
            steps=("_bootstrap",),
        ),
        due(
            lambda: bootstrap.decide(_DESIRED, InstanceState(unseen=_UNSEEN)),
            unknown=_UNSEEN,
            steps=("_bootstrap",),
        ),
    ),
    "workspace.reconcile.project_contents": Cases(
        noop(lambda: _reconcile(*_converge()), "the project matches the project file"),
        due(
            lambda: _reconcile(_rename(), _converge()[1]),
            "~ project chainalign: name Another → ChainAlign",
            steps=_CONVERGE,
        ),
        due(lambda: _reconcile(Actual(""), Memory()), *map(str, _ALL), steps=_CONVERGE),
        due(
            lambda: _reconcile(Actual(""), Memory(), unseen=_UNSEEN),
            unknown=_UNSEEN,
            steps=_CONVERGE,
        ),
    ),
    "workspace.reconcile.canary_project": Cases(
        noop(lambda: _canary([], is_known=True), "the canary is as desired"),
        due(
            lambda: _canary([]),
            "~ /etc/infisical/workspace.json: id of the canary's project",
            steps=_KEEP,
        ),
        due(lambda: _canary(_CANARY), *map(str, _CANARY), steps=_KEEP),
        due(lambda: _canary(_CANARY, unseen=_UNSEEN), unknown=_UNSEEN, steps=_KEEP),
    ),
    "workspace.credentials_issue.credential_files": Cases(
        noop(lambda: _store(), "every credential is in its file and works"),
        due(
            lambda: _store(replace(_FIRST, creates=False, orphans=("obviously-fake",))),
            f"- client secrets of {_FIRST.account.credentials} that no file holds: 1",
            steps=_STORE,
        ),
        due(
            lambda: _store(*_CREDENTIALS),
            *(f"+ credentials {each.account.credentials}" for each in _CREDENTIALS),
            steps=_STORE,
        ),
        due(
            lambda: _store(*_CREDENTIALS, unseen=_UNSEEN),
            unknown=_UNSEEN,
            steps=_STORE,
        ),
    ),
}
