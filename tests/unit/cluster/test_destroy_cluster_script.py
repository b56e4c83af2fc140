"""Test destroy-cluster.sh on one node, with a fake Docker."""

from pathlib import Path

import pytest

from tests.unit.fake_host import FakeHost, make_host

_KEY = "/etc/infisical/keys/encryption_key"
_BACKUP = "/var/backups/infisical-iac/20261125T101112Z"
# A node where the stack runs until it is removed; files hold its state.
_DOCKER = """
"ps --all --no-trunc"*) test ! -e "$HOST/runs" || echo "id / infisical_postgres-1/ Up 1 minute" ;;
"ps --format"*) test ! -e "$HOST/runs" || echo "container infisical_postgres-1.1.x" ;;
"ps --quiet"*) test ! -e "$HOST/runs" || echo id ;;
"ps --all --quiet"*) echo ended ;;
*pg_is_in_recovery*) cat "$HOST/standby" ;;
*pg_dump*) echo dump ;;
*pg_restore*) cat >/dev/null; cat "$HOST/listed" ;;
"""


@pytest.fixture
def node(tmp_path: Path) -> FakeHost:
    host = make_host(tmp_path)
    host.docker(_DOCKER)
    host.program("sleep")
    host.program("tar", 'echo files >"$3"')
    host.write("/calls", "")
    host.write("/runs", "")
    host.write("/standby", "f\n")
    host.write("/listed", "3; TABLE DATA public secrets\n")
    host.write(_KEY, "obviously-fake")
    host.volume("infisical_patroni", base="data")
    return host


def test_the_deployed_stack_is_listed(node: FakeHost) -> None:
    lines = node.run("destroy-cluster", "inspect").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["files", "container", "infisical_patroni"]


@pytest.mark.parametrize(("standby", "output"), [("f\n", "primary\n"), ("t\n", ""), ("", "")])
def test_only_a_primary_reports_itself(node: FakeHost, standby: str, output: str) -> None:
    node.write("/standby", standby)
    assert node.run("destroy-cluster", "primary").stdout == output


def test_a_node_without_a_database_is_not_a_primary(node: FakeHost) -> None:
    node.remove("/runs")
    done = node.run("destroy-cluster", "primary")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_dump_gets_its_final_name_after_it_was_read_back(node: FakeHost) -> None:
    node.ok(("destroy-cluster", "backup", _BACKUP))
    assert node.read(f"{_BACKUP}/database.dump") == "dump\n"
    assert node.read(f"{_BACKUP}/etc-infisical.tar") == "files\n"


def test_an_unreadable_dump_is_an_error_and_is_removed(node: FakeHost) -> None:
    node.write("/listed", "nothing\n")
    done = node.run("destroy-cluster", "backup", _BACKUP)
    assert done.returncode != 0
    assert "can't be read back" in done.stderr
    assert node.read(f"{_BACKUP}/database.dump") is None
    assert node.read(f"{_BACKUP}.new/database.dump") is None


def test_running_containers_are_reported_and_nothing_is_removed(node: FakeHost) -> None:
    node.write("/etc/infisical/stack.yaml", "services: {}")
    done = node.run("destroy-cluster", "gone")
    assert done.returncode != 0
    assert "two minutes" in done.stderr
    assert node.read("/etc/infisical/stack.yaml") is not None


def test_after_the_containers_ended_configs_are_removed_and_keys_and_data_stay(
    node: FakeHost,
) -> None:
    node.remove("/runs")
    for file in ("stack.yaml", "stack.json", "stack/haproxy_cfg_0123"):
        node.write(f"/etc/infisical/{file}", "text")
    node.ok(("destroy-cluster", "gone"))
    assert "docker rm --force ended" in node.calls()
    assert node.read("/etc/infisical/stack.yaml") is None
    assert node.read("/etc/infisical/stack/haproxy_cfg_0123") is None
    assert node.read(_KEY) == "obviously-fake"
    assert node.volumes() == {"infisical_patroni": {"base": "data"}}


def test_removing_the_data_removes_the_unlock_key_too_and_is_repeatable(
    node: FakeHost,
) -> None:
    unit = "/etc/systemd/system/infisical-unlock.service"
    node.write(unit, "[Unit]")
    node.ok(("destroy-cluster", "volumes"), ("destroy-cluster", "volumes"))
    assert node.calls().count("docker volume rm infisical_patroni") == 1
    assert node.volumes() == {}
    assert node.read(unit) is None
