"""Test what `infisical-iac check` finds in the files of a repository, without Infisical."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_iac.check.model import Judged
from infisical_iac.check.repository import Repository
from infisical_iac.cli.check import check, print_text
from infisical_iac.core.errors import FileError
from tests.unit.check.checked import (
    GOOD,
    IGNORE,
    WORKSPACE,
    WORKSPACE_TEXT,
    list_findings,
    locate,
    plant,
)
from tests.unit.migrate.trees import SHIPPED

_ROOT = Path(__file__).resolve().parents[3]


def test_a_correct_repository_has_no_findings(tmp_path: Path) -> None:
    assert list_findings(plant(tmp_path, GOOD)) == []


def test_the_example_has_findings_before_its_migration_and_none_after() -> None:
    example = _ROOT / "examples" / "chainalign"
    assert {each.kind for each in list_findings(Repository(example / "before", WORKSPACE))} >= {
        *("secret-in-file", "not-ignored", "no-loader", "no-local-file")
    }
    assert list_findings(Repository(example / "after", WORKSPACE)) == []


def test_a_repository_without_any_service_is_reported(tmp_path: Path) -> None:
    assert locate(list_findings(plant(tmp_path, {".gitignore": IGNORE}))) == [("no-service", ".")]


def test_a_renamed_project_file_is_found_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path / "services", GOOD)
    clone = tmp_path / "clone/group_data"
    clone.mkdir(parents=True)
    (clone / "all.py").write_text('workspace_file = "group_data/acme.yaml"\n')
    (clone / "acme.yaml").write_text(WORKSPACE_TEXT)
    monkeypatch.chdir(clone.parent)
    result = CliRunner().invoke(check, ["../services", "--offline"])
    assert (result.exit_code, result.exception) == (0, None), result.output


def test_a_renamed_project_file_is_found_at_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text('workspace_file = "group_data/acme.yaml"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFISICAL_API_URL", "https://secrets.example.com")
    for name in ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"):
        monkeypatch.setenv(name, "fake")
    result = CliRunner().invoke(check, ["."])
    assert isinstance(result.exception, FileError)
    assert "group_data/acme.yaml" in str(result.exception)


@pytest.mark.parametrize("directories", [["api", "web"], ["backend", "web"]])
def test_before_init_no_sample_service_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directories: list[str]
) -> None:
    """The shipped project file declares samples; one of them may be named as a service here."""
    services = {f"{each}/package.json": GOOD["backend/package.json"] for each in directories}
    plant(tmp_path / "services", {".gitignore": IGNORE, **services})
    plant(tmp_path / "clone", {"group_data/chainalign.yaml": SHIPPED.read_text("utf-8")}, git=False)
    monkeypatch.chdir(tmp_path / "clone")
    result = CliRunner().invoke(check, ["../services", "--offline", "--json"])
    data = json.loads(result.stdout)
    both = [*data["findings"], *data["notes"]]
    assert "python-service" not in {each["place"] for each in both}
    [first] = [each for each in both if each["message"].count("`infisical-iac init` first")]
    is_one_here = "backend" in directories
    assert first["kind"] == ("not-checked" if is_one_here else "no-service")
    assert result.exit_code == 2


def test_a_service_without_a_directory_is_a_note(tmp_path: Path) -> None:
    notes = [*plant(tmp_path, GOOD).find_absent()]
    assert [(each.kind, each.place, each.is_note) for each in notes] == [
        ("not-checked", "python-service", True)
    ]


def test_the_text_of_a_check_prints_each_cause_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(f"{key}_PASSWORD=obviously-fake-{key}\n" for key in "ABC")
    repository = plant(tmp_path, GOOD | {"backend/.env": text, "python-services/.env": text})
    print_text(repository, Judged(list_findings(repository), []), is_compared=True)
    output = capsys.readouterr().out
    assert output.count("infisical-iac migrate scan") == 1
    assert output.count(" secret-in-file: 3 values ") == 2


def _check_text(*arguments: str) -> str:
    return CliRunner().invoke(check, [*arguments, "--offline", "--project-file", "p.yaml"]).output


def test_a_given_directory_has_no_notes_on_services_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, GOOD | {"p.yaml": WORKSPACE_TEXT})
    monkeypatch.chdir(tmp_path)
    assert "· python-service not-checked" in _check_text()
    given = _check_text(str(tmp_path))
    assert "python-service" not in given
    assert "1 note" in given
    assert "--json" in given
    notes = json.loads(_check_text(str(tmp_path), "--json"))["notes"]
    assert "python-service" in [each["place"] for each in notes]


@pytest.mark.parametrize(
    ("place", "is_here"),
    [
        ("/python-services", False),
        ("/python-services/A", False),
        ("production/python-services", False),
        ("python-service", False),
        ("/shared/A", True),  # the service that is here reads it too
        ("/backend", True),
        ("backend/app.js:3", True),
        ("hygiene", True),
    ],
)
def test_a_place_belongs_to_the_services_that_read_it(
    tmp_path: Path, place: str, is_here: bool
) -> None:
    assert plant(tmp_path, GOOD).is_about_services_here(place) is is_here
