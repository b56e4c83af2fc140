"""A part of the deploy that can't go on: it is an entry of the plan, and hides no other."""

from functools import cache
from typing import Any

import pytest

from infisical_iac.core.journal import needs
from tests.unit import forked

_ALL = (
    *("Drop", "Install Docker", "Keep Docker running", "Harden the kernel", "Harden SSH"),
    *("Make keys", "Configure the way in", "Change the version", "Run containers"),
    *("Make the deployer", "Bring Infisical to its file", "Store client secrets"),
    *("Configure backups", "Let everybody in"),
)


@cache
def _run(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = forked.run("tests.unit.blocked_run", *arguments)
    return found


def _done(found: dict[str, Any], host: str) -> list[str]:
    return [each.removesuffix(f" on {host}") for each in found["done"] if each.endswith(host)]


def test_what_is_blocked_stands_in_the_plan_with_its_reason_and_all_else_is_done() -> None:
    found = _run("one", "Harden SSH")
    others = [each for each in _ALL if each != "Harden SSH"]
    sentence = "Harden SSH: blocked: no Harden SSH because of /a/file"
    assert found["planned"] == [*(f"~ {each}" for each in others), f"! {sentence}"]
    assert _done(found, "one") == others
    assert found["error"] == sentence


def test_the_audit_log_says_of_a_run_with_a_blocked_part_that_it_failed() -> None:
    (_, begun, _, _), (_, ended, changes, reason) = _run("one", "Harden SSH")["audits"]
    assert (begun, ended, len(changes)) == ("begun", "failed", len(_ALL) - 1)
    assert reason == "! Harden SSH: blocked: no Harden SSH because of /a/file"


def test_a_run_by_pyinfra_alone_does_the_rest_and_fails_at_its_end() -> None:
    found = _run("one", "Harden SSH", "plain")
    assert _done(found, "one") == [each for each in _ALL if each != "Harden SSH"]
    assert found["failed"] == ["one"]


def test_without_keys_no_container_is_touched_and_the_edge_stays_as_it_is() -> None:
    found = _run("one", "Make keys")
    assert _done(found, "one") == [
        *("Drop", "Install Docker", "Keep Docker running", "Harden the kernel", "Harden SSH"),
        *("Configure the way in", "Make the deployer", "Bring Infisical to its file"),
        *("Store client secrets", "Configure backups"),
    ]
    assert [each for each in found["planned"] if each.startswith("! ")] == [
        "! Make keys: blocked: no Make keys because of /a/file",
        "! Stack: blocked: needs 'Make keys', which is blocked",
        "! Ingress: blocked: needs 'Make keys', which is blocked",
    ]


def test_an_infisical_that_does_not_answer_is_blocked_with_its_containers() -> None:
    found = _run("one", "Keep Docker running,silent")
    assert _done(found, "one") == [
        *("Drop", "Install Docker", "Harden the kernel", "Harden SSH", "Configure backups"),
    ]
    waiting = ("Docker", "Stack", "Bootstrap", "Workspace", "Credentials", "Ingress")
    assert {each for each in found["planned"] if "which is blocked" in each} == {
        f"! {part}: blocked: needs 'Keep Docker running', which is blocked"
        for part in waiting
        if part != "Docker"
    }


def test_what_is_refused_by_itself_keeps_nothing_of_its_part_from_being_done() -> None:
    found = _run("one,two", "Change the version alone")
    for host in ("one", "two"):
        assert _done(found, host) == [each for each in _ALL if each != "Change the version"]
    assert [each for each in found["planned"] if each.startswith("! ")] == [
        "! one, two: Change the version: blocked: no Change the version because of a setting"
    ]


def test_all_that_is_blocked_is_told_at_once() -> None:
    found = _run("one", "Harden SSH,Configure backups")
    assert found["error"] == (
        "Harden SSH: blocked: no Harden SSH because of /a/file; "
        "Configure backups: blocked: no Configure backups because of /a/file"
    )


def test_a_host_with_nothing_on_it_yet_is_not_touched() -> None:
    for how in ((), ("plain",)):
        found = _run("one", "Harden SSH", "new", *how)
        assert found["error"] == "no Harden SSH because of /a/file"
        assert (found["planned"], found["done"]) == ([], [])


def test_what_is_blocked_on_one_node_blocks_what_needs_it_on_all() -> None:
    found = _run("one,two", "two:Install Docker")
    assert "Run containers" not in _done(found, "one")
    assert "Keep Docker running" in _done(found, "one")
    assert _done(found, "two") == [
        *("Drop", "Harden the kernel", "Harden SSH", "Make the deployer"),
        *("Bring Infisical to its file", "Store client secrets", "Configure backups"),
    ]
    told = [each for each in found["planned"] if each.startswith("! ")]
    assert "! two: Install Docker: blocked: no Install Docker because of /a/file" in told
    assert "! one, two: Stack: blocked: needs 'Install Docker', which is blocked" in told


@pytest.mark.parametrize(
    ("name", "other", "unseen", "needed"),
    [
        ("Stack | Run", "Docker | Install Docker", False, True),
        ("Hardening | Harden SSH", "Hardening | Harden the kernel", False, False),
        ("Hardening | Harden SSH", "Docker | Install Docker", False, False),
        ("Workspace | Converge", "Stack | Run", False, False),
        ("Workspace | Converge", "Stack | Run", True, True),
        ("Ingress | Let everybody in", "Stack | Change the version", False, True),
        ("Stack | Configure the way in", "Stack | Make keys", False, False),
        ("Stack | Configure the way in", "Docker | Install Docker", False, True),
        ("Stack | Run", "Stack | Configure the way in", False, False),
        ("Backup | Configure backups", "Stack | Run", True, False),
        ("Firewall | Drop", "Firewall", False, True),
        ("Stack | Configure the way in", "Stack", False, True),
        ("Backup | Configure backups", "Stack", False, False),
    ],
)
def test_which_part_needs_which(name: str, other: str, unseen: bool, needed: bool) -> None:
    assert needs(name, other, unseen=unseen) is needed
