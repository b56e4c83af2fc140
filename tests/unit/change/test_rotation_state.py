"""Test the parsers of unfinished rotations and targets, and the refused encryption key."""

import pytest

from infisical_iac.agent.rotation import BackupPlaces
from infisical_iac.change.keys import (
    KEYS,
    Way,
    find_key,
    parse_unfinished,
    refuse_encryption_key,
    refuse_former_targets,
)
from infisical_iac.core.errors import RunFailed


def test_an_empty_state_has_no_rotation() -> None:
    assert parse_unfinished("") is None


@pytest.mark.parametrize(
    ("phase", "way", "new"),
    [
        ("prepared", "undo", False),
        ("switching", "complete", True),
        ("switched", "complete", True),
        ("begun", "undo", False),
        ("swapped", "complete", True),
        ("backing", "go back", False),
        ("back", "go back", False),
        ("proven", "forget", True),
    ],
)
def test_the_phase_decides_how_a_rotation_is_ended(phase: str, way: Way, new: bool) -> None:
    found = parse_unfinished(f"postgres_password {phase}")
    assert found
    assert (found.key, found.way, found.ends_new) == (find_key("database"), way, new)


@pytest.mark.parametrize(
    "state", ["postgres_password", "other switched", "auth_secret odd", "a b c"]
)
def test_an_unknown_state_is_refused(state: str) -> None:
    with pytest.raises(RunFailed, match=f"/var/lib/infisical-rotation/state .*'{state}'") as failed:
        parse_unfinished(state)
    assert failed.value.code == "run.unknown_state"


def test_a_rotation_of_the_repositories_is_completed_once_it_is_switching() -> None:
    output = {
        phase: parse_unfinished(f"restic_password {phase}") for phase in ("prepared", "switching")
    }
    assert [found.outcome for found in output.values() if found] == ["undone", "completed"]


def test_the_targets_are_read() -> None:
    assert refuse_former_targets(BackupPlaces(("local", "box"))) == ["local", "box"]


@pytest.mark.parametrize(
    ("places", "code", "fact"),
    [
        (BackupPlaces(), "run.no_backups", "`infisical-iac apply`"),
        (
            BackupPlaces(("local",), ("/var/lib/x/0123",)),
            *("run.former_target", "remove /var/lib/x/0123 on"),
        ),
    ],
)
def test_a_host_whose_repositories_are_not_all_targets_is_refused(
    places: BackupPlaces, code: str, fact: str
) -> None:
    with pytest.raises(RunFailed, match=fact) as failed:
        refuse_former_targets(places)
    assert failed.value.code == code


def test_only_a_new_auth_secret_ends_sessions() -> None:
    assert [key.name for key in KEYS if key.ends] == ["auth-secret"]


@pytest.mark.parametrize(
    ("replaces", "code"), [(False, "refused.key_is_fixed"), (True, "refused.key_by_console")]
)
def test_the_refusal_of_the_encryption_key_depends_on_the_server(replaces: bool, code: str) -> None:
    refused = refuse_encryption_key(version="v0.165.16", replaces=replaces)
    assert refused.code == code
    assert "Infisical v0.165.16" in str(refused)
    assert "infisical-iac docs keys" in str(refused)
