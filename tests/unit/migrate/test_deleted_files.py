"""Test that files which were deleted after their migration stay in a new plan."""

from pathlib import Path

import pytest

from infisical_iac.migrate import earlier_plan, planning
from infisical_iac.migrate.model import Name
from infisical_iac.migrate.plan_file import MigrationPlan
from infisical_iac.migrate.search_terms import in_files
from infisical_iac.migrate.sources import scan_all
from infisical_iac.migrate.verify import planned_values
from tests.unit.migrate.modes import KEY
from tests.unit.migrate.trees import WORKSPACE, node, plant

_FILE = "backend/.env.production"
_TOKEN = Name("production", "/backend", "TOKEN")
_OTHER = Name("production", "/backend", "OTHER")
_ENVIRONMENTS = ("development", "production")


@pytest.fixture
def earlier(tmp_path: Path) -> MigrationPlan:
    """The plan of a file with two keys; the file has been deleted."""
    plant(tmp_path, {"backend/package.json": node("dotenv")})
    plant(tmp_path, {_FILE: "TOKEN=fake-token\nOTHER=fake-other\n"})
    plan = _plan(tmp_path)
    (tmp_path / _FILE).unlink()
    return plan


def _plan(root: Path) -> MigrationPlan:
    return planning.make(scan_all([root], WORKSPACE), project="abcde", root=".", key=KEY)


def _keep(
    earlier: MigrationPlan, root: Path, *stored: Name, environments: tuple[str, ...] = _ENVIRONMENTS
) -> earlier_plan.Kept:
    found = [*earlier_plan.find_deleted(earlier, scan_all([root], WORKSPACE), root)]
    return earlier_plan.keep_deleted(found, _plan(root), stored, environments)


def test_a_deleted_file_stays_if_infisical_has_one_of_its_keys(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    (source,), lost = _keep(earlier, tmp_path, _TOKEN)
    assert (source.path, source.deleted, lost) == (_FILE, True, [])
    assert list(source.stored_keys) == ["TOKEN", "OTHER"]


def test_a_deleted_file_without_keys_in_infisical_is_named(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    other_folder = Name("production", "/web", "TOKEN")
    assert _keep(earlier, tmp_path, other_folder) == ([], [_FILE])
    assert _keep(earlier, tmp_path, _TOKEN, environments=("development",)) == ([], [_FILE])


def test_a_file_that_is_marked_as_deleted_stays_in_later_plans(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    kept = _keep(earlier, tmp_path, _TOKEN).sources
    second = earlier.model_copy(update={"sources": tuple(kept)})
    assert _keep(second, tmp_path).sources == kept


def test_a_new_file_without_the_moved_keys_does_not_replace_the_deleted_file(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    plant(tmp_path, {_FILE: "INFISICAL_CLIENT_ID=fake\nNODE_ENV=production\n"})
    assert [each.path for each in _keep(earlier, tmp_path, _TOKEN).sources] == [_FILE]


def test_an_edited_or_unreadable_file_is_not_deleted(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    plant(tmp_path, {_FILE: "TOKEN=fake-new\n"})
    assert _keep(earlier, tmp_path, _TOKEN) == ([], [])
    (tmp_path / _FILE).unlink()
    (tmp_path / _FILE).symlink_to("nowhere")
    assert _keep(earlier, tmp_path, _TOKEN) == ([], [])


def test_a_key_that_another_file_stores_is_dropped_from_the_deleted_file(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    plant(tmp_path, {"backend/.env.prod": "TOKEN=fake-new\n"})
    (source,), _ = _keep(earlier, tmp_path, _TOKEN, _OTHER)
    assert list(source.keys) == ["OTHER"]


def test_secrets_of_a_deleted_file_are_expected_without_reading_the_file(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    plant(tmp_path, {"backend/.env": "EXTRA=fake-extra\n"})
    made, kept = _plan(tmp_path), _keep(earlier, tmp_path, _TOKEN).sources
    plan = made.model_copy(update={"sources": (*made.sources, *kept)})
    secrets = planning.read_values(plan, tmp_path, KEY, WORKSPACE)
    assert [each.name.key for each in secrets] == ["EXTRA"]
    assert {each.key for each in planned_values(plan)} == {"TOKEN", "OTHER", "EXTRA"}


def test_values_of_a_deleted_file_and_of_its_replacement_are_searched_for(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    kept = _keep(earlier, tmp_path, _TOKEN).sources
    plant(tmp_path, {_FILE: "TOKEN=fake-new\n"})
    made = _plan(tmp_path)
    known = in_files(made.model_copy(update={"sources": (*made.sources, *kept)}), tmp_path, KEY)
    assert known.values == {f"{_FILE} TOKEN": "fake-new"}
    assert {each.name for each in known.moved.values()} == {_TOKEN, _OTHER}


def test_an_existing_file_takes_precedence_over_a_deleted_one_with_the_same_secret(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    kept = _keep(earlier, tmp_path, _TOKEN).sources
    plant(tmp_path, {"backend/.env.production": "TOKEN=fake-new\n"})
    made = _plan(tmp_path)
    both = made.model_copy(update={"sources": (*made.sources, *kept)})
    assert planned_values(both)[_TOKEN] == planned_values(made)[_TOKEN]


def test_paths_are_rebased_to_another_root(tmp_path: Path, earlier: MigrationPlan) -> None:
    inside = earlier_plan.rebase(earlier, tmp_path, tmp_path / "backend")
    assert (inside.root, [each.path for each in inside.sources]) == ("backend", [".env.production"])
    assert earlier_plan.rebase(inside, tmp_path, tmp_path) == earlier
    assert earlier_plan.rebase(earlier, tmp_path, tmp_path / "web").sources == ()


def test_directories_of_deleted_files_and_files_left_out_are_found(
    tmp_path: Path, earlier: MigrationPlan
) -> None:
    assert earlier_plan.deleted_directories(earlier, tmp_path) == [tmp_path / "backend"]
    assert earlier_plan.find_unplanned(earlier, tmp_path, ()) == []
    file = plant(tmp_path, {_FILE: "TOKEN=fake-token\n"}) / _FILE
    assert earlier_plan.deleted_directories(earlier, tmp_path) == []
    assert earlier_plan.find_unplanned(earlier, tmp_path, ()) == [str(file)]
    assert earlier_plan.find_unplanned(earlier, tmp_path, {file}) == []
