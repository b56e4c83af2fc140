"""Test the wording of messages. Other tests assert codes and facts."""

import pytest

from infisical_iac.change.keys import refuse_encryption_key
from infisical_iac.core.errors import RunFailed
from infisical_iac.stack.model import (
    GIVEN_UP_HELP,
    describe_given_up,
    describe_kept_data,
    parse_given_up,
)
from tests.unit.change.planned_host import planned_host
from tests.unit.change.steps import NotingHost, rotate
from tests.unit.settings_of import settings_of

_NAME = "infisical_postgres_given_up_20261125T101112Z"
_SINCE = "2026-11-25T10:12:00Z"


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        (f" {_SINCE} 30 i p", f"30 writes since {_SINCE} are in"),
        (f" {_SINCE} 1 i p", f"1 write since {_SINCE} is in"),
        (f" {_SINCE} 0", f"data that were given up, with no write since {_SINCE}, are in"),
        (" unknown unknown", "an unknown number of writes are in"),
    ],
)
def test_wording_of_data_that_were_given_up(words: str, clause: str) -> None:
    found = parse_given_up([f"given-up {_NAME}{words}"])
    assert (
        describe_given_up(found)
        == f"with all data; {clause} the Docker volume {_NAME} ({GIVEN_UP_HELP})"
    )
    assert describe_kept_data(found) == [
        f"Kept: {clause} the Docker volume {_NAME}; {GIVEN_UP_HELP}."
    ]


def test_wording_of_a_refused_version(monkeypatch: pytest.MonkeyPatch) -> None:
    host = planned_host(monkeypatch)
    (redis,), (refused,) = host.plan(settings_of(infisical_version="v0.120.0"))
    assert str(redis) == "~ container redis: is exited, health healthy"
    assert str(refused) == (
        "! Change the version: blocked: Infisical can't be changed from v0.165.16 to v0.120.0: "
        "an older release can't use the database of a newer one; `infisical-iac rollback` goes "
        "back to a release that was kept"
    )


def test_wording_of_a_rotation_that_was_undone(host: NotingHost) -> None:
    host.failing = ["checks"]
    with pytest.raises(RunFailed) as failed:
        rotate("redis")
    assert str(failed.value) == (
        "the new redis key was given up, and the old one is in use again: checks fails"
    )


def test_wording_of_an_encryption_key_that_infisical_replaces() -> None:
    assert str(refuse_encryption_key(version="v0.165.16", replaces=True)) == (
        "only a person can replace the encryption key of Infisical v0.165.16, at its Server "
        "Console, and nothing was changed: read `infisical-iac docs keys` for each step"
    )
