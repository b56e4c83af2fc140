"""Test the people of the project file, and the report of mistakes."""

from datetime import date
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import SecondFactorRule

HEAD = """\
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
services: {backend: {folder: /backend}}
people:
"""


def test_a_role_is_given_everywhere_by_environment_or_by_folder() -> None:
    people = load(
        HEAD
        + "  ada@example.com: admin\n"
        + "  ben@example.com:\n"
        + "    staging: developer\n"
        + "    production: {/backend: viewer, /backend/jobs: developer}\n"
        + "  cy@example.com: none\n"
    ).people
    assert people == {
        "ada@example.com": "admin",
        "ben@example.com": {
            "staging": "developer",
            "production": {"/backend": "viewer", "/backend/jobs": "developer"},
        },
        "cy@example.com": "none",
    }


def test_the_example_in_the_shipped_file_is_valid() -> None:
    shipped = (Path(__file__).parents[3] / "group_data" / "chainalign.yaml").read_text("utf-8")
    before, example = shipped.split("# people:\n")
    lines, after = example.split("\n\n", 1)
    written = "people:\n" + lines.replace("# ", "") + "\n\n"
    assert list(load(before + written + after).people) == ["ada@example.com", "ben@example.com"]


def test_the_list_of_people_may_be_empty() -> None:
    assert load(HEAD + "  # ada@example.com: admin\n").people == {}


MISTAKES = {
    "  ben: admin": "line 7, people.ben: 'ben' is not an e-mail address; write one such as",
    "  Ben@example.com: admin": "'Ben@example.com' has capital letters; write ben@example.com",
    "  ben@example.com: admn": "line 7, people.ben@example.com: 'admn' is not a role; write admin,",
    "  ben@example.com:": "line 7, people.ben@example.com: the role is missing; write admin,",
    "  ben@example.com: [admin]": "people.ben@example.com: ['admin'] is not a role",
    "  ben@example.com:\n    staging: 5": (
        "line 8, people.ben@example.com.staging: 5 is not a role; write admin, developer, viewer"
    ),
    "  ben@example.com: {stagin: viewer}": (
        "'stagin' is not an environment; did you mean 'staging'?"
    ),
    "  ben@example.com: {staging: {backend: viewer}}": "'backend' is not a folder",
    "  ben@example.com:\n    staging:\n      /bakend: viewer": (
        "line 9, people.ben@example.com.staging./bakend: /bakend is in no folder of the file; "
        "did you mean '/backend'?"
    ),
    "  ben@example.com: {staging: {/backend: viewer, /backend/jobs: none}}": (
        "people.ben@example.com.staging./backend/jobs: it is in /backend, whose role 'viewer' "
        "applies here too; remove it, or give it a higher role"
    ),
    "  ben@example.com: admin\n  ben@example.com: none": (
        "line 8: people.ben@example.com is in line 7 too"
    ),
    "  - ben@example.com": "line 6, people: write keys with values",
}
_RULE = "  ben@example.com: admin\nrequire_second_factor: "
MISTAKES |= {
    f"{_RULE}yes": "line 8, require_second_factor: True is no requirement; write warn,",
    f"{_RULE}": "line 8, require_second_factor: the requirement is missing; write warn,",
    f"{_RULE}{{}}": "line 8, require_second_factor: has no 'from'; add the day,",
    f"{_RULE}{{from: soon}}": "require_second_factor.from: 'soon' is not a day; write one such as",
    f"{_RULE}{{from: 2027-01-15 10:00}}": "is not a day; write one such as 2027-01-15",
    f"{_RULE}{{from: 2027-01-15, grace: 3}}": (
        "require_second_factor.grace: this key is unknown; did you mean 'grace_days'?"
    ),
    f"{_RULE}{{from: 2027-01-15, grace_days: 400}}": "400 is out of range; write days, from 0",
}


@pytest.mark.parametrize("entry", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(entry: str) -> None:
    with pytest.raises(UserError) as refused:
        load(HEAD + entry)
    assert MISTAKES[entry] in str(refused.value)


@pytest.mark.parametrize("day", ["2027-01-15", "'2027-01-15'"])
def test_a_second_factor_is_required_from_a_day_on(day: str) -> None:
    rule = load(f"{HEAD}{_RULE}{{from: {day}}}\n").require_second_factor
    assert isinstance(rule, SecondFactorRule)
    assert (rule.since, rule.grace_days) == (date(2027, 1, 15), 14)
    assert load(f"{HEAD}{_RULE}warn\n").require_second_factor == "warn"
    assert load(HEAD).require_second_factor is None


def test_the_first_administrator_cannot_have_a_lower_role() -> None:
    text = HEAD + "  ben@example.com: viewer\n  ada@example.com: {staging: admin}\n"
    with pytest.raises(
        UserError,
        match=r"line 8, people\.ada@example\.com: ada@example\.com is the first administrator",
    ):
        load(text, admin_email="Ada@example.com")
    assert load(text.replace("{staging: admin}", "admin"), admin_email="ada@example.com").people
