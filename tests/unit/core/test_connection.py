"""Test that the environment, or else the group data, name the production host."""

from pathlib import Path

import pytest

from infisical_iac.hetzner.production import production_host
from tests.unit.settings_of import CONNECTOR

_FILE = 'ssh_hostname = "203.0.113.7"\nssh_user = "deploy"\nssh_port = 2222\nadmin_email = "x"\n'


@pytest.fixture(autouse=True)
def _clear_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HCLOUD_TOKEN", raising=False)
    for name in ("HOST", "SSH_USER", "SSH_PORT", "SSH_KEY", "DATA_VOLUME"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Group data such as `infisical-iac init` writes."""
    path = tmp_path / "hetzner.py"
    path.write_text(_FILE)
    return path


def test_the_group_data_name_the_host(file: Path) -> None:
    assert production_host(file) == (
        "203.0.113.7",
        {
            "ssh_hostname": "203.0.113.7",
            "ssh_user": "deploy",
            "ssh_port": 2222,
            "_sudo": True,
            **CONNECTOR,
        },
    )


def test_each_variable_overrides_the_group_data(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = file.with_name("id")
    key.touch()
    monkeypatch.setenv("INFISICAL_HOST", "other.example.com")
    monkeypatch.setenv("INFISICAL_SSH_USER", "root")
    monkeypatch.setenv("INFISICAL_SSH_KEY", str(key))
    assert production_host(file) == (
        "other.example.com",
        {
            "ssh_hostname": "other.example.com",
            "ssh_user": "root",
            "ssh_port": 2222,
            "ssh_key": str(key),
            "_sudo": False,
            **CONNECTOR,
        },
    )


def test_a_missing_key_file_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_SSH_KEY", "/nowhere/id")
    with pytest.raises(SystemExit, match=r"INFISICAL_SSH_KEY.*no file /nowhere/id"):
        production_host(file)


def test_a_public_key_is_refused_in_place_of_the_private_key(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = file.with_name("id.pub")
    key.touch()
    monkeypatch.setenv("INFISICAL_SSH_KEY", str(key))
    with pytest.raises(SystemExit, match=r"INFISICAL_SSH_KEY.*id\.pub is the public key"):
        production_host(file)


def test_the_default_user_is_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_HOST", "203.0.113.9")
    name, data = production_host(tmp_path / "none.py")
    assert (name, data["ssh_user"], data["_sudo"]) == ("203.0.113.9", "root", False)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", "INFISICAL_HOST is not set: .*`infisical-iac init`"),
        (_FILE.replace("2222", '"ssh"'), r"INFISICAL_SSH_PORT.* ssh_port in hetzner\.py, is 'ssh'"),
        ("ssh_hostname = 203.0.113.7", r"hetzner\.py can't be read .*syntax"),
    ],
)
def test_a_host_without_usable_connection_data_is_refused_in_one_line(
    file: Path, text: str, facts: str
) -> None:
    file.write_text(text)
    with pytest.raises(SystemExit, match=facts) as ended:
        production_host(file)
    assert "\n" not in str(ended.value)
