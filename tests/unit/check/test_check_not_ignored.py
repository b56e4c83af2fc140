"""Test the findings on names that git or an image would take in."""

from pathlib import Path

import pytest

from infisical_iac.check.model import CheckFinding
from infisical_iac.check.repository import Repository
from tests.unit.check.checked import (
    GOOD,
    IGNORE,
    WORKSPACE,
    list_findings,
    locate,
    plant,
)

_EXACT = ".env\n.env.local\n.env.production\n"


def _rules(findings: list[CheckFinding]) -> list[CheckFinding]:
    return [each for each in findings if each.kind == "not-ignored"]


def _list_named(text: str) -> list[str]:
    words = (word.rstrip(",.") for word in text.partition(" Add ")[0].split())
    return [word for word in words if ".env" in word]


def test_a_file_that_git_would_add_is_named_with_any_suffix(tmp_path: Path) -> None:
    plant(tmp_path, GOOD | {".gitignore": _EXACT})
    (tmp_path / "backend/.env.staging").write_text("PORT=3000\n")
    (finding,) = _rules(list_findings(plant(tmp_path, {}, git=False)))
    assert finding.place == ".gitignore"
    assert _list_named(finding.message) == ["backend/.env.staging"]


def test_existing_files_are_named_before_names_of_new_files(tmp_path: Path) -> None:
    plant(tmp_path, GOOD | {".gitignore": ".env.local\n"})
    for name in ("backend/.env.staging", "infra/.env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("PORT=3000\n")
    (finding,) = _rules(list_findings(plant(tmp_path, {}, git=False)))
    files, new = finding.message.split(" new files ")
    assert _list_named(files) == ["backend/.env.staging", "infra/.env"]
    assert _list_named(new) == [
        ".env",
        ".env.production",
        "backend/.env",
        "backend/.env.production",
    ]


def test_of_many_names_of_new_files_ten_are_listed(tmp_path: Path) -> None:
    services = {f"s{n}/.infisical.json": GOOD["backend/.infisical.json"] for n in range(4)}
    (finding,) = _rules(list_findings(plant(tmp_path, services | {".gitignore": ""})))
    assert len(_list_named(finding.message)) == 10
    assert " and 5 more." in finding.message


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (IGNORE, ".env.staging"),
        (_EXACT, ".env.staging.example"),
        (_EXACT, ".envrc"),
        (_EXACT, "production.env"),
    ],
)
def test_ignored_files_samples_and_names_of_other_rules_are_not_reported(
    tmp_path: Path, rules: str, name: str
) -> None:
    plant(tmp_path, GOOD | {".gitignore": rules})
    (tmp_path / "backend" / name).write_text("PORT=3000\n")
    assert _rules(list_findings(plant(tmp_path, {}, git=False))) == []


def test_a_file_that_git_tracks_already_is_one_finding(tmp_path: Path) -> None:
    files = GOOD | {".gitignore": _EXACT, "backend/.env.staging": "PORT=3000\n"}
    assert [(each.kind, each.place) for each in list_findings(plant(tmp_path, files))] == [
        ("tracked", "backend/.env.staging")
    ]


@pytest.mark.parametrize(
    ("files", "taken_in"),
    [
        ({".gitignore": ""}, ".env, .env.local, .env.production, backend/.env"),
        ({".gitignore": ".env\n"}, ".env.local, .env.production, backend/.env.local"),
        ({"backend/.gitignore": "!.env.production\n"}, "backend/.env.production."),
    ],
)
def test_names_that_git_would_take_in_are_reported(
    tmp_path: Path, files: dict[str, str], taken_in: str
) -> None:
    [finding] = list_findings(plant(tmp_path, GOOD | files))
    assert (finding.kind, finding.place) == ("not-ignored", ".gitignore")
    assert finding.message.startswith(f"Git would add {taken_in}")


def test_ignore_rules_may_be_in_the_directory_of_the_service(tmp_path: Path) -> None:
    files = {".gitignore": "/.env\n/.env.*\n", "backend/.gitignore": ".env*\n!.env.example\n"}
    assert list_findings(plant(tmp_path, GOOD | files)) == []


def test_ignore_rules_of_only_this_machine_do_not_count(tmp_path: Path) -> None:
    plant(tmp_path, GOOD | {".gitignore": ""})
    (tmp_path / ".git/info/exclude").write_text(IGNORE)
    assert locate(list_findings(plant(tmp_path, {}))) == [("not-ignored", ".gitignore")]


def test_without_git_the_rules_are_read_at_the_root(tmp_path: Path) -> None:
    assert list_findings(plant(tmp_path, GOOD, git=False)) == []
    repository = plant(tmp_path, {".gitignore": ".env\n"}, git=False)
    assert locate(list_findings(repository)) == [("not-ignored", ".gitignore")]


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"backend/.dockerignore": "node_modules\n"}, "backend/.dockerignore"),
        ({"backend/.dockerignore": ".env\n.env.*\n!.env.production\n"}, "backend/.dockerignore"),
        ({"Dockerfile": "COPY . .\n", ".dockerignore": ".env\n.env.*\n"}, ".dockerignore"),
        ({"backend/Dockerfile.dockerignore": "dist\n"}, "backend/Dockerfile.dockerignore"),
    ],
)
def test_an_image_that_would_take_in_env_files_is_reported(
    tmp_path: Path, files: dict[str, str], place: str
) -> None:
    if "Dockerfile" not in files:
        files = {"backend/.dockerignore": "", **files}
    assert locate(list_findings(plant(tmp_path, GOOD | files))) == [("not-ignored", place)]


@pytest.mark.parametrize(
    "files",
    [
        {"backend/.dockerignore": "", ".dockerignore": "**/.env\n**/.env.*\n"},
        {"backend/.dockerignore": "**/.env*\n"},
    ],
)
def test_rules_for_images_may_be_stronger_or_in_a_directory_above(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert list_findings(plant(tmp_path, GOOD | files)) == []


def test_an_image_that_belongs_to_no_service_is_not_checked(tmp_path: Path) -> None:
    assert list_findings(plant(tmp_path, GOOD | {"images/db/Dockerfile": "FROM scratch\n"})) == []


def test_each_of_several_repositories_has_its_own_rules(tmp_path: Path) -> None:
    """The default directory of `init`, `..`, may contain repositories without being one."""
    files = {
        "backend/.gitignore": IGNORE,
        "python-service/main.py": "",
        "backend/.env.local": "A=b",
    }
    plant(tmp_path, files, git=False)
    for name in ("backend", "python-service"):
        plant(tmp_path / name, {})
    repository = Repository(tmp_path, WORKSPACE)
    rules = [each for each in repository.files() if each.kind == "not-ignored"]
    assert locate(rules) == [("not-ignored", "python-service/.gitignore")]
    assert "python-service/.env.production" in rules[0].message
    (local,) = [each for each in repository.files() if each.kind == "in-env-local"]
    assert "ignore the file" not in local.message
