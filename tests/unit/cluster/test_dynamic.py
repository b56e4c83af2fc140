"""Test the differences of Patroni's dynamic configuration, its updates and its restarts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import patroni
from infisical_iac.agent.maintenance import DataCounts
from infisical_iac.agent.patroni import PatroniState
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.cluster import stack, stack_plan
from infisical_iac.cluster.site import inputs
from infisical_iac.cluster.stack_file import configs
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.core.agent import Question, question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container
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


def _patroni(tmp_path: Path, said: str) -> PatroniState:
    """Return the state that a node observes whose Patroni says this."""
    container = docker_container("pgid", swarm="infisical_postgres-1")
    answers = {"docker exec pgid sh -c": said, **docker_answers(container)}
    return answer(question(patroni.inspect), FakeRunner(tmp_path, answers=answers))


_CONFIGURATION = f"{json.dumps(THERE)}\n"
_MEMBERS = f"{json.dumps({'members': MEMBERS, 'scope': 'infisical'})}\n"


def test_the_primary_is_restarted_last(tmp_path: Path) -> None:
    found = _patroni(tmp_path, _CONFIGURATION + _MEMBERS)
    assert found == PatroniState(THERE, ("postgres-3", "postgres-1"))
    assert [line.partition(":")[0] for line in _list_changes(found)] == [
        "~ postgres-3",
        "~ postgres-1",
    ]


def test_a_missing_answer_is_read_as_none(tmp_path: Path) -> None:
    assert _patroni(tmp_path, "{}\n").configuration == {}
    assert _patroni(tmp_path, _MEMBERS).configuration is None
    assert _patroni(tmp_path, "") == PatroniState()
    assert answer(question(patroni.inspect), FakeRunner(tmp_path)) == PatroniState()


class _Members:
    """A Patroni whose members wait for restarts; `steps` are the calls of the agent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *waiting: tuple[str, ...]) -> None:
        self.steps: list[str] = []
        self._waiting = [*waiting]
        monkeypatch.setattr(stack, "ask", self._ask)
        monkeypatch.setattr(stack, "perform", self._ask)
        monkeypatch.setattr(stack, "sleep", lambda seconds: self.steps.append(f"{seconds} s"))

    def _ask(self, asked: Question[Any], **_: str) -> Any:
        (call,) = asked.calls
        if call.name == "patroni.inspect":
            return PatroniState(waiting=self._waiting.pop(0) if self._waiting else ())
        self.steps.append(f"{call.name} {call.arguments}")
        return None


def test_a_key_that_needs_no_restart_is_only_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    members = _Members(monkeypatch)
    assert stack.merge_configuration(_with(synchronous_mode=False), DESIRED) == 0
    assert members.steps == ['patroni.configure {"changes": {"synchronous_mode": true}}']
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
    stack.restart_waiting(6, DataCounts(3, 3))
    wait = 'rollout.await_data {"etcd": 3, "postgres": 3, "seconds": 180}'
    restarts = [
        f'patroni.restart {{"member": "postgres-{number}"}}'
        # A standby can't start with a lower value than its primary had at its own start.
        for number in (2, 1, 2)
    ]
    assert members.steps == ["6 s", *(step for each in restarts for step in (each, wait))]
