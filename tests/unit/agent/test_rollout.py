"""Test the roll-out of the stack: secrets, health, and the removal of leftovers."""

import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from infisical_iac.agent import rollout, services
from infisical_iac.agent.maintenance import DataCounts
from infisical_iac.agent.runner import Failure, Output
from infisical_iac.core.agent import question
from tests.unit.agent.fake_manager import HISTORY, FakeManager
from tests.unit.agent.fake_runner import answer

SECRETS = {"infisical_env": ["encryption_key", "auth_secret"], "redis_env": ["redis_password"]}
TEXT = "ENCRYPTION_KEY=not-a-key\nAUTH_SECRET=not-a-secret\n"
NAME = f"infisical_env_{sha256(TEXT.encode()).hexdigest()[:12]}"
_OUT_OF_MEMORY = "JavaScript heap out of memory"
# The ended tasks of the fake Docker, and the log of the last task without its secret.
_ENDED_TASKS = [
    *(f"  {node} {state} {error}" for _, node, state, error in HISTORY[1:]),
    "  it can't go on",
]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of a clock that only they advance."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    return waits


@pytest.fixture
def leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    made = FakeManager(
        tmp_path,
        answers={"docker service logs --raw --tail 12 t3": "it can't go on\nwith not-a-secret\n"},
        replicas={"infisical_infisical": "2/2 (max 1 per node)", "infisical_caddy": "2/2"},
        updates={"infisical_infisical": "completed"},
    )
    for name in ("encryption_key", "auth_secret", "redis_password"):
        text = {"encryption_key": "not-a-key", "auth_secret": "not-a-secret"}
        made.write(f"/etc/infisical/keys/{name}", f"{text.get(name, 'not-a-password')}\n")
    made.run_tasks(infisical=2, caddy=2)
    _set_healthy_data_services(monkeypatch, etcd=3, postgres=3)
    return made


def _set_healthy_data_services(
    monkeypatch: pytest.MonkeyPatch, *, etcd: int, postgres: int
) -> None:
    monkeypatch.setattr(rollout, "count_data", lambda _: DataCounts(etcd, postgres))


def _answering(leader: FakeManager, answers: Mapping[str, Output]) -> FakeManager:
    """Return the leader with answers of its Docker."""
    return replace(leader, answers={**leader.answers, **answers})


def _wait(leader: FakeManager, seconds: int, *names: str) -> str:
    """Return the answer about the named services, or about all."""
    return answer(question(rollout.await_services, seconds=seconds, services=[*names]), leader)


def test_a_secret_is_named_after_its_content_and_made_once(leader: FakeManager) -> None:
    rollout.make_secrets(leader, secrets=SECRETS)
    assert leader.made[NAME] == TEXT
    assert [name.rpartition("_")[0] for name in leader.made] == ["infisical_env", "redis_env"]
    assert not any("not-a-" in call for call, _ in leader.ran)
    leader.made.clear()
    rollout.make_secrets(leader, secrets=SECRETS)
    assert leader.made == {}


@pytest.mark.parametrize("text", [None, "", "x$(touch forged)"])
def test_a_missing_key_or_one_with_shell_characters_makes_no_secret(
    leader: FakeManager, text: str | None
) -> None:
    """The shells of the containers read the content of a secret."""
    key = leader.path("/etc/infisical/keys/auth_secret")
    if text is None:
        key.unlink()
    else:
        key.write_text(text)
    with pytest.raises(RuntimeError) as refused:
        rollout.make_secrets(leader, secrets=SECRETS)
    failure: Failure = refused.value.args[0]
    assert "auth_secret" in failure.message
    assert "forged" not in failure.message
    assert leader.made == {}


@pytest.mark.parametrize(
    ("replaced", "by", "update", "problem"),
    [
        ("", "", "completed", ""),
        ("infisical_infisical.2", "Ready 1 second ago", "completed", "infisical_infisical: 1 of 2"),
        ("", "", "paused", "infisical_infisical: 2 of 2 run, update: paused"),
        ("", "", "rollback_completed", ""),
    ],
)
def test_the_wait_reports_services_that_do_not_run(
    leader: FakeManager, replaced: str, by: str, update: str, problem: str
) -> None:
    leader.tasks[:] = [(s, n, by if s == replaced else state) for s, n, state in leader.tasks]
    leader.updates["infisical_infisical"] = update
    said = _wait(leader, 0)
    assert bool(said) == bool(problem)
    if problem:
        first, *rest = said.splitlines()
        assert first.startswith(problem)
        assert rest == _ENDED_TASKS


def test_only_the_named_services_are_waited_for(leader: FakeManager) -> None:
    leader.run_tasks(caddy=2)
    assert _wait(leader, 0, "infisical_caddy") == ""
    assert _wait(leader, 0, "infisical_caddy", "infisical_infisical") != ""


@pytest.mark.parametrize(("state", "waits"), [("ready", True), ("down", False)])
def test_a_task_without_a_node_is_waited_for_unless_a_node_is_unreachable(
    leader: FakeManager, state: str, waits: bool
) -> None:
    leader.nodes[1] = (state, "active")
    # The list of services still counts the tasks of a node that is down.
    leader.replicas.pop("infisical_caddy")
    leader.run_tasks(infisical=1, waiting="infisical_infisical")
    assert bool(_wait(leader, 0)) is waits


@pytest.mark.parametrize(
    ("state", "running", "waits"), [("down", 0, False), ("ready", 0, True), ("down", 1, True)]
)
def test_an_update_is_waited_for_unless_all_its_tasks_wait_for_a_node(
    leader: FakeManager, state: str, running: int, waits: bool
) -> None:
    leader.nodes[1] = (state, "active")
    leader.replicas.clear()
    leader.replicas["infisical_etcd-2"] = f"{running + 1}/{running + 1}"
    leader.updates["infisical_etcd-2"] = "updating"
    leader.run_tasks(**{"etcd-2": running}, waiting="infisical_etcd-2")
    assert bool(_wait(leader, 0)) is waits


def test_a_swarm_without_services_is_unhealthy(leader: FakeManager) -> None:
    leader.replicas.clear()
    assert "no majority" in _wait(leader, 0)


def test_waiting_tasks_are_retried_and_running_ones_continue(leader: FakeManager) -> None:
    leader.run_tasks(infisical=1, caddy=2, waiting="infisical_infisical")
    rollout.retry(leader)
    assert leader.changes == [
        "service scale infisical_infisical=1",
        "service scale infisical_infisical=2",
    ]


@pytest.mark.parametrize("state", ["Accepted 13 minutes ago", "Assigned About an hour ago"])
def test_a_task_whose_node_lost_it_on_a_full_disk_is_retried(
    leader: FakeManager, state: str
) -> None:
    leader.tasks.append(("infisical_infisical.3", "node3", state))
    leader.replicas["infisical_infisical"] = "2/3"
    rollout.retry(leader)
    assert leader.changes == [
        "service scale infisical_infisical=2",
        "service scale infisical_infisical=3",
    ]


def test_a_task_that_was_just_accepted_is_not_retried(leader: FakeManager) -> None:
    leader.tasks.append(("infisical_caddy.3", "node3", "Accepted 9 seconds ago"))
    rollout.retry(leader)
    assert leader.changes == []


def test_only_secrets_and_configs_with_a_hash_are_removed(leader: FakeManager) -> None:
    leader.secrets.extend(["redis_env_0123456789ab", "redis_env_ffffffffffff", "somebody-elses"])
    leader.configs.extend(["haproxy_cfg_0123456789ab", "haproxy_cfg_eeeeeeeeeeee"])
    kept, gone = (leader.write(f"/etc/infisical/stack/{each}", "") for each in leader.configs)
    rollout.clean(leader, kept=["redis_env_0123456789ab", "haproxy_cfg_0123456789ab"])
    assert (kept.exists(), gone.exists()) == (True, False)
    assert leader.changes == [
        "secret rm redis_env_ffffffffffff",
        "config rm haproxy_cfg_eeeeeeeeeeee",
    ]


_SLOT = "infisical_infisical.2"


@pytest.mark.parametrize(
    ("service", "update"), [("infisical_infisical", "completed"), ("infisical_caddy", "none")]
)
def test_a_crash_loop_is_not_waited_for(
    leader: FakeManager, waits: list[float], service: str, update: str
) -> None:
    """As on a single host, a task that ended five times is reported with its last lines."""
    leader.run_tasks("", **{"infisical": 2, "caddy": 2, service.removeprefix("infisical_"): 1})
    leader.looping.extend([f"{service}.2"] * 3)
    said = _wait(leader, 50).splitlines()
    assert said[0].startswith(f"{service}: 1 of 2 run, update: {update}; ")
    assert sum(waits) < 5


def test_earlier_crashes_are_not_a_crash_loop(leader: FakeManager) -> None:
    leader.run_tasks(infisical=1, caddy=2)
    leader.ended.extend([(f"t{number}", _SLOT, "Failed 1 hour ago") for number in range(9)])
    assert "again and again" not in _wait(leader, 2)


@pytest.mark.parametrize(("etcd", "postgres"), [(1, 3), (3, 0)])
def test_infisical_may_crash_while_its_database_is_missing(
    leader: FakeManager, monkeypatch: pytest.MonkeyPatch, etcd: int, postgres: int
) -> None:
    leader.run_tasks(infisical=1, caddy=2)
    leader.looping.extend([_SLOT] * 5)
    _set_healthy_data_services(monkeypatch, etcd=etcd, postgres=postgres)
    assert "again and again" not in _wait(leader, 2)


def test_crashes_without_a_database_do_not_count_once_it_is_there(
    leader: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swarm lists ended tasks for as long as the service exists."""
    leader.run_tasks(infisical=1, caddy=2)
    leader.looping.extend([_SLOT] * 4)

    def start_database(_: FakeManager) -> DataCounts:
        leader.looping.clear()
        monkeypatch.setattr(rollout, "count_data", lambda _: DataCounts(3, 3))
        return DataCounts(3, 0)

    monkeypatch.setattr(rollout, "count_data", start_database)
    said = _wait(leader, 20)
    assert said.startswith("infisical_infisical: 1 of 2")
    assert "again and again" not in said


def test_tasks_of_other_services_do_not_end_the_wait(leader: FakeManager) -> None:
    leader.run_tasks(infisical=1, caddy=1)
    leader.looping.extend([_SLOT] * 5)
    assert "again and again" not in _wait(leader, 2, "infisical_caddy")


def test_the_wait_for_data_services_ends_with_their_numbers(
    leader: FakeManager, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    rollout.await_data(leader, seconds=30, etcd=3, postgres=3)
    assert waits == []
    _set_healthy_data_services(monkeypatch, etcd=2, postgres=1)
    with pytest.raises(RuntimeError) as late:
        rollout.await_data(leader, seconds=30, etcd=2, postgres=2)
    assert "etcd 2, PostgreSQL 1" in late.value.args[0].message
    assert sum(waits) == 30


def test_a_part_is_rolled_out_from_a_private_file_that_is_removed(leader: FakeManager) -> None:
    leader = _answering(leader, {"docker stack deploy": Output(0)})
    found = rollout.deploy_part(leader, text="services: {}")
    assert set(found) == {"infisical", "caddy"}
    (call,) = (call for call, _ in leader.ran if call.startswith("docker stack deploy"))
    assert call.endswith("--compose-file /etc/infisical/stack.part.yaml infisical")
    assert not leader.path("/etc/infisical/stack.part.yaml").exists()


def test_a_refused_part_is_reported_and_its_file_removed(leader: FakeManager) -> None:
    leader = _answering(leader, {"docker stack deploy": Output(1, errors="no such network")})
    with pytest.raises(RuntimeError) as refused:
        rollout.deploy_part(leader, text="services: {}")
    assert refused.value.args[0].message == "no such network"
    assert not leader.path("/etc/infisical/stack.part.yaml").exists()


@pytest.mark.parametrize(
    ("can_check", "is_valid", "stored"),
    [(True, True, True), (True, False, False), (False, False, True)],
)
def test_docker_validates_stack_yaml_before_it_replaces_the_old_one(
    leader: FakeManager, can_check: bool, is_valid: bool, stored: bool
) -> None:
    """Docker before version 23 has no such check."""
    answers = {
        "docker stack config --help": Output(0 if can_check else 1),
        "docker stack config": Output(0 if is_valid else 1, errors="bad"),
    }
    leader = _answering(leader, answers)
    file = leader.write("/etc/infisical/stack.yaml", "old")
    if stored:
        rollout.store(leader, text="new")
    else:
        with pytest.raises(RuntimeError):
            rollout.store(leader, text="new")
    assert file.read_text() == ("new" if stored else "old")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.glob("stack.yaml*")] == ["stack.yaml"]


def test_the_hash_of_a_service_is_of_the_text_that_docker_prints(leader: FakeManager) -> None:
    """Records of earlier roll-outs have such hashes."""
    text = '{"Name":"infisical_caddy","Labels":{"infisical.tls":"3"}}'
    assert services.list_hashes(leader)["caddy"] == sha256(text.encode()).hexdigest()
