"""Test the observation of the stack from a manager of the swarm."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import swarm_stack
from infisical_iac.agent.runner import Output
from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState, Network
from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_state import record_text
from infisical_iac.core.agent import question
from tests.unit.agent.fake_manager import FakeManager
from tests.unit.agent.fake_runner import FakeRunner, answer
from tests.unit.agent.test_rollout import NAME, SECRETS
from tests.unit.cluster.stacks import CONVERGED, DESIRED

_MTU = {"com.docker.network.driver.mtu": "1350"}
_REDIS = {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server", "--save x"]}


def _manager(tmp_path: Path, **more: Any) -> FakeManager:
    host = FakeManager(tmp_path, answers={"docker version": "", **more.pop("answers", {})}, **more)
    host.write("/etc/infisical/keys/encryption_key", "not-a-key\n")
    host.write("/etc/infisical/keys/auth_secret", "not-a-secret\n")
    return host


def _inspect(host: FakeRunner, *images: str) -> ClusterStackState:
    return answer(question(swarm_stack.inspect, images=[*images], secrets=SECRETS), host)


def test_the_state_of_the_stack_is_read(tmp_path: Path) -> None:
    networks = [
        {
            "Name": "infisical-edge",
            "Internal": True,
            "Options": _MTU,
            "IPAM": {"Config": [{"Subnet": "10.1.0.0/24"}]},
        },
        {"Name": "other", "Internal": False, "Options": None, "IPAM": {"Config": None}},
    ]
    host = _manager(
        tmp_path,
        replicas={"infisical_etcd-1": "1/1"},
        nodes=[("ready", "active"), ("ready", "drain"), ("down", "active")],
        secrets=["redis_env_0123456789ab"],
        answers={
            "docker network ls": "n1\nn2\n",
            "docker network inspect": "".join(f"{json.dumps(each)}\n" for each in networks),
        },
    )
    host.run_tasks(waiting="infisical_etcd-1")
    found = _inspect(host)
    assert (found.engine, found.manager) == (True, True)
    assert found.nodes == (True, False, False)
    [(name, service)] = found.services.items()
    assert (name, service.hash != "") == ("etcd-1", True)
    assert service == SwarmService(0, 1, "none", 1, service.hash, 3)
    assert found.made == {"secret": frozenset({"redis_env_0123456789ab"}), "config": frozenset()}
    assert found.networks == {
        "infisical-edge": Network(True, _MTU, ("10.1.0.0/24",)),
        "other": Network(False, {}, ()),
    }


def test_names_of_secrets_are_listed_and_no_secret(tmp_path: Path) -> None:
    found = _inspect(_manager(tmp_path))
    assert found.secrets == {"infisical_env": NAME}
    assert "not-a-" not in str(found)


@pytest.mark.parametrize("missing", ["", "staging/etcd:3.5"])
def test_the_start_of_present_images_is_read(tmp_path: Path, missing: str) -> None:
    configs = {"staging/redis:8": _REDIS, "staging/etcd:3.5": {"Cmd": ["/usr/bin/etcd"]}}
    inspect = "docker image inspect --format {{json .Config}}"
    lines = {image: f"{json.dumps(config)}\n" for image, config in configs.items()}
    answers = {f"{inspect} {' '.join(configs)}": Output(bool(missing), "".join(lines.values()))}
    for image, line in lines.items():
        answers[f"{inspect} {image}"] = Output(1 if image == missing else 0, line)
    found = _inspect(_manager(tmp_path, answers=answers), *configs).start
    redis = ("docker-entrypoint.sh", "redis-server", "--save x")
    etcd = {} if missing else {"staging/etcd:3.5": ("/usr/bin/etcd",)}
    assert found == {"staging/redis:8": redis, **etcd}


def test_a_record_round_trips(tmp_path: Path) -> None:
    record = stack_plan.make_record(CONVERGED, DESIRED, {"infisical": "aa", "haproxy": "bb"})
    host = _manager(tmp_path)
    host.write("/etc/infisical/stack.json", record_text(record))
    assert _inspect(host).record == CONVERGED.record


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"services": {"infisical": {"hash": "a"}}}'])
def test_a_truncated_or_edited_record_is_ignored(tmp_path: Path, text: str) -> None:
    host = _manager(tmp_path)
    host.write("/etc/infisical/stack.json", text)
    assert _inspect(host).record == {}


def test_a_host_without_docker_has_no_stack(tmp_path: Path) -> None:
    assert _inspect(FakeRunner(tmp_path)) == ClusterStackState()


def test_a_host_without_a_majority_knows_its_secrets_only(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path, answers={"docker version": ""})
    host.write("/etc/infisical/keys/redis_password", "not-a-password\n")
    found = _inspect(host)
    assert (found.engine, found.manager, [*found.secrets]) == (True, False, ["redis_env"])


def test_a_starting_task_has_time_to_become_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _manager(tmp_path, replicas={"infisical_etcd-1": "1/1"})
    host.tasks.append(("infisical_etcd-1.1", "node1", "Starting 1 second ago"))

    def become_healthy(_: float) -> None:
        host.tasks[:] = [("infisical_etcd-1.1", "node1", "Running 1 second ago")]

    monkeypatch.setattr(time, "sleep", become_healthy)
    assert _inspect(host).services["etcd-1"].running == 1


@pytest.mark.parametrize("looping", [True, False])
def test_a_starting_task_is_waited_for_as_long_as_it_does_not_crash_repeatedly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looping: bool
) -> None:
    """A broken etcd ends every three seconds, and each inspection once took the maximum time."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    host = _manager(tmp_path, replicas={"infisical_infisical": "2/2"})
    host.run_tasks(infisical=2)
    host.tasks.append(("infisical_etcd-1.1", "node1", "Starting 1 second ago"))
    host.ended.append(("t1", "infisical_etcd-1.1", "Failed 1 second ago"))
    if looping:
        host.looping.append("infisical_etcd-1.1")
    assert _inspect(host).services["infisical"].running == 2
    assert sum(waits) == (1 if looping else swarm_stack.STARTING_SECONDS)
