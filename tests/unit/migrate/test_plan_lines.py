"""Test the output of `infisical-iac migrate plan`: decisions first, and new keys by file."""

from dataclasses import replace
from pathlib import Path

from infisical_iac.cli import migrate_plan
from infisical_iac.migrate.apply import Comparison
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedFinding, PlannedKey
from tests.unit.migrate.modes import make_plan, scan
from tests.unit.migrate.moving import planned_source, secret

_FOUND = PlannedFinding(
    line=3, kind="grammars-disagree", message="It is odd.", remedy="Keep one: `decision: store`."
)
_SOURCE = planned_source(
    {
        "A": PlannedKey(line=3, length=4, digest="0", decision="undecided", findings=(_FOUND,)),
        "B": PlannedKey(line=4, length=4, digest="1", decision="store"),
    }
)
_PLAN = MigrationPlan(project="abcde", root=".", sources=(_SOURCE,))


def test_decisions_come_first_with_their_edits() -> None:
    new = (secret("A"), secret("B"))
    lines = [*migrate_plan._lines(_PLAN, Comparison(new, (), (), ()))]
    assert lines[:2] == ["? backend/.env:3 A: It is odd. Keep one: `decision: store`.", ""]
    assert lines[2].startswith("backend/.env → production/backend: 2 keys")
    assert lines[-1].endswith("1 to be decided")


def test_a_key_that_depends_on_an_undecided_personal_file_is_not_called_skipped(
    tmp_path: Path,
) -> None:
    files = {".env": "A=fake-base\nNODE_ENV=development\n", ".env.local": "A=fake-mine\n"}
    plan = make_plan(scan(tmp_path, "next", files))
    nothing = Comparison((), (), (), ())
    (line,) = [each for each in migrate_plan._lines(plan, nothing) if ".env → " in each]
    assert ", 1 skipped, 1 undecided " in line
    given = plan.sources[1].model_copy(update={"decision": "store"})
    decided = plan.model_copy(update={"sources": (plan.sources[0], given)})
    (line,) = [each for each in migrate_plan._lines(decided, nothing) if ".env → " in each]
    assert ", 2 skipped, as next" in line


def test_new_keys_are_one_line_for_each_file_and_place() -> None:
    new = (secret("A"), secret("B"), secret("A", environment="development"))
    other = replace(secret("C", environment="development"), file="backend/.env.local")
    lines = [*migrate_plan._lines(_PLAN, Comparison((*new, other), (), (), ()))]
    assert [line for line in lines if line.startswith("+")] == [
        "+ production/backend (backend/.env): A, B",
        "+ development/backend (backend/.env): A",
        "+ development/backend (backend/.env.local): C",
    ]


def test_many_new_keys_are_counted() -> None:
    new = tuple(secret(f"K{number}") for number in range(25))
    lines = [*migrate_plan._lines(_PLAN, Comparison(new, (), (), ()))]
    assert any(line.endswith("K18, K19 and 5 more") for line in lines)
