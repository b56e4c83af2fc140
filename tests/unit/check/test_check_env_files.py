"""Test what `check` finds in `.env` files: secrets, files in git, and `.env.local`."""

from pathlib import Path

from tests.unit.check.checked import (
    GOOD,
    IGNORE,
    list_findings,
    locate,
    plant,
)


def test_a_secret_is_reported_by_its_line_and_never_shown(tmp_path: Path) -> None:
    plant(tmp_path, GOOD)
    (tmp_path / "backend/.env").write_text("PORT=3000\nDB_PASSWORD=fake-hunter2\n")
    [finding] = list_findings(plant(tmp_path, {}))
    assert (finding.kind, finding.place, finding.key) == (
        "secret-in-file",
        "backend/.env:2",
        "DB_PASSWORD",
    )
    assert "hunter2" not in str(finding)
    assert "`infisical-iac migrate scan`" in finding.message


def test_a_value_that_looks_real_is_reported_in_a_sample_too(tmp_path: Path) -> None:
    sample = "API_KEY=<your key>\nDB_PASSWORD=fake-hunter2-in-a-sample\n"
    repository = plant(tmp_path, GOOD | {"backend/.env.example": sample})
    assert locate(list_findings(repository)) == [("secret-in-file", "backend/.env.example:2")]


def test_tracked_files_are_reported_even_without_secrets(tmp_path: Path) -> None:
    files = GOOD | {".gitignore": "", "backend/.env": "PORT=3000\n"}
    plant(tmp_path, files)
    repository = plant(tmp_path, {".gitignore": IGNORE})
    assert locate(list_findings(repository)) == [("tracked", "backend/.env")]


class TestEnvLocal:
    """`.env.local`, which git must ignore, and which must have only the three variables."""

    THREE = "INFISICAL_CLIENT_ID=fake\nINFISICAL_CLIENT_SECRET=fake-secret\nNODE_ENV=development\n"

    def test_the_three_variables_are_accepted(self, tmp_path: Path) -> None:
        assert list_findings(plant(tmp_path, GOOD | {"backend/.env.local": self.THREE})) == []

    def test_other_variables_are_reported(self, tmp_path: Path) -> None:
        text = f"{self.THREE}JWT_SECRET=fake-jwt\nLOG_LEVEL=debug\n"
        repository = plant(tmp_path, GOOD | {"backend/.env.local": text})
        both = [(each.place, each.is_note) for each in repository.files()]
        assert both == [("backend/.env.local:4", False), ("backend/.env.local:5", True)]

    def test_personal_overrides_are_noted(self, tmp_path: Path) -> None:
        files = {
            "backend/.env.local": f"{self.THREE}# overrides\nJWT_SECRET=fake-jwt\nNODE_ENV=test\n",
            "backend/.env.override": "PORT=4000\nDATABASE_URL=postgres://a:fake-password@b/c\n",
        }
        repository = plant(tmp_path, GOOD | files)
        found = {(each.kind, each.place, each.is_note) for each in repository.files()}
        assert found == {
            ("override", "backend/.env.local:5", True),
            ("override", "backend/.env.local:6", True),
            ("override", "backend/.env.override:1", True),
            ("override", "backend/.env.override:2", True),
        }

    def test_an_override_is_reported_if_git_does_not_ignore_the_file(self, tmp_path: Path) -> None:
        text = f"{self.THREE}# overrides\nPORT=4000\nJWT_SECRET=fake-jwt\n"
        files = {".gitignore": ".env\n", "backend/.env.local": text}
        kinds = locate(list_findings(plant(tmp_path, GOOD | files)))
        assert ("secret-in-file", "backend/.env.local:6") in kinds

    def test_the_client_secret_is_reported_if_git_does_not_ignore_the_file(
        self, tmp_path: Path
    ) -> None:
        files = {".gitignore": ".env\n", "backend/.env.local": self.THREE}
        kinds = locate(list_findings(plant(tmp_path, GOOD | files)))
        assert ("secret-in-file", "backend/.env.local:2") in kinds
        assert ("tracked", "backend/.env.local") in kinds


def test_an_encrypted_file_may_be_in_git_and_is_only_noted(tmp_path: Path) -> None:
    text = (
        "-----BEGIN AGE ENCRYPTED FILE-----\n" + "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOQ\n" * 9
    )
    repository = plant(tmp_path, GOOD | {"backend/.env.production.age": text, "backend/.env": text})
    assert list_findings(repository) == []
    notes = [each for each in repository.files() if each.kind == "encrypted-file"]
    assert [each.place for each in notes] == ["backend/.env", "backend/.env.production.age"]
