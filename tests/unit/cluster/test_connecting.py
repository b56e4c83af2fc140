"""Test which hosts are connected and current: a single host, several hosts, a cluster."""

from typing import Any

import pytest

from tests.unit import forked

_NAMES = ["one", "two", "three"]
_INVENTORIES: dict[str, tuple[list[str], str]] = {
    "cluster": (_NAMES, "swarm"),
    "several": (_NAMES, "single"),
    "single": (["one"], "single"),
    "part": (["one"], "swarm"),
}
_MINORITY = {"inventory": "cluster", "up": ["two"], "refused": "only 1 of 3 managers answer"}
_WRITES = {"inventory": "cluster", "up": _NAMES, "leader": "two", "writes": True}
_SETUPS: dict[str, dict[str, Any]] = {
    "one unreachable": {"inventory": "cluster", "up": ["one", "three"], "leader": "three"},
    "several": {"inventory": "several", "up": _NAMES, "leader": "one"},
    "single": {"inventory": "single", "up": ["one"], "refused": "not asked for", "writes": True},
    "none": {"inventory": "single", "up": []},
    "part": {"inventory": "part", "up": ["one"], "refused": "a swarm needs 3 hosts or more"},
    "minority": _MINORITY,
    "minority inspected": _MINORITY | {"anyway": True},
    "writes": _WRITES,
    "fails": _WRITES | {"fails": "it broke"},
    "unshared": _WRITES | {"unshared": "the disk is full"},
}

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return the results of connecting with each of the setups, by name."""
    directory = tmp_path_factory.mktemp("inventories")
    for name, (hosts, topology) in _INVENTORIES.items():
        data = [(each, {"topology": topology}) for each in hosts]
        (directory / f"{name}.py").write_text(f"hosts = {data!r}\n")
    return {
        name: forked.run(
            "tests.unit.cluster.fake_connect",
            each | {"inventory": str(directory / f"{each['inventory']}.py")},
        )
        for name, each in _SETUPS.items()
    }


def test_the_leader_is_current_and_unreachable_hosts_are_reported(outcomes: Found) -> None:
    output = outcomes["one unreachable"].pop("output")
    assert outcomes["one unreachable"] == {"current": "three", "error": "", "shared": []}
    assert output.startswith("Note: two ")
    assert "timed out" in output


def test_several_hosts_without_a_cluster_are_refused(outcomes: Found) -> None:
    error = outcomes["several"]["error"]
    assert "several.py names 3 hosts" in error
    assert "topology" in error


def test_a_single_host_is_current_and_nothing_is_shared(outcomes: Found) -> None:
    assert outcomes["single"] == {"current": "one", "error": "", "shared": [], "output": ""}


def test_an_unreachable_host_is_reported_with_the_reason(outcomes: Found) -> None:
    assert "[one]" in outcomes["none"]["error"]
    assert "timed out" in outcomes["none"]["error"]


def test_one_reachable_host_of_a_cluster_is_not_a_single_host(outcomes: Found) -> None:
    assert "3 hosts or more" in outcomes["part"]["error"]


def test_without_a_majority_only_reading_commands_work(outcomes: Found) -> None:
    assert outcomes["minority"]["error"] == _MINORITY["refused"]
    assert outcomes["minority inspected"]["current"] == "two"
    assert outcomes["minority inspected"]["error"] == ""


def test_changes_of_a_locking_command_are_shared_from_the_leader(outcomes: Found) -> None:
    assert (outcomes["writes"]["shared"], outcomes["writes"]["error"]) == (["two"], "")


def test_changes_are_shared_after_a_failure_too(outcomes: Found) -> None:
    assert (outcomes["fails"]["shared"], outcomes["fails"]["error"]) == (["two"], "it broke")


def test_a_failure_to_share_is_reported_and_the_command_succeeds(outcomes: Found) -> None:
    assert outcomes["unshared"]["error"] == ""
    output = outcomes["unshared"]["output"]
    assert output.startswith("Note: ")
    assert "not reached all hosts" in output
    assert "(the disk is full)" in output
