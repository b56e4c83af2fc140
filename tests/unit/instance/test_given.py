"""Test how secrets that the user gives get to the host, and which programs read them there."""

import json
import subprocess
from pathlib import Path

import pytest

from infisical_iac.agent import keys
from infisical_iac.agent.runner import Runner
from infisical_iac.backup import kit
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.instance import given
from infisical_iac.instance.network import PROXY_PASSWORD
from infisical_iac.instance.settings import GivenSecret
from tests.unit.agent.fake_runner import FakeRunner

_SECRET = GivenSecret("SMTP_PASSWORD", "the password of smtp.example.com")
_TOKEN = GivenSecret("GITHUB_API_TOKEN", "the value of GITHUB_API_TOKEN")
_VALUES = [
    "fake-password",
    'fa$ke pass#word "quoted" `x` $(x) ; & \' end',
    "back\\slash\\n",
    "-----BEGIN FAKE KEY-----\nQUJD\n-----END FAKE KEY-----",
    "päss wörd",
]


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "_values", {})
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    monkeypatch.delenv("SMTP_PASSWORD_FILE", raising=False)


def test_a_value_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "fake-password\n")
    given.ask([_SECRET])
    assert given.value_of(_SECRET) == "fake-password"
    assert given.values() == {"given_smtp_password": "fake-password"}


def test_a_value_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("fake-password\n")
    monkeypatch.setenv("SMTP_PASSWORD_FILE", str(tmp_path / "password"))
    given.ask([_SECRET])
    assert given.value_of(_SECRET) == "fake-password"


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMTP_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="SMTP_PASSWORD_FILE") as refused:
        given.ask([_SECRET])
    assert refused.value.code == "settings.not_readable"


def test_without_a_terminal_the_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="SMTP_PASSWORD") as refused:
        given.ask([_SECRET])
    assert refused.value.code == "settings.not_given"


@pytest.mark.parametrize(
    "value",
    [" ", "two\\\\slashes", "slash\\'quote", "end\\", "${HOME}", "bell\x07", "empty\n\nline"],
)
def test_a_value_that_compose_would_change_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", value)
    with pytest.raises(SettingsError, match="SMTP_PASSWORD") as refused:
        given.ask([_SECRET])
    assert refused.value.code == "settings.unfit_secret"
    assert not value.strip() or value not in str(refused.value)
    assert given.value_of(_SECRET) == ""


def test_a_password_with_a_character_outside_of_ascii_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "fäke-password")
    with pytest.raises(SettingsError, match="SMTP_PASSWORD") as refused:
        given.ask([_SECRET])
    assert refused.value.code == "settings.unfit_secret"
    assert "ä" not in str(refused.value)


def test_a_password_in_an_address_with_a_special_character_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PROXY_PASSWORD, "with:a/colon")
    with pytest.raises(SettingsError, match=PROXY_PASSWORD) as refused:
        given.ask([GivenSecret(PROXY_PASSWORD, "the password of proxy.internal:3128")])
    assert refused.value.code == "settings.unfit_secret"
    assert "with:a/colon" not in str(refused.value)


def _make(host: Runner, *more: str) -> None:
    made = {"admin_email": "admin@example.com", "admin_password": ""}
    keys.make(host, **made, more=more, given=given.values())


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    return FakeRunner(tmp_path)


@pytest.mark.parametrize("value", _VALUES)
def test_compose_and_shells_read_the_value_as_it_was_given(
    host: FakeRunner, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("GITHUB_API_TOKEN", value)
    given.ask([_TOKEN])
    more = "given_github_api_token"
    assert more in keys.check(host, more=[more]).missing
    _make(host, more)
    assert host.text(f"/etc/infisical/keys/{more}") == f"{value}\n"
    assert keys.check(host, more=[more]).is_complete
    kit.check_forms({f"keys/{more}": f"{value}\n"}, where="a kit")
    assert _read_by_compose(host.path("/etc/infisical")) == value


def _read_by_compose(root: Path) -> str:
    """Return the token as Compose takes it from .env into the environment of a container."""
    file = root / "compose.yaml"
    file.write_text(
        "services: {x: {image: x, environment: {P: '${GITHUB_API_TOKEN:-}'}}}\n", encoding="utf-8"
    )
    command = ["docker-compose", "--project-directory", str(root), "--file", str(file)]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)["services"]["x"]["environment"]["P"]
    return str(found).replace("$$", "$")


def test_a_secret_without_a_setting_is_surplus_until_it_is_removed(host: FakeRunner) -> None:
    _make(host)
    (key,) = names = ["given_smtp_password"]
    host.write(f"/etc/infisical/keys/{key}", "fake\n")
    assert keys.check(host).surplus == {key}
    assert keys.check(host, more=names).surplus == frozenset()
    keys.derive(host)
    assert "SMTP_PASSWORD='fake'" in (host.text("/etc/infisical/.env") or "")
    keys.forget(host, names=names)
    assert "SMTP_PASSWORD" not in (host.text("/etc/infisical/.env") or "")
    assert keys.check(host).surplus == frozenset()


@pytest.mark.parametrize("text", ["", "\n", "a\\'b\n", "a\\\\b\n", "end\\\n", "a\n\nb\n"])
def test_a_kit_with_a_value_that_ends_its_quotes_is_refused(text: str) -> None:
    with pytest.raises(FileError, match="given_smtp_password"):
        kit.check_forms({"keys/given_smtp_password": text}, where="a kit")
