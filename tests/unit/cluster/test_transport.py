"""Test that a cluster without TLS is switched to TLS in stages, and never back."""

from dataclasses import replace

import pytest

from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.cluster import stack, stack_plan
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.agent import Question
from tests.unit.cluster.observed import cluster_of, three
from tests.unit.rendered_stack import TRIXIE, swarm_settings

_NAMES = ("etcd-1", "postgres-1", "redis-1", "sentinel-1", "haproxy", "infisical")


def _stack_with(**levels: int) -> ClusterStackState:
    """Return a stack with the given levels by service; other services have the last level."""
    services = {
        name: SwarmService(1, 1, tls=levels.get(name.partition("-")[0], Level.REQUIRED))
        for name in _NAMES
    }
    return ClusterStackState(manager=True, services={**services, "caddy": SwarmService(1, 1)})


_PLAIN = _stack_with(**dict.fromkeys(("etcd", "postgres", "redis", "sentinel", "haproxy"), 0))


@pytest.mark.parametrize(
    ("found", "levels"),
    [
        (ClusterStackState(), [Level.REQUIRED]),
        (_stack_with(), [Level.REQUIRED]),
        (_PLAIN, [Level.OFFERED, Level.USED, Level.REQUIRED]),
        (_stack_with(infisical=1), [Level.USED, Level.REQUIRED]),
        (_stack_with(redis=2, sentinel=2), [Level.REQUIRED]),
    ],
)
def test_a_roll_out_continues_from_the_lowest_level(
    found: ClusterStackState, levels: list[Level]
) -> None:
    assert list(stack_plan.levels_ahead(found)) == levels


def test_a_plan_lists_the_remaining_roll_outs_to_tls() -> None:
    assert stack_plan.find_tls_change(_stack_with()) is None
    item = stack_plan.find_tls_change(_PLAIN)
    assert item
    assert item.what.startswith("TLS of PostgreSQL")
    assert item.detail.startswith("plain → required, ")
    assert "3 roll-outs" in item.detail


def test_redis_and_sentinels_close_their_plain_ports_together() -> None:
    assert stack_plan.changing_together(_PLAIN, Level.OFFERED) == frozenset()
    assert stack_plan.changing_together(_stack_with(redis=2), Level.REQUIRED) == {
        "redis-1",
        "sentinel-1",
    }
    assert stack_plan.changing_together(_stack_with(), Level.REQUIRED) == frozenset()


@pytest.fixture
def recorded_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of a roll-out in their order; levels are named, with `again` for a reset etcd."""
    made: list[str] = []

    def roll_out(site: ClusterSite) -> None:
        made.append(f"{site.tls.name}{' again' if site.cluster.is_etcd_reset else ''}")

    def perform(asked: Question[None], *, doing: str) -> None:
        made.append(asked.calls[0].name)

    monkeypatch.setattr(stack, "_roll_out", roll_out)
    monkeypatch.setattr(stack, "perform", perform)
    monkeypatch.setattr(stack, "reopen_database", lambda _: None)
    return made


_SECURED = "etcd.secure"


@pytest.mark.parametrize(
    ("found", "is_etcd_reset", "steps"),
    [
        (_PLAIN, False, ["OFFERED", _SECURED, "USED", _SECURED, "REQUIRED"]),
        (_PLAIN, True, ["OFFERED again", _SECURED, "USED", _SECURED, "REQUIRED"]),
        (_stack_with(etcd=1), True, ["USED again", _SECURED, "REQUIRED"]),
        (_stack_with(infisical=2), False, [_SECURED, "REQUIRED"]),
        (_stack_with(), False, ["REQUIRED"]),
        (ClusterStackState(), False, ["REQUIRED"]),
    ],
)
def test_etcds_members_use_tls_before_clients_do_and_plain_ports_close(
    monkeypatch: pytest.MonkeyPatch,
    recorded_steps: list[str],
    found: ClusterStackState,
    is_etcd_reset: bool,
    steps: list[str],
) -> None:
    monkeypatch.setattr(stack, "read_stack_again", lambda _: found)
    cluster = replace(cluster_of(three()), is_etcd_reset=is_etcd_reset)
    stack.roll_out(ClusterSite(swarm_settings(), TRIXIE, cluster))
    assert recorded_steps == steps
