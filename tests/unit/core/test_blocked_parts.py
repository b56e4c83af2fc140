"""Test that a blocked part of the deploy is a line of the plan, and hides no other part."""

import re
from functools import cache
from typing import Any

import pytest

from infisical_iac.core.journal import needs
from tests.unit import forked

_ALL = (
    *("Drop", "Install Docker", "Keep Docker running", "Harden the kernel", "Harden SSH"),
    *("Make keys", "Configure the ingress", "Change the version", "Run containers"),
    *("Make the deployer", "Converge Infisical", "Store client secrets"),
    *("Configure backups", "Open the edge"),
)


@cache
def _run(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = forked.run("tests.unit.blocked_run", *arguments)
    return found


def _list_done(found: dict[str, Any], host: str) -> list[str]:
    return [each.removesuffix(f" on {host}") for each in found["done"] if each.endswith(host)]


def _list_blocked(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the hosts, the name and the cause of each blocked part.

    Hosts are empty on a single host. The cause is the operation that the part needs, or the fact
    in the reason for which the part itself was refused.
    """
    causes = ((host, what, _CAUSE.search(detail)) for host, what, detail in found["blocked"])
    return [(host, what, cause[0].strip("'") if cause else "") for host, what, cause in causes]


_CAUSE = re.compile("'.+'|/a/file|a setting")


def test_a_blocked_operation_is_in_the_plan_with_its_reason_and_all_others_run() -> None:
    found = _run("one", "Harden SSH")
    others = [each for each in _ALL if each != "Harden SSH"]
    assert found["planned"][:-1] == [f"~ {each}" for each in others]
    assert _list_blocked(found) == [("", "Harden SSH", "/a/file")]
    assert _list_done(found, "one") == others
    assert found["code"] == "run.blocked"


def test_audit_log_records_a_run_with_a_blocked_part_as_failed() -> None:
    (_, begun, _, _), (_, ended, changes, reason) = _run("one", "Harden SSH")["audits"]
    assert (begun, ended, len(changes)) == ("begun", "failed", len(_ALL) - 1)
    assert reason.startswith("! Harden SSH: ")
    assert "/a/file" in reason


def test_a_change_that_an_earlier_step_made_is_counted_at_its_own_step() -> None:
    """The number of changes that `plan` prints is the number that `apply` prints."""
    found = _run("one", "nothing", "starts")
    assert "Keep Docker running" not in _list_done(found, "one")
    assert found["planned"] == [f"~ {each}" for each in _ALL]
    _, (_, outcome, changes, _) = found["audits"]
    assert (outcome, sorted(changes)) == ("done", sorted(found["planned"]))


def test_a_change_that_two_steps_need_is_counted_once() -> None:
    found = _run("one", "nothing", "shared")
    expected = [f"~ {each}" for each in _ALL if each != "Drop"] + ["~ a shared file"]
    assert sorted(found["planned"]) == sorted(expected)
    _, (_, _, changes, _) = found["audits"]
    assert sorted(changes) == sorted(expected)


def test_pyinfras_own_command_runs_unblocked_operations_and_fails_at_the_end() -> None:
    found = _run("one", "Harden SSH", "plain")
    assert _list_done(found, "one") == [each for each in _ALL if each != "Harden SSH"]
    assert found["failed"] == ["one"]


def test_without_keys_containers_and_the_edge_are_not_changed() -> None:
    found = _run("one", "Make keys")
    assert _list_done(found, "one") == [
        *("Drop", "Install Docker", "Keep Docker running", "Harden the kernel", "Harden SSH"),
        *("Configure the ingress", "Make the deployer", "Converge Infisical"),
        *("Store client secrets", "Configure backups"),
    ]
    assert _list_blocked(found) == [
        ("", "Make keys", "/a/file"),
        ("", "Stack", "Make keys"),
        ("", "Ingress", "Make keys"),
    ]


def test_an_unobserved_infisical_is_blocked_with_its_containers() -> None:
    found = _run("one", "Keep Docker running,silent")
    assert _list_done(found, "one") == [
        *("Drop", "Install Docker", "Harden the kernel", "Harden SSH", "Configure backups"),
    ]
    waiting = ("Stack", "Bootstrap", "Workspace", "Credentials", "Ingress")
    assert {each for each in _list_blocked(found) if each[2] != "/a/file"} == {
        ("", part, "Keep Docker running") for part in waiting
    }


def test_a_refused_change_that_blocks_no_others_blocks_only_itself() -> None:
    found = _run("one,two", "Change the version alone")
    for host in ("one", "two"):
        assert _list_done(found, host) == [each for each in _ALL if each != "Change the version"]
    assert _list_blocked(found) == [("one, two", "Change the version", "a setting")]


def test_all_blocked_operations_are_reported_at_once() -> None:
    found = _run("one", "Harden SSH,Configure backups")
    assert _list_blocked(found) == [
        ("", "Harden SSH", "/a/file"),
        ("", "Configure backups", "/a/file"),
    ]
    assert found["code"] == "run.blocked"


def test_a_refused_operation_ends_the_run_on_a_new_host_before_any_change() -> None:
    for how in ((), ("plain",)):
        found = _run("one", "Harden SSH", "new", *how)
        assert found["code"] == "error.file"
        assert "Harden SSH" in found["error"]
        assert (found["planned"], found["blocked"], found["done"]) == ([], [], [])


def test_an_operation_blocked_on_one_node_blocks_those_that_need_it_on_all_nodes() -> None:
    found = _run("one,two", "two:Install Docker")
    assert "Run containers" not in _list_done(found, "one")
    assert "Keep Docker running" in _list_done(found, "one")
    assert _list_done(found, "two") == [
        *("Drop", "Harden the kernel", "Harden SSH", "Make the deployer"),
        *("Converge Infisical", "Store client secrets", "Configure backups"),
    ]
    assert ("two", "Install Docker", "/a/file") in _list_blocked(found)
    assert ("one, two", "Stack", "Install Docker") in _list_blocked(found)


@pytest.mark.parametrize(
    ("name", "other", "unseen", "needed"),
    [
        ("Stack | Run", "Docker | Install Docker", False, True),
        ("Hardening | Harden SSH", "Hardening | Harden the kernel", False, False),
        ("Hardening | Harden SSH", "Docker | Install Docker", False, False),
        ("Workspace | Converge", "Stack | Run", False, False),
        ("Workspace | Converge", "Stack | Run", True, True),
        ("Ingress | Open the edge", "Stack | Change the version", False, True),
        ("Stack | Configure the ingress", "Stack | Make keys", False, False),
        (
            "Egress | Limit Infisical's outgoing connections",
            "Stack | Run",
            False,
            True,
        ),
        ("Stack | Configure the ingress", "Docker | Install Docker", False, True),
        ("Stack | Run", "Stack | Configure the ingress", False, False),
        ("Backup | Configure backups", "Stack | Run", True, False),
        ("Firewall | Drop", "Firewall", False, True),
        ("Stack | Configure the ingress", "Stack", False, True),
        ("Backup | Configure backups", "Stack", False, False),
    ],
)
def test_an_operation_is_blocked_by_the_operations_that_it_needs(
    name: str, other: str, unseen: bool, needed: bool
) -> None:
    assert needs(name, other, unseen=unseen) is needed
