"""Test what a deploy to several hosts plans, runs, reports and logs."""

from functools import cache
from typing import Any

from tests.unit import forked

# The error of a failing host in `fake_run`.
_FAILURE = "it does not work"


@cache
def _run(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = forked.run("tests.unit.cluster.fake_run", *arguments)
    return found


def test_planned_and_made_changes_name_their_host() -> None:
    found = _run("one,two,three")
    packages = [f"+ {name}: package curl" for name in ("one", "two", "three")]
    *planned, unseen = found["planned"]
    on_all = "+ one, two, three: package curl"
    assert planned == ["+ one: key", on_all, "~ two: file: old → new"]
    assert unseen.startswith("? one: the rest ")
    assert found["steps"] == [
        ["Key", ["+ one: key"]],
        ["Package", packages],
        ["File", ["~ two: file: old → new"]],
        ["Rest", ["+ one: the rest"]],
    ]


def test_a_host_is_observed_again_after_another_changed() -> None:
    assert "rest on one" in _run("one,two,three")["made"]


def test_each_hosts_log_has_its_own_changes() -> None:
    ended = {
        host: changes
        for host, _, outcome, changes, _ in _run("one,two,three")["audits"]
        if outcome == "done"
    }
    assert ended == {
        "one": ["+ key", "+ package curl", "+ the rest"],
        "two": ["+ package curl", "~ file: old → new"],
        "three": ["+ package curl"],
    }


def test_a_failed_step_ends_on_all_hosts_and_blocks_later_steps() -> None:
    found = _run("one,two,three", "two")
    assert found["made"] == ["key on one", "package on one", "package on three"]
    reason = f"Package: two: {_FAILURE}"
    assert found["error"].startswith(f"{reason}; ")
    failed = [(host, changes) for host, _, outcome, changes, why in found["audits"] if why]
    assert failed == [
        ("one", ["+ key", "+ package curl"]),
        ("three", ["+ package curl"]),
        ("two", []),
    ]
    assert {why for *_, why in found["audits"]} == {"", reason}


def test_a_single_host_is_not_named() -> None:
    found = _run("one")
    *changes, rest = found["planned"]
    assert changes == ["+ key", "+ package curl"]
    assert rest.startswith("? the rest ")
    assert found["steps"] == [["Key", ["+ key"]], ["Package", ["+ package curl"]]]


def test_a_single_hosts_failure_is_reported_unchanged() -> None:
    assert _run("two", "two")["error"].startswith(f"Package: {_FAILURE}; ")
