"""Test a host's report on the swarm, its data and its kernel, which shows no key."""

from pathlib import Path

import pytest

from tests.unit.cluster.swarm_host import KEY, make_unjoined_host
from tests.unit.fake_host import FakeHost


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return make_unjoined_host(tmp_path)


_DATA = "/var/lib/docker/volumes/infisical_patroni/_data/pgdata/pgroot/data/global/pg_control"


@pytest.mark.parametrize(
    ("etcd", "volume", "crashes", "recovery", "lines"),
    [
        ("healthy", True, 5, "f", ["etcd healthy"]),
        ("", True, 2, "f", ["etcd ", "primary"]),
        ("", True, 3, "t", ["etcd lost"]),
        ("", False, 0, "f", ["etcd lost", "primary"]),
    ],
)
def test_the_state_of_etcd_and_the_primary_is_reported(
    host: FakeHost, etcd: str, volume: bool, crashes: int, recovery: str, lines: list[str]
) -> None:
    host.write("/etc/infisical/stack.yaml", "services: {}")
    host.write("/crashes", "id\n" * crashes)
    host.write("/recovery", f"{recovery}\n")
    if etcd:
        host.write(f"/{etcd}", "")
    if volume:
        host.write("/var/lib/docker/volumes/infisical_etcd/_data/data", "")
    output = host.run("swarm-inspect").stdout.splitlines()
    assert [line for line in output if line.startswith(("etcd", "primary"))] == lines
    assert "data" not in output


def test_an_etcd_that_a_killed_run_abandoned_is_lost(host: FakeHost) -> None:
    host.write("/etc/infisical/stack.yaml", "services: {}")
    host.write("/crashes", "")
    host.write("/var/lib/docker/volumes/infisical_etcd/_data/data", "")
    assert "etcd " in host.run("swarm-inspect").stdout.splitlines()
    assert host.run("etcd", "abandon").returncode == 0
    assert "etcd lost" in host.run("swarm-inspect").stdout.splitlines()


def test_the_wal_position_of_a_standby_is_reported(host: FakeHost) -> None:
    host.write("/etc/infisical/stack.yaml", "services:\n  postgres-1:\n    image: spilo:17\n")
    host.write("/crashes", "id\n" * 3)
    host.write(_DATA, "something")
    host.write("/wal", "00000003 0/501CB28\n")
    assert "wal 00000003 0/501CB28" in host.run("swarm-inspect").stdout.splitlines()
    (asked,) = (call for call in host.calls() if call.startswith("docker run"))
    assert "/pgroot/data:/data:ro spilo:17 -c" in asked
    assert "--network none" in asked
    host.write("/recovery", "f\n")
    assert "wal" not in host.run("swarm-inspect").stdout


def test_existing_data_are_reported(host: FakeHost) -> None:
    host.write(_DATA, "")
    assert "data" not in host.run("swarm-inspect").stdout.splitlines()
    host.write(_DATA, "something")
    assert "data" in host.run("swarm-inspect").stdout.splitlines()


@pytest.mark.parametrize(
    ("tried", "loaded", "found", "can_encrypt"),
    [
        (0, "xt_u32", "", True),
        (0, "", "xt_bpf", True),
        (0, "xt_recent", "ip_vs", False),
        (2, "xt_u32", "xt_bpf", False),
    ],
)
def test_encryption_needs_esp_and_a_packet_match_in_the_kernel(
    host: FakeHost, tried: int, loaded: str, found: str, can_encrypt: bool
) -> None:
    host.program("unshare", f"exit {tried}")
    host.program("modprobe", f'test "$3" = "{found}"')
    host.write(f"/sys/module/{loaded or 'other'}/refcnt", "1")
    assert ("esp" in host.run("swarm-inspect").stdout.splitlines()) == can_encrypt


def test_no_key_is_reported(host: FakeHost) -> None:
    host.ok(("swarm", "keep"))
    found = host.run("swarm-inspect").stdout
    assert "unlocks" in found.splitlines()
    assert KEY not in found
