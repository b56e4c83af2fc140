"""Test that `migrate scan` prints a note for each decision of an existing plan."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli import migrate_plan
from infisical_iac.cli.migrate import scan as command
from infisical_iac.core.errors import UserError
from infisical_iac.migrate import planning
from infisical_iac.migrate.earlier_plan import find_plans, refuse_unknown_targets
from infisical_iac.migrate.plan_file import KEY_FILE, MigrationPlan, dump
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.modes import KEY
from tests.unit.migrate.trees import WORKSPACE, WORKSPACE_TEXT, node, plant

_PERSONAL = "backend/.env.local"
_FILES = {
    "backend/package.json": node("dotenv"),
    "backend/.env": "A=fake-base\nB=fake-base\n",
    _PERSONAL: "A=fake-mine\nB=fake-mine\n",
}
_LITERAL = {"backend/package.json": node("dotenv"), "backend/.env": "A=fake-${SECRET}\n"}

Scan = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """Run `scan <arguments>` in a directory next to the tree, which has a project file."""
    monkeypatch.chdir(plant(tmp_path / "here", {"group_data/chainalign.yaml": WORKSPACE_TEXT}))
    return lambda *arguments: CliRunner().invoke(command, [str(each) for each in arguments])


def _decide(tree: Path, before: str, after: str, *, project: str = "abcde") -> None:
    """Write a plan of the tree into the working directory, and edit it as a person does."""
    sources = scan_all([tree], WORKSPACE)
    plan = planning.make(sources, project=project, root=f"../{tree.name}", key=KEY)
    text = dump(plan)
    assert before in text
    Path("migration.yaml").write_text(text.replace(before, after))
    Path(KEY_FILE).write_bytes(KEY)
    Path(KEY_FILE).chmod(0o600)


def _lines(result: Result, sign: str) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith(f"{sign} ")]


def test_a_skipped_file_is_a_note_and_needs_no_decision(run: Scan, tmp_path: Path) -> None:
    tree = plant(tmp_path / "tree", _FILES)
    assert run(tree).exit_code == 2
    _decide(tree, "decision: undecided", "decision: skip")
    result = run(tree)
    assert result.exit_code == 0, result.output
    assert _lines(result, "✗") == []
    (line,) = [line for line in _lines(result, "·") if " decided" in line]
    assert line.startswith(f"· {_PERSONAL} decided: skip, ")
    assert "migration.yaml" in line
    assert "personal-file" in line


def test_other_files_are_read_without_the_skipped_file(run: Scan, tmp_path: Path) -> None:
    tree = plant(tmp_path / "tree", _FILES | {"backend/package.json": node("next")})
    _decide(tree, "decision: undecided", "decision: skip")
    found = json.loads(run(tree, "--json").stdout)
    kinds = {one["kind"] for each in found for one in each["findings"]}
    assert "decided" in kinds
    assert kinds.isdisjoint({"personal-file", "personal-override", "personal-conflict"})


def test_conflicts_with_a_stored_personal_file_need_decisions(run: Scan, tmp_path: Path) -> None:
    tree = plant(tmp_path / "tree", _FILES)
    sources = scan_all([tree], WORKSPACE)
    plan = planning.make(sources, project="abcde", root="../tree", key=KEY)
    given = [
        each.model_copy(update={"decision": "store"}) if each.path == _PERSONAL else each
        for each in plan.sources
    ]
    _decide(tree, "a", "a")
    Path("migration.yaml").write_text(dump(plan.model_copy(update={"sources": tuple(given)})))
    result = run(tree)
    assert result.exit_code == 2
    assert [line.split()[1] for line in _lines(result, "✗")] == [
        "backend/.env:1",
        "backend/.env:2",
        f"{_PERSONAL}:1",
        f"{_PERSONAL}:2",
    ]
    assert any(line.startswith(f"· {_PERSONAL} decided: store") for line in _lines(result, "·"))


@pytest.mark.parametrize("decision", ["store-literal", "skip"])
def test_a_decided_key_is_a_note_until_its_value_changes(
    run: Scan, tmp_path: Path, decision: str
) -> None:
    tree = plant(tmp_path / "tree", _LITERAL)
    _decide(tree, "decision: undecided", f"decision: {decision}")
    result = run(tree)
    assert result.exit_code == 0, result.output
    assert [line.partition(",")[0] for line in _lines(result, "·")] == [
        f"· backend/.env:1 decided A: {decision}"
    ]
    plant(tree, {"backend/.env": "A=fake-${OTHER}\n"})
    assert run(tree).exit_code == 2


def test_decisions_apply_only_to_the_tree_of_their_plan(run: Scan, tmp_path: Path) -> None:
    trees = [plant(tmp_path / name, _LITERAL) for name in ("one", "two")]
    _decide(trees[0], "decision: undecided", "decision: skip")
    result = run(*trees)
    assert result.exit_code == 2
    (open_line,) = _lines(result, "✗")
    assert open_line.startswith(f"✗ {trees[1]}/backend/.env:1 ")
    (decided,) = [line for line in _lines(result, "·") if " decided " in line]
    assert decided.startswith(f"· {trees[0]}/backend/.env:1 decided A: skip")


def test_a_grammar_that_a_person_chose_is_used(run: Scan, tmp_path: Path) -> None:
    files = {"backend/package.json": node("dotenv"), "backend/.env": "A=fake#secret-7\n"}
    compose = "services: {backend: {build: backend, env_file: backend/.env}}\n"
    tree = plant(tmp_path / "tree", files | {"compose.yaml": compose})
    first = json.loads(run(tree, "--json").stdout)
    assert first[0]["grammar"] == "compose"
    assert run(tree).exit_code == 2
    _decide(tree, "grammar: compose", "grammar: dotenv")
    result = run(tree, "--json")
    (source,) = json.loads(result.stdout)
    assert (source["grammar"], source["keys"][0]["bytes"]) == ("dotenv", len("fake"))
    assert result.exit_code == 0


@pytest.mark.parametrize("missing", ["key", "project"])
def test_decisions_on_values_count_only_with_the_key_and_for_the_project(
    run: Scan, tmp_path: Path, missing: str
) -> None:
    tree = plant(tmp_path / "tree", _LITERAL)
    project = "another-one" if missing == "project" else "abcde"
    _decide(tree, "decision: undecided", "decision: skip", project=project)
    if missing == "key":
        Path(KEY_FILE).unlink()
    assert run(tree).exit_code == 2


def test_a_plan_that_cannot_be_read_decides_nothing(run: Scan, tmp_path: Path) -> None:
    Path("migration.yaml").write_text("[]")
    assert [*find_plans([Path.cwd()], "abcde")] == []
    tree = plant(tmp_path / "tree", _LITERAL)
    assert run(tree).exit_code == 2


def test_a_plan_without_files_has_no_decisions_below_a_root(run: Scan, tmp_path: Path) -> None:
    Path("migration.yaml").write_text(dump(MigrationPlan(project="abcde", root=".")))
    (found,) = find_plans([Path.cwd(), Path()], "abcde")
    assert (found.by_path(tmp_path), found.left_out, found.key) == ({}, frozenset(), b"")


@pytest.mark.parametrize(
    ("before", "after", "facts"),
    [
        ("service: backend", "service: bakend", ("'bakend'", "backend or", "--add-service")),
        ("environment: development", "environment: live", ("'live'", "production")),
        ("folder: /backend", "folder: /nowhere", ("'/nowhere'", "/backend")),
    ],
)
def test_planning_again_refuses_a_target_that_the_project_file_lacks(
    run: Scan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
    facts: tuple[str, ...],
) -> None:
    """The plan and its key stay as they are, and Infisical, which is None here, is not asked."""
    tree = plant(tmp_path / "tree", {"backend/.env.development": "A=fake\n"})
    _decide(tree, before, after)
    kept = {path: Path(path).read_bytes() for path in ("migration.yaml", KEY_FILE)}
    reached = SimpleNamespace(desired=WORKSPACE, client=None)
    monkeypatch.setattr(migrate_plan, "reach", lambda *_, **__: nullcontext(reached))
    result = CliRunner().invoke(migrate_plan.plan, [str(tree)])
    assert isinstance(result.exception, UserError)
    assert result.exception.code == "error.plan_targets"
    for fact in ("backend/.env.development", *facts):
        assert fact in str(result.exception)
    assert {path: Path(path).read_bytes() for path in kept} == kept


def test_planning_again_ignores_the_target_of_a_skipped_file(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"backend/.env.development": "A=fake\n"})
    plan = planning.make(scan_all([tree], WORKSPACE), project="abcde", root=".", key=KEY)
    source = plan.sources[0].model_copy(update={"service": "former", "decision": "skip"})
    refuse_unknown_targets(
        plan.model_copy(update={"sources": (source,)}), {source.path}, WORKSPACE, "migration.yaml"
    )
