"""Test what `check` finds in `.infisical.json`, and how `--fix` corrects it."""

import re
from pathlib import Path

import pytest

from infisical_iac.check.repository import Repository, complete
from infisical_iac.workspace import local_file
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.local_file import LocalFile, OwnProject
from tests.unit.check.checked import (
    GOOD,
    LOCAL_FILE,
    WORKSPACE,
    list_findings,
    locate,
    plant,
)

_TUNNELED = LOCAL_FILE.replace("https://secrets.example.com", "http://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (LOCAL_FILE.replace("/backend", "/shared"), "defaultSecretPath is /shared, not /backend"),
        (LOCAL_FILE.replace("fake-id", "other-id"), "workspaceId is not "),
        (LOCAL_FILE.replace("fake-id", ""), "workspaceId is missing"),
        (LOCAL_FILE.replace("https://", ""), "no domain .*https://"),
        (LOCAL_FILE.replace("https://secrets.example.com", ""), "no domain: "),
        (
            LOCAL_FILE.replace("https://", "http://"),
            r"domain is http://secrets\.example\.com\b.* unencrypted",
        ),
        ("{", "not JSON"),
        ('{"workspaceId": 1}', "workspaceId .* not a string"),
    ],
)
def test_a_local_file_with_wrong_values_is_reported(tmp_path: Path, text: str, facts: str) -> None:
    repository = plant(tmp_path, GOOD | {"backend/.infisical.json": text})
    [finding] = list_findings(repository, "fake-id")
    assert (finding.kind, finding.place) == ("local-file", "backend/.infisical.json")
    assert re.search(facts, finding.message)
    assert "`infisical-iac apply`" not in finding.message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (LOCAL_FILE.replace("fake-id", ""), "local-file"),
        (LOCAL_FILE.replace("/backend", "/shared"), "local-file"),
        ("", "no-local-file"),
    ],
)
@pytest.mark.parametrize("project_id", ["", "fake-id"])
def test_a_fix_that_needs_infisical_is_advised_after_the_first_deploy(
    tmp_path: Path, text: str, kind: str, project_id: str
) -> None:
    """`--fix` needs the project's id, and an offline check can't know whether there is one."""
    files = {path: each for path, each in GOOD.items() if "infisical.json" not in path}
    repository = plant(tmp_path, files | ({"backend/.infisical.json": text} if text else {}))
    [finding] = list_findings(repository, project_id)
    assert finding.kind == kind
    assert "`infisical-iac check --fix`" in finding.message
    assert ("infisical-iac apply`" in finding.message) is (project_id == "")
    is_init_named = "`infisical-iac init`" in finding.message
    assert is_init_named is (kind == "no-local-file" and project_id == "")


def test_the_tunnels_address_is_accepted_while_infisical_has_no_domain(tmp_path: Path) -> None:
    """`infisical-iac init` writes that address if no domain is given."""
    repository = plant(tmp_path, GOOD | {"backend/.infisical.json": _TUNNELED})
    for address in ("", "http://127.0.0.1:8080"):
        assert list_findings(repository, "fake-id", address) == []


def test_the_tunnels_address_is_replaced_once_infisical_has_a_domain(tmp_path: Path) -> None:
    address = "https://secrets.example.com"
    repository = plant(tmp_path, GOOD | {"backend/.infisical.json": _TUNNELED})
    [finding] = list_findings(repository, "fake-id", address)
    assert (finding.kind, finding.place) == ("local-file", "backend/.infisical.json")
    assert "http://127.0.0.1:8080" in finding.message
    assert address in finding.message
    assert complete(tmp_path, WORKSPACE, Layout("fake-id"), address) == [
        tmp_path / "backend" / ".infisical.json"
    ]
    assert list_findings(Repository(tmp_path, WORKSPACE), "fake-id", address) == []


def test_the_address_of_another_server_is_noted_and_kept(tmp_path: Path) -> None:
    """One server may have two addresses, so a fix would be a guess."""
    repository = plant(tmp_path, GOOD)
    assert [*repository.starts(Layout("fake-id"), "https://secrets.example.com/")] == []
    other = "https://other.example.com"
    [finding] = repository.starts(Layout("fake-id"), other)
    assert (finding.kind, finding.is_note) == ("local-file", True)
    assert {"https://secrets.example.com", other} <= set(re.split(r"[ ,]|\.? ", finding.message))
    assert complete(tmp_path, WORKSPACE, Layout("fake-id"), other) == []


_PARTS = {
    (stage, folder): f"{stage}{folder}"
    for stage in ("development", "production")
    for folder in ("/backend", "/python-services", "/shared")
}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (LOCAL_FILE, ["workspaceId names one"]),
        (LOCAL_FILE.replace("workspaceId", "project"), ["projects are missing"]),
        (
            LOCAL_FILE.replace("{", '{"projects": {"production": {"workspaceId": "x"}}, '),
            ["workspaceId names one", "lack development", "for production are"],
        ),
        (
            local_file.complete(
                LOCAL_FILE,
                LocalFile(projects=dict.fromkeys(("development", "production"), OwnProject("x"))),
            ),
            ["projects for development and "],
        ),
    ],
)
def test_a_local_file_of_another_isolation_is_reported_and_fixed(
    tmp_path: Path, text: str, facts: list[str]
) -> None:
    layout = Layout(parts=_PARTS)
    repository = plant(tmp_path, GOOD | {"backend/.infisical.json": text})
    found = [*repository.starts(layout, "")]
    assert [each.kind for each in found] == ["local-file"] * len(facts)
    for each, fact in zip(found, facts, strict=True):
        assert fact in each.message
        assert "`infisical-iac check --fix`" in each.message
    file = tmp_path / "backend" / ".infisical.json"
    assert complete(tmp_path, WORKSPACE, layout, "") == [file]
    assert [*Repository(tmp_path, WORKSPACE).starts(layout, "")] == []
    # Without Infisical, both forms are complete.
    assert [*Repository(tmp_path, WORKSPACE).starts(Layout(), "")] == []
    (back,) = Repository(tmp_path, WORKSPACE).starts(Layout("fake-id"), "")
    assert "one project holds" in back.message
    assert complete(tmp_path, WORKSPACE, Layout("fake-id"), "") == [file]
    assert local_file.parse(file.read_text()) == local_file.parse(LOCAL_FILE)


def test_a_fix_keeps_the_projects_of_environments_that_the_login_does_not_see(
    tmp_path: Path,
) -> None:
    plant(tmp_path, GOOD)
    file = tmp_path / "backend" / ".infisical.json"
    complete(tmp_path, WORKSPACE, Layout(parts=_PARTS), "")
    moved = {place: "" if "production" in place else f"new-{id}" for place, id in _PARTS.items()}
    assert complete(tmp_path, WORKSPACE, Layout(parts=moved), "") == [file]
    projects = local_file.parse(file.read_text()).projects
    assert {stage: each.project_id for stage, each in projects.items()} == {
        "development": "new-development/backend",
        "production": "production/backend",
    }


def test_a_service_without_a_local_file_is_reported(tmp_path: Path) -> None:
    files = {path: text for path, text in GOOD.items() if "infisical.json" not in path}
    assert locate(list_findings(plant(tmp_path, files))) == [
        ("no-local-file", "backend/.infisical.json")
    ]


def test_a_local_file_identifies_the_service_of_a_directory_with_another_name(
    tmp_path: Path,
) -> None:
    files = {path.replace("backend", "api"): text for path, text in GOOD.items()}
    repository = plant(tmp_path, files)
    assert repository.services == {"backend": ["api"]}
    assert list_findings(repository) == []
