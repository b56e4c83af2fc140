"""Test which files are found, and which service and environment follow from their paths."""

import json
import os
from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.migrate.find import WORDS, environment_of, is_env, is_sample, service_of, walk
from infisical_iac.workspace.load import load

SLUGS = ["development", "staging", "production"]
WORKSPACE = load(
    "project: {name: A, slug: abcde}\n"
    "environments: [{slug: production, name: Production}]\n"
    "services:\n"
    "  backend: {folder: /backend}\n"
    "  python-service: {folder: /python-services}\n"
    "  ingest: {folder: /python-services/ingest}\n"
)


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.local", ".env.production", ".env-prod", ".env_ci", ".env~", ".env2"),
        *(".envrc", "db.env", "prod.env", ".env.example", ".envrc.sample"),
    ],
)
def test_env_files_are_recognized_by_their_names(name: str) -> None:
    assert is_env(name)


@pytest.mark.parametrize("name", ["env", ".environment", ".envoy.yaml", "env.py", "x.envs", ".e"])
def test_other_names_are_not_env_files(name: str) -> None:
    assert not is_env(name)


@pytest.mark.parametrize(
    "name",
    [
        *(".env.example", ".env.production.sample", ".env.template", ".env.dist"),
        *(".env.defaults", ".env-example", "example.env", ".env.example.local", ".env.EXAMPLE"),
    ],
)
def test_a_sample_is_recognized_by_its_name(name: str) -> None:
    assert is_sample(name)


@pytest.mark.parametrize("name", [".env", ".env.examples", ".env.local", "example.txt"])
def test_files_with_other_names_are_not_samples(name: str) -> None:
    assert not is_sample(name)


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        (".env", "development"),
        ("backend/.env.local", "development"),
        ("backend/.env.dev", "development"),
        ("backend/.env.production", "production"),
        ("backend/.env.production.local", "production"),
        ("backend/.env.PROD", "production"),
        ("backend/prod.env", "production"),
        ("backend/backend.env", "development"),
        ("backend/.env.staging", "staging"),
        ("deploy/staging/.env", "staging"),
        ("staging/.env.production", "production"),
        ("backend/.env.test", ""),
        ("tests/fixtures/.env", ""),
        ("backend/.env.bak", ""),
        ("backend/.env.test.local", ""),
    ],
)
def test_the_environment_follows_from_suffix_then_directory(path: str, slug: str) -> None:
    assert environment_of(path, SLUGS) == slug


def test_the_loaders_know_the_same_names_of_production() -> None:
    """They stand alone, so they repeat the names."""
    vectors = Path(__file__).resolve().parents[3] / "loaders" / "vectors.json"
    assert json.loads(vectors.read_text())["production"] in map(list, WORDS)


def test_words_in_file_names_mean_the_slugs_of_the_project() -> None:
    slugs = ["dev", "prod", "test", "qa"]
    paths = [".env", ".env.production", ".env.test", ".env.qa", ".env.staging"]
    assert [environment_of(path, slugs) for path in paths] == ["dev", "prod", "test", "qa", ""]


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("backend/.env", "backend"),
        ("services/Backend/config/.env", "backend"),
        ("python-services/.env", "python-service"),
        ("python_services/.env", "python-service"),
        ("python-service/.env", "python-service"),
        ("python-services/ingest/.env", "ingest"),
        ("python-services/other/.env", "python-service"),
        ("frontend/.env", ""),
        (".env", ""),
    ],
)
def test_the_service_follows_from_the_directory(path: str, service: str) -> None:
    assert service_of(path, "repository", [], WORKSPACE) == service


def test_the_scanned_directory_may_be_the_service() -> None:
    assert service_of("config/.env", "backend", [], WORKSPACE) == "backend"


def test_the_nearest_directory_that_declares_a_service_or_has_its_name_decides() -> None:
    declared = {"": "ingest", "backend/jobs": "python-service"}
    found = {
        path: service_of(path, "repository", [], WORKSPACE, declared=declared)
        for path in (".env", "config/.env", "backend/.env", "backend/jobs/.env")
    }
    assert found == {
        ".env": "ingest",
        "config/.env": "ingest",
        "backend/.env": "backend",
        "backend/jobs/.env": "python-service",
    }


def test_the_container_that_reads_a_file_determines_the_service() -> None:
    assert service_of("deploy/a.env", "x", ["backend", "postgres"], WORKSPACE) == "backend"
    assert service_of("deploy/a.env", "x", ["backend", "ingest"], WORKSPACE) == ""
    assert service_of("ingest/.env", "x", ["backend"], WORKSPACE) == "ingest"


def test_the_former_name_of_a_directory_or_container_means_the_renamed_service() -> None:
    renamed = load(
        "project: {name: A, slug: abcde}\n"
        "environments: [{slug: production, name: Production}]\n"
        "services:\n  api: {folder: /api, renamed_from: backend}\n"
    )
    assert service_of("backend/.env", "repository", [], renamed) == "api"
    assert service_of("deploy/a.env", "x", ["backend"], renamed) == "api"
    assert service_of("backend/.env", "repository", [], renamed, {}) == ""


def test_files_of_dependencies_are_left_out(tmp_path: Path) -> None:
    for path in ("node_modules/a", ".git/b", "env/lib", "src", ".next/standalone"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / ".env").touch()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert walk(tmp_path) == ["src/.env"]


def test_a_link_to_a_directory_is_not_followed_and_a_broken_one_is_listed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / ".env").symlink_to("nowhere")
    os.mkfifo(tmp_path / ".env.local")
    assert walk(tmp_path) == [".env", ".env.local"]


def test_a_directory_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FileError, match=r"closed can't be listed \(Permission denied\)"):
        walk(tmp_path)


def test_a_clone_of_this_project_next_to_the_services_is_left_out(tmp_path: Path) -> None:
    for path in ("iac/infisical_iac/x.py", "iac/examples/.env", "backend/.env"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert walk(tmp_path) == ["backend/.env"]
    assert "examples/.env" in walk(tmp_path / "iac")
