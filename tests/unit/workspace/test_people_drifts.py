"""Test that changes of people of the file are reported and repaired."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.deployment import ADMIN
from tests.unit.people_deployment import BEN, PeopleDeployment, make_people_deployment


@pytest.fixture
def deployment() -> PeopleDeployment:
    return make_people_deployment()


def _widen(deployment: PeopleDeployment) -> None:
    deployment.mark("ben@example.com")["permissions"].pop(-1)


def _rename_to_ours(deployment: PeopleDeployment) -> None:
    own = deployment.mark("ben@example.com")
    wide = [{"subject": "secrets", "action": ["readValue"]}]
    # The wide privilege comes first, because a server may list the latest change first.
    grants = {"wide": {**own, "id": "wide", "permissions": wide}, **deployment.server.grants}
    deployment.server.grants = grants


def _replace_role(email: str, *roles: dict[str, Any]) -> Callable[[PeopleDeployment], object]:
    return lambda deployment: deployment.seat(email).update(roles=list(roles))


def _lose_mark(deployment: PeopleDeployment) -> None:
    del deployment.server.grants[deployment.mark("ben@example.com")["id"]]


def _lose_seat(deployment: PeopleDeployment) -> None:
    deployment.server._drop_person({}, deployment.seat("ben@example.com")["id"])


def _lose_account(deployment: PeopleDeployment) -> None:
    _lose_seat(deployment)
    del deployment.server.organization["ben@example.com"]


DRIFTS: dict[str, tuple[Callable[[PeopleDeployment], object], list[str]]] = {
    "role changed": (
        _replace_role("ben@example.com", {"role": "developer"}),
        ["~ person ben@example.com: project role developer → no-access"],
    ),
    "role added for a time": (
        _replace_role(
            "ben@example.com", {"role": "no-access"}, {"role": "admin", "isTemporary": True}
        ),
        ["~ person ben@example.com: project role admin for a time, no-access → no-access"],
    ),
    "admin demoted": (
        _replace_role("ada@example.com", {"role": "viewer"}),
        ["~ person ada@example.com: project role viewer → admin"],
    ),
    "privilege edited": (_widen, [f"~ person ben@example.com: permissions → {BEN}"]),
    "privilege made temporary": (
        lambda deployment: deployment.mark("ben@example.com").update(isTemporary=True),
        ["~ person ben@example.com: temporary → permanent"],
    ),
    "privilege added by the name of ours": (
        _rename_to_ours,
        ["~ person ben@example.com: a second privilege of the same name → removed"],
    ),
    "privilege deleted": (_lose_mark, [f"~ person ben@example.com: permissions → {BEN}"]),
    "membership removed": (_lose_seat, [f"+ person ben@example.com: {BEN}"]),
    "account removed": (
        _lose_account,
        [
            "+ invitation of ben@example.com: to the organization, as a member",
            f"+ person ben@example.com: {BEN}",
        ],
    ),
    "first administrator removed": (
        lambda deployment: deployment.server.persons.remove(deployment.seat(ADMIN)),
        [f"+ project member {ADMIN}: role admin"],
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_found_named_and_repaired(deployment: PeopleDeployment, drift: str) -> None:
    spoil, expected = DRIFTS[drift]
    spoil(deployment)
    assert [str(change) for change in deployment.plan()] == expected
    assert deployment.settle() == expected
    assert deployment.plan() == []
