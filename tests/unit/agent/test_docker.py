"""Test which container of the host is a service's, in Compose and in a Swarm."""

import pytest

from infisical_iac.agent.docker import find_container, list_containers
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_SINGLE = [
    docker_container("aa", project="infisical", service="postgres", health="healthy"),
    docker_container("bb", project="infisical-drill", service="postgres"),
    docker_container("cc", project="infisical", service="redis", state="exited"),
]
_SWARM = [
    docker_container("dd", swarm="infisical_postgres-2", state="exited"),
    docker_container("ee", swarm="infisical_postgres-2", health="starting"),
    docker_container("ff", swarm="infisical_redis-2"),
    docker_container("gg", swarm="other_postgres-2"),
    docker_container("hh", swarm="infisical_postgres-exporter"),
    docker_container("ii", swarm="infisical_infisical", state="exited"),
    docker_container("jj", swarm="infisical_infisical", state="exited"),
]


@pytest.mark.parametrize(
    ("containers", "service", "topology", "id"),
    [
        (_SINGLE, "postgres", "", "aa"),
        (_SINGLE, "redis", "", "cc"),
        (_SINGLE, "caddy", "", ""),
        (_SWARM, "postgres", "", "ee"),
        (_SWARM, "redis", "", "ff"),
        (_SWARM, "infisical", "", "ii"),
        (_SWARM, "sentinel", "", ""),
        ([*_SINGLE, *_SWARM], "postgres", "swarm", "ee"),
        ([*_SWARM, *_SINGLE], "postgres", "single", "aa"),
    ],
)
def test_the_running_container_of_either_engine_comes_first(
    containers: list[dict[str, object]], service: str, topology: str, id: str
) -> None:
    host = FakeRunner(answers=docker_answers(*containers))
    found = find_container(host, service, topology)
    assert (found.id if found else "") == id


def test_an_engine_that_does_not_answer_is_no_host_without_containers() -> None:
    for answers in ({}, {"docker ps": Output(1)}):
        with pytest.raises(RuntimeError) as caught:
            list_containers(FakeRunner(answers=answers))
        assert caught.value.args[0].code == "command"


def test_containers_are_filtered_by_docker_and_read_as_it_describes_them() -> None:
    host = FakeRunner(answers=docker_answers(_SINGLE[0]))
    (found,) = list_containers(host, "name=x", "status=running")
    assert host.ran[0][0].endswith("--filter name=x --filter status=running")
    assert (found.name, found.image, found.image_id) == ("aa", "postgres:1", "sha256:aa")
    assert (found.is_running, found.health, found.pid) == (True, "healthy", 7)
