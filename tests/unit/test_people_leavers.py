"""Test how people who left the file are known by the mark, told of, and let go if asked for."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.people import kept, leavers, left
from infisical_iac.workspace.state import Actual
from tests.unit.deployment import ADMIN, TEXT
from tests.unit.people_deployment import PEOPLE, PeopleDeployment

WITHOUT_BEN = PEOPLE.replace(PEOPLE[PEOPLE.index("  ben@") : PEOPLE.index("  cy@")], "")


@pytest.fixture
def deployed() -> PeopleDeployment:
    deployment = PeopleDeployment()
    deployment.settle()
    return deployment


def _state(deployed: PeopleDeployment, text: str, **options: bool) -> tuple[Workspace, Actual]:
    return load(text), deployed.actual(text, **options)


def test_who_left_the_file_keeps_access_until_it_is_taken_away(deployed: PeopleDeployment) -> None:
    assert deployed.settle(WITHOUT_BEN) == []
    desired, actual = _state(deployed, WITHOUT_BEN)
    assert kept(desired, actual) == [
        "ben@example.com left the file but still has access: "
        "`infisical-iac workspace apply --prune` takes it away"
    ]
    changes = leavers(desired, actual)
    assert [str(change) for change in changes] == [
        "- person ben@example.com: no member of the project any more"
    ]
    assert deployed.make(changes) == changes
    emails = [each["user"]["email"] for each in deployed.server.persons]
    assert emails == [ADMIN, "ada@example.com", "cy@example.com"]
    assert "ben@example.com" in deployed.server.organization
    assert leavers(*_state(deployed, WITHOUT_BEN)) == []


def test_an_admin_who_left_is_known_by_the_mark_too(deployed: PeopleDeployment) -> None:
    text = PEOPLE.replace("  ada@example.com: admin\n", "")
    assert [str(each) for each in leavers(*_state(deployed, text))] == [
        "- person ada@example.com: no member of the project any more"
    ]


def test_who_left_a_file_that_names_nobody_any_more_is_found_if_asked_for(
    deployed: PeopleDeployment,
) -> None:
    assert leavers(*_state(deployed, TEXT)) == []
    assert len(leavers(*_state(deployed, TEXT, leavers=True))) == 3


def test_a_person_whom_this_project_did_not_add_is_no_leaver(deployed: PeopleDeployment) -> None:
    deployed.server._add_persons(
        {"usernames": ["dan@example.com"], "emails": [], "roleSlugs": ["member"]}
    )
    assert deployed.settle() == []
    desired, actual = _state(deployed, PEOPLE)
    assert leavers(desired, actual) == []
    assert kept(desired, actual) == []


_ROLES = st.sampled_from(["none", "viewer", "developer", "admin"])
_ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["development", "staging", "production"]),
    _ROLES | st.dictionaries(st.sampled_from(["/backend", "/shared"]), _ROLES),
)
_PEOPLE = st.dictionaries(
    st.sampled_from([f"{name}@example.com" for name in ("ada", "ben", "cy", "dan")]),
    _ROLES | _ENVIRONMENTS,
    min_size=1,
)


@settings(max_examples=25)
@given(before=_PEOPLE, after=_PEOPLE)
def test_any_people_become_any_others_and_whoever_left_can_be_let_go(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    deployment = PeopleDeployment()
    deployment.settle(TEXT + yaml.safe_dump({"people": before}))
    text = TEXT + yaml.safe_dump({"people": after})
    deployment.settle(text)
    assert deployment.plan(text) == []
    desired, actual = _state(deployment, text)
    assert {*left(desired, actual)} == {*before} - {*after}
    deployment.make(leavers(desired, actual))
    assert {each["user"]["email"] for each in deployment.server.persons} == {ADMIN, *after}
