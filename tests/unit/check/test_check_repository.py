"""Test what `infisical-iac check` finds in the files of a repository, without Infisical."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_iac.check.model import Judged
from infisical_iac.check.repository import Repository, complete
from infisical_iac.cli.bundle import find_page
from infisical_iac.cli.check import check, print_text
from infisical_iac.core.errors import FileError
from infisical_iac.workspace import local_file
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.local_file import LocalFile, OwnProject
from tests.unit.check.checked import (
    GOOD,
    IGNORE,
    LOCAL_FILE,
    WORKSPACE,
    WORKSPACE_TEXT,
    list_findings,
    locate,
    plant,
)
from tests.unit.migrate.cleanable import moved_file, report
from tests.unit.migrate.trees import SHIPPED

_ROOT = Path(__file__).resolve().parents[3]

_TUNNELED = LOCAL_FILE.replace("https://secrets.example.com", "http://127.0.0.1:8080")


def test_a_correct_repository_has_no_findings(tmp_path: Path) -> None:
    assert list_findings(plant(tmp_path, GOOD)) == []


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
    assert finding.message.startswith(f"Git would take in {taken_in}")


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


@pytest.mark.parametrize(
    "files",
    [
        {"backend/Dockerfile": 'CMD ["python", "-m", "infisical_config", "--", "uvicorn", "a"]'},
        {"backend/Procfile": "web: infisical run --env=production -- npm start"},
        {"compose.yaml": "services: {api: {build: backend, command: [with-secrets, --, a]}}"},
        {
            "compose.yaml": "services: {db: {build: 3, ports: !override []}, "
            "api: {build: backend, command: [with-secrets, --, a]}}"
        },
        {"backend/pyproject.toml": '[tool.pdm.scripts]\na = "python -m infisical_config -- b"\n'},
        {"backend/nodemon.json": '{"exec": "with-secrets -- node src/server.js"}'},
        {"backend/deploy.yaml": 'command: ["python", "-m", "infisical_config", "--", "celery"]\n'},
        {"package.json": '{"scripts": {"dev": "with-secrets -- turbo dev"}}'},
        {"backend/src/config.js": 'export { config } from "infisical-config/config.js";'},
        {"backend/settings.py": "from infisical_config import config\n"},
    ],
)
def test_a_service_may_load_its_secrets_or_be_started_by_a_runner(
    tmp_path: Path, files: dict[str, str]
) -> None:
    manifest = '{"dependencies": {"infisical-config": "1"}}'
    assert list_findings(plant(tmp_path, GOOD | {"backend/package.json": manifest} | files)) == []


_WITHOUT_PACKAGE = {"backend/package.json": '{"scripts": {"start": "with-secrets -- node a.js"}}'}


@pytest.mark.parametrize(
    "files",
    [
        _WITHOUT_PACKAGE,
        {
            "backend/package.json": "{}",
            "backend/requirements.txt": "flask\n",
            "backend/Procfile": "web: python -m infisical_config -- flask run\n",
        },
    ],
)
def test_a_runner_whose_package_no_manifest_names_is_reported(
    tmp_path: Path, files: dict[str, str]
) -> None:
    repository = plant(tmp_path, GOOD | files)
    [finding] = list_findings(repository)
    assert (finding.kind, finding.place) == ("no-package", "backend")
    assert list(repository.describe_unready_services()) == ["backend"]
    assert repository.services_without_loader() == set()  # it needs no second runner


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"devDependencies": {"infisical-config": "1"}}'},
        {"backend/Dockerfile": "RUN npm install ./infisical-config-0.1.0.tgz\nCOPY . .\n"},
        {"backend/vendor/infisical_config-0.1.0-py3-none-any.whl": "fake"},
    ],
)
def test_a_package_that_comes_from_elsewhere_is_accepted(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert list_findings(plant(tmp_path, GOOD | _WITHOUT_PACKAGE | files)) == []


def test_a_runner_of_a_service_without_a_manifest_is_accepted(tmp_path: Path) -> None:
    files = {path: text for path, text in GOOD.items() if path != "backend/package.json"}
    files["backend/start.sh"] = "with-secrets -- ./server\n"
    assert list_findings(plant(tmp_path, files)) == []


@pytest.mark.parametrize(
    "files",
    [
        {"backend/package.json": '{"devDependencies": {"infisical-config": "1"}}'},
        {"backend/package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"package.json": '{"dependencies": {"infisical-config": "file:loaders/node"}}'},
        {"backend/requirements.txt": "fastapi\ninfisical-config[cache]==0.1.0\n"},
        {"backend/pyproject.toml": '[project]\ndependencies = ["infisical-config>=0.1"]\n'},
        {"backend/pyproject.toml": "# start by python -m infisical_config -- b\n"},
        {"backend/tests/config.test.js": 'import { config } from "infisical-config/config.js";'},
        {"shared/config.js": 'export { config } from "infisical-config/config.js";'},
        {"backend/src/config.js": "// import 'infisical-config'"},
        {"backend/Dockerfile": "# CMD with-secrets -- node a.js\nCMD node a.js\n"},
        {"compose.yaml": "services: {db: {image: db, command: [with-secrets, --, a]}}"},
    ],
)
def test_a_service_that_starts_without_a_loader_is_reported(
    tmp_path: Path, files: dict[str, str]
) -> None:
    repository = plant(tmp_path, GOOD | {"backend/package.json": "{}"} | files)
    [finding] = list_findings(repository)
    assert (finding.kind, finding.place) == ("no-loader", "backend")
    # The command runs in a user's repository, and an installed tool has no docs/.
    [page] = re.findall(r"`infisical-iac docs ([^`]+)`", finding.message)
    assert find_page(page).name == "loaders.md"


@pytest.mark.parametrize(
    "manifest",
    [
        {"backend/package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"backend/requirements.txt": "./vendor/infisical_config-0.1.0-py3-none-any.whl[cache]\n"},
    ],
)
def test_a_service_may_depend_on_the_loader_and_load_it_in_shared_code(
    tmp_path: Path, manifest: dict[str, str]
) -> None:
    shared = {
        "backend/package.json": "{}",
        "packages/config/index.js": 'export { config } from "infisical-config/config.js";',
    }
    assert list_findings(plant(tmp_path, GOOD | shared | manifest)) == []


def test_the_finding_names_a_dependency_that_no_code_loads(tmp_path: Path) -> None:
    manifest = '{"dependencies": {"infisical-config": "1"}}'
    repository = plant(tmp_path, GOOD | {"backend/package.json": manifest})
    [sentence] = repository.describe_unready_services().values()
    assert "depends on infisical-config" in sentence


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
    other = "https://other.example.com"
    assert complete(tmp_path, WORKSPACE, Layout("fake-id"), other) == []


_PARTS = {
    (stage, folder): f"{stage}{folder}"
    for stage in ("development", "production")
    for folder in ("/backend", "/python-services", "/shared")
}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (LOCAL_FILE, ["workspaceId is for one"]),
        (LOCAL_FILE.replace("workspaceId", "project"), ["projects are missing"]),
        (
            LOCAL_FILE.replace("{", '{"projects": {"production": {"workspaceId": "x"}}, '),
            ["workspaceId is for one", "lack development", "of production are"],
        ),
        (
            local_file.complete(
                LOCAL_FILE,
                LocalFile(projects=dict.fromkeys(("development", "production"), OwnProject("x"))),
            ),
            ["projects of development and "],
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


def test_the_example_has_findings_before_its_migration_and_none_after() -> None:
    example = _ROOT / "examples" / "chainalign"
    assert {each.kind for each in list_findings(Repository(example / "before", WORKSPACE))} >= {
        *("secret-in-file", "not-ignored", "no-loader", "no-local-file")
    }
    assert list_findings(Repository(example / "after", WORKSPACE)) == []


def test_an_image_that_belongs_to_no_service_is_not_checked(tmp_path: Path) -> None:
    assert list_findings(plant(tmp_path, GOOD | {"images/db/Dockerfile": "FROM scratch\n"})) == []


def test_a_repository_without_any_service_is_reported(tmp_path: Path) -> None:
    assert locate(list_findings(plant(tmp_path, {".gitignore": IGNORE}))) == [("no-service", ".")]


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


def test_an_encrypted_file_may_be_in_git_and_is_only_noted(tmp_path: Path) -> None:
    text = (
        "-----BEGIN AGE ENCRYPTED FILE-----\n" + "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOQ\n" * 9
    )
    repository = plant(tmp_path, GOOD | {"backend/.env.production.age": text, "backend/.env": text})
    assert list_findings(repository) == []
    notes = [each for each in repository.files() if each.kind == "encrypted-file"]
    assert [each.place for each in notes] == ["backend/.env", "backend/.env.production.age"]


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


def test_the_text_of_a_check_prints_each_cause_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(f"{key}_PASSWORD=obviously-fake-{key}\n" for key in "ABC")
    repository = plant(tmp_path, GOOD | {"backend/.env": text, "python-services/.env": text})
    print_text(repository, Judged(list_findings(repository), []), is_compared=True)
    output = capsys.readouterr().out
    assert output.count("infisical-iac migrate scan") == 1
    assert output.count(" secret-in-file: 3 values ") == 2
