"""Test that the project has no access that the project file neither gives nor accepts."""

from collections.abc import Sequence

import pytest

from infisical_iac.workspace import foreign
from infisical_iac.workspace.foreign import ForeignAccess, Kind
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.state import Actual
from tests.host.inside.conftest import Seen

_SENTENCES: dict[Kind, str] = {
    "organization admin": "nobody else is an admin of the organization",
    "login": "no identity has another login method",
    "client secret": "no identity has another client secret",
    "service token": "the project has no service token",
    "secret sync": "no secret sync sends secrets to other services",
    "import": "no folder of a service has another import",
    "privilege": "nobody has another privilege",
    "second identity": "no identity has a duplicate",
    "identity": "no other identity is in the project",
    "person": "no other person is in the project",
    "group": "no group gives access to the project",
}


@pytest.fixture(scope="session")
def findings(actual_state: Actual, seen_access: Seen, goal: Goal) -> list[ForeignAccess]:
    found = foreign.find(goal, actual_state, seen_access.access, seen_access.deployer_secret)
    return foreign.filter_accepted(found, goal.desired, seen_access.access)[0]


def list_findings(findings: Sequence[ForeignAccess], kind: Kind) -> str:
    """Return the findings of a kind on one line, because `verify` shows one line of a failure."""
    return "; ".join(str(each.change)[2:] for each in findings if each.kind == kind)


@pytest.mark.parametrize("kind", _SENTENCES, ids=_SENTENCES.get)
def test_access_is_as_declared(findings: list[ForeignAccess], kind: Kind) -> None:
    if found := list_findings(findings, kind):
        pytest.fail(found, pytrace=False)
