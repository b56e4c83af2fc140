"""Test that people who left the file are recognized, reported, and pruned on request."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.workspace.foreign import LEFT, UNKNOWN
from infisical_iac.workspace.plan import WorkspacePlan
from tests.unit.deployment import ADMIN, TEXT
from tests.unit.people_deployment import PEOPLE, PeopleDeployment, make_people_deployment

WITHOUT_BEN = PEOPLE.replace(PEOPLE[PEOPLE.index("  ben@") : PEOPLE.index("  cy@")], "")


@pytest.fixture
def deployment() -> PeopleDeployment:
    return make_people_deployment()


def _list_leavers(plan: WorkspacePlan) -> list[tuple[str, str, str]]:
    """Return address, role and reason of each person that the file does not name."""
    found = [(*each.what.split(" with role "), each.why) for each in plan.foreign]
    return [(person.removeprefix("person "), role, why) for person, role, why in found]


def test_people_who_left_the_file_keep_access_until_pruned(deployment: PeopleDeployment) -> None:
    assert deployment.settle(WITHOUT_BEN) == []
    plan = deployment.inspect(WITHOUT_BEN)
    assert plan.due == []
    assert _list_leavers(plan) == [("ben@example.com", "no-access", LEFT)]
    (removed,) = deployment.prune(WITHOUT_BEN)
    assert removed.startswith("- person ben@example.com: ")
    emails = [each["user"]["email"] for each in deployment.server.persons]
    assert emails == [ADMIN, "ada@example.com", "cy@example.com"]
    assert "ben@example.com" in deployment.server.organization
    assert _list_leavers(deployment.inspect(WITHOUT_BEN)) == []


def test_an_admin_who_left_is_recognized_by_the_mark(deployment: PeopleDeployment) -> None:
    text = PEOPLE.replace("  ada@example.com: admin\n", "")
    assert _list_leavers(deployment.inspect(text)) == [("ada@example.com", "admin", LEFT)]


def test_people_who_left_an_empty_list_are_reported(deployment: PeopleDeployment) -> None:
    assert len(_list_leavers(deployment.inspect(TEXT))) == 3


def test_a_person_added_by_others_is_reported_as_such(deployment: PeopleDeployment) -> None:
    deployment.server._add_persons(
        {"usernames": ["dan@example.com"], "emails": [], "roleSlugs": ["member"]}
    )
    assert deployment.settle() == []
    assert _list_leavers(deployment.inspect()) == [("dan@example.com", "member", UNKNOWN)]


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


@settings(max_examples=settings().max_examples // 2)
@given(before=_PEOPLE, after=_PEOPLE)
def test_any_people_can_be_replaced_by_any_others_and_pruned(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    deployment = PeopleDeployment()
    deployment.settle(TEXT + yaml.safe_dump({"people": before}))
    text = TEXT + yaml.safe_dump({"people": after})
    deployment.settle(text)
    assert deployment.plan(text) == []
    left = {*before} - {*after}
    assert len(_list_leavers(deployment.inspect(text))) == len(left)
    assert len(deployment.prune(text)) == len(left)
    assert {each["user"]["email"] for each in deployment.server.persons} == {ADMIN, *after}
