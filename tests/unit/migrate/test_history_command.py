"""Test that `infisical-iac migrate history` prints places without values, and its exit status."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.migrate_history import history
from infisical_iac.core.errors import UserError
from infisical_iac.migrate.plan_file import (
    KEY_FILE,
    PLAN_FILE,
    MigrationPlan,
    PlannedKey,
    digest,
    dump,
    load_or_make,
)
from tests.unit.migrate.moving import planned_source
from tests.unit.migrate.repository import Repository

_SECRET = "fake-Secret/0f9a+b1c"
_OTHER = "fake-other-7d6e5f4c"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / "backend.env"
    file.write_text(f"API_KEY={_SECRET}\nOTHER_KEY={_OTHER}\nPORT=3000\n")
    return file


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "app")
    made.commit("README", "Nothing here\n")
    return made


@pytest.fixture
def leaking(repository: Repository) -> Repository:
    repository.commit("backend/.env", f"API_KEY={_SECRET}\n")
    repository.git("rm", "--quiet", "backend/.env")
    repository.commit("config.json", json.dumps({"key": _SECRET}).replace("/", r"\/"))
    repository.git("hash-object", "-w", "--stdin", stdin=_SECRET.encode() + b" lost")
    repository.git("tag", "--annotate", "--message", _SECRET, "v1")
    return repository


def _run(repository: Repository, env_file: Path, *more: str) -> Result:
    arguments = [str(repository.path), "--env-file", str(env_file), *more]
    result = CliRunner().invoke(history, arguments)
    assert _SECRET not in result.output
    assert _OTHER not in result.output
    return result


def test_a_repository_without_the_values_is_a_success(
    repository: Repository, env_file: Path
) -> None:
    result = _run(repository, env_file)
    assert result.exit_code == 0, result.output
    assert "0 of 2 values found." in result.output
    assert "1 value is too common" in result.output
    assert "--skipped" in result.output


def test_common_values_are_one_line_and_listed_on_demand(
    repository: Repository, env_file: Path
) -> None:
    names = [f"SHORT_{number}" for number in range(30)]
    env_file.write_text("".join(f"{name}={number}\n" for number, name in enumerate(names)))
    lines = _run(repository, env_file).output.splitlines()
    assert len([line for line in lines if "SHORT_" in line or "too common" in line]) == 1
    listed = _run(repository, env_file, "--skipped").output
    for name in names:
        assert f"{env_file} {name}: shorter than 8 bytes" in listed
    assert not any(each.endswith("--skipped` lists them.") for each in listed.splitlines())


def test_a_value_that_is_gone_is_named_without_the_option(
    repository: Repository, tmp_path: Path
) -> None:
    """It may have leaked, so it is listed; values that are too common are only counted."""
    lost = planned_source({"GONE": PlannedKey(line=1, length=8, digest="0", decision="skip")})
    file = tmp_path / PLAN_FILE
    deleted = lost.model_copy(update={"deleted": True})
    file.write_text(dump(MigrationPlan(project="abcde", root=".", sources=(deleted,))))
    load_or_make(tmp_path / KEY_FILE)
    result = CliRunner().invoke(history, [str(repository.path), "--plan", str(file)])
    (line,) = [each for each in result.output.splitlines() if "GONE" in each]
    assert " was not searched for: " in line


def test_a_found_value_is_reported_by_place_label_and_form(
    leaking: Repository, env_file: Path
) -> None:
    result = _run(leaking, env_file)
    assert result.exit_code == 2, result.output
    commits = leaking.git("rev-list", "--reverse", "HEAD").split()
    lines = [line.strip() for line in result.output.splitlines()]
    assert f"backend/.env, in commit {commits[1][:12]} (2026-01-02), as it is" in lines
    assert f"config.json, in commit {commits[2][:12]} (2026-01-03), JSON-escaped" in lines
    assert any(line.startswith("file in no commit (object ") for line in lines)
    assert any(line.startswith("message of a tag (object ") for line in lines)
    assert "1 of 2 values found." in lines
    assert f"{env_file} API_KEY: in history since 2026-01-02, {leaking.path}" in lines


def test_the_json_output_has_the_same_places(leaking: Repository, env_file: Path) -> None:
    result = _run(leaking, env_file, "--json")
    assert result.exit_code == 2
    output = json.loads(result.stdout)
    [repository] = output["repositories"]
    label = f"{env_file} API_KEY"
    first = leaking.git("rev-parse", "HEAD~1")
    [hit] = [hit for hit in repository["hits"] if hit["path"] == "backend/.env"]
    assert hit == {
        "label": label,
        "form": "as it is",
        "kind": "file",
        "path": "backend/.env",
        "objects": [leaking.git("rev-parse", f"{first}:backend/.env")],
        "commits": 1,
        "first": {"commit": first, "date": "2026-01-02"},
        "last": {"commit": first, "date": "2026-01-02"},
    }
    rotation = {"label": label, "since": "2026-01-02", "repositories": [str(leaking.path)]}
    assert output["rotate"] == [rotation]
    assert output["searched"] == [label, f"{env_file} OTHER_KEY"]
    assert output["skipped"] == {f"{env_file} PORT": "shorter than 8 bytes"}


def test_filter_repo_gets_hashes_and_no_value(
    leaking: Repository, env_file: Path, tmp_path: Path
) -> None:
    hashes = tmp_path / "hashes"
    result = _run(leaking, env_file, "--filter-repo", str(hashes))
    names = hashes.read_text().split()
    assert leaking.git("rev-parse", "HEAD:config.json") in names
    assert {leaking.git("cat-file", "-t", name) for name in names} == {"blob"}
    command = f"git filter-repo --sensitive-data-removal --strip-blobs-with-ids {hashes}"
    assert command in map(str.strip, result.output.splitlines())


def test_a_value_in_two_repositories_is_listed_once_for_rotation(
    leaking: Repository, env_file: Path, tmp_path: Path
) -> None:
    leaking.git("clone", "--quiet", "--bare", ".", str(tmp_path / "copy.git"))
    result = _run(leaking, env_file, str(tmp_path / "copy.git"), "--json")
    [rotation] = json.loads(result.stdout)["rotate"]
    assert rotation["repositories"] == [str(leaking.path), str(tmp_path / "copy.git")]


def test_an_error_shows_no_value(env_file: Path, tmp_path: Path) -> None:
    result = _run(Repository(tmp_path), env_file)
    assert result.exit_code == 1
    assert isinstance(result.exception, UserError)
    assert _SECRET not in str(result.exception)


def test_without_a_plan_and_files_the_error_names_the_options(repository: Repository) -> None:
    result = CliRunner().invoke(history, [str(repository.path)])
    assert isinstance(result.exception, UserError)
    assert result.exception.code == "error.no_values"
    assert "--plan" in str(result.exception)
    assert "--env-file" in str(result.exception)


def test_a_plan_and_env_files_together_are_refused(repository: Repository, env_file: Path) -> None:
    result = _run(repository, env_file, "--plan", str(env_file))
    assert "give one of them" in str(result.exception)


def test_values_come_from_the_plan_in_the_repository_by_default(leaking: Repository) -> None:
    root = leaking.path
    (root / "backend").mkdir(exist_ok=True)
    (root / "backend/.env").write_text(f"API_KEY={_SECRET}\n")
    key = load_or_make(root / KEY_FILE)
    planned = PlannedKey(line=1, length=1, digest=digest(key, _SECRET), decision="store")
    source = planned_source({"API_KEY": planned})
    plan = MigrationPlan(project="chainalign", root=".", sources=(source,))
    (root / PLAN_FILE).write_text(dump(plan), encoding="utf-8")
    result = CliRunner().invoke(history, [str(root)])
    assert result.exit_code == 2, result.output
    (line,) = (each for each in result.output.splitlines() if "backend/.env API_KEY: " in each)
    assert "2026-01-02" in line
    assert _SECRET not in result.output


def test_an_unknown_grammar_is_refused(repository: Repository, env_file: Path) -> None:
    result = _run(repository, env_file, "--grammar", "toml")
    assert result.exit_code == 1
    assert isinstance(result.exception, UserError)
    assert result.exception.code == "error.no_grammar"
    assert {"toml", "dotenv,"} <= {*str(result.exception).split()}


def test_a_directory_of_repositories_means_each_of_them(
    leaking: Repository, env_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "group").mkdir()
    other = Repository.create(tmp_path / "group" / "other")
    other.commit("README", "Nothing here\n")
    (tmp_path / "node_modules").mkdir()
    Repository.create(tmp_path / "node_modules" / "package")
    result = CliRunner().invoke(history, [str(tmp_path), "--env-file", str(env_file), "--json"])
    assert result.exit_code == 2, result.output
    paths = [each["path"] for each in json.loads(result.stdout)["repositories"]]
    assert paths == [str(leaking.path), str(other.path)]


def test_a_directory_without_a_repository_is_refused_in_one_sentence(
    env_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "empty"), "--env-file", str(env_file)]
    error = CliRunner().invoke(history, arguments).exception
    assert isinstance(error, UserError)
    assert error.code == "file.no_repository"
    assert str(tmp_path / "empty") in str(error)
