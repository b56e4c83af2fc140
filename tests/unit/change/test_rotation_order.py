"""Test the order of the steps of a rotation, on a fake host that only records them."""

from collections.abc import Sequence

import pytest

from infisical_iac.change.keys import find_key, parse_unfinished
from infisical_iac.core.errors import RunFailed, SettingsError, UserError
from infisical_iac.core.settings import Settings
from infisical_iac.instance import given, proof
from tests.unit.change.steps import NotingHost, recover, rotate
from tests.unit.settings_of import settings_of

_USE = ["keys derive", "rotation alter", "up"]
_SWITCH = ["rotation switch", *_USE, "checks"]
_BACK = ["rotation back", *_USE, "rotation end"]


def test_the_next_password_is_stored_before_it_is_used(host: NotingHost) -> None:
    assert rotate("database") == ["Read as before: 1 secret."]
    assert host.steps == ["rotation prepare postgres_password", *_SWITCH, "rotation end"]


def test_only_the_database_key_is_given_to_postgresql(host: NotingHost) -> None:
    rotate("redis")
    assert "rotation alter" not in host.steps


@pytest.mark.parametrize("failing", ["rotation alter", "up", "checks"])
def test_a_failing_new_password_is_replaced_by_the_old_one(host: NotingHost, failing: str) -> None:
    host.failing = [failing] * 2
    output = "could not be put" if failing in _USE else "is in use again"
    with pytest.raises(RunFailed, match=output):
        rotate("database")
    at = host.steps.index("rotation back")
    assert host.steps[at:] == (_BACK if failing == "checks" else _BACK[: _BACK.index(failing) + 1])


@pytest.mark.parametrize(
    ("phase", "steps"),
    [
        ("prepared", ["rotation end"]),
        ("switching", [*_SWITCH, "rotation end"]),
        ("switched", [*_SWITCH, "rotation end"]),
        ("backing", _BACK),
        ("back", _BACK),
        ("proven", ["rotation end"]),
    ],
)
def test_the_phase_decides_how_an_interrupted_rotation_is_ended(
    host: NotingHost, phase: str, steps: Sequence[str]
) -> None:
    recover("database", phase)
    assert host.steps == steps


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
    rotate("smtp", **_MAIL)
    assert host.steps[:3] == ["mail", "rotation prepare given_smtp_password", "rotation switch"]
    assert (proven, host.stored) == ([_VALUE], f"{_VALUE}\n")
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
    rotate("GITHUB_API_TOKEN", **_MAIL)
    assert host.steps[0] == "rotation prepare given_github_api_token"
    assert (proven, host.stored) == ([], f"{_VALUE}\n")


@pytest.mark.parametrize(("name", "fact"), [("smpt", "'smtp'"), ("redsi", "'redis'")])
def test_an_unknown_key_is_refused_with_the_closest(name: str, fact: str) -> None:
    with pytest.raises(SettingsError, match=fact) as refused:
        find_key(name, settings_of(**_MAIL).instance.secrets)
    assert refused.value.code == "settings.unknown_key"


def test_an_interrupted_rotation_of_a_given_secret_is_recognized() -> None:
    found = parse_unfinished("given_smtp_password switched")
    assert found is not None
    assert (found.key.name, found.way) == ("smtp", "complete")
