"""Test that a plan is read back as written, and that an invalid plan is refused with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.migrate.plan_file import (
    KEY_FILE,
    MigrationPlan,
    PlannedFinding,
    PlannedKey,
    PlannedSource,
    dump,
    load,
    load_key,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
_FINDINGS = st.lists(
    st.builds(PlannedFinding, line=st.integers(0), kind=_TEXT, message=_TEXT, remedy=_TEXT),
    max_size=2,
).map(tuple)
_KEYS = st.builds(
    PlannedKey,
    line=st.integers(0),
    length=st.integers(0),
    digest=st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
    decision=st.sampled_from(["store", "store-resolved", "store-literal", "skip", "undecided"]),
    findings=_FINDINGS,
)
_SOURCES = st.builds(
    PlannedSource,
    path=st.sampled_from([".env", "a b/.env.production", "ü/.env", "-/.env: x"]),
    digest=_TEXT,
    service=_TEXT,
    environment=_TEXT,
    folder=_TEXT,
    grammar=_TEXT,
    why=_TEXT,
    loader=_TEXT,
    layers=st.sampled_from([(), (".env", ".env.local")]),
    decision=st.sampled_from(["store", "skip", "undecided"]),
    findings=_FINDINGS,
    keys=st.dictionaries(_TEXT, _KEYS, max_size=3),
)
_PLAN = """\
schema_version: 1
project: chainalign
root: .
sources:
- path: backend/.env
  digest: abc
  service: backend
  environment: production
  folder: /backend
  grammar: dotenv
  why: it says so
  decision: store
  keys:
    FAKE: {line: 1, length: 4, digest: 0123456789ab, decision: store}
"""


@given(st.builds(MigrationPlan, project=_TEXT, root=_TEXT, sources=st.lists(_SOURCES, max_size=2)))
def test_a_plan_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, plan: MigrationPlan
) -> None:
    file = tmp_path_factory.mktemp("plan") / "migration.yaml"
    file.write_text(dump(plan), encoding="utf-8")
    assert load(file) == plan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "migration.yaml"


def test_a_key_without_findings_is_one_line(file: Path) -> None:
    file.write_text(_PLAN, encoding="utf-8")
    assert _PLAN.splitlines()[-1] in dump(load(file)).splitlines()


@pytest.mark.parametrize(
    ("before", "after", "code", "fact"),
    [
        (
            *("decision: store}", "decision: maybe}", "file.plan_entry"),
            "line 14, sources[0].keys.FAKE.decision: ",
        ),
        ("project: ", "projects: ", "file.plan_entry", "line 2, projects: "),
        (
            *("why: it says so", "why: x\n  why: y", "file.duplicate_key"),
            "line 12: sources[0].why is in line",
        ),
        ("schema_version: 1", "schema_version: 2", "file.plan_version", "schema_version: "),
        ("backend/.env", "../.env", "file.plan_entry", "path: '../.env' is not a path "),
        ("backend/.env", "/etc/passwd", "file.plan_entry", "path: '/etc/passwd' is not a path "),
        (
            *("why: it", "layers: [../.env]\n  why: it", "file.plan_entry"),
            "layers[0]: '../.env' is not a file ",
        ),
        (_PLAN, "- one", "file.plan", "migration.yaml"),
        (_PLAN, "{", "file.yaml", "this is not YAML"),
    ],
)
def test_an_invalid_plan_is_refused_with_its_line(
    before: str, after: str, code: str, fact: str, file: Path
) -> None:
    file.write_text(_PLAN.replace(before, after), encoding="utf-8")
    with pytest.raises(FileError) as refused:
        load(file)
    assert refused.value.code == code
    assert fact in str(refused.value)


def test_a_plan_that_is_missing_or_not_utf_8_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match="make it with `infisical-iac migrate plan`"):
        load(file)
    file.write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not in UTF-8"):
        load(file)


def test_a_missing_hash_key_is_an_error_and_is_not_created(file: Path) -> None:
    with pytest.raises(FileError, match="plan again") as refused:
        load_key(file)
    assert refused.value.code == "file.no_plan_key"
    assert not (file.parent / KEY_FILE).exists()
