"""Test what `check` finds in files that a migration has proven."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infisical_iac.check.model import Judged
from infisical_iac.check.repository import Repository
from infisical_iac.cli.check import print_text
from tests.unit.check.checked import (
    GOOD,
    WORKSPACE,
    list_findings,
    locate,
    plant,
)
from tests.unit.migrate.cleanable import moved_file, report


class TestMigrated:
    """Files whose secrets a migration has proven to be in Infisical."""

    FILE = "backend/.env"

    @pytest.fixture
    def moved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A repository with a file that was migrated from the working directory."""
        root, clone = tmp_path / "services", tmp_path / "clone"
        plant(root, GOOD)
        (root / self.FILE).write_text("TOKEN=fake-secret-1\nOTHER_TOKEN=fake-secret-2\n")
        clone.mkdir()
        both = replace(moved_file(root, self.FILE), keys=("TOKEN", "OTHER_TOKEN"))
        report(clone, both, root="../services", project="abcde")
        monkeypatch.chdir(clone)
        return root

    def test_a_migrated_file_is_one_finding_that_names_the_command(self, moved: Path) -> None:
        [finding] = list_findings(plant(moved, {}))
        assert (finding.kind, finding.place) == ("migrated-file", self.FILE)
        assert "`infisical-iac migrate clean`" in finding.message

    def test_a_file_that_was_changed_after_its_migration_is_reported(self, moved: Path) -> None:
        (moved / self.FILE).write_text("TOKEN=fake-secret-1\nOTHER_TOKEN=fake-secret-3\n")
        assert {each.kind for each in list_findings(plant(moved, {}))} == {"secret-in-file"}

    def test_secrets_are_reported_if_the_report_has_no_key(self, moved: Path) -> None:
        (moved.parent / "clone/migration.key").unlink()
        assert {each.kind for each in list_findings(plant(moved, {}))} == {"secret-in-file"}
        assert not (moved.parent / "clone/migration.key").exists()

    def test_secrets_are_reported_after_a_migration_into_another_project(self, moved: Path) -> None:
        report(moved.parent / "clone", moved_file(moved, self.FILE), root="../services")
        assert {each.kind for each in list_findings(plant(moved, {}))} == {"secret-in-file"}

    def test_a_secret_that_the_migration_skipped_is_still_reported(self, moved: Path) -> None:
        one = moved_file(moved, self.FILE, skipped=("OTHER_TOKEN",))
        report(moved.parent / "clone", one, root="../services", project="abcde")
        assert locate(list_findings(plant(moved, {}))) == [
            ("secret-in-file", "backend/.env:2"),
            ("migrated-file", self.FILE),
        ]

    @pytest.mark.parametrize("folder", ["/backend", "/shared"])
    def test_a_skipped_secret_that_infisical_has_waits_for_clean_only(
        self, moved: Path, folder: str
    ) -> None:
        """A shared value is skipped in its files, and added to the folder that services import."""
        one = moved_file(moved, self.FILE, skipped=("OTHER_TOKEN",))
        report(moved.parent / "clone", one, root="../services", project="abcde")
        names = {("development", folder): ["OTHER_TOKEN"]}
        (found,) = (e for e in plant(moved, {}).files(names) if e.kind == "secret-in-file")
        assert "`infisical-iac migrate clean`" in found.message
        assert folder in found.message
        assert "migrate scan" not in found.message
        for elsewhere in ({}, {("production", folder): ["OTHER_TOKEN"]}):
            (found,) = (e for e in plant(moved, {}).files(elsewhere) if e.kind == "secret-in-file")
            assert "`infisical-iac secrets set`" in found.message

    def test_several_migrated_files_are_one_line(
        self, moved: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (moved / "backend/.env.production").write_text("TOKEN=fake-secret-1\n")
        files = [moved_file(moved, f"backend/{name}") for name in (".env", ".env.production")]
        files[0] = replace(files[0], keys=("TOKEN", "OTHER_TOKEN"))
        report(moved.parent / "clone", *files, root="../services", project="abcde")
        repository = plant(moved, {})
        print_text(repository, Judged(list_findings(repository), []), is_compared=True)
        lines = capsys.readouterr().out.splitlines()
        place = ["✗", "backend/.env,", "backend/.env.production", "migrated-file:"]
        assert lines[-2].split()[:4] == place
        assert "`infisical-iac migrate clean`" in lines[-2]
        assert lines[-1] == "✗ 1 finding"

    def test_migrated_files_wait_for_a_loader_of_their_service(
        self, moved: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        repository = plant(moved, {"backend/package.json": "{}"})
        print_text(repository, Judged(list_findings(repository), []), is_compared=True)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
        assert "migrated-file" in lines[0]
        assert "have a loader" in lines[0]
        assert "no-loader" in lines[1]

    def test_other_tracked_files_are_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = tmp_path / "other"
        repository = plant(root, GOOD)
        for name in (".env", ".env.production"):
            (root / "backend" / name).write_text("PORT=3000\n")
        self._track(root, ".env", ".env.production")
        repository = Repository(root, WORKSPACE)
        print_text(repository, Judged(list_findings(repository), []), is_compared=True)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
        assert lines[0].startswith("✗ backend/.env and backend/.env.production ")
        assert "`infisical-iac migrate clean`" in lines[0]
        assert lines[1:] == ["✗ 1 finding"]

    def test_tracked_files_are_part_of_the_line_of_migrated_files(
        self, moved: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (moved / "backend/.env.production").write_text("TOKEN=fake-secret-1\n")
        names = (".env", ".env.production")
        files = [moved_file(moved, f"backend/{name}") for name in names]
        files[0] = replace(files[0], keys=("TOKEN", "OTHER_TOKEN"))
        report(moved.parent / "clone", *files, root="../services", project="abcde")
        self._track(moved, *names)
        findings = list_findings(Repository(moved, WORKSPACE))
        tracked = [each for each in findings if each.kind == "tracked"]
        assert [each.place for each in tracked] == [each.path for each in files]
        for each in tracked:
            assert "`infisical-iac migrate clean`" in each.message
            assert "git rm" not in each.message
        print_text(Repository(moved, WORKSPACE), Judged(findings, []), is_compared=True)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
        assert " migrated-file: " in lines[0]
        assert "takes 2 files out " in lines[0]
        assert lines[1:] == ["✗ 1 finding"]

    def test_a_single_tracked_file_is_one_line(
        self, moved: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._track(moved, ".env")
        repository = Repository(moved, WORKSPACE)
        print_text(repository, Judged(list_findings(repository), []), is_compared=True)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
        assert "takes 1 file out " in lines[0]
        assert lines[1:] == ["✗ 1 finding"]

    def test_a_tracked_file_that_was_changed_after_its_migration_has_its_own_line(
        self, moved: Path
    ) -> None:
        (moved / self.FILE).write_text("TOKEN=fake-secret-1\nOTHER_TOKEN=fake-secret-3\n")
        self._track(moved, ".env")
        (finding,) = (e for e in list_findings(Repository(moved, WORKSPACE)) if e.kind == "tracked")
        assert "`git rm --cached`" in finding.message

    def _track(self, root: Path, *names: str) -> None:
        command = ["git", "-C", str(root / "backend"), "add", "--force", "--", *names]
        subprocess.run(command, check=True)
