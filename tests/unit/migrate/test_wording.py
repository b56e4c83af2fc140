"""Test the wording of messages about a migration. Other tests assert codes and facts."""

import os
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from infisical_iac.check.repository import Repository
from infisical_iac.cli import migrate_apply, migrate_plan
from infisical_iac.core.errors import UserError
from infisical_iac.dotenv import read
from infisical_iac.migrate import archive, git, planning, report
from infisical_iac.migrate.apply import Comparison
from infisical_iac.migrate.cleaning import read_report
from infisical_iac.migrate.earlier_plan import mark_decided
from infisical_iac.migrate.findings import disagreements
from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import (
    Decision,
    MigrationPlan,
    PlannedFinding,
    PlannedKey,
    digest,
    dump,
    load,
    load_or_make,
)
from infisical_iac.migrate.sources import scan_all
from infisical_iac.migrate.summary import decisions, fold_conflicts, notes
from infisical_iac.migrate.verify import (
    Expected,
    access,
    find_changes,
    prove,
    readers,
    unintended_reads,
)
from infisical_iac.workspace.people_actual import Member
from tests.unit.migrate.modes import make_plan, scan
from tests.unit.migrate.moving import planned_source, secret
from tests.unit.migrate.trees import WORKSPACE, node, plant

_KEY = b"k" * 32
_NAME = Name("production", "/backend", "FAKE")
_SOURCE = planned_source()
_PLAN = MigrationPlan(project="abcde", root=".", sources=(_SOURCE,))


@pytest.mark.parametrize(
    ("decision", "key", "value", "sentence"),
    [
        (
            *("store", "FAKE", " fake"),
            "begins or ends with blanks, which Infisical would trim; decide `skip`, or change the "
            "file and plan again",
        ),
        (
            *("store", "FAKE", "${OTHER}"),
            "has ${…}, which Infisical would replace; decide `store-literal` or `skip`",
        ),
        (
            *("store-literal", "FAKE", "fake"),
            "has no ${…} that `store-literal` could keep; decide `store` for the value as the "
            "file's grammar reads it, or write another `grammar` on the file and plan again",
        ),
    ],
)
def test_wording_of_a_decision_that_cannot_be_carried_out(
    decision: Decision, key: str, value: str, sentence: str
) -> None:
    assert planning.refusal(decision, key, value) == sentence


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("FAKE", "fake \udcff", "holds bytes that are not UTF-8, which Infisical does not take"),
        ("FAKE", "x" * 900_000, "is too long for a request"),
        (
            *("A:B", "fake"),
            "has a name that Infisical does not take, or that may be a piece of a value",
        ),
    ],
)
def test_wording_of_a_value_that_infisical_does_not_take(
    key: str, value: str, sentence: str
) -> None:
    assert planning.find_obstacle(key, value) == sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"service": ""}, "has no service that the project file names"),
        ({"service": "none"}, "has the service 'none', which is not in the project file"),
        ({"environment": "none"}, "has no environment that the project file names"),
        ({"folder": "/none"}, "has no folder that the project file names"),
        ({"decision": "undecided"}, "is undecided (`decision: store` or `decision: skip`)"),
    ],
)
def test_wording_of_a_file_without_a_place(
    change: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    data = plant(tmp_path, {"backend/.env": ""}) / "backend" / ".env"
    source = planning.make(
        scan_all([data.parent.parent], WORKSPACE), project="abcde", root=".", key=_KEY
    ).sources[0]
    plan = _PLAN.model_copy(update={"sources": (source.model_copy(update=change),)})
    with pytest.raises(UserError) as refused:
        planning.read_values(plan, tmp_path, _KEY, WORKSPACE)
    assert str(refused.value) == (
        f"backend/.env {sentence}: write it on that file in migration.yaml, run `infisical-iac "
        "migrate plan` again, then apply"
    )


def test_wording_of_a_plan_whose_personal_file_was_skipped_since(tmp_path: Path) -> None:
    plan = make_plan(scan(tmp_path, "vite", {".env": "A=fake\n", ".env.local": "A=mine\n"}))
    skipped = plan.sources[1].model_copy(update={"decision": "skip"})
    plan = plan.model_copy(update={"sources": (plan.sources[0], skipped)})
    with pytest.raises(UserError) as refused:
        planning.read_values(plan, tmp_path, _KEY, WORKSPACE)
    assert str(refused.value) == (
        "A in backend/.env:1 was left out in favour of backend/.env.local, which is skipped now: "
        "plan again"
    )


def test_wording_of_a_value_that_is_read_differently_since_the_plan(tmp_path: Path) -> None:
    plan = make_plan(scan(tmp_path, "dotenv", {".env": "A=fake\n"}))
    source = plan.sources[0]
    key = source.keys["A"].model_copy(update={"digest": "0"})
    plan = plan.model_copy(update={"sources": (source.model_copy(update={"keys": {"A": key}}),)})
    with pytest.raises(UserError) as refused:
        planning.read_values(plan, tmp_path, _KEY, WORKSPACE)
    assert str(refused.value) == (
        "A in backend/.env:1 is read differently than when it was planned; plan again: nothing "
        "was written"
    )


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            *("schema_version: 1", "schema_version: 2"),
            "migration.yaml, schema_version: 2 was written for a newer infisical-iac, and this one "
            "reads 1: upgrade infisical-iac",
        ),
        (
            *("path: backend/.env", "path: ../.env"),
            "migration.yaml, line 5, sources[0].path: '../.env' is not a path below the root; plan "
            "again",
        ),
    ],
)
def test_wording_of_an_invalid_plan(before: str, after: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "migration.yaml"
    _, _, without_comment = dump(_PLAN).partition("\n\n")
    file.write_text(without_comment.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load(file)
    assert str(refused.value) == sentence


def test_wording_of_grammars_that_disagree() -> None:
    data = b"A=fake#secret\n"
    (found,) = disagreements(data, read(data, "dotenv"), ["compose"])
    assert found.remedy == (
        "Keep dotenv's: `decision: store`; keep compose's: `grammar: compose` on this file, then "
        "plan again. Or quote it so that all read the same."
    )


def test_wording_of_a_personal_file_with_conflicts(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "backend/package.json": node("dotenv"),
            "backend/.env": "A=fake-base\nB=fake-base\n",
            "backend/.env.local": "A=fake-mine\nB=fake-mine\n",
        },
    )
    (line,) = (
        line
        for each in scan_all([tmp_path], WORKSPACE)
        for line in decisions(fold_conflicts(each.findings))
    )
    assert line.text == (
        "It is one person's own file, and 2 of its keys would go to everybody who reads "
        "development. 2 of them have another value in a shared file. Leave them to that person: "
        "`decision: skip` on this file; give them to everybody: `decision: store` on this file. "
        "Then plan again."
    )


def test_wording_of_a_planned_file_that_depends_on_a_personal_file(tmp_path: Path) -> None:
    files = {".env": "A=fake-base\nNODE_ENV=development\n", ".env.local": "A=fake-mine\n"}
    plan = make_plan(scan(tmp_path, "next", files))
    (line,) = (
        each
        for each in migrate_plan._lines(plan, Comparison((), (), (), ()))
        if each.startswith("backend/.env → ")
    )
    assert line.partition(", as next")[0] == (
        "backend/.env → development/backend: 2 keys, 1 skipped, 1 undecided by a personal file"
    )


@pytest.mark.parametrize(
    ("sent", "back", "sentence"),
    [
        (" fake ", "fake", "blanks at its ends were trimmed: 4 bytes instead of 6"),
        ("a ${B} c", "a  c", "what looks like a reference was replaced: 4 bytes instead of 8"),
        ("fake", "fuke", "it differs from character 2 on: 4 bytes instead of 4"),
    ],
)
def test_wording_of_a_value_that_came_back_different(sent: str, back: str, sentence: str) -> None:
    one = secret(value=sent)
    (proof,) = prove([one], {one.name: Stored(back)}, None)
    assert proof.difference == sentence


def test_wording_of_a_proven_migration_with_readings_that_were_decided() -> None:
    found = PlannedFinding(line=3, kind="grammars-disagree", message="Odd.", remedy="Choose.")
    keys = {
        key: PlannedKey(line=3, length=4, digest="0", decision="store", findings=findings)
        for key, findings in (("A", (found,)), ("B", ()))
    }
    plan = MigrationPlan(
        project="abcde", root=".", sources=(_SOURCE.model_copy(update={"keys": keys}),)
    )
    secrets = [secret(each) for each in keys]
    stored = {each.name: Stored(each.value) for each in secrets}
    built = report.build(
        plan,
        prove(secrets, stored, stored),
        {each.name: "written" for each in secrets},
        key=_KEY,
        at="",
    )
    assert [*migrate_apply._lines(plan, built)][-2:] == [
        "✓ 2 of 2 secrets read back from abcde: 1 byte for byte, 1 as decided",
        "  backend/.env:3 A: 4 bytes, as dotenv reads it; other programs read it differently",
    ]


def test_wording_of_a_service_that_reads_another_ones_secret() -> None:
    seen = {"backend-production": {_NAME}, "python-service-production": {_NAME}}
    assert [*access({_NAME: Expected("backend", "")}, WORKSPACE, seen)] == [
        "production/backend/FAKE can be read by python-service-production, which must not read it"
    ]


def test_wording_of_a_secret_whose_value_is_hidden() -> None:
    expected = {_NAME: Expected("backend", digest(_KEY, "fake"))}
    assert [*find_changes(expected, {_NAME: Stored("", is_hidden=True)}, _KEY)] == [
        "production/backend/FAKE does not show its value to the deployer"
    ]


def test_wording_of_a_reader_that_the_project_file_does_not_name() -> None:
    stranger = Member("identity", "ci-old", "other", ("viewer",), ())
    found = readers([stranger], {_NAME: Expected("backend", "")}, WORKSPACE, {})
    assert [*unintended_reads(found, WORKSPACE)] == [
        "production/backend, 1 secret, can be read by the identity ci-old, which the project file "
        "does not name"
    ]


def test_wording_of_a_report_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "migration.yaml").touch()
    with pytest.raises(UserError) as refused:
        read_report(tmp_path / "migration.yaml")
    assert str(refused.value) == (
        f"{tmp_path}/migration-report.json, the record of verified files, can't be read (No such "
        "file or directory): run migrate apply first"
    )


def test_wording_of_a_hash_key_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "migration.key"
    file.write_bytes(_KEY)
    file.chmod(0o644)
    with pytest.raises(UserError) as refused:
        load_or_make(file)
    assert str(refused.value) == f"{file} can be read by others: run `chmod 600 {file}`"


def test_wording_of_an_archive_that_the_given_key_does_not_open(tmp_path: Path) -> None:
    to, other = Identity.generate().to_public(), Identity.generate()
    with pytest.raises(UserError) as refused:
        archive.write(tmp_path / "a.tar.age", {}, [to], [other])
    assert str(refused.value) == (
        "the archive can't be opened with the given key, so nothing was deleted: give the "
        "identity of one of its recipients"
    )


def test_wording_of_a_repository_that_git_cannot_read(tmp_path: Path) -> None:
    plant(tmp_path, {".git/config": "["})
    with pytest.raises(UserError) as refused:
        git.tracked_paths(tmp_path, [".env"])
    before, _, after = str(refused.value).partition(" (")
    assert before == f"git can't say what it tracks in {tmp_path}"
    assert after.endswith("): see that `git ls-files` works there")


def test_wording_of_paths_that_overlap(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        scan_all([tmp_path, tmp_path], WORKSPACE)
    assert str(refused.value) == (
        f"{tmp_path} is in {tmp_path}, which is scanned too: name one of them"
    )


def test_wording_of_a_pipe_with_the_name_of_an_env_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    (source,) = scan_all([tmp_path], WORKSPACE)
    assert source.reading.error == "It is not a regular file, but a pipe or the like."


@pytest.mark.parametrize(
    ("shared", "sentence"),
    [
        (
            ".env.production",
            "No shared file has anything for backend in development: after `skip`, it lacks B and "
            "can't start there.",
        ),
        (
            ".env.development",
            "After `skip`, backend in development lacks B, which no shared file has.",
        ),
    ],
)
def test_wording_of_missing_keys_after_a_personal_file_is_skipped(
    shared: str, sentence: str, tmp_path: Path
) -> None:
    sources = scan(tmp_path, "dotenv", {shared: "A=fake\n", ".env.local": "B=fake-mine\n"})
    (found,) = (one for one in sources[".env.local"].findings if one.kind == "personal-file")
    assert found.message == (
        "It is one person's own file, and 1 of its keys would go to everybody who reads "
        f"development. {sentence}"
    )


def test_wording_of_a_decision_that_the_plan_has_made(tmp_path: Path) -> None:
    sources = scan(tmp_path, "dotenv", {".env.local": "A=fake-mine\n"})
    (planned_source,) = make_plan(sources).sources
    skipped = planned_source.model_copy(update={"decision": "skip"})
    marked = mark_decided(sources[".env.local"], skipped, _KEY, tmp_path, WORKSPACE)
    (line,) = notes(marked.findings)
    assert line[:3] == (
        "backend/.env.local",
        "decided",
        "skip, in migration.yaml (personal-file). Change it there, then plan again.",
    )


def test_wording_of_left_out_keys_and_of_a_deleted_file() -> None:
    keys = {
        key: PlannedKey(line=3, length=4, digest="0", decision=decision)
        for key, decision in (("A", "store"), ("B", "skip"))
    }
    skipped = _SOURCE.model_copy(update={"decision": "skip"})
    stored = _SOURCE.model_copy(update={"keys": keys})
    deleted = stored.model_copy(update={"deleted": True})
    plan = MigrationPlan(project="abcde", root=".", sources=(skipped, stored, deleted))
    built = report.build(plan, [], {}, key=_KEY, at="")
    assert [*migrate_apply._lines(plan, built)][:2] == [
        "1 key and 1 whole file left out by decision",
        "1 key of 1 deleted file moved before: see `migrate verify`",
    ]
    lines = [*migrate_plan._lines(plan, Comparison((), (), (), ()))]
    assert lines[2] == (
        "backend/.env → production/backend: 1 key moved before, the file is deleted"
    )


def test_wording_of_the_next_steps_after_a_migration() -> None:
    assert migrate_apply.describe_next(Path("migration.yaml"), "../services") == (
        "Next: start each service with its secrets (`infisical-iac docs loaders`), then "
        "`infisical-iac check`, then `infisical-iac migrate history ../services`, then "
        "`infisical-iac migrate clean migration.yaml`."
    )


def test_wording_of_a_service_without_a_loader(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/server.js": ""})
    assert Repository(tmp_path, WORKSPACE).describe_unready_services() == {
        "backend": (
            "backend can't start without its .env files: it does not load infisical-config, and "
            "is not started by with-secrets or another runner. See `infisical-iac docs loaders`."
        )
    }
