"""Test that `outdated` prints lines of settings, and exits with 2 if there are newer versions."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.change import outdated, tool_versions
from infisical_iac.change.outdated import row as describe_versions
from infisical_iac.cli import status, versions
from infisical_iac.cli.main import main
from infisical_iac.core import bundle, connection
from infisical_iac.core.errors import SettingsError
from infisical_iac.monitoring import deploy
from tests.fake_registry import DIGEST, FakeRegistry, fake_registry
from tests.unit.settings_of import settings_of


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeRegistry]:
    """A registry with exactly the pinned versions, and an empty working directory."""
    tags = {
        "infisical/infisical": ["v0.165.16"],
        "library/postgres": ["17.11"],
        "library/redis": ["8.2.10"],
        "library/caddy": ["2.11.7"],
    }
    with fake_registry(tags=tags) as found:
        settings = settings_of(
            infisical_image=f"{found.host}/infisical/infisical",
            postgres_image=f"{found.host}/library/postgres:17.11",
            redis_image=f"{found.host}/library/redis:8.2.10@sha256:{'b' * 64}",
            caddy_image=f"{found.host}/library/caddy:2.11.7",
        )
        monkeypatch.setattr(versions, "_read_settings", lambda _: settings)
        monkeypatch.setattr("infisical_iac.change.outdated.TIME_LIMIT", 30.0)
        monkeypatch.chdir(tmp_path)
        yield found


def _run(*options: str) -> Result:
    return CliRunner().invoke(main, ["outdated", *options])


def _data(*options: str) -> Any:
    return json.loads(_run("--json", *options).stdout)


@pytest.mark.usefixtures("registry")
def test_outdated_exits_with_0_if_no_version_is_newer() -> None:
    done = _run()
    assert done.exit_code == 0, done.output
    assert "group_data/" not in done.output
    assert "17.11" in done.output


def test_a_newer_version_is_set_by_a_line_of_the_settings(registry: FakeRegistry) -> None:
    registry.tags["library/redis"] += ["8.4.1", "9.0.0"]
    registry.tags["infisical/infisical"] += ["v0.166.2"]
    done = _run()
    assert done.exit_code == 2, done.output
    assert f'    redis_image = "{registry.host}/library/redis:8.4.1@{DIGEST}"\n' in done.output
    assert f'    infisical_version = "v0.166.2@{DIGEST}"\n' in done.output
    assert "9.0.0" in done.output


def test_outdated_exits_with_0_if_only_a_major_version_is_newer(registry: FakeRegistry) -> None:
    registry.tags["library/postgres"] += ["18.4"]
    done = _run()
    assert done.exit_code == 0, done.output
    assert "18.4" in done.output


def test_json_has_all_facts_about_a_version(registry: FakeRegistry) -> None:
    registry.tags["library/redis"] += ["8.4.1"]
    found = _data()
    (redis,) = [each for each in found["versions"] if each["name"] == "redis"]
    assert redis == {
        "name": "redis",
        "setting": "redis_image",
        "image": f"{registry.host}/library/redis:8.2.10",
        "pinned": "8.2.10",
        "newest": "8.4.1",
        "newer_major": "",
        "digest": DIGEST,
        "unknown": "",
        "notes": [],
        "security": "",
    }
    assert found["changelog"] == {}


def test_outdated_exits_with_0_if_a_registry_fails(registry: FakeRegistry) -> None:
    registry.status = 500
    done = _run()
    assert done.exit_code == 0, done.output
    assert done.stderr.count("not known") == 4
    assert "?" in done.stdout


def test_images_are_pinned_by_the_digests_of_their_tags(registry: FakeRegistry) -> None:
    del registry.tags["library/caddy"]
    done = _run("--pin")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f'infisical_version = "v0.165.16@{DIGEST}"',
        f'postgres_image = "{registry.host}/library/postgres:17.11@{DIGEST}"',
        f'redis_image = "{registry.host}/library/redis:8.2.10@{DIGEST}"',
    ]
    moved, missing = done.stderr.splitlines()
    assert f"sha256:{'b' * 64}" in moved
    assert "library/caddy" in missing


def test_the_images_of_a_cluster_are_pinned_by_lines_of_the_settings(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.tags |= {
        "zalando/spilo-17": ["4.0-p3"],
        "etcd-development/etcd": ["v3.5.21"],
        "library/haproxy": ["3.2.25"],
    }
    single = versions._read_settings("")
    settings = single.with_values(
        topology="swarm",
        acme_ca="internal",
        patroni_image=f"{registry.host}/zalando/spilo-17:4.0-p3",
        etcd_image=f"{registry.host}/etcd-development/etcd:v3.5.21",
        haproxy_image=f"{registry.host}/library/haproxy:3.2.25",
    )
    monkeypatch.setattr(versions, "_read_settings", lambda _: settings)
    lines = _run("--pin").stdout.splitlines()
    assert {
        f'patroni_image = "{registry.host}/zalando/spilo-17:4.0-p3@{DIGEST}"',
        f'etcd_image = "{registry.host}/etcd-development/etcd:v3.5.21@{DIGEST}"',
        f'haproxy_image = "{registry.host}/library/haproxy:3.2.25@{DIGEST}"',
    } < set(lines)


@pytest.mark.usefixtures("registry")
def test_the_changelog_since_the_pinned_version_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "own"\ndependencies = ["infisical-iac==0.1.0"]\n'
    )
    text = "# Changelog\n\n## 0.2.0\n\n- A new thing.\n\n## 0.1.0\n\n- An old thing.\n"
    monkeypatch.setattr(tool_versions, "read_changelog", lambda: text)
    monkeypatch.setattr(bundle, "version", lambda: "0.2.0")
    assert _data()["changelog"] == {"0.2.0": "- A new thing."}
    done = _run("--since", "0.1.0")
    assert (done.exit_code, done.output) == (0, "\n0.2.0\n\n- A new thing.\n")
    assert _data("--since", "0.0.9")["changelog"].keys() == {"0.2.0", "0.1.0"}


def test_a_wrong_version_is_refused() -> None:
    done = _run("--since", "yesterday", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[0])["code"] == "settings.version"


@pytest.mark.usefixtures("registry")
def test_a_newer_tool_names_the_upgrade_command(monkeypatch: pytest.MonkeyPatch) -> None:
    client = tool_versions.PackageClient(
        "uv", (), "", "uv tool upgrade infisical-iac", "uvx infisical-iac@{}"
    )
    monkeypatch.setattr(tool_versions, "detect_client", lambda: client)
    monkeypatch.setattr(tool_versions, "ask_newest", lambda *_, **__: "9.0.0")
    done = _run()
    assert done.exit_code == 2, done.output
    assert "`uv tool upgrade infisical-iac`" in done.output
    since = "`uvx infisical-iac@9.0.0 outdated --since 0.1.0`"
    assert since in done.output
    (tool,) = [each for each in _data()["versions"] if each["name"] == "infisical-iac"]
    assert any(since in each for each in tool["notes"])


def test_outdated_connects_to_no_host(registry: FakeRegistry, tmp_path: Path) -> None:
    """The command runs as a separate process, in a repository with a host that does not exist."""
    registry.tags["library/redis"] += ["8.4.1"]
    (tmp_path / "inventory").mkdir()
    (tmp_path / "group_data").mkdir()
    defaults = Path(__file__).parents[3] / "group_data" / "all.py"
    (tmp_path / "group_data" / "all.py").write_text(defaults.read_text())
    host = {"ssh_hostname": "127.0.0.1", "ssh_port": 9}
    (tmp_path / "inventory" / "office.py").write_text(f"office = [('office', {host!r})]\n")
    settings = {
        "admin_email": "admin@example.com",
        "ingress": "none",
        "infisical_image": f"{registry.host}/infisical/infisical",
        "postgres_image": f"{registry.host}/library/postgres:17.11",
        "redis_image": f"{registry.host}/library/redis:8.2.10",
    }
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (tmp_path / "group_data" / "office.py").write_text("".join(lines))
    program = str(Path(sys.executable).with_name("infisical-iac"))
    done = subprocess.run(
        [program, "outdated", "--json", "-i", "inventory/office.py"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    found = {each["name"]: each["newest"] for each in json.loads(done.stdout)["versions"]}
    assert found["redis"] == "8.4.1"
    assert "caddy" not in found


def test_status_has_a_row_for_new_versions(registry: FakeRegistry) -> None:
    registry.tags["library/redis"] += ["8.4.1"]
    row = describe_versions(status._ask_for_new_versions(versions._read_settings(""))())
    assert (row.name, row.is_note, row.ok) == ("New versions", True, True)
    assert "redis 8.4.1" in row.text


def test_status_asks_no_registry_for_a_host_with_archives(registry: FakeRegistry) -> None:
    settings = versions._read_settings("").with_values(image_archives=("images.tar",))
    assert status._ask_for_new_versions(settings)() == []
    assert registry.requests == []


def test_keep_leaves_newer_releases_on_all_hosts(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.tags["library/redis"] += ["8.4.1"]
    kept: list[Any] = []
    one, two = SimpleNamespace(name="one"), SimpleNamespace(name="two")
    found = versions._read_settings("")
    monitoring = found.monitoring.model_copy(update={"monitoring": "on"})
    on = found.model_copy(update={"monitoring": monitoring})
    monkeypatch.setattr(versions, "_read_settings", lambda _: on)
    monkeypatch.setattr(versions, "open_host", lambda *_, **__: nullcontext((one, on)))
    monkeypatch.setattr(connection, "with_others", lambda _: [one, two])
    monkeypatch.setattr(connection, "each_of", lambda hosts, call: [call(each) for each in hosts])
    monkeypatch.setattr(deploy, "keep_releases", kept.append)
    monkeypatch.setattr(
        outdated,
        "add_security_notes",
        lambda reports, **_: [
            replace(each, security="CVE-2026-12345" if each.name == "redis" else "")
            for each in reports
        ],
    )
    done = _run("--keep")
    assert done.exit_code == 2, done.output
    assert "8.4.1" in done.output
    assert "CVE-2026-12345" in done.output
    assert len(kept) == 2
    assert kept[0]["newer"] == [
        {"name": "redis", "pinned": "8.2.10", "newest": "8.4.1", "security": "CVE-2026-12345"}
    ]


def test_keep_needs_a_monitor_and_the_table_of_versions(registry: FakeRegistry) -> None:
    """The monitor is off here. Nothing is asked in vain."""
    assert _run("--keep", "--pin").exit_code == 1
    done = CliRunner().invoke(versions.outdated_command, ["--keep"])
    assert isinstance(done.exception, SettingsError)
    assert done.exception.code == "settings.no_monitoring"
    assert registry.requests == []
