"""Test that the environment, or else the group data, name the hosts of a cluster."""

from pathlib import Path

import pytest

from infisical_iac.hetzner.production import production_hosts
from tests.unit.settings_of import CONNECTOR

_FILE = """topology = "swarm"
ssh_hostname = "203.0.113.1"
ssh_user = "deploy"
hosts = [
    {"name": "one", "address": "203.0.113.7", "cluster_address": "10.0.0.1"},
    {"address": "203.0.113.8", "ssh_port": 2222, "ssh_user": "root", "data_volume": "/dev/sdb"},
]
"""


@pytest.fixture(autouse=True)
def _clear_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HCLOUD_TOKEN", raising=False)
    for name in ("HOST", "HOSTS", "SSH_USER", "SSH_PORT", "SSH_KEY", "DATA_VOLUME"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Group data that name the hosts of a cluster."""
    path = tmp_path / "hetzner.py"
    path.write_text(_FILE)
    return path


def test_each_host_has_its_own_settings_or_the_common_ones(file: Path) -> None:
    assert production_hosts(file) == [
        (
            "one",
            {
                "ssh_hostname": "203.0.113.7",
                "ssh_user": "deploy",
                "cluster_address": "10.0.0.1",
                "_sudo": True,
                **CONNECTOR,
            },
        ),
        (
            "203.0.113.8",
            {
                "ssh_hostname": "203.0.113.8",
                "ssh_user": "root",
                "ssh_port": 2222,
                "data_volume": "/dev/sdb",
                "_sudo": False,
                **CONNECTOR,
            },
        ),
    ]


def test_the_repository_overrides_settings_of_the_connector(file: Path) -> None:
    """pyinfra reads the files of the repository only, and the defaults are in the package."""
    file.with_name("all.py").write_text("ssh_connect_retries = 2\n")
    file.write_text(f"{file.read_text()}\nssh_connect_retry_max_delay = 9.0\n")
    for _, data in production_hosts(file):
        found = {key: value for key, value in data.items() if key in CONNECTOR}
        own = {"ssh_connect_retries": 2, "ssh_connect_retry_max_delay": 9.0}
        assert found == CONNECTOR | own


def test_the_environment_overrides_the_group_data(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_HOSTS", "a.example.com, b.example.com,a.example.com,")
    monkeypatch.setenv("INFISICAL_SSH_PORT", "2200")
    found = production_hosts(file)
    assert [name for name, _ in found] == ["a.example.com", "b.example.com"]
    assert [data["ssh_port"] for _, data in found] == [2200, 2200]
    assert [data["ssh_user"] for _, data in found] == ["deploy", "deploy"]


def test_only_the_projects_host_key_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "group_data" / "hetzner.py"
    file.parent.mkdir()
    file.write_text(_FILE)
    kept = tmp_path / ".infisical-iac" / "known_hosts"
    kept.parent.mkdir()
    kept.write_text("[203.0.113.8]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n")
    first, second = (data for _, data in production_hosts(file))
    assert "ssh_known_hosts_file" not in first
    assert second["ssh_known_hosts_file"] == str(kept)


def test_a_single_host_needs_no_list_of_hosts(file: Path) -> None:
    file.write_text(_FILE.replace("swarm", "single"))
    [(name, data)] = production_hosts(file)
    assert (name, data["ssh_user"]) == ("203.0.113.1", "deploy")


@pytest.mark.parametrize(
    ("text", "environment", "facts"),
    [
        ('topology = "swarm"\n', {}, r"INFISICAL_HOSTS is not set: .* hosts in hetzner\.py"),
        (_FILE, {"INFISICAL_HOST": "a"}, r"INFISICAL_HOST .* \"swarm\" in hetzner\.py: "),
        (_FILE, {"INFISICAL_SSH_KEY": "/nowhere/id"}, r"INFISICAL_SSH_KEY.*: .* /nowhere/id;"),
        (
            _FILE.replace('"address"', '"adress"'),
            {},
            r"setting 'hosts\.0\.address' in hetzner\.py: is not set; .*'203\.0",
        ),
        (_FILE.replace("10.0.0.1", "home"), {}, r"cluster_address' in hetzner\.py: 'home' "),
    ],
)
def test_invalid_hosts_are_reported_with_the_setting_or_variable(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    environment: dict[str, str],
    facts: str,
) -> None:
    file.write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=facts):
        production_hosts(file)
