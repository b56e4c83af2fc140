"""Test reading the stack on a Swarm, and its record."""

import pytest

from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_state import ClusterStack, SwarmService, hashes, record_text
from tests.unit.cluster.stacks import CONVERGED, DESIRED


def test_a_record_round_trips() -> None:
    record = stack_plan.make_record(CONVERGED, DESIRED, {"infisical": "aa", "haproxy": "bb"})
    text = record_text(record).replace("\n", "")
    assert ClusterStack().process([f"record {text}"]).record == CONVERGED.record


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"services": {"infisical": {"hash": "a"}}}'])
def test_a_truncated_or_edited_record_is_ignored(text: str) -> None:
    assert ClusterStack().process([f"record {text}"]).record == {}


def test_the_state_of_the_stack_is_read() -> None:
    found = ClusterStack().process(
        [
            "engine",
            "desired redis_env redis_env_0123456789ab",
            'start staging/redis:8 ["docker-entrypoint.sh"] ["redis-server","--save x"]',
            'start staging/etcd:3.5 null ["/usr/bin/etcd"]',
            "manager",
            "node n1 ready active",
            "node n2 ready drain",
            "node n4 down active",
            "service infisical_etcd-1 0 1 none 1",
            f"hash infisical_etcd-1 {'b' * 64}",
            "secret redis_env_0123456789ab",
        ]
    )
    assert found.secrets == {"redis_env": "redis_env_0123456789ab"}
    assert found.start == {
        "staging/redis:8": ("docker-entrypoint.sh", "redis-server", "--save x"),
        "staging/etcd:3.5": ("/usr/bin/etcd",),
    }
    assert found.nodes == (True, False, False)
    assert found.services == {"etcd-1": SwarmService(0, 1, "none", 1, "b" * 64)}
    assert found.made == {"secret": frozenset({"redis_env_0123456789ab"}), "config": frozenset()}


def test_the_hashes_of_a_roll_out_are_read() -> None:
    assert hashes("hash infisical_redis-1 aa\nhash infisical_caddy bb\n") == {
        "redis-1": "aa",
        "caddy": "bb",
    }
