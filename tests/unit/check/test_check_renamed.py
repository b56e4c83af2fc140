"""Test `infisical-iac check` after a service was renamed together with its folder."""

from pathlib import Path

import pytest

from infisical_iac.check.repository import Repository, complete
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.load import load
from infisical_iac.workspace.local_file import NAME, parse
from tests.unit.check.checked import GOOD, WORKSPACE_TEXT, list_findings, locate, plant

_BACKEND = "backend: {folder: /backend, imports: [/shared]}"
RENAMED = load(
    WORKSPACE_TEXT.replace(_BACKEND, "api: {folder: /api, renamed_from: backend, imports: []}")
)
_ADDRESS = "https://secrets.example.com"


def _good(directory: str) -> dict[str, str]:
    return {path.replace("backend/", f"{directory}/"): text for path, text in GOOD.items()}


@pytest.mark.parametrize(
    "directory", ["backend", "api", "src"], ids=["former", "new", "by-its-local-file"]
)
def test_a_stale_local_file_of_a_renamed_service_is_found_and_fixed(
    tmp_path: Path, directory: str
) -> None:
    plant(tmp_path, _good(directory))
    repository = Repository(tmp_path, RENAMED)
    assert repository.services == {"api": [directory]}
    assert locate(list_findings(repository, "fake-id", _ADDRESS)) == [
        ("local-file", f"{directory}/{NAME}")
    ]
    assert [each.place for each in repository.find_absent()] == ["python-service"]
    fixed = complete(tmp_path, RENAMED, Layout("fake-id"), _ADDRESS)
    assert fixed == [tmp_path / directory / NAME]
    assert parse(fixed[0].read_text()).folder == "/api"
    assert list_findings(Repository(tmp_path, RENAMED), "fake-id", _ADDRESS) == []


def test_a_directory_of_the_former_name_is_ignored_next_to_one_of_the_new_name(
    tmp_path: Path,
) -> None:
    """That directory may belong to something else, and its file must not be overwritten."""
    plant(tmp_path, _good("api") | {"backend/package.json": "{}"})
    assert Repository(tmp_path, RENAMED).services == {"api": ["api"]}


def test_a_former_folder_belongs_to_the_service_that_has_it_now(tmp_path: Path) -> None:
    swapped = load(
        WORKSPACE_TEXT.replace(_BACKEND, "api: {folder: /api, renamed_from: backend}").replace(
            "folder: /python-services", "folder: /backend"
        )
    )
    plant(tmp_path, GOOD)
    assert Repository(tmp_path, swapped).services == {"python-service": ["backend"]}


def test_a_local_file_with_a_folder_that_the_project_file_does_not_name_is_found(
    tmp_path: Path,
) -> None:
    """This happens after a rename whose `renamed_from` was removed again."""
    text = GOOD[f"backend/{NAME}"].replace("/backend", "/mailer")
    others = {f"own/{NAME}": text.replace("fake-id", "other-id")}
    others |= {f"deep/{NAME}": text.replace("/mailer", "/backend/deep"), f"top/{NAME}": "{}"}
    repository = plant(tmp_path, GOOD | {f"src/{NAME}": text} | others)
    assert locate(list_findings(repository, "fake-id", _ADDRESS)) == [("local-file", f"src/{NAME}")]
    assert list_findings(repository) == []
