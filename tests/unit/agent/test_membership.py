"""Test a host's report on the swarm, its data and its kernel, which shows no key."""

import json
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import membership
from infisical_iac.agent.membership import SwarmState
from infisical_iac.agent.runner import Output
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container

KEY = "SWMKEY-1-obviously-fake"
_VOLUMES = "/var/lib/docker/volumes"
_CONTROL_FILE = f"{_VOLUMES}/infisical_patroni/_data/pgdata/pgroot/data/global/pg_control"
_INFO: dict[str, Any] = {
    "NodeID": "id1",
    "NodeAddr": "10.0.0.1",
    "LocalNodeState": "active",
    "ControlAvailable": True,
    "Cluster": {
        "ID": "swarm-id",
        "DefaultAddrPool": ["10.201.0.0/16"],
        "Spec": {
            "EncryptionConfig": {"AutoLockManagers": True},
            "CAConfig": {"NodeCertExpiry": 2592000 * 10**9},
        },
        "TLSInfo": {"TrustRoot": "-----BEGIN CERTIFICATE-----\nMIIB\n"},
    },
}
_NODE = {
    "ID": "id2",
    "Spec": {
        "Role": "manager",
        "Availability": "drain",
        "Labels": {
            "infisical.host": "two",
            "infisical.node": "2",
            "infisical.joined": "new",
            "infisical.etcd": "1",
        },
    },
    "Description": {"Hostname": "h2"},
    "Status": {"State": "down", "Addr": "0.0.0.0"},
    "ManagerStatus": {"Reachability": "unreachable", "Addr": "10.0.0.2:2377"},
}


def _inspect(host: FakeRunner) -> SwarmState:
    return answer(question(membership.inspect), host)


def _host(tmp_path: Path, **more: str | Output) -> FakeRunner:
    """Return a manager; `more` replaces answers, `docker_info` that of `docker info`."""
    given = {name.replace("_", " "): text for name, text in more.items()}
    return FakeRunner(
        tmp_path,
        answers={
            "docker info": f"{json.dumps(_INFO)}\ntrue\n",
            "docker swarm unlock-key": f"{KEY}\n",
            "docker node ls": "id2\nid2\n",
            "docker node inspect": f"{json.dumps(_NODE)}\n",
            "ip -json route get 192.0.2.1": '[{"dst": "192.0.2.1", "prefsrc": "10.0.0.1"}]',
            **given,
        },
    )


def test_a_manager_reports_the_swarm_and_its_nodes(tmp_path: Path) -> None:
    host = _host(tmp_path)
    for name, text in {"swarm": "swarm-id", "serial": "3", "compose.yaml": ""}.items():
        host.write(f"/etc/infisical/{name}", f"{text}\n")
    host.write("/proc/net/ip_vs", "")
    host.write(_CONTROL_FILE, "something")
    found = _inspect(host)
    assert (found.state, found.id, found.swarm, found.mark) == (
        "active",
        "id1",
        "swarm-id",
        "swarm-id",
    )
    assert (found.address, found.advertised) == ("10.0.0.1", "10.0.0.1")
    assert (found.autolock, found.expiry, found.pool) == (True, 2592000, "10.201.0.0/16")
    assert (found.control, found.live_restore, found.ipvs, found.esp) == (True, True, True, False)
    assert (found.single, found.stack, found.data) == (True, False, True)
    assert (found.serial, found.serial_as_leader, found.digest, found.key) == (3, 0, "", "")
    [other] = found.members
    assert (other.id, other.host, other.number, other.joined) == ("id2", "two", 2, "new")
    assert other.generation == 1
    assert (other.address, other.down, other.active, other.manager) == (
        "10.0.0.2",
        True,
        False,
        True,
    )


def test_an_unreadable_node_makes_the_whole_list_fail(tmp_path: Path) -> None:
    """A node that is missing in the list would seem to be gone."""
    host = _host(tmp_path, docker_node_inspect=Output(1, f"{json.dumps(_NODE)}\n"))
    found = _inspect(host)
    assert (found.control, found.members) == (False, ())


def test_a_manager_without_a_majority_lists_no_nodes_and_does_not_work(tmp_path: Path) -> None:
    host = _host(tmp_path, docker_node_ls=Output(1, errors="no leader"))
    found = _inspect(host)
    assert (found.control, found.members) == (False, ())


def test_a_host_without_docker_is_in_no_swarm(tmp_path: Path) -> None:
    found = _inspect(FakeRunner(tmp_path))
    assert (found.state, found.mark, found.serial, found.address) == ("", "", 0, "")


def test_a_host_without_ipv4_reports_its_ipv6_address(tmp_path: Path) -> None:
    answers = {
        "ip -json route get 192.0.2.1": Output(2, errors="unreachable"),
        "ip -json -6 route get 2001:db8::1": Output(0, '[{"prefsrc": "2001:db8::7"}]'),
    }
    host = FakeRunner(tmp_path, answers=answers)
    assert _inspect(host).address == "2001:db8::7"


_LOADING = (
    "error while loading TLS certificate in /var/lib/docker/swarm/certificates/swarm-node.crt: "
)
_BOTH = "x509: certificate has expired or is not yet valid: "
_NOW = "and it is currently Thu, 26 Nov 2026 13:07:38 UTC: "


@pytest.mark.parametrize(
    ("error", "expired", "early"),
    [
        (
            f"{_LOADING}certificate (1 - node) not valid after Thu, 26 Nov 2026 12:00:00 UTC, "
            f"{_NOW}{_BOTH}",
            True,
            False,
        ),
        (
            f"{_LOADING}certificate (1 - node) not valid before Fri, 27 Nov 2026 12:00:00 UTC, "
            f"{_NOW}{_BOTH}",
            False,
            True,
        ),
        (f"{_BOTH}current time 2026-11-26T13:07:38Z is after 2026-11-26T12:00:00Z", True, False),
        (f"{_BOTH}current time 2026-11-26T13:07:38Z is before 2026-11-27T12:00:00Z", False, True),
        (_BOTH, False, False),
        ("", False, False),
    ],
)
def test_an_expired_certificate_is_distinguished_from_a_clock_that_is_behind(
    tmp_path: Path, error: str, expired: bool, early: bool
) -> None:
    info = {"LocalNodeState": "error", "Error": error}
    found = _inspect(_host(tmp_path, docker_info=f"{json.dumps(info)}\nfalse\n"))
    assert (found.expired, found.early) == (expired, early)


def _data_node(tmp_path: Path, *, etcd: str = "", crashes: int, recovery: str) -> FakeRunner:
    containers = [
        docker_container("etcdid", swarm="infisical_etcd-1"),
        docker_container("pgid", swarm="infisical_postgres-1"),
        docker_container("formerid", project="infisical", service="postgres"),
    ]
    crashed = "docker ps --all --quiet --filter volume=infisical_etcd"
    host = FakeRunner(
        tmp_path,
        answers={
            crashed: "id\n" * crashes,
            "docker exec etcdid": Output(0 if etcd == "healthy" else 1),
            "docker exec pgid": f"{recovery}\n",
            "docker run": "00000003 0/501CB28\n",
            **docker_answers(*containers),
        },
    )
    host.write("/etc/infisical/stack.yaml", "services:\n  postgres-1:\n    image: spilo:17\n")
    return host


@pytest.mark.parametrize(
    ("etcd", "volume", "crashes", "recovery", "expected"),
    [
        ("healthy", True, 5, "f", ("healthy", False)),
        ("", True, 2, "f", ("", True)),
        ("", True, 3, "t", ("lost", False)),
        ("", False, 0, "f", ("lost", True)),
    ],
)
def test_the_state_of_etcd_and_the_primary_is_reported(
    tmp_path: Path,
    etcd: str,
    volume: bool,
    crashes: int,
    recovery: str,
    expected: tuple[str, bool],
) -> None:
    host = _data_node(tmp_path, etcd=etcd, crashes=crashes, recovery=recovery)
    if volume:
        host.write(f"{_VOLUMES}/infisical_etcd/_data/data", "")
    found = _inspect(host)
    assert (found.etcd, found.primary) == expected
    assert (found.data, found.wal) == (False, (0, 0))


def test_an_etcd_that_a_killed_run_abandoned_is_lost(tmp_path: Path) -> None:
    host = _data_node(tmp_path, crashes=0, recovery="t")
    host.write(f"{_VOLUMES}/infisical_etcd/_data/data", "")
    assert _inspect(host).etcd == ""
    host.write(f"{_VOLUMES}/infisical_etcd/abandoned", "")
    assert _inspect(host).etcd == "lost"


def test_the_wal_position_of_a_standby_is_reported(tmp_path: Path) -> None:
    host = _data_node(tmp_path, crashes=3, recovery="t")
    host.write(_CONTROL_FILE, "something")
    found = _inspect(host)
    assert (found.data, found.wal) == (True, (3, 0x501CB28))
    (asked,) = (call for call, _ in host.ran if call.startswith("docker run"))
    assert "/pgroot/data:/data:ro spilo:17 -c" in asked
    assert "--network none" in asked
    assert _inspect(_data_node(tmp_path, crashes=3, recovery="f")).wal == (0, 0)


@pytest.mark.parametrize(
    ("text", "wal"),
    [("00000003 1A/501CB28", (3, 0x1A0501CB28)), ("0000000A 0/F", (10, 15)), ("", (0, 0))],
)
def test_the_wal_position_is_read(text: str, wal: tuple[int, int]) -> None:
    assert membership._position(text) == wal


def test_existing_data_are_reported(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write(_CONTROL_FILE, "")
    assert not _inspect(host).data
    host.write(_CONTROL_FILE, "something")
    assert _inspect(host).data


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
    tmp_path: Path, tried: int, loaded: str, found: str, can_encrypt: bool
) -> None:
    answers = {"unshare --net ip": Output(tried)}
    if found:
        answers[f"modprobe --dry-run --quiet {found}"] = Output(0)
    host = FakeRunner(tmp_path, answers=answers)
    host.write(f"/sys/module/{loaded or 'other'}/refcnt", "1")
    assert _inspect(host).esp == can_encrypt


@pytest.mark.parametrize(("kept", "unlocks"), [(KEY, True), ("SWMKEY-1-older", False), ("", False)])
def test_no_key_is_reported(tmp_path: Path, kept: str, unlocks: bool) -> None:
    host = _host(tmp_path)
    if kept:
        host.write("/etc/infisical/keys/swarm_unlock_key", f"{kept}\n")
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake-key\n")
    found = _inspect(host)
    assert found.unlocks is unlocks
    assert len(found.key) == 16
    assert KEY not in str(found)
    assert "obviously-fake-key" not in str(found)
