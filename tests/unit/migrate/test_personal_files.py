"""Test that a key which a personal file such as `.env.local` overrides needs a decision."""

import re
from pathlib import Path

import pytest

from infisical_iac.cli.migrate_plan import _list_undecided as list_undecided
from infisical_iac.core.errors import UserError
from infisical_iac.migrate import planning
from infisical_iac.migrate.earlier_plan import moved_names
from infisical_iac.migrate.model import FileFinding, Name
from infisical_iac.migrate.plan_file import FileDecision, MigrationPlan
from infisical_iac.migrate.sources import scan_all
from infisical_iac.migrate.summary import decisions, fold_conflicts
from tests.unit.migrate.modes import KEY, PACKAGES, list_findings, make_plan, scan
from tests.unit.migrate.trees import WORKSPACE, node, plant

_OF_MODES = {
    ".env": "A=fake-base\n",
    ".env.local": "A=fake-of-mine\n",
    ".env.development.local": "A=fake-of-this-mode\n",
}


def _decide(plan: MigrationPlan, **decisions: FileDecision) -> MigrationPlan:
    """Return the plan with decisions on whole files, by the suffix of their names."""
    sources = [
        each.model_copy(update={"decision": decision})
        for each in plan.sources
        for decision in [decisions.get(each.path.rpartition(".")[2], each.decision)]
    ]
    return plan.model_copy(update={"sources": tuple(sources)})


def _lengths(finding: FileFinding) -> dict[str, int]:
    named = re.findall(r"(\d+) characters in ([\w./]+[\w])", finding.message)
    return {path: int(count) for count, path in named}


def _edits(finding: FileFinding) -> list[list[str]]:
    """Return the decisions that lead to each outcome, in order, with "plan again" if needed."""
    return [
        re.findall(r"`decision: \w+` on [\w./]+\w(?: and [\w./]+\w)*|plan again", outcome)
        for outcome in finding.remedy.split(";")
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_key_that_a_personal_file_overrides_is_undecided_with_both_outcomes(
    package: str, tmp_path: Path
) -> None:
    files = {".env": "A=fake-base\n", ".env.local": "A=fake-mine-too\n"}
    sources = scan(tmp_path, package, files)
    (finding,) = list_findings(sources, "personal-override")[".env"]
    assert (finding.line, finding.key, finding.blocking) == (1, "A", False)
    assert _lengths(finding) == {"backend/.env": 9, "backend/.env.local": 13}
    assert _edits(finding) == [
        ["`decision: skip` on backend/.env.local", "plan again"],
        ["`decision: store` on backend/.env.local"],
    ]
    assert not list_findings(sources, "overridden")
    assert list(list_findings(sources, "personal-file")) == [".env.local"]  # one decision for both


def test_each_suggested_edit_stores_the_value_that_it_names(tmp_path: Path) -> None:
    files = {".env": "A=fake-base\n", ".env.local": "A=fake-mine-too\n"}
    plan = make_plan(scan(tmp_path, "next", files))
    given = _decide(plan, local="store")
    (secret,) = planning.read_values(given, tmp_path, KEY, WORKSPACE)
    assert len(secret.value) == 13
    left = _decide(plan, local="skip")
    with pytest.raises(UserError, match=r"A in backend/\.env:1 was left out"):
        planning.read_values(left, tmp_path, KEY, WORKSPACE)
    sources = scan_all([tmp_path], WORKSPACE, planning.find_left_out(left, tmp_path))
    again = planning.make(sources, project="abcde", root=".", key=KEY, earlier=left)
    (secret,) = planning.read_values(again, tmp_path, KEY, WORKSPACE)
    assert len(secret.value) == 9


def test_each_of_several_personal_files_has_its_own_outcome(tmp_path: Path) -> None:
    sources = scan(tmp_path, "vite", _OF_MODES)
    of_all = list_findings(sources, "personal-override")
    assert list(of_all) == [".env", ".env.local"]
    (finding,) = of_all[".env"]
    assert _lengths(finding) == {
        "backend/.env": 9,
        "backend/.env.local": 12,
        "backend/.env.development.local": 17,
    }
    assert _edits(finding) == [
        [
            "`decision: skip` on backend/.env.local and backend/.env.development.local",
            "plan again",
        ],
        [
            "`decision: skip` on backend/.env.development.local",
            "`decision: store` on backend/.env.local",
            "plan again",
        ],
        ["`decision: store` on backend/.env.development.local"],
    ]


def test_the_length_is_that_of_the_value_with_resolved_references(
    tmp_path: Path,
) -> None:
    files = {".env": "B=base\nA=fake-$B\n", ".env.local": "B=of-mine\nA=$B\n"}
    sources = scan(tmp_path, "vite", files)
    of_env = {
        each.key: _lengths(each) for each in list_findings(sources, "personal-override")[".env"]
    }
    assert of_env["A"] == {"backend/.env": len("fake-base"), "backend/.env.local": len("of-mine")}


def test_keys_that_a_shared_file_overrides_are_left_out(tmp_path: Path) -> None:
    files = {".env": "A=base\n", ".env.development": "A=mode\n", ".env.local": "A=mine\n"}
    sources = scan(tmp_path, "next", files)
    (finding,) = list_findings(sources, "overridden")[".env"]
    assert ".env.development" in finding.message
    assert ".env.local" not in finding.message
    assert list(list_findings(sources, "personal-override")) == [".env.development"]


def test_a_line_that_is_left_out_has_no_other_finding(tmp_path: Path) -> None:
    files = {".env": "A='  base'\nNODE_ENV=' x'\n", ".env.development": "A=mode\nNODE_ENV=y\n"}
    sources = scan(tmp_path, "next", files)
    kinds = {(each.line, each.kind) for each in sources[".env"].findings if each.line}
    assert kinds == {(1, "overridden"), (2, "bootstrap-key")}
    assert not any(each.blocking for each in sources[".env"].findings)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_personal_file_has_no_findings_about_modes_or_plain_configuration(
    package: str, tmp_path: Path
) -> None:
    sources = scan(tmp_path, package, {".env.local": "A=fake-mine\nLOG_LEVEL=debug\n"})
    kinds = {each.kind for each in sources[".env.local"].findings}
    assert "personal-file" in kinds
    assert kinds.isdisjoint({"every-mode", "plain-configuration"})


def test_a_personal_file_that_no_loader_combines_is_decided_before_its_keys(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/package.json": '{"dependencies": {"dotenv": "17"}}'})
    plant(tmp_path, {"backend/.env": "A=fake-base\n", "backend/.env.local": "A=fake-mine\n"})
    sources = {each.path: each for each in scan_all([tmp_path], WORKSPACE)}
    remedies = {
        path: one.remedy
        for path, each in sources.items()
        for one in each.findings
        if one.kind == "personal-conflict"
    }
    for path in ("backend/.env", "backend/.env.local"):
        leave, give = remedies[path].split(";")
        assert {"`decision: skip`", "plan again"} <= {*re.findall(r"`[^`]+`|plan again", leave)}
        assert "backend/.env.local" in leave or path == "backend/.env.local"
        assert {"`decision: store`", "`decision: skip`"} == {*re.findall(r"`[^`]+`", give)}


_TWO_KEYS = {
    "backend/package.json": node("dotenv"),
    "backend/.env": "A=fake-base\nB=fake-base\nC=fake\n",
    "backend/.env.local": "A=fake-mine\nB=fake-mine\n",
}


def test_an_undecided_personal_file_is_one_decision_with_its_conflicts(tmp_path: Path) -> None:
    plant(tmp_path, _TWO_KEYS)
    sources = scan_all([tmp_path], WORKSPACE)
    scanned_lines = [line for each in sources for line in decisions(fold_conflicts(each.findings))]
    (line,) = scanned_lines
    assert (line.place, line.about) == ("backend/.env.local", "personal-file")
    assert "2 of them " in line.text
    plan = planning.make(sources, project="abcde", root=".", key=KEY)
    (first,) = list_undecided(plan)
    assert first.startswith("? backend/.env.local: ")
    assert "2 of them " in first
    given = list_undecided(_decide(plan, local="store"))
    assert [each.split(":")[1].split()[0] for each in given] == ["1", "2", "1", "2"]


def test_a_conflict_with_a_shared_file_needs_its_own_decision(tmp_path: Path) -> None:
    plant(tmp_path, _TWO_KEYS | {"backend/.env.development": "A=fake-of-mode\n"})
    sources = scan_all([tmp_path], WORKSPACE)
    kinds = {(one.file, one.kind) for e in sources for one in e.findings if one.key == "A"}
    assert ("backend/.env", "same-target") in kinds
    assert ("backend/.env.local", "personal-conflict") in kinds


def test_a_decision_on_a_file_names_the_new_plan_that_it_needs(tmp_path: Path) -> None:
    plant(tmp_path, _TWO_KEYS)
    plan = planning.make(scan_all([tmp_path], WORKSPACE), project="abcde", root=".", key=KEY)
    for given in (plan, _decide(plan, local="skip")):
        with pytest.raises(UserError, match=r"undecided.*`infisical-iac migrate plan` again"):
            planning.read_values(given, tmp_path, KEY, WORKSPACE)
    left = _decide(plan, local="skip")
    sources = scan_all([tmp_path], WORKSPACE, planning.find_left_out(left, tmp_path))
    again = planning.make(sources, project="abcde", root=".", key=KEY, earlier=left)
    assert len(planning.read_values(again, tmp_path, KEY, WORKSPACE)) == 3


def _personal_message(root: Path, files: dict[str, str]) -> str:
    plant(root, {"backend/package.json": node("dotenv"), **files})
    (message,) = (
        one.message
        for each in scan_all([root], WORKSPACE)
        for one in each.findings
        if one.kind == "personal-file"
    )
    return message


def test_the_finding_on_the_only_file_of_an_environment_warns_against_skipping(
    tmp_path: Path,
) -> None:
    files = {
        "backend/.env.production": "A=fake-live\nB=fake-live\n",
        "backend/.env.local": "A=fake-mine\nB=fake-mine\nNODE_ENV=development\n",
    }
    message = _personal_message(tmp_path, files)
    for fact in ("backend in development", "lacks A and B ", "can't start"):
        assert fact in message
    assert "NODE_ENV" not in message


def test_skipping_a_personal_file_names_the_keys_that_only_it_has(tmp_path: Path) -> None:
    files = {"backend/.env": "A=fake-base\n", "backend/.env.local": "A=fake-mine\nB=fake-mine\n"}
    message = _personal_message(tmp_path, files)
    assert "lacks B, " in message
    assert "can't start" not in message


def test_skipping_a_personal_file_removes_no_key_of_a_shared_file(tmp_path: Path) -> None:
    files = {"backend/.env": "A=fake-base\n", "backend/.env.local": "A=fake-mine\n"}
    assert "`skip`" not in _personal_message(tmp_path, files)


def test_a_file_of_another_service_is_not_a_source(tmp_path: Path) -> None:
    files = {"python-services/.env": "A=fake-other\n", "backend/.env.local": "A=fake-mine\n"}
    assert "lacks A " in _personal_message(tmp_path, files)


_OWN_FILES = {
    "backend/requirements.txt": "python-dotenv==1.0.1\n",
    "backend/.env": "A=fake-base\nLOG_LEVEL=info\n",
    "backend/.env.override": "LOG_LEVEL=debug\nEDITOR_TOKEN=fake-editor\n",
}


def test_a_file_of_personal_overrides_is_not_migrated(tmp_path: Path) -> None:
    root = plant(tmp_path, _OWN_FILES)
    for paths in ([root], [root / "backend/.env", root / "backend/.env.override"]):
        (source,) = scan_all(paths, WORKSPACE)
        assert source.path.endswith(".env")
        assert not any(each.blocking for each in source.findings)
    plan = planning.make(scan_all([root], WORKSPACE), project="abcde", root=".", key=KEY)
    assert len(planning.read_values(plan, root, KEY, WORKSPACE)) == 2


def test_lines_below_the_mark_of_overrides_are_not_migrated(tmp_path: Path) -> None:
    text = "INFISICAL_ENVIRONMENT=development\n# overrides\nA=fake-mine\nEDITOR_TOKEN=fake-editor\n"
    sources = scan(tmp_path, "next", {".env": "A=fake-base\n", ".env.local": text})
    assert set(sources[".env.local"].reading.values) == {"INFISICAL_ENVIRONMENT"}
    assert sources[".env.local"].data == text.encode()
    assert not any(one.blocking for each in sources.values() for one in each.findings)
    (secret,) = planning.read_values(make_plan(sources), tmp_path, KEY, WORKSPACE)
    assert secret.value == "fake-base"


def test_a_personal_file_counts_the_keys_of_files_that_are_gone_since(tmp_path: Path) -> None:
    plant(tmp_path, _TWO_KEYS)
    plan = planning.make(scan_all([tmp_path], WORKSPACE), project="abcde", root=".", key=KEY)
    (tmp_path / "backend/.env").unlink()
    keys = {
        name: each.model_copy(update={"decision": "store"})
        for name, each in plan.sources[0].keys.items()
    }
    moved = plan.sources[0].model_copy(update={"keys": keys})
    plan = plan.model_copy(update={"sources": (moved, *plan.sources[1:])})
    names = moved_names(plan, tmp_path)
    assert names == {Name("development", "/backend", key) for key in "ABC"}
    (before,) = scan_all([tmp_path], WORKSPACE)
    (after,) = scan_all([tmp_path], WORKSPACE, moved=names)
    assert "lacks A and B" in before.findings[0].message
    assert "lacks" not in after.findings[0].message


@pytest.mark.parametrize("package", ["dotenv", "next"])
def test_a_personal_file_counts_its_other_values_whatever_the_loader(
    package: str, tmp_path: Path
) -> None:
    files = {".env": "A=fake-base\nB=fake-base\n", ".env.local": "A=fake-mine\nB=fake-mine\n"}
    sources = scan(tmp_path, package, files)
    lines = decisions(fold_conflicts(sources[".env.local"].findings))
    assert [each.text.count("2 of them") for each in lines] == [1]
