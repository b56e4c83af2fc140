"""Test that a plan is made from the results of a scan, and that values are read by the plan."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.dotenv import read
from infisical_iac.migrate import planning
from infisical_iac.migrate.model import FileFinding, Secret, Source
from infisical_iac.migrate.plan_file import MigrationPlan, of_bytes
from infisical_iac.workspace.load import load
from tests.unit.migrate.moving import finding

_KEY = b"k" * 32
_PATH = "backend/.env"
_WORKSPACE = load(
    """
project: {name: ChainAlign, slug: chainalign}
environments: [{slug: production, name: Production}]
services: {backend: {folder: /backend}}
"""
)
_TEXT = "FAKE=fake-value\nOTHER='fake other'\n"

Make = Callable[..., Source]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a file, and return it as a scan returns it."""

    def source(
        text: str = _TEXT, *found: FileFinding, path: str = _PATH, grammar: str = "dotenv"
    ) -> Source:
        data = text.encode()
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
        place = ("backend", "production", "/backend")
        reading = read(data, grammar)
        return Source(path, *place, grammar, "it says so", data, reading, found)

    return source


def _plan(
    *sources: Source, earlier: MigrationPlan | None = None, key: bytes = _KEY
) -> MigrationPlan:
    return planning.make(sources, project="chainalign", root=".", key=key, earlier=earlier)


def _read_values(plan: MigrationPlan, root: Path, key: bytes = _KEY) -> list[Secret]:
    return planning.read_values(plan, root, key, _WORKSPACE)


def _refusal(plan: MigrationPlan, root: Path, key: bytes = _KEY) -> UserError:
    with pytest.raises(UserError) as refused:
        _read_values(plan, root, key)
    return refused.value


def _refusal_text(plan: MigrationPlan, root: Path, key: bytes = _KEY) -> str:
    return str(_refusal(plan, root, key))


def _decide(plan: MigrationPlan, key: str, decision: str) -> MigrationPlan:
    data = plan.model_dump()
    data["sources"][0]["keys"][key]["decision"] = decision
    return MigrationPlan.model_validate(data)


def test_a_plan_names_keys_by_line_length_and_hash_and_has_no_value(make: Make) -> None:
    plan = _plan(make())
    keys = plan.sources[0].keys
    assert [(name, each.line, each.length) for name, each in keys.items()] == [
        ("FAKE", 1, 10),
        ("OTHER", 2, 10),
    ]
    assert "fake" not in plan.model_dump_json()


def test_a_file_is_identified_by_a_hash_that_needs_the_key(make: Make) -> None:
    source = make()
    (planned,) = _plan(source).sources
    assert planned.digest == of_bytes(_KEY, source.data)
    assert planned.digest != hashlib.sha256(source.data).hexdigest()
    assert _plan(source, key=b"x" * 32).sources[0].digest != planned.digest


def test_a_written_plan_is_read_back_the_same(make: Make, tmp_path: Path) -> None:
    source = make()
    again = _read_values(_plan(source), tmp_path)
    assert again == planning.secrets([source], _plan(source))
    assert {each.name.key: each.value for each in again} == source.reading.values


def test_a_finding_is_planned_on_its_key_or_on_the_file(make: Make) -> None:
    source = make(_TEXT, finding("trimmed", key="OTHER", blocking=True), finding("bom", key=""))
    (planned,) = _plan(source).sources
    assert [each.kind for each in planned.findings] == ["bom"]
    assert (planned.keys["OTHER"].decision, planned.keys["FAKE"].decision) == ("undecided", "store")


def test_a_name_that_may_be_a_piece_of_a_value_is_planned_by_its_line(
    make: Make, tmp_path: Path
) -> None:
    odd = finding("glued-name", key="", line=1, blocking=True)
    source = make("fake secret text=x\nFAKE=fake\n", odd, grammar="node-env-file")
    plan = _plan(source)
    assert sorted(plan.sources[0].keys) == ["FAKE", "line 1"]
    assert "secret" not in plan.model_dump_json()
    assert "backend/.env:1 is undecided" in _refusal_text(plan, tmp_path)
    stored = _decide(plan, "line 1", "store")
    assert "backend/.env:1 " in (refused := _refusal_text(stored, tmp_path))
    assert "secret" not in refused
    skipped = _decide(plan, "line 1", "skip")
    assert [each.name.key for each in _read_values(skipped, tmp_path)] == ["FAKE"]


def test_a_name_that_may_be_a_piece_of_a_value_is_not_compared(make: Make) -> None:
    source = make("KEY=MIIEfakefake\nZmFrZSBmYWtlIGZha2U=\n")
    assert [each.name.key for each in planning.secrets([source], _plan(source))] == ["KEY"]


def test_a_decision_is_kept_until_the_value_changes(make: Make) -> None:
    blocked = finding("trimmed", key="OTHER", blocking=True)
    earlier = _decide(_plan(make(_TEXT, blocked)), "OTHER", "skip")
    same = _plan(make(f"# more\n{_TEXT}", blocked), earlier=earlier)
    assert same.sources[0].keys["OTHER"].decision == "skip"
    changed = _plan(make(_TEXT.replace("other", "another"), blocked), earlier=earlier)
    assert changed.sources[0].keys["OTHER"].decision == "undecided"


@pytest.mark.parametrize("field", ["service", "environment", "folder"])
def test_a_place_that_a_person_wrote_is_kept_after_the_file_changes(field: str, make: Make) -> None:
    data = _plan(make()).model_dump()
    data["sources"][0][field] = "written"
    earlier = MigrationPlan.model_validate(data)
    again = _plan(make("FAKE=changed\n"), earlier=earlier).sources[0]
    assert getattr(again, field) == "written"
    data["sources"][0][field] = ""
    again = _plan(make(), earlier=MigrationPlan.model_validate(data)).sources[0]
    assert getattr(again, field) == getattr(make(), field)


def test_a_key_that_is_skipped_by_default_may_be_stored(make: Make) -> None:
    source = make("NODE_ENV=test\n", finding("bootstrap-key", key="NODE_ENV"))
    assert _plan(source).sources[0].keys["NODE_ENV"].decision == "skip"
    earlier = _decide(_plan(source), "NODE_ENV", "store")
    assert _plan(source, earlier=earlier).sources[0].keys["NODE_ENV"].decision == "store"


def test_the_same_value_from_two_files_is_stored_once(make: Make, tmp_path: Path) -> None:
    plan = _plan(make("FAKE=fake\n"), make("FAKE=fake\n", path="backend/.env.production"))
    (one,) = _read_values(plan, tmp_path)
    assert one.file == _PATH


def test_different_values_for_one_place_are_refused(make: Make, tmp_path: Path) -> None:
    plan = _plan(make("FAKE=fake\n"), make("FAKE=other\n", path="backend/.env.production"))
    words = _refusal_text(plan, tmp_path).split()
    assert {"FAKE", "backend/.env:1", "backend/.env.production:1", "different"} <= {*words}


def test_a_key_that_the_plan_does_not_name_is_refused(make: Make, tmp_path: Path) -> None:
    plan = _plan(make())
    data = plan.model_dump()
    data["sources"][0]["keys"]["MORE"] = data["sources"][0]["keys"].pop("FAKE")
    output = _refusal_text(MigrationPlan.model_validate(data), tmp_path)
    assert "FAKE in backend/.env:1 " in output
    assert "MORE is planned" in output


def test_another_hash_key_is_detected(make: Make, tmp_path: Path) -> None:
    output = _refusal_text(_plan(make()), tmp_path, b"x" * 32)
    assert output.startswith(f"{_PATH} has changed")
    assert "migration.key" in output


@pytest.mark.parametrize(
    ("field", "value", "fact"),
    [
        ("decision", "undecided", "is undecided (`decision: store` or `decision: skip`)"),
        ("service", "", "has no service "),
        ("environment", "qa", "has no environment "),
        ("folder", "/other", "has no folder "),
        ("grammar", "ini", "has no grammar "),
    ],
)
def test_a_file_without_a_place_is_refused(
    field: str, value: str, fact: str, make: Make, tmp_path: Path
) -> None:
    data = _plan(make()).model_dump()
    data["sources"][0][field] = value
    refused = _refusal(MigrationPlan.model_validate(data), tmp_path)
    assert refused.code == "error.plan_targets"
    assert " in migration.yaml, " in refused.split()[1]
    assert str(refused).startswith(f"{_PATH} {fact}")
    data["sources"][0]["decision"] = "skip"
    assert _read_values(MigrationPlan.model_validate(data), tmp_path) == []


def test_many_problems_are_counted_and_not_all_listed(make: Make, tmp_path: Path) -> None:
    text = "".join(f"FAKE_{number}=fake\n" for number in range(30))
    found = [finding("trimmed", key=f"FAKE_{number}", blocking=True) for number in range(30)]
    assert "; and 20 more: " in _refusal_text(_plan(make(text, *found)), tmp_path)


def test_a_file_whose_name_is_not_utf_8_is_refused_with_the_remedy(make: Make) -> None:
    source = replace(make(), path="backend/\udcff.env")
    with pytest.raises(UserError, match=r"udcff.env' is not UTF-8: rename it"):
        planning.make([source], project="chainalign", root=".", key=_KEY)
