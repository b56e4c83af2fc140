"""Test the order of the steps of a rotation, on a fake host that only records them."""

from collections.abc import Sequence

import pytest

from infisical_iac.change.keys import find_key, parse_unfinished
from infisical_iac.core.errors import RunFailed, SettingsError, UserError
from infisical_iac.core.settings import Settings
from infisical_iac.instance import given, proof
from tests.unit.change.steps import KEYS, NotingHost, recover, rotate
from tests.unit.settings_of import settings_of

_USE = ["keys derive", "rotation alter", "up"]
_OLD = {"postgres_password": "obviously-fake", "redis_password": "obviously-fake"}
_STATE = "/var/lib/infisical-rotation/state"


def test_a_new_password_is_used_and_then_checked(host: NotingHost) -> None:
    assert rotate("database") == ["Read as before: 1 secret."]
    assert host.steps == [*_USE, "checks"]
    assert host.keys().keys() == _OLD.keys()
    assert host.keys()["postgres_password"] != "obviously-fake"


def test_only_the_database_key_is_given_to_postgresql(host: NotingHost) -> None:
    rotate("redis")
    assert "rotation alter" not in host.steps


@pytest.mark.parametrize("failing", ["rotation alter", "up", "checks"])
def test_a_failing_new_password_is_replaced_by_the_old_one(host: NotingHost, failing: str) -> None:
    host.failing = [failing]
    with pytest.raises(RunFailed, match="is in use again") as failed:
        rotate("database")
    assert failed.value.code == "run.key_given_up"
    assert host.keys() == _OLD
    assert host.steps[-3:] == _USE
    assert host.runner.text(_STATE) is None


@pytest.mark.parametrize("failing", _USE)
def test_an_old_password_that_cannot_be_put_back_is_tried_by_the_next_run(
    host: NotingHost, failing: str
) -> None:
    host.failing = [failing, failing]
    with pytest.raises(RunFailed) as failed:
        rotate("database")
    assert failed.value.code == "run.stuck"
    assert host.keys().keys() == {*_OLD, "postgres_password.next"}
    assert "old database key" in recover("database", "backing")
    assert host.keys() == _OLD


@pytest.mark.parametrize(
    ("phase", "steps", "is_new"),
    [
        ("prepared", [], False),
        ("switching", [*_USE, "checks"], True),
        ("switched", [*_USE, "checks"], True),
        ("backing", _USE, False),
        ("back", _USE, False),
        ("proven", [], True),
    ],
)
def test_a_rotation_of_the_version_before_is_ended_by_its_phase(
    host: NotingHost, phase: str, steps: Sequence[str], is_new: bool
) -> None:
    host.runner.write(_STATE, f"postgres_password {phase}\n")
    key = f"{KEYS}/postgres_password"
    if phase in ("prepared", "switching"):
        host.runner.write(f"{key}.next", "new")
    elif phase in ("switched", "proven", "backing"):
        host.runner.write(f"{key}.old", "obviously-fake")
        host.runner.write(key, "new")
    recover("database", phase)
    assert host.steps == steps
    assert host.keys() == (_OLD | {"postgres_password": "new"} if is_new else _OLD)
    assert host.runner.text(_STATE) is None


_MAIL = {
    "smtp": {"host": "smtp.example.com", "user": "infisical", "from_address": "iac@example.com"},
    "infisical_secrets": ("GITHUB_API_TOKEN",),
}
_VALUE = "a-fake-secret"


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch, host: NotingHost) -> list[str]:
    """Have a mail server that accepts each login; return the proven passwords."""
    found: list[str] = []

    def prove(settings: Settings, password: str) -> None:
        found.append(password)
        host.note("mail")

    monkeypatch.setattr(proof, "prove_mail", prove)
    monkeypatch.setattr(given, "_values", {})
    return found


def test_a_new_password_of_the_mail_server_is_proven_before_it_is_stored(
    host: NotingHost, proven: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", _VALUE)
    host.runner.write(f"{KEYS}/given_smtp_password", "before\n")
    rotate("smtp", **_MAIL)
    assert host.steps[0] == "mail"
    assert (proven, host.keys()["given_smtp_password"]) == ([_VALUE], f"{_VALUE}\n")
    assert not any(_VALUE in step for step in host.steps)


def test_a_refused_password_of_the_mail_server_changes_nothing(
    host: NotingHost, proven: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", _VALUE)
    host.failing = ["mail"]
    with pytest.raises(UserError):
        rotate("smtp", **_MAIL)
    assert host.steps == ["mail"]


def test_another_secret_of_the_user_is_given_and_not_made(
    host: NotingHost, proven: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_TOKEN", _VALUE)
    host.runner.write(f"{KEYS}/given_github_api_token", "before\n")
    rotate("GITHUB_API_TOKEN", **_MAIL)
    assert (proven, host.keys()["given_github_api_token"]) == ([], f"{_VALUE}\n")


@pytest.mark.parametrize(("name", "fact"), [("smpt", "'smtp'"), ("redsi", "'redis'")])
def test_an_unknown_key_is_refused_with_the_closest(name: str, fact: str) -> None:
    with pytest.raises(SettingsError, match=fact) as refused:
        find_key(name, settings_of(**_MAIL).instance.secrets)
    assert refused.value.code == "settings.unknown_key"


def test_an_interrupted_rotation_of_a_given_secret_is_recognized() -> None:
    found = parse_unfinished("given_smtp_password switched")
    assert found is not None
    assert (found.key.name, found.way) == ("smtp", "complete")
