"""Test `infisical-iac migrate` plan and apply: the targets of values, and their proof."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.workspace.reach import reach

from .migrating import ENV_FILE, FILE, VALUES, Case, backend, new

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from infisical_iac.workspace.goal import Reached

    from .world import World


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    return backend(world, tmp_path)


@pytest.fixture
def planned_case(case: Case) -> Case:
    assert case.run("plan").exit_code == 2
    return case


def _report(case: Case) -> dict[str, Any]:
    return dict(json.loads((case.root / "migration-report.json").read_text(encoding="utf-8")))


def _versions(case: Case) -> set[int]:
    return {each["version"] for each in case.read_values().values()}


def test_every_value_arrives_byte_for_byte_and_is_reported_as_the_same(planned_case: Case) -> None:
    applied = planned_case.run("apply")
    assert applied.exit_code == 0, applied.output
    assert f"migrate verify {planned_case.plan_file}`" in applied.stdout.splitlines()[-1]
    assert planned_case.values() == VALUES
    report = _report(planned_case)
    assert (report["outcome"], report["counts"]) == ("proven", {"written": len(VALUES)})
    assert {each["read_back"] for each in report["secrets"]} == {"same"}
    (source,) = report["sources"]
    assert source["verified"] is True
    assert source["keys"] == [name.removeprefix("/backend/") for name in VALUES]


def test_no_value_is_shown_or_written_anywhere(case: Case) -> None:
    shown = [case.run(*each).output for each in (["plan"], ["plan", "--json"], ["apply"])]
    shown += [case.run(*each).output for each in (["apply", "--json"], ["verify"], ["plan"])]
    written = [each.read_text(encoding="utf-8") for each in case.root.glob("migration[-.]*[!y]")]
    assert len(written) == 3  # the plan, and the report twice
    for value in [*filter(None, VALUES.values()), "fake-password", "bm90LWEta2V5"]:
        for text in (*shown, *written):
            assert value not in text
            assert json.dumps(value)[1:-1] not in text


def test_existing_values_are_not_written_again(planned_case: Case) -> None:
    assert planned_case.run("apply").exit_code == 0
    assert planned_case.run("plan").exit_code == 0
    again = planned_case.run("apply")
    assert again.exit_code == 0
    assert f"{len(VALUES)} there already" in again.stdout
    assert _versions(planned_case) == {1}


def test_each_secret_names_its_source(planned_case: Case) -> None:
    planned_case.run("apply")
    comment = planned_case.read_values()["/backend/PEM"]["secretComment"]
    assert comment.startswith(f"migrated from {ENV_FILE}:5, 20")


def test_a_conflict_fails_before_anything_is_written(planned_case: Case) -> None:
    planned_case.put("production", "/backend", JSON="other")
    refused = planned_case.error("apply")
    assert refused.code == "refused.conflict"
    assert str(refused).startswith("1 key ")
    assert ": production/backend/JSON (" in str(refused)
    assert planned_case.values() == {"/backend/JSON": "other"}


def test_a_skipped_conflict_is_reported_as_a_difference(planned_case: Case) -> None:
    planned_case.put("production", "/backend", JSON="other")
    skipped = planned_case.run("apply", "--on-conflict", "skip")
    assert skipped.exit_code == 2
    assert f"✗ production/backend/JSON ({ENV_FILE}:4): it differs" in skipped.stdout
    assert planned_case.values() == {**VALUES, "/backend/JSON": "other"}
    assert _report(planned_case)["sources"][0]["verified"] is False


def test_an_overwritten_conflict_keeps_a_persons_comment(case: Case) -> None:
    case.put("production", "/backend", JSON="other", MORE="fake")
    body = {**case.place("production", "/backend"), "secretComment": "by hand"}
    case.world.deployer.patch("/api/v4/secrets/JSON", json=body).raise_for_status()
    case.run("plan")
    overwritten = case.run("apply", "--on-conflict", "overwrite")
    assert overwritten.exit_code == 0, overwritten.output
    assert case.values() == {**VALUES, "/backend/MORE": "fake"}
    assert case.read_values()["/backend/JSON"]["secretComment"] == "by hand"
    assert case.read_values()["/backend/JSON"]["version"] == 3


def test_a_file_that_has_changed_is_refused(planned_case: Case) -> None:
    planned_case.write(ENV_FILE, f"{FILE}MORE=fake\n")
    changed = planned_case.error("apply")
    (planned_case.root / ENV_FILE).unlink()
    missing = planned_case.error("apply")
    assert [each.code for each in (changed, missing)] == ["error.plan_stale"] * 2
    assert str(changed).startswith(f"{ENV_FILE} has changed ")
    assert str(missing).startswith(f"{ENV_FILE} can't be read ")
    assert planned_case.values() == {}


def test_missing_folders_are_made(world: World, tmp_path: Path) -> None:
    case = new(world, tmp_path, "backend", folders_made=False)
    case.write(ENV_FILE, "FAKE=fake-value\n")
    case.run("plan")
    assert case.run("apply").exit_code == 0
    assert case.values() == {"/backend/FAKE": "fake-value"}


def test_only_runs_that_write_are_in_the_audit_log(
    planned_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Sequence[str]] = []

    @contextmanager
    def record(event: str, changes: Sequence[str]) -> Iterator[None]:
        yield
        logged.append(changes)

    @contextmanager
    def on_host(*given: Any, **options: Any) -> Iterator[Reached]:
        with reach(*given, **options) as reached:
            yield replace(reached, recorded=record)

    monkeypatch.setattr("infisical_iac.cli.migrate_apply.reach", on_host)
    assert planned_case.run("apply").exit_code == 0
    assert logged == [["+ 6 secrets in production/backend"]]
    assert planned_case.run("apply").exit_code == 0
    assert len(logged) == 1
