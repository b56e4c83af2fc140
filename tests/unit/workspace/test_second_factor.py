"""Test the requirement of a second factor: warnings, days of grace, and access that ends."""

import re
from dataclasses import replace
from datetime import date

import pytest

from infisical_iac.agent.database import second_factors
from infisical_iac.workspace.goal import Goal, Reached
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.plan import compute_plan
from infisical_iac.workspace.second_factor import Account, SecondFactors, known_factors, summarize
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.deployment import ADMIN, load
from tests.unit.people_deployment import BEN, PEOPLE, PeopleDeployment

_RULE = PEOPLE + "require_second_factor: {from: 2027-01-15, grace_days: 10}\n"
_WARNING = PEOPLE + "require_second_factor: warn\n"
_BEN, _ADA, _CY = "ben@example.com", "ada@example.com", "cy@example.com"
_TAKEN = f"~ person {_BEN}: permissions → no access"
_GIVEN_BACK = f"~ person {_BEN}: permissions → {BEN}"


class _Deployment(PeopleDeployment):
    """A deployment with known second factors; at first nobody has one."""

    def __init__(self) -> None:
        super().__init__()
        self.day = date(2027, 1, 14)
        self.factors = dict.fromkeys((ADMIN, _ADA, _BEN, _CY), "")
        self.is_seen = True

    @property
    def known(self) -> SecondFactors:
        accounts = [Account((email,), factor=held) for email, held in self.factors.items()]
        return SecondFactors(self.day, accounts, unseen="") if self.is_seen else SecondFactors()

    def goal(self, desired: Workspace, isolation: Isolation = "privilege") -> Goal:
        return replace(super().goal(desired, isolation), factors=self.known)

    def reach(self, text: str = PEOPLE) -> Reached:
        return replace(super().reach(text), factors=self.known)

    def settle(self, text: str = PEOPLE) -> list[str]:
        """Converge, and return the changes, without the reasons of those that remove access."""
        return [each.partition(", because ")[0] for each in super().settle(text)]

    def notes(self, text: str) -> list[str]:
        return [each for each in self.inspect(text).notes if each.startswith("second factor")]


@pytest.fixture
def deployment() -> _Deployment:
    deployment = _Deployment()
    deployment.settle()
    deployment.factors[_ADA] = "totp"
    return deployment


def test_a_warning_takes_nobodys_access(deployment: _Deployment) -> None:
    deployment.day = date(2030, 1, 1)
    assert deployment.settle(_WARNING) == []
    (note,) = deployment.notes(_WARNING)
    assert _BEN in note
    assert _ADA not in note


def test_without_a_requirement_nothing_is_noted(deployment: _Deployment) -> None:
    assert deployment.notes(PEOPLE) == []


def test_a_second_factor_of_everybody_needs_no_note(deployment: _Deployment) -> None:
    deployment.factors[_BEN] = "webauthn"
    assert deployment.notes(_WARNING) == []
    deployment.day = date(2030, 1, 1)
    assert deployment.settle(_RULE) == []


def test_a_person_without_access_is_not_noted(deployment: _Deployment) -> None:
    assert _CY not in "".join(deployment.notes(_WARNING))


def test_access_ends_on_the_day_and_stays_ended(deployment: _Deployment) -> None:
    assert deployment.settle(_RULE) == []
    (note,) = deployment.notes(_RULE)
    assert "2027-01-15" in note
    deployment.day = date(2027, 1, 15)
    (due,) = deployment.inspect(_RULE).due
    assert str(due).startswith(_TAKEN)
    assert deployment.settle(_RULE) == [_TAKEN]
    assert deployment.mark(_BEN)["permissions"] == []
    assert deployment.settle(_RULE) == []
    (note,) = deployment.notes(_RULE)
    assert "no access until" in note


def test_a_second_factor_gives_the_access_back(deployment: _Deployment) -> None:
    deployment.day = date(2027, 1, 15)
    deployment.settle(_RULE)
    deployment.factors[_BEN] = "totp"
    assert deployment.settle(_RULE) == [_GIVEN_BACK]
    assert deployment.settle(_RULE) == []


@pytest.mark.parametrize("text", [PEOPLE, _WARNING])
def test_removing_the_requirement_restores_access(deployment: _Deployment, text: str) -> None:
    deployment.day = date(2027, 1, 15)
    deployment.settle(_RULE)
    assert deployment.settle(text) == [_GIVEN_BACK]


def test_an_admin_of_the_project_loses_the_role(deployment: _Deployment) -> None:
    deployment.factors[_ADA] = ""
    deployment.day = date(2027, 1, 15)
    assert deployment.settle(_RULE) == [
        f"~ person {_ADA}: project role admin → no-access",
        _TAKEN,
    ]


def test_the_first_administrator_never_loses_access(deployment: _Deployment) -> None:
    """Even if the file names that account, which has no second factor and must have none."""
    text = _RULE.replace("people:\n", f"people:\n  {ADMIN}: admin\n")
    deployment.factors[_BEN] = "totp"
    deployment.day = date(2030, 1, 1)
    assert deployment.settle(text) == []
    assert deployment.notes(text) == []
    assert "admin" in {each["role"] for each in deployment.seat(ADMIN)["roles"]}


def test_a_new_member_has_the_days_of_grace(deployment: _Deployment) -> None:
    deployment.seat(_BEN)["createdAt"] = "2027-02-01T23:00:00.000Z"
    deployment.day = date(2027, 2, 10)
    assert deployment.settle(_RULE) == []
    assert "2027-02-11" in "".join(deployment.notes(_RULE))
    deployment.day = date(2027, 2, 11)
    assert deployment.settle(_RULE) == [_TAKEN]


def test_an_open_invitation_needs_no_second_factor(deployment: _Deployment) -> None:
    invited = Account((_BEN,), is_accepted=False)
    known = SecondFactors(date(2030, 1, 1), [invited, Account((_ADA,), factor="totp")], unseen="")
    reached = replace(deployment.reach(_RULE), factors=known)
    planned = compute_plan(reached, prune=False)
    assert planned.due == []
    assert not [each for each in planned.notes if _BEN in each]


def test_unknown_second_factors_change_nothing(deployment: _Deployment) -> None:
    """As at a URL, where no access is removed, and none is given back to those who lost it."""
    deployment.day = date(2027, 1, 15)
    deployment.is_seen = False
    assert deployment.settle(_RULE) == []
    (note,) = deployment.notes(_RULE)
    assert "unknown" in note
    deployment.is_seen = True
    assert deployment.settle(_RULE) == [_TAKEN]
    deployment.is_seen = False
    assert deployment.settle(_RULE) == []
    deployment.is_seen = True
    assert deployment.settle(_RULE) == []


def test_the_rows_of_the_database_are_understood() -> None:
    lines = [
        '["ada@example.com", "ada", true, "totp"]',
        '[null, "ben@example.com", true, ""]',
        '["cy@example.com", "cy@example.com", false, ""]',
    ]
    container = docker_container("aa", project="infisical", service="postgres")
    answers = {**docker_answers(container), "docker exec": "\n".join(lines)}
    known = known_factors(second_factors(FakeRunner(answers=answers)), date(2027, 1, 15))
    assert known.find_account("ADA") == Account((_ADA, "ada"), factor="totp")
    assert [each.names[0] for each in known.accounts if each.lacks_one] == [_BEN]
    assert known.find_account("dan@example.com") is None


def _summary(text: str, **factors: str) -> tuple[str, bool]:
    accounts = [Account((f"{name}@example.com",), factor=held) for name, held in factors.items()]
    rule = load(text).require_second_factor
    return summarize(SecondFactors(date(2027, 1, 15), accounts, unseen=""), ADMIN, rule)


def test_status_names_everybody_without_one() -> None:
    text, is_well = _summary(PEOPLE, admin="", ada="totp", ben="", cy="")
    assert re.findall(r"\S+@\S+", text) == [_BEN, _CY]
    assert text.split()[-1] == "none"
    assert is_well


def test_status_is_unhealthy_if_a_required_one_is_missing() -> None:
    text, is_well = _summary(_WARNING, admin="", ben="")
    lacking, exempt = text.split("; ")
    assert (lacking.split()[0], lacking.split()[-1]) == (_BEN, "none")
    assert (exempt.split()[0], exempt.split()[2].strip(",")) == (ADMIN, "exempt")
    assert not is_well
    assert _summary(_WARNING, admin="", ben="totp")[1]


def test_status_reports_the_first_administrators_second_factor() -> None:
    text, is_well = _summary(PEOPLE, admin="totp", ben="totp")
    assert ADMIN in text
    assert not is_well


def test_status_says_that_second_factors_are_unknown() -> None:
    assert summarize(SecondFactors(unseen="fake reason"), ADMIN, None) == (
        "unknown: fake reason",
        True,
    )
    assert not summarize(SecondFactors(), ADMIN, "warn")[1]
