"""Test which members can read migrated secrets by their roles and privileges."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.migrate.model import Name
from infisical_iac.migrate.verify import Expected, merge, of_services, readers, unintended_reads
from infisical_iac.workspace.load import load
from infisical_iac.workspace.people_actual import Member, Part
from infisical_iac.workspace.state import Privilege

_WORKSPACE = load(
    """
project: {name: ChainAlign, slug: chainalign}
environments: [{slug: production, name: P}]
services: {backend: {folder: /backend}, worker: {folder: /worker}}
people: {ben@example.com: {production: {/worker: viewer}}}
"""
)
_NAMES = [Name("production", f"/{folder}", key) for folder in ("backend", "worker") for key in "AB"]
_EXPECTED = {name: Expected(name.folder[1:], "") for name in _NAMES}
_BACKEND, _WORKER = set(_NAMES[:2]), set(_NAMES[2:])


def _member(
    name: str, part: Part, *, role: str = "no-access", folder: str = "", person: bool = False
) -> Member:
    place: dict[str, Any] = {"environment": "production", "secretPath": {"$eq": folder}}
    rule = {"subject": "secrets", "action": ["readValue"], "conditions": place}
    granted = (Privilege("id", "any", False, (rule,)),) if folder else ()
    return Member("person" if person else "identity", name, part, (role,), granted)


def _problems(*members: Member) -> list[str]:
    return list(unintended_reads(readers(members, _EXPECTED, _WORKSPACE, {}), _WORKSPACE))


def test_access_of_an_undeclared_member_is_summarized_by_folder() -> None:
    backend, worker = _problems(_member("ci-old", "other", role="viewer"))
    assert backend.startswith("production/backend, 2 secrets, ")
    assert worker.startswith("production/worker, 2 secrets, ")
    for sentence in (backend, worker):
        assert "the identity ci-old" in sentence


def test_a_member_without_access_is_not_a_problem() -> None:
    assert _problems(_member("ci-old", "other"), _member("ben", "other", person=True)) == []


@pytest.mark.parametrize("part", ["deployer", "administrator"])
def test_the_deployer_and_the_administrator_may_read_everything(part: Part) -> None:
    assert _problems(_member("any", part, role="admin")) == []


def test_a_person_may_read_only_the_folders_that_the_project_file_grants() -> None:
    name = "ben@example.com"
    assert _problems(_member(name, "named", folder="/worker", person=True)) == []
    (sentence,) = _problems(_member(name, "named", folder="/backend", person=True))
    assert sentence.startswith("production/backend, 2 secrets, ")
    assert f"the person {name}, " in sentence


def test_privileges_that_could_not_be_read_count_as_none() -> None:
    unseen = Member("person", "ada@example.com", "other", ("no-access",), None)
    assert _problems(unseen) == []


def test_a_service_with_a_login_is_judged_by_the_secrets_that_it_read() -> None:
    members = [
        _member("backend-production", "service", folder="/worker"),
        _member("worker-production", "service", folder="/worker"),
    ]
    found = readers(members, _EXPECTED, _WORKSPACE, {"backend-production": _BACKEND})
    assert [each.checked for each in found] == ["login", "roles"]
    seen = of_services(found, _WORKSPACE)
    assert seen == {"backend-production": _BACKEND, "worker-production": _WORKER}


def test_a_service_that_is_not_in_the_project_reads_nothing() -> None:
    assert of_services([], _WORKSPACE) == {"backend-production": set(), "worker-production": set()}


def test_a_reader_is_reported_without_names_of_secrets() -> None:
    (found,) = readers([_member("ci-old", "other", folder="/backend")], _EXPECTED, _WORKSPACE, {})
    assert found.data == {
        "kind": "identity",
        "name": "ci-old",
        "part": "other",
        "checked": "roles",
        "reads": [{"environment": "production", "folder": "/backend", "secrets": 2}],
    }


def test_a_member_of_several_projects_is_one_reader_of_all_that_it_reads_there() -> None:
    """It has another role in each project, and another identity may have its name."""
    stranger = replace(_member("ci-old", "other", role="viewer"), id="id-1")
    other = replace(stranger, id="id-2")
    backend, worker = ({name: _EXPECTED[name] for name in names} for names in (_BACKEND, _WORKER))
    found = merge(
        [
            *readers([stranger], backend, _WORKSPACE, {}),
            *readers([replace(stranger, roles=("no-access",)), other], worker, _WORKSPACE, {}),
        ]
    )
    assert [(each.member.id, each.reads) for each in found] == [
        ("id-1", _BACKEND),
        ("id-2", _WORKER),
    ]
    assert len([*unintended_reads(found, _WORKSPACE)]) == 2
