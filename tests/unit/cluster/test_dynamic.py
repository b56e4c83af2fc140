"""Test the differences of Patroni's dynamic configuration, its updates and its restarts."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.cluster import stack, stack_plan
from infisical_iac.cluster.site import inputs
from infisical_iac.cluster.stack_file import configs
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.cluster.stack_state import (
    ClusterStack,
    ClusterStackState,
    PatroniState,
    parse_patroni,
)
from tests.unit.clusters import site

DESIRED = {
    "ttl": 20,
    "loop_wait": 3,
    "synchronous_mode": True,
    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 200}},
}
# Patroni adds keys of its own, and a person has set `work_mem`.
THERE = {
    **DESIRED,
    "maximum_lag_on_failover": 1048576,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {"max_connections": 200, "work_mem": "8MB"},
    },
}
CONVERGED = PatroniState(THERE)


def _with(**changes: Any) -> PatroniState:
    return replace(CONVERGED, configuration={**THERE, **changes})


def _list_changes(found: PatroniState) -> list[str]:
    return [str(item) for item in stack_plan.list_patroni_changes(found, DESIRED)]


def test_keys_set_by_others_are_not_a_difference() -> None:
    assert (_list_changes(CONVERGED), stack_plan.build_patroni_patch(CONVERGED, DESIRED)) == (
        [],
        {},
    )


@pytest.mark.parametrize(
    ("changes", "line", "sent"),
    [
        (
            {"synchronous_mode": False},
            "synchronous_mode: false → true",
            {"synchronous_mode": True},
        ),
        ({"synchronous_mode": 1}, "synchronous_mode: 1 → true", {"synchronous_mode": True}),
        ({"ttl": None}, "ttl: (none) → 20", {"ttl": 20}),
        (
            {"postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 100}}},
            "postgresql.parameters.max_connections: 100 → 200",
            {"postgresql": {"parameters": {"max_connections": 200}}},
        ),
        (
            {"postgresql": {"use_pg_rewind": True}},
            "postgresql.parameters.max_connections: (none) → 200",
            {"postgresql": {"parameters": {"max_connections": 200}}},
        ),
    ],
)
def test_only_differing_keys_are_reported_and_sent(
    changes: dict[str, Any], line: str, sent: dict[str, Any]
) -> None:
    assert _list_changes(_with(**changes)) == [f"~ patroni {line}"]
    assert stack_plan.build_patroni_patch(_with(**changes), DESIRED) == sent


def test_without_an_answering_patroni_nothing_is_reported_or_sent() -> None:
    assert (
        _list_changes(PatroniState()),
        stack_plan.build_patroni_patch(PatroniState(), DESIRED),
    ) == (
        [],
        {},
    )


def test_the_rendered_file_requires_synchronous_replication() -> None:
    known = site()
    files = configs(known.settings, inputs(known, ClusterStackState()))
    found = DesiredStack("services: {}", files, frozenset()).patroni()
    assert (found["synchronous_mode"], found["synchronous_mode_strict"]) == (True, True)
    items = stack_plan.list_changes(
        ClusterStackState(patroni=PatroniState({**found, "synchronous_mode": False})),
        DesiredStack("services: {}", files, frozenset()),
    )
    details = {item.what: item.detail for item in items if item.kind == "~"}
    assert details["patroni synchronous_mode"] == "false → true"


def _member(name: str, role: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "state": "running", **more}


MEMBERS = [
    _member("postgres-1", "leader", pending_restart=True),
    _member("postgres-2", "sync_standby"),
    _member("postgres-3", "replica", pending_restart=True),
]


def _lines(members: list[dict[str, Any]]) -> list[str]:
    return [
        f"patroni {json.dumps(THERE)}",
        f"patroni {json.dumps({'members': members, 'scope': 'infisical'})}",
    ]


def test_the_primary_is_restarted_last() -> None:
    found = parse_patroni(["engine", *_lines(MEMBERS)])
    assert found == PatroniState(THERE, ("postgres-3", "postgres-1"))
    assert [line.partition(":")[0] for line in _list_changes(found)] == [
        "~ postgres-3",
        "~ postgres-1",
    ]
    assert ClusterStack().process([*_lines(MEMBERS)]).patroni == found


def test_a_missing_answer_is_read_as_none() -> None:
    assert parse_patroni(["engine", "patroni {}"]).configuration == {}
    assert parse_patroni(_lines(MEMBERS)[1:]).configuration is None
    assert parse_patroni(["engine"]) == PatroniState()


class _Members:
    """A Patroni whose members wait for restarts; `steps` are the calls of the script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *waiting: tuple[str, ...]) -> None:
        self.steps: list[str] = []
        self._waiting = [*waiting]
        monkeypatch.setattr(stack, "run", self._run)
        monkeypatch.setattr(stack, "script", lambda _, *arguments: " ".join(arguments))
        monkeypatch.setattr(stack, "sleep", lambda seconds: self.steps.append(f"{seconds} s"))

    def _run(self, command: str, **_: str) -> str:
        if command != "patroni":
            self.steps.append(command)
            return ""
        names = self._waiting.pop(0) if self._waiting else ()
        members = [_member(name, "replica", pending_restart=True) for name in names]
        return "\n".join(_lines(members))


def test_a_key_that_needs_no_restart_is_only_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    members = _Members(monkeypatch)
    assert stack.merge_configuration(_with(synchronous_mode=False), DESIRED) == 0
    assert members.steps == ['configure {"synchronous_mode": true}']
    assert stack.merge_configuration(CONVERGED, DESIRED) == 0
    assert len(members.steps) == 1


@pytest.mark.parametrize(("there", "seconds"), [(3, 6), (30, 60), (1, 6), (None, 20)])
def test_members_have_time_to_read_the_configuration_before_they_are_queried(
    monkeypatch: pytest.MonkeyPatch, there: int | None, seconds: int
) -> None:
    members = _Members(monkeypatch)
    parameters = {"use_pg_rewind": True, "parameters": {"max_connections": 100}}
    assert (
        stack.merge_configuration(_with(postgresql=parameters, loop_wait=there), DESIRED) == seconds
    )
    (step,) = members.steps
    assert '"postgresql": {"parameters": {"max_connections": 200}}' in step


def test_members_are_restarted_one_by_one_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = _Members(monkeypatch, ("postgres-2", "postgres-1"), ("postgres-2",))
    stack.restart_waiting(6, ("again", "180", "3", "3"))
    assert members.steps == [
        "6 s",
        "restart postgres-2",
        "again 180 3 3",
        "restart postgres-1",
        "again 180 3 3",
        # A standby can't start with a lower value than its primary had at its own start.
        "restart postgres-2",
        "again 180 3 3",
    ]
