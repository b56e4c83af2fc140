"""Test the output of `infisical-iac migrate scan`, and that no value is printed."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.migrate import scan as command
from infisical_iac.core.errors import FileError
from infisical_iac.dotenv import GRAMMARS
from infisical_iac.migrate.findings import is_plain
from infisical_iac.migrate.sources import scan_all
from infisical_iac.workspace.load import load
from tests.unit.migrate.cleanable import moved_file, report
from tests.unit.migrate.trees import EXAMPLE, SHIPPED, WORKSPACE_TEXT, git, plant

Scan = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """Run `scan <arguments>` in a directory of its own, which has a project file."""
    here = plant(tmp_path / "here", {"group_data/chainalign.yaml": WORKSPACE_TEXT})
    monkeypatch.chdir(here)
    return lambda *arguments: CliRunner().invoke(command, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example outside of this repository, so that git tracks nothing of it."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "before")


def test_a_tree_without_files_is_named_and_has_no_table(run: Scan, tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0
    assert str(tmp_path) in result.output
    assert "grammar" not in result.output


def test_a_blocking_finding_shows_in_the_exit_status(run: Scan, tmp_path: Path) -> None:
    plant(tmp_path, {"backend/package.json": '{"dependencies": {"dotenv": "1"}}'})
    plant(tmp_path, {"backend/.env": "A=fake-secret\n"})
    assert run(tmp_path).exit_code == 0
    plant(tmp_path, {"backend/.env": "A=fake-${SECRET}\n"})
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "✗ backend/.env:1 literal-reference " in result.output
    assert "1 decision (✗" in result.output


def test_decisions_come_first_and_plain_findings_once_a_file(run: Scan, tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "backend/package.json": '{"dependencies": {"dotenv": "1"}}',
            "backend/.env": "PORT=3000\nDEBUG=true\nLOG_LEVEL=info\nA=fake-${SECRET}\n",
            "backend/.env.production": "PORT=3000\n",
            "backend/.env.example": "A=\n",
        },
    )
    lines = run(tmp_path).output.splitlines()
    assert lines[0].startswith("✗ backend/.env:4 literal-reference ")
    assert [line.partition(":")[0] for line in lines if " plain-configuration" in line] == [
        "· backend/.env plain-configuration",
        "· backend/.env.production",  # one key, with its line
    ]
    (named,) = [line for line in lines if line.startswith("· backend/.env not-in-sample")]
    for key in ("PORT", "DEBUG", "LOG_LEVEL"):
        assert f" {key}" in named


def test_a_scan_with_the_shipped_project_file_names_init(run: Scan, tmp_path: Path) -> None:
    plant(tmp_path, {"tree/api/.env": "A=obviously-fake-secret\n"})
    assert "`infisical-iac init`" not in run(tmp_path / "tree").stderr
    Path("group_data/chainalign.yaml").write_bytes(SHIPPED.read_bytes())
    assert "`infisical-iac init`" in run(tmp_path / "tree").stderr
    plant(tmp_path, {"other/backend/.env": "A=obviously-fake-secret\n"})
    assert "`infisical-iac init`" not in run(tmp_path / "other").stderr


def test_a_missing_project_file_is_an_error_that_names_it(run: Scan, tmp_path: Path) -> None:
    result = run(tmp_path, "--project-file", "none.yaml")
    assert result.exit_code == 1
    assert isinstance(result.exception, FileError)
    assert "none.yaml" in str(result.exception)


def test_the_former_name_of_the_project_files_option_works_and_warns(
    run: Scan, tmp_path: Path
) -> None:
    result = run(tmp_path, "--workspace-file", "group_data/chainalign.yaml")
    assert result.exit_code == 0
    assert re.search(r"--workspace-file\b.*--project-file\b", result.stderr)
    assert "--workspace-file" not in run("--help").output
    assert run(tmp_path, "--project-file", "group_data/chainalign.yaml").stderr == ""


def test_the_hash_key_is_created_only_if_hashes_are_shown(run: Scan, tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": "A=obviously-fake-secret\n"})
    run(tmp_path)
    assert not Path("migration.key").exists()
    first, second = (run(tmp_path, "--keys").output for _ in range(2))
    assert Path("migration.key").stat().st_mode & 0o777 == 0o600
    assert first == second
    assert re.search(r"1 +A +21 +[0-9a-f]{12}\b", first)


def test_a_hash_key_that_git_would_add_is_reported(run: Scan, tmp_path: Path) -> None:
    git(Path.cwd(), "init", "-q")
    plant(tmp_path / "tree", {"backend/.env": "A=obviously-fake-secret\n"})
    note = "Note: git would add migration.key: add it to .gitignore"
    assert note in run(tmp_path / "tree", "--keys").stderr
    Path(".gitignore").write_text("migration.key\n")
    assert note not in run(tmp_path / "tree", "--keys").stderr


def test_control_characters_are_not_printed(run: Scan, tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / ".env.\x1b[2J").write_text("A\x1b[31m=fake\n")
    result = run(tmp_path, "--keys")
    assert "\x1b" not in result.output
    assert ".env.\\x1b[2J" in result.output


@pytest.mark.parametrize("options", [[], ["--keys"], ["--json"]])
def test_no_value_is_printed(run: Scan, example: Path, options: list[str]) -> None:
    workspace = load(SHIPPED)
    values = {
        value
        for each in scan_all([example], workspace)
        for key, value in each.reading.values.items()
        if not is_plain(key, value) and len(value) > 4
    } - {"chainalign", "forecasts"}
    output = run(example, *options).output
    assert len(values) > 20
    assert [each for each in values if each in output] == []
    pieces = {line for each in values for line in each.split("\n") if len(line) > 12}
    assert [each for each in pieces if each in output] == []


def test_the_json_output_has_the_columns_of_the_table(run: Scan, example: Path) -> None:
    result = run(example, "--json")
    found = {each["path"]: each for each in json.loads(result.stdout)}
    source = found["backend/.env"]
    assert {"backend/package.json", "dotenv"} <= {*source["why"].split()}
    assert source["grammar"] in GRAMMARS
    key = next(each for each in source["keys"] if each["key"] == "JWT_SECRET")
    assert (key["line"], key["bytes"]) == (9, 30)
    same = next(each for each in source["keys"] if each["key"] == "SESSION_SECRET")
    assert key["hash"] == same["hash"]
    assert set(source["findings"][0]) == {
        *("file", "line", "kind", "key", "message", "remedy", "blocking")
    }
    assert result.exit_code == 2


# The text of each file that shows which loader is used.
_LOADERS = {
    "package.json": '{"dependencies": {"dotenv": "1"}}',
    "requirements.txt": "python-dotenv",
    "compose.yaml": "services: {backend: {env_file: .env}}",
    "run.sh": "source .env",
}


@pytest.mark.parametrize("name", ["package.json", "requirements.txt", "compose.yaml"])
def test_no_piece_of_base64_over_several_lines_is_printed(
    run: Scan, tmp_path: Path, name: str
) -> None:
    pieces = ["RkFLRSBGQUtFIEZBS0U", "ZmFrZSBmYWtlIGZha2U"]
    text = f"KEY=MIIEfake\n{pieces[0]}==\nB=MIIEfake\r\n{pieces[1]}=\r\n{pieces[1]}=\r\n"
    plant(tmp_path, {f"backend/{name}": _LOADERS[name], "backend/.env": text})
    for option in ("--keys", "--json"):
        result = run(tmp_path, option)
        assert result.exit_code == 2
        assert [each for each in pieces if each in result.output] == []


@pytest.mark.parametrize("name", _LOADERS)
def test_no_piece_of_a_torn_key_is_printed(run: Scan, tmp_path: Path, name: str) -> None:
    pieces = ["RkFLRSBGQUtFIEZBS0U", "ZmFrZSBmYWtlIGZha2U", "ZmFrZQ"]
    body = "\n".join(f"{piece}==" for piece in pieces)
    text = f"KEY=-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\nB=fake-secret\n"
    plant(tmp_path, {f"backend/{name}": _LOADERS[name], "backend/.env": text})
    for option in ("--keys", "--json"):
        result = run(tmp_path, option)
        assert result.exit_code == 2
        assert [each for each in pieces if each in result.output] == []


def test_a_proven_file_is_one_line_until_it_changes(run: Scan, tmp_path: Path) -> None:
    path = "backend/.env"
    file = plant(tmp_path / "tree", {path: "TOKEN=fake-${SECRET}\nPORT=3000\nB='x'#y\n"}) / path
    assert run(tmp_path / "tree").exit_code == 2
    report(Path.cwd(), moved_file(tmp_path / "tree", path), root="../tree", project="abcde")
    result = run(tmp_path / "tree")
    assert result.exit_code == 0
    (line,) = [line for line in result.output.splitlines() if line.startswith(("✗", "·"))]
    assert line.startswith(f"· {path} migrated-file")
    assert "`infisical-iac migrate clean`" in result.output
    file.write_text("TOKEN=fake-${OTHER}\n")
    assert run(tmp_path / "tree").exit_code == 2


def _plan_text(path: str, grammar: str, **more: object) -> str:
    """Return the text of a plan for one file in `tree`, which is next to the plan's directory."""
    source: dict[str, object] = dict.fromkeys(
        ("digest", "service", "environment", "folder", "why"), "fake"
    )
    source |= {"path": path, "grammar": grammar, "decision": "store", **more}
    return json.dumps({"project": "abcde", "root": "../tree", "sources": [source]})


@pytest.mark.parametrize("is_one_of_two", [False, True])
def test_a_proven_file_is_read_by_the_grammar_of_its_plan(
    run: Scan, tmp_path: Path, is_one_of_two: bool
) -> None:
    """The loader that showed the grammar was removed. For dotenv, `#` would begin a comment."""
    path = "backend/.env"
    trees = [tmp_path / "tree", plant(tmp_path / "other", {"a.py": ""})][: 1 + is_one_of_two]
    plant(trees[0], {path: "A=fake#secret\n", "backend/package.json": '{"dependencies": {}}'})
    (before,) = json.loads(run(*trees, "--json").stdout)
    report(Path.cwd(), moved_file(trees[0], path), root="../tree", project="abcde")
    Path("migration.yaml").write_text(_plan_text(path, "compose"))
    (after,) = json.loads(run(*trees, "--json").stdout)
    assert (before["grammar"], before["keys"][0]["bytes"]) == ("dotenv", 4)
    assert (after["grammar"], after["keys"][0]["bytes"]) == ("compose", 11)
    assert after["path"] == before["path"]
    assert [each["file"] for each in after["findings"]] == [before["path"]]
    assert after["service"] == "backend"


def test_a_proven_file_is_read_with_the_files_of_its_plan(run: Scan, tmp_path: Path) -> None:
    plant(tmp_path / "tree", {"backend/.env": "A=fake-$B\n", "backend/.env.local": "B=mine\n"})
    report(
        Path.cwd(), moved_file(tmp_path / "tree", "backend/.env"), root="../tree", project="abcde"
    )
    layers = [".env", ".env.local"]
    plan = _plan_text("backend/.env", "dotenv-expand", loader="vite", layers=layers)
    Path("migration.yaml").write_text(plan)
    found = {each["path"]: each for each in json.loads(run(tmp_path / "tree", "--json").stdout)}
    assert found["backend/.env"]["layers"] == layers
    assert found["backend/.env"]["keys"][0]["bytes"] == len("fake-mine")


@pytest.mark.parametrize("text", ["", "[]", _plan_text("backend/.env", "ini")])
def test_a_plan_that_cannot_be_read_leaves_a_proven_file_as_detected(
    run: Scan, tmp_path: Path, text: str
) -> None:
    plant(tmp_path / "tree", {"backend/.env": "A=fake\n"})
    report(
        Path.cwd(), moved_file(tmp_path / "tree", "backend/.env"), root="../tree", project="abcde"
    )
    Path("migration.yaml").write_text(text)
    (source,) = json.loads(run(tmp_path / "tree", "--json").stdout)
    assert source["grammar"] in GRAMMARS
    assert [each["kind"] for each in source["findings"]] == ["migrated-file"]


def test_files_of_personal_overrides_are_named_in_one_line(run: Scan, tmp_path: Path) -> None:
    files = {"backend/.env.override": "A=fake-own\n", "x/.env.override": "A=fake-own\n"}
    result = run(plant(tmp_path / "tree", files))
    (line,) = [each for each in result.output.splitlines() if ".env.override" in each]
    assert line.startswith("Left out")
    assert "backend/.env.override" in line
    assert "x/.env.override" in line
    assert result.exit_code == 0


def test_without_a_project_file_a_scan_names_the_first_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["."])
    assert isinstance(result.exception, FileError)
    assert result.exception.code == "file.missing"
    assert "`infisical-iac init`" in str(result.exception)
    assert "chainalign" not in str(result.exception)


def test_files_that_clean_leaves_have_no_notes(run: Scan, tmp_path: Path) -> None:
    sample = "INFISICAL_CLIENT_ID=\nINFISICAL_CLIENT_SECRET=\nNODE_ENV=development\n"
    files = {
        "backend/package.json": '{"dependencies": {"infisical-config": "1"}}',
        "backend/.env.local.example": sample,
        "backend/.env.local": "# overrides\nAUTH_SECRET=fake-own\n",
    }
    output = run(plant(tmp_path / "tree", files)).output
    assert "missing" not in output
    assert "not-in-sample" not in output
