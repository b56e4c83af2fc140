"""Test a plan of a migration whose service was renamed after the plan."""

import pytest

from infisical_iac.migrate.model import Name
from infisical_iac.migrate.plan_file import (
    MigrationPlan,
    PlannedKey,
    PlannedSource,
    follow_renames,
    former_folders,
    unknown_services,
)
from infisical_iac.workspace.load import load

_TEXT = (
    "project: {name: A, slug: abcde}\n"
    "environments: [{slug: production, name: Production}]\n"
    "shared_folders: [/shared]\n"
    "services:\n  postman: {folder: /postman, renamed_from: mailer}\n  web: {folder: /web}\n"
)
_RENAMED = load(_TEXT)
_UNSAID = load(_TEXT.replace(", renamed_from: mailer", ""))
_KEY = PlannedKey(line=1, length=4, digest="fake", decision="store")


def _plan(service: str, folder: str) -> MigrationPlan:
    source = PlannedSource(
        path=f"{service}/.env",
        digest="fake",
        service=service,
        environment="production",
        folder=folder,
        grammar="dotenv",
        why="",
        decision="store",
        keys={"HOST": _KEY},
    )
    return MigrationPlan(project="abcde", root=".", sources=(source,))


def _targets(plan: MigrationPlan) -> list[tuple[str, str]]:
    return [(each.service, each.folder) for each in plan.sources]


@pytest.mark.parametrize(
    ("service", "folder", "followed"),
    [
        ("mailer", "/mailer", ("postman", "/postman")),
        ("mailer", "/shared", ("postman", "/shared")),
        ("mailer", "/postman", ("postman", "/postman")),
        ("mailer", "", ("postman", "")),
        ("web", "/web", ("web", "/web")),
        ("other", "/other", ("other", "/other")),
    ],
)
def test_a_renamed_service_is_planned_with_its_new_name_and_folder(
    service: str, folder: str, followed: tuple[str, str]
) -> None:
    assert _targets(follow_renames(_plan(service, folder), _RENAMED)) == [followed]


def test_the_former_folder_stays_until_the_rename_is_applied() -> None:
    plan = _plan("mailer", "/mailer")
    before, after = (Name("production", folder, "HOST") for folder in ("/mailer", "/postman"))
    other = Name("production", "/mailer", "ELSE")
    assert _targets(follow_renames(plan, _RENAMED, [before])) == [("postman", "/mailer")]
    assert _targets(follow_renames(plan, _RENAMED, [after, other])) == [("postman", "/postman")]
    assert _targets(follow_renames(plan, _RENAMED, [before, after])) == [("postman", "/postman")]


@pytest.mark.parametrize(
    ("service", "folder", "former"),
    [
        ("mailer", "/mailer", {"/mailer"}),
        ("mailer", "/mail", {"/mail", "/mailer"}),
        ("postman", "/postman", {"/mailer"}),
        ("mailer", "/shared", {"/mailer"}),
        ("mailer", "/deep/mailer", {"/mailer"}),
        ("mailer", "", {"/mailer"}),
    ],
)
def test_a_renamed_service_had_the_folder_of_the_earlier_plan_or_of_its_former_name(
    service: str, folder: str, former: set[str]
) -> None:
    """A folder in use, or that Infisical can't have renamed, is not a former folder."""
    plan = _plan(service, folder)
    found = former_folders(plan, follow_renames(plan, _RENAMED), _RENAMED)
    assert found == {"/postman": former}


def test_a_service_that_was_not_renamed_has_no_former_folder() -> None:
    plan = _plan("web", "/web")
    assert former_folders(plan, follow_renames(plan, _UNSAID), _UNSAID) == {}
    kept = load(_TEXT.replace("folder: /postman", "folder: /mailer"))
    plan = _plan("mailer", "/mailer")
    assert former_folders(plan, follow_renames(plan, kept), kept) == {}


def test_an_unknown_service_is_reported_with_the_renamed_from_line() -> None:
    plan = _plan("mailer", "/mailer")
    assert _targets(follow_renames(plan, _UNSAID)) == [("mailer", "/mailer")]
    (sentence,) = unknown_services(plan, _UNSAID)
    assert "`renamed_from: mailer`" in sentence
    assert list(unknown_services(follow_renames(plan, _RENAMED), _RENAMED)) == []
