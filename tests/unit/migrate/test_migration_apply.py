"""Test that all writes of a migration are decided before the first request."""

from datetime import date

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.migrate.apply import Policy, Work, compare, prepare
from infisical_iac.migrate.model import Name, Secret, Stored
from infisical_iac.workspace.goal import Layout
from tests.unit.migrate.moving import secret

_NEW, _SAME, _CHANGED = secret("NEW"), secret("SAME"), secret("CHANGED")
_THERE = {
    _SAME.name: Stored(_SAME.value),
    _CHANGED.name: Stored("other-fake"),
    Name("production", "/backend", "MORE"): Stored("fake"),
    Name("production", "/elsewhere", "MORE"): Stored("fake"),
}


def _prepare(
    *secrets: Secret, policy: Policy = "fail", folders: tuple[str, ...] = ("/backend",)
) -> Work:
    compared = compare(secrets, _THERE)
    known = {("id", "production"): folders, ("id", "development"): ()}
    return prepare(compared, _THERE, Layout("id"), known, policy=policy, today=date(2026, 11, 25))


def test_secrets_are_grouped_by_their_state_in_infisical() -> None:
    compared = compare([_NEW, _SAME, _CHANGED], _THERE)
    assert (compared.new, compared.same, compared.changed) == ((_NEW,), (_SAME,), (_CHANGED,))
    assert compared.only_there == (Name("production", "/backend", "MORE"),)


def test_a_hidden_value_counts_as_changed() -> None:
    there = {_SAME.name: Stored(_SAME.value, is_hidden=True)}
    assert compare([_SAME], there).changed == (_SAME,)


def test_a_conflict_is_refused_without_a_value() -> None:
    with pytest.raises(UserError) as refused:
        _prepare(_NEW, _CHANGED)
    assert refused.value.code == "refused.conflict"
    assert "production/backend/CHANGED" in str(refused.value)
    assert "backend/.env:3" in str(refused.value)
    assert "fake-value" not in str(refused.value)
    assert "other-fake" not in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "written", "state"),
    [("skip", [_NEW.name], "kept"), ("overwrite", [_NEW.name, _CHANGED.name], "overwritten")],
)
def test_a_policy_decides_on_conflicts(policy: Policy, written: list[Name], state: str) -> None:
    work = _prepare(_NEW, _SAME, _CHANGED, policy=policy)
    assert [name for each in work.batches for name in each.names] == written
    assert work.states == {_NEW.name: "written", _SAME.name: "there", _CHANGED.name: state}


def test_missing_folders_are_created_after_their_missing_parents() -> None:
    deep = secret(folder="/backend/jobs/mail")
    other = secret(environment="development")
    assert _prepare(deep, other).folders == (
        ("id", "development", "/backend"),
        ("id", "production", "/backend/jobs"),
        ("id", "production", "/backend/jobs/mail"),
    )


def test_nothing_is_written_for_a_secret_that_exists() -> None:
    work = _prepare(_SAME, folders=())
    assert (work.folders, work.batches) == ((), ())
