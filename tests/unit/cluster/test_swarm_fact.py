"""Test reading a host's state in the swarm."""

import json

import pytest

from infisical_iac.cluster.swarm_state import Swarm


def test_the_report_of_a_manager_is_read() -> None:
    info = {
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
        },
    }
    node = {
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
    found = Swarm().process(
        [
            *("address 10.0.0.1", "ipvs", "stack", "mark swarm-id", "serial 3"),
            *("data", "etcd lost", "primary"),
            *("led", "key 0123", "state 4567", f"info {json.dumps(info)}", "unlocks"),
            f"node {json.dumps(node)}",
        ]
    )
    assert (found.state, found.id, found.swarm, found.mark) == (
        "active",
        "id1",
        "swarm-id",
        "swarm-id",
    )
    assert (found.autolock, found.expiry, found.pool) == (True, 2592000, "10.201.0.0/16")
    assert (found.control, found.unlocks, found.ipvs, found.esp) == (True, True, True, False)
    assert (found.data, found.etcd, found.primary) == (True, "lost", True)
    assert (found.serial, found.serial_as_leader, found.digest, found.key) == (3, 0, "4567", "0123")
    [other] = found.members
    assert (other.id, other.host, other.number, other.joined) == ("id2", "two", 2, "new")
    assert other.generation == 1
    assert (other.address, other.down, other.active, other.manager) == (
        "10.0.0.2",
        True,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("line", "wal"),
    [
        ("wal 00000003 1A/501CB28", (3, 0x1A0501CB28)),
        ("wal 0000000A 0/F", (10, 15)),
        ("wal ", (0, 0)),
        ("primary", (0, 0)),
    ],
)
def test_the_wal_position_is_read(line: str, wal: tuple[int, int]) -> None:
    assert Swarm().process([line]).wal == wal


def test_a_manager_without_a_majority_lists_no_nodes_and_does_not_work() -> None:
    info = {"LocalNodeState": "active", "ControlAvailable": True, "Cluster": {"ID": ""}}
    found = Swarm().process([f"info {json.dumps(info)}"])
    assert (found.control, found.members) == (False, ())


def test_a_host_without_docker_is_in_no_swarm() -> None:
    found = Swarm().process(["address 10.0.0.1", "mark ", "serial "])
    assert (found.state, found.mark, found.serial) == ("", "", 0)


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
    error: str, expired: bool, early: bool
) -> None:
    info = {"LocalNodeState": "error", "Error": error}
    found = Swarm().process([f"info {json.dumps(info)}"])
    assert (found.expired, found.early) == (expired, early)
