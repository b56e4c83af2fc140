"""Test writing `.infisical.json`, also by `infisical-iac init`."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.init_questions import write_files
from infisical_iac.cli.main import main
from infisical_iac.core.errors import FileError
from infisical_iac.init import answers, repository
from infisical_iac.init.answers import Answers
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.load import load
from infisical_iac.workspace.local_file import (
    NAME,
    ImportedFolder,
    LocalFile,
    OwnProject,
    complete,
    find_ids,
    parse,
    write,
)
from tests.unit.ssh_server import reach_no_server

_REPOSITORY = Path(__file__).resolve().parents[3]
_KNOWN = LocalFile("fake-id", "https://secrets.example.com", "/backend")


def test_a_written_file_round_trips() -> None:
    assert parse(complete("", _KNOWN)) == _KNOWN


_SPLIT = LocalFile(
    domain="https://secrets.example.com",
    folder="/backend",
    projects={
        "production": OwnProject("own-id", (ImportedFolder("shared-id", "/shared"),)),
        "staging": OwnProject("other-id"),
    },
)


def test_projects_by_environment_round_trip() -> None:
    text = complete("", _SPLIT)
    assert parse(text) == _SPLIT
    assert json.loads(text)["projects"] == {
        "production": {
            "workspaceId": "own-id",
            "imports": [{"workspaceId": "shared-id", "secretPath": "/shared"}],
        },
        "staging": {"workspaceId": "other-id"},
    }
    assert parse(text).ids == {"own-id", "shared-id", "other-id"}


def test_one_project_and_several_replace_each_other() -> None:
    one = complete(complete("", _SPLIT), _KNOWN)
    assert parse(one) == _KNOWN
    assert "projects" not in json.loads(one)
    several = complete(one, _SPLIT)
    assert parse(several) == _SPLIT
    assert "workspaceId" not in json.loads(several)


def test_ids_that_are_not_known_yet_replace_nothing() -> None:
    """`infisical-iac init` writes such a file before a deploy, or again after one."""
    for text in (complete("", _SPLIT), complete("", _KNOWN)):
        assert complete(text, LocalFile(domain="https://secrets.example.com")) == text


_WORKSPACE = load(
    """
project: {name: Acme, slug: acme-co}
environments: [{slug: staging, name: S}, {slug: production, name: P}]
shared_folders: [/shared, /more]
services: {backend: {folder: /backend, imports: [/more, /shared]}}
"""
)


def test_the_ids_of_a_service_are_those_of_the_projects_that_hold_its_folders() -> None:
    assert find_ids(Layout("one-id"), _WORKSPACE, "backend") == LocalFile("one-id")
    assert find_ids(Layout(), _WORKSPACE, "backend") == LocalFile()
    folders = ("/backend", "/shared", "/more")
    parts = {("production", folder): f"id-of{folder}" for folder in folders}
    imports = tuple(ImportedFolder(f"id-of{each}", each) for each in ("/more", "/shared"))
    known = LocalFile(projects={"production": OwnProject("id-of/backend", imports)})
    unseen = parts | {("staging", folder): "" for folder in folders} | {("staging", "/more"): "id"}
    assert find_ids(Layout(parts=unseen), _WORKSPACE, "backend") == known


def test_unknown_fields_and_other_keys_are_kept(tmp_path: Path) -> None:
    there = {"defaultEnvironment": "staging", "domain": "https://other.example.com"}
    (tmp_path / NAME).write_text(json.dumps(there))
    assert write(tmp_path, LocalFile(project_id="fake-id"))
    after = json.loads((tmp_path / NAME).read_text())
    assert after == there | {"workspaceId": "fake-id"}
    assert not write(tmp_path, LocalFile(project_id="fake-id"))


@pytest.mark.parametrize("is_large", [False, True])
def test_a_link_and_a_large_file_are_not_read(tmp_path: Path, is_large: bool) -> None:
    """A repository of others may have a link to a file with a secret, or to /dev/zero."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"token": "obviously-fake"}')
    if is_large:
        (tmp_path / NAME).write_text(json.dumps({"domain": "x" * 2 * 1024**2}))
    else:
        (tmp_path / NAME).symlink_to(secret)
    with pytest.raises(FileError, match="can't be read") as refused:
        write(tmp_path, _KNOWN)
    assert "obviously-fake" not in str(refused.value)
    assert (tmp_path / NAME).is_symlink() is not is_large


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("unchanged")
    (tmp_path / f".{NAME}.new").symlink_to(victim)
    write_files({tmp_path / NAME: "{}\n"})
    assert ((tmp_path / NAME).read_text(), victim.read_text()) == ("{}\n", "unchanged")
    assert not (tmp_path / NAME).is_symlink()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"domain": 1}',
        "[" * 100_000,
        '{"strict": "true"}',
        '{"allow": "A"}',
        '{"allow": [1]}',
        '{"projects": {}}',
        '{"projects": []}',
        '{"projects": {"production": "fake-id"}}',
        '{"projects": {"production": {"workspaceId": ""}}}',
        '{"projects": {"production": {"workspaceId": "fake-id", "imports": ["/shared"]}}}',
    ],
)
def test_files_that_no_loader_could_read_are_refused(text: str) -> None:
    with pytest.raises(FileError, match="write it"):
        parse(text)


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    reach_no_server(monkeypatch)


def _init(root: Path, *options: str) -> Result:
    clone = root / "infisical"
    if not clone.exists():
        for folder in ("group_data", "inventory", "infisical_iac"):
            (clone / folder).mkdir(parents=True)
        shutil.copy(_REPOSITORY / "group_data" / "all.py", clone / "group_data")
        for path, text in repository.files(Answers()).items():
            (clone / path).write_text(text)
        (root / "backend").mkdir()
        (root / "backend" / "package.json").write_text("{}")
    given = ["--host", "203.0.113.7", "--email", "ada@example.com", "--yes", *options]
    return CliRunner().invoke(main, ["init", "--directory", str(clone), *given])


def test_init_writes_known_fields_and_names_the_command_for_the_rest(
    tmp_path: Path,
) -> None:
    ran = _init(tmp_path, "--domain", "secrets.example.com")
    assert ran.exit_code == 0, ran.output
    known = parse((tmp_path / "backend" / NAME).read_text())
    assert known == LocalFile("", "https://secrets.example.com", "/backend")
    assert f"{NAME} for backend" in ran.output
    assert "`infisical-iac check /" in ran.output


def test_init_without_a_domain_writes_the_tunnels_address_into_new_files(
    tmp_path: Path,
) -> None:
    assert _init(tmp_path).exit_code == 0
    file = tmp_path / "backend" / NAME
    assert parse(file.read_text()) == LocalFile("", "http://127.0.0.1:8080", "/backend")
    file.write_text(complete("", _KNOWN))
    assert _init(tmp_path, "--force").exit_code == 0
    assert parse(file.read_text()) == _KNOWN


def test_init_writes_nothing_if_a_local_file_cannot_be_read(tmp_path: Path) -> None:
    _init(tmp_path)
    (tmp_path / "backend" / NAME).write_text("{")
    before = (tmp_path / "infisical" / repository.settings_file(answers.GROUP)).read_text()
    ran = _init(tmp_path, "--force", "--host", "203.0.113.8")
    assert ran.exit_code == 1
    assert f"{tmp_path / 'backend' / NAME} is not JSON" in ran.output
    assert (tmp_path / "infisical" / repository.settings_file(answers.GROUP)).read_text() == before
