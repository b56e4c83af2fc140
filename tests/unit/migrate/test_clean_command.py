"""Test `infisical-iac migrate clean`: its plan, its question, and which files remain."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner, Result
from pyrage.x25519 import Identity

from infisical_iac.check.proposals import HEADING
from infisical_iac.cli.migrate_clean import clean
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.migrate.cleaning import MovedFile
from infisical_iac.migrate.report import VERIFIED_AT
from tests.unit.backup.test_recipients import ssh_key
from tests.unit.migrate.cleanable import (
    BACKEND,
    KEY,
    PYTHON,
    SECRET,
    TO,
    git,
    monorepo,
    moved_file,
    read_archives,
    report,
    snapshot,
    write,
)

Clean = Callable[..., Result]


@pytest.fixture
def files(tmp_path: Path) -> list[MovedFile]:
    """The files of a monorepo with a report that says that they were verified."""
    made = monorepo(tmp_path)
    report(tmp_path, *made)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Clean:
    """Run `migrate clean <arguments>` on the plan in the repository."""

    def invoke(*arguments: str, answer: str = "") -> Result:
        plan = str(tmp_path / "migration.yaml")
        return CliRunner().invoke(clean, [plan, *arguments], input=answer)

    return invoke


def test_the_plan_is_shown_and_answering_no_changes_nothing(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    before = snapshot(tmp_path)
    ran = run(*TO, answer="n\n")
    assert ran.exit_code == 1
    backend, python = (line for line in ran.output.splitlines() if line.startswith("- "))
    assert backend.startswith(f"- {BACKEND}: 1 key of backend ")
    assert backend.endswith("production, tracked by git")
    assert python.startswith(f"- {PYTHON}: 1 key of backend ")
    assert python.endswith(" production")
    assert "+ .gitignore: .env, .env.*, .env-archive-*, " in ran.output
    assert "+ .dockerignore: **/.env, " in ran.output
    assert "+ backend/.env.local.example\n+ python-services/.env.local.example\n" in ran.output
    assert "  compose.yaml:3: backend/.env\n" in ran.output
    assert "  backend/server.js:1: dotenv/config\n" in ran.output
    assert SECRET not in ran.output
    assert snapshot(tmp_path) == before


def test_names_with_terminal_escapes_are_shown_escaped(tmp_path: Path, run: Clean) -> None:
    hostile = "x\x1b]0;owned\x07\n- y/.env"
    write(tmp_path, hostile)
    write(tmp_path, f"{hostile}.changed")
    changed = moved_file(tmp_path, f"{hostile}.changed")
    write(tmp_path, f"{hostile}.changed", "OTHER=changed since\n")
    git(tmp_path, "init", "--quiet")
    write(tmp_path, "compose.yaml", f"env_file: {hostile.splitlines()[0]}\n")
    report(tmp_path, moved_file(tmp_path, hostile), changed)
    ran = run(*TO, answer="n\n")
    escaped = r"x\x1b]0;owned\x07\n- y/.env"
    assert f"- {escaped}: " in ran.output
    assert f"? {escaped}.changed " in ran.output
    assert "\x1b" not in ran.output
    assert "\x07" not in ran.output


def test_answering_yes_replaces_the_files_by_an_archive_that_git_ignores(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    before = snapshot(tmp_path)
    ran = run(*TO, answer="y\n")
    assert ran.exit_code == 0, ran.output
    assert "Deleted 2 files.\n" in ran.output
    assert "git's history" in ran.output
    assert f"`infisical-iac check {tmp_path}`" in ran.output.splitlines()[-1]
    assert read_archives(tmp_path, KEY) == {path: before[path] for path in (BACKEND, PYTHON)}
    assert not {BACKEND, PYTHON} & snapshot(tmp_path).keys()
    assert git(tmp_path, "ls-files", "--deleted") == ""
    assert ".env-archive" not in git(tmp_path, "status", "--porcelain")
    example = (tmp_path / "backend" / ".env.local.example").read_text()
    names = [line.partition("=")[0] for line in example.splitlines() if "=" in line]
    assert names == [
        *("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"),
        *("INFISICAL_ENVIRONMENT", "NODE_ENV"),
    ]


def test_a_second_run_changes_nothing(tmp_path: Path, files: list[MovedFile], run: Clean) -> None:
    assert run(*TO, "--yes").exit_code == 0
    before = snapshot(tmp_path)
    again = run("--yes")
    assert again.exit_code == 0, again.output
    assert again.output.endswith("Nothing to do.\n")
    assert "  compose.yaml:3: backend/.env\n" in again.output
    assert snapshot(tmp_path) == before


def test_an_existing_example_is_kept(tmp_path: Path, files: list[MovedFile], run: Clean) -> None:
    own = write(tmp_path, "backend/.env.local.example", "PORT=3000\n")
    assert run(*TO, "--yes").exit_code == 0
    assert own.read_text() == "PORT=3000\n"
    assert (tmp_path / "python-services" / ".env.local.example").exists()


def test_no_file_is_deleted_if_an_example_cannot_be_written(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    (tmp_path / "backend" / ".env.local.example").symlink_to("nowhere")
    ran = run(*TO, "--yes")
    assert isinstance(ran.exception, FileError)
    assert ran.exception.code == "file.example"
    assert "backend/.env.local.example" in str(ran.exception)
    assert {BACKEND, PYTHON} <= snapshot(tmp_path).keys()


def test_unverified_and_changed_files_are_kept(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    write(tmp_path, "other/.env")
    report(tmp_path, *files, moved_file(tmp_path, "other/.env"), unverified=("other/.env",))
    write(tmp_path, PYTHON, "OTHER=obviously-fake-other\n")
    ran = run(*TO, "--yes")
    assert ran.exit_code == 2
    kept = [line.split()[1] for line in ran.output.splitlines() if line.startswith("?")]
    assert kept == [PYTHON, "other/.env"]
    changed, unverified = (line for line in ran.output.splitlines() if line.startswith("?"))
    assert "has changed" in changed
    assert "read back" in unverified
    there = snapshot(tmp_path)
    assert {PYTHON, "other/.env"} <= there.keys()
    assert BACKEND not in there
    assert list(read_archives(tmp_path, KEY)) == [BACKEND]


_LOGIN = "INFISICAL_CLIENT_ID=a\nINFISICAL_CLIENT_SECRET=obviously-fake-secret\nNODE_ENV=staging\n"
_VARIABLES = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", "NODE_ENV")


def _left_out(root: Path, path: str, *skipped: str) -> MovedFile:
    """Return a file with no stored keys, which `migrate apply` does not mark as verified."""
    return replace(moved_file(root, path), keys=(), skipped=skipped)


def test_a_file_with_only_login_variables_is_kept_and_clean_succeeds(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    login = "backend/.env.local"
    write(tmp_path, login, _LOGIN)
    report(tmp_path, *files, _left_out(tmp_path, login, *_VARIABLES), unverified=(login,))
    for ran in (run(*TO, "--yes"), run(*TO, "--yes")):
        assert ran.exit_code == 0, ran.output
        assert f"{login} stays: " in ran.output
        assert "is kept" not in ran.output
    assert (tmp_path / login).read_text() == _LOGIN
    assert "Nothing to do." in ran.output


def test_a_plan_with_only_login_files_deletes_nothing(tmp_path: Path, run: Clean) -> None:
    write(tmp_path, ".env.local", _LOGIN)
    left_out = _left_out(tmp_path, ".env.local", *_VARIABLES)
    report(tmp_path, left_out, unverified=(".env.local",))
    ran = run(*TO, "--yes")
    assert ran.exit_code == 0, ran.output
    assert ran.output.endswith("Deleted 0 files.\n")
    assert (tmp_path / ".env.local").read_text() == _LOGIN


@pytest.mark.parametrize(
    ("skipped", "now"), [((*_VARIABLES, "PORT"), _LOGIN), (_VARIABLES, _LOGIN + "MORE=1\n")]
)
def test_a_login_file_with_another_key_is_reported_as_kept(
    tmp_path: Path, files: list[MovedFile], run: Clean, skipped: tuple[str, ...], now: str
) -> None:
    """The plan skipped another key, or another key was added after the plan."""
    login = "backend/.env.local"
    write(tmp_path, login, _LOGIN)
    report(tmp_path, *files, _left_out(tmp_path, login, *skipped), unverified=(login,))
    write(tmp_path, login, now)
    ran = run(*TO, "--yes")
    assert ran.exit_code == 2
    assert f"? {login} is kept" in ran.output


def test_a_file_skipped_by_a_person_is_kept_and_clean_succeeds(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    own = "backend/.env.local"
    write(tmp_path, own, "LOG_LEVEL=debug\n")
    left_out = _left_out(tmp_path, own, "LOG_LEVEL")
    report(tmp_path, *files, left_out, unverified=(own,), skipped=(own,))
    ran = run(*TO, "--yes")
    assert ran.exit_code == 0, ran.output
    (line,) = [line for line in ran.output.splitlines() if line.startswith(own)]
    assert "stays" in line
    assert "owner" in line
    assert "`infisical-iac docs develop`" in ran.output
    assert "is kept" not in ran.output
    assert (tmp_path / own).exists()


@pytest.mark.parametrize(
    ("now", "is_named"),
    [
        ("LOG_LEVEL=debug\n", True),
        ("LOG_LEVEL=debug\n# overrides\nDEBUG=1\n", True),
        ("# overrides\nLOG_LEVEL=debug\n", False),
        (f"{_LOGIN}\n# overrides\nLOG_LEVEL=debug\n", False),
    ],
)
def test_only_values_that_no_loader_reads_are_to_be_put_below_the_line_of_overrides(
    tmp_path: Path, files: list[MovedFile], run: Clean, now: str, is_named: bool
) -> None:
    own = "backend/.env.local"
    write(tmp_path, own, "LOG_LEVEL=debug\n")
    left_out = _left_out(tmp_path, own, "LOG_LEVEL")
    report(tmp_path, *files, left_out, unverified=(own,), skipped=(own,))
    write(tmp_path, own, now)
    ran = run(*TO, "--yes")
    assert f"{own} stays: " in ran.output
    assert ("`# overrides`" in ran.output) is is_named


def test_a_file_stored_in_two_places_is_deleted_only_if_both_are_verified(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    plan = report(tmp_path, *files, files[0])
    text = plan.with_name("migration-report.json").read_text()
    changed = text.replace('"verified": true', '"verified": false', 1)
    plan.with_name("migration-report.json").write_text(changed)
    assert run(*TO, "--yes").exit_code == 2
    assert BACKEND in snapshot(tmp_path)
    assert PYTHON not in snapshot(tmp_path)


def test_without_a_recipient_nothing_is_deleted(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    before = snapshot(tmp_path)
    ran = run("--yes")
    assert isinstance(ran.exception, UserError)
    assert ran.exception.code == "error.no_recipient"
    for remedy in ("--recipients-file ~/.ssh/id_ed25519.pub", "age-keygen -o", "--no-archive"):
        assert remedy in str(ran.exception)
    assert ran.output == ""  # A printed plan would promise an archive.
    assert snapshot(tmp_path) == before


def _ago(**time: int) -> str:
    return (datetime.now(UTC) - timedelta(**time)).strftime(VERIFIED_AT)


def test_the_no_archive_option_deletes_without_an_archive(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    report(tmp_path, *files, verified_at=_ago(minutes=50))
    ran = run("--no-archive", "--yes")
    assert ran.exit_code == 0, ran.output
    assert not {BACKEND, PYTHON} & snapshot(tmp_path).keys()
    assert list(tmp_path.glob(".env-archive*")) == []


@pytest.mark.parametrize(
    "at",
    ["", "yesterday", _ago(minutes=61), _ago(days=-1)],
    ids=["never", "no date", "too long ago", "in the future"],
)
def test_the_no_archive_option_requires_a_recent_verification(
    at: str, tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    report(tmp_path, *files, verified_at=at)
    before = snapshot(tmp_path)
    ran = run("--no-archive", "--yes")
    assert isinstance(ran.exception, FileError)
    assert ran.exception.code == "file.not_verified"
    assert "`infisical-iac migrate verify`" in str(ran.exception)
    assert snapshot(tmp_path) == before


def test_recipients_and_an_identity_come_from_files(
    tmp_path: Path, files: list[MovedFile], run: Clean, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = tmp_path_factory.mktemp("keys")
    to = write(keys, "to", f"# Ada\n{KEY.to_public()}\n")
    mine, wrong = write(keys, "mine", f"{KEY}\n"), write(keys, "wrong", f"{Identity.generate()}\n")
    refused = run("--recipients-file", str(to), "--identity", str(wrong), "--yes")
    assert isinstance(refused.exception, FileError)
    assert refused.exception.code == "file.archive_key"
    assert {BACKEND, PYTHON} <= snapshot(tmp_path).keys()
    ran = run("--recipients-file", str(to), "--identity", str(mine), "--yes")
    assert ran.exit_code == 0, ran.output
    assert set(read_archives(tmp_path, KEY)) == {BACKEND, PYTHON}


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_can_open_the_archive(
    tmp_path: Path,
    files: list[MovedFile],
    run: Clean,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
) -> None:
    """Most people have an SSH key, and no key of age."""
    private = ssh_key(tmp_path_factory.mktemp("keys"), kind=kind)
    public = str(private.with_suffix(".pub"))
    ran = run("--recipients-file", public, "--identity", str(private), "--yes")
    assert ran.exit_code == 0, ran.output
    opens = pyrage.ssh.Identity.from_buffer(private.read_bytes())
    assert set(read_archives(tmp_path, opens)) == {BACKEND, PYTHON}


@pytest.mark.parametrize(
    "text", ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "ecdsa-sha2-nistp256 AAAA", "ssh-ed25519 AAAA"]
)
def test_a_key_that_age_cannot_use_deletes_nothing(
    tmp_path: Path,
    files: list[MovedFile],
    run: Clean,
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
) -> None:
    before = snapshot(tmp_path)
    ran = run("--recipients-file", str(write(tmp_path_factory.mktemp("k"), "to", text)), "--yes")
    assert isinstance(ran.exception, FileError)
    assert "public key" in str(ran.exception)
    assert snapshot(tmp_path) == before


def test_an_archive_that_git_would_not_ignore_is_not_made(
    tmp_path: Path,
    files: list[MovedFile],
    run: Clean,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infisical_iac.migrate.git.is_ignored", lambda _: False)
    ran = run(*TO, "--yes")
    assert "git would not ignore" in str(ran.exception)
    assert {BACKEND, PYTHON} <= snapshot(tmp_path).keys()
    assert list(tmp_path.glob(".env-archive*")) == []


@pytest.mark.parametrize(
    ("text", "code", "file"),
    [
        (None, "file.no_report", "migration-report.json"),
        ("[]", "file.report", "migration-report.json"),
        ('{"root": ".", "sources": []}', "file.nothing_verified", "migration.yaml"),
        ('{"root": "gone", "sources": []}', "file.no_root", "gone"),
    ],
)
def test_nothing_is_deleted_without_a_report_of_verified_files(
    tmp_path: Path, run: Clean, text: str | None, code: str, file: str
) -> None:
    write(tmp_path, "migration.yaml", "")
    if text is not None:
        write(tmp_path, "migration-report.json", text)
    before = snapshot(tmp_path)
    error = run(*TO, "--yes").exception
    assert isinstance(error, FileError)
    assert error.code == code
    assert f"{tmp_path / file}" in str(error)
    assert snapshot(tmp_path) == before


_PROJECT = """\
project: {name: A, slug: chainalign}
environments: [{slug: production, name: Production}]
services: {backend: {folder: /backend}}
"""


def test_a_service_without_a_loader_is_named_before_its_files_are_deleted(
    tmp_path: Path, files: list[MovedFile], run: Clean, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = write(tmp_path_factory.mktemp("project"), "project.yaml", _PROJECT)
    given = (*TO, "--project-file", str(project))
    ran = run(*given, answer="n\n")
    (line,) = [each for each in ran.output.splitlines() if each.startswith("✗ ")]
    assert line.startswith("✗ backend ")
    assert "`infisical-iac docs loaders`" in line
    (question,) = [line for line in ran.output.splitlines() if "[y/N]" in line]
    assert " backend " in question
    assert {BACKEND, PYTHON} <= snapshot(tmp_path).keys()
    assert run(*given, answer="y\n").exit_code == 0
    assert not {BACKEND, PYTHON} & snapshot(tmp_path).keys()
    assert "✗" not in run(*given).output


def test_a_runner_without_its_package_is_named_before_files_are_deleted(
    tmp_path: Path, files: list[MovedFile], run: Clean, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = write(tmp_path_factory.mktemp("project"), "project.yaml", _PROJECT)
    manifest = '{"scripts": {"start": "with-secrets -- node server.js"}}'
    write(tmp_path, "backend/package.json", manifest)
    ran = run(*TO, "--project-file", str(project), answer="n\n")
    (line,) = [each for each in ran.output.splitlines() if each.startswith("✗ ")]
    assert line.startswith("✗ backend ")
    assert "package.json" in line


def test_a_service_with_a_loader_is_not_named(
    tmp_path: Path, files: list[MovedFile], run: Clean, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = write(tmp_path_factory.mktemp("project"), "project.yaml", _PROJECT)
    write(tmp_path, "backend/config.js", 'import "infisical-config/config.js";')
    ran = run(*TO, "--project-file", str(project), answer="n\n")
    assert "✗" not in ran.output
    assert "Note" not in ran.output


@pytest.mark.parametrize(
    ("text", "named"), [(None, "project.yaml"), (_PROJECT.replace("backend", "web"), "backend")]
)
def test_clean_works_without_knowing_how_services_start(
    tmp_path: Path,
    files: list[MovedFile],
    run: Clean,
    tmp_path_factory: pytest.TempPathFactory,
    text: str | None,
    named: str,
) -> None:
    project = tmp_path_factory.mktemp("project") / "project.yaml"
    if text:
        project.write_text(text)
    ran = run(*TO, "--project-file", str(project), "--yes")
    assert ran.exit_code == 0, ran.output
    (note,) = [line for line in ran.output.splitlines() if line.startswith("Note: ")]
    assert named in note


def test_a_renamed_service_without_a_loader_is_named(
    tmp_path: Path, files: list[MovedFile], run: Clean, tmp_path_factory: pytest.TempPathFactory
) -> None:
    renamed = _PROJECT.replace("{folder: /backend}", "{folder: /api, renamed_from: backend}")
    renamed = renamed.replace("{backend:", "{api:")
    project = write(tmp_path_factory.mktemp("project"), "project.yaml", renamed)
    assert "✗ api " in run(*TO, "--project-file", str(project), answer="n\n").output


def test_an_existing_ignore_file_is_changed_and_a_missing_one_is_created(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    write(tmp_path, ".gitignore", "node_modules\n")
    output = run(*TO, answer="n\n").output
    assert "~ .gitignore: " in output
    assert "+ .dockerignore: " in output


def test_an_archive_outside_of_git_is_not_called_ignored(tmp_path: Path, run: Clean) -> None:
    write(tmp_path, BACKEND)
    report(tmp_path, moved_file(tmp_path, BACKEND))
    (line,) = [
        line
        for line in run(*TO, answer="n\n").output.splitlines()
        if line.startswith("+ .env-archive-")
    ]
    assert "git" not in line
    git(tmp_path, "init", "--quiet")
    assert "ignored by git" in run(*TO, answer="n\n").output


def test_places_that_mention_files_of_an_earlier_migration_are_listed(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    plan = report(tmp_path, files[1])
    file = plan.with_name("migration-report.json")
    data = json.loads(file.read_text())
    data["deleted"] = [asdict(files[0])]
    file.write_text(json.dumps(data))
    assert "  compose.yaml:3: backend/.env\n" in run(*TO, answer="n\n").output


def test_changes_to_other_files_are_proposed_as_a_patch_that_applies(
    tmp_path: Path, files: list[MovedFile], run: Clean
) -> None:
    write(tmp_path, "backend/README.md", "# Backend\n\n    cp .env.example .env\n")
    before = snapshot(tmp_path)
    shown = run(*TO, answer="n\n")
    (line,) = (each for each in shown.output.splitlines() if "migration.patch" in each)
    assert line.startswith("+ migration.patch: ")
    assert {"backend/README.md", "compose.yaml"} <= set(line.replace(",", "").split())
    assert snapshot(tmp_path) == before
    ran = run(*TO, "--yes")
    assert ran.exit_code == 0, ran.output
    assert "git apply" in ran.output
    after = snapshot(tmp_path)
    assert {each: after[each] for each in ("backend/README.md", "compose.yaml")} == {
        each: before[each] for each in ("backend/README.md", "compose.yaml")
    }
    patch = tmp_path / "migration.patch"
    assert patch.stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() not in patch.read_bytes()
    git(tmp_path, "apply", "migration.patch")
    assert "env_file" not in (tmp_path / "compose.yaml").read_text()
    assert HEADING in (tmp_path / "backend" / "README.md").read_text()
    again = run("--yes")
    assert again.output.endswith("Nothing to do.\n")
    assert "compose.yaml:3" not in again.output
