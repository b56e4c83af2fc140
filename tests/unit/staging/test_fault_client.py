"""Test the outages, failures and lost writes that the client of the fault tests reports."""

import time
from collections.abc import Callable

import httpx
import pytest

from tests.cluster.client import Client
from tests.cluster.ledger import Attempt, Ledger, Outage, back_after, outages
from tests.cluster.nodes import Balancer, Node
from tests.cluster.place import Place
from tests.unit.fake_nodes import FakeApiNode

CREDENTIALS = {"INFISICAL_CLIENT_ID": "an-id", "INFISICAL_CLIENT_SECRET": "no-real-secret"}


@pytest.fixture
def client(nodes: list[FakeApiNode]) -> Client:
    place = Place(CREDENTIALS).set_up(nodes[0].node)
    return Client([each.node for each in nodes], place, per_second=60, seconds=2)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for at most ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def has_written(client: Client, number: int) -> Callable[[], bool]:
    return lambda: len(client.ledger.successes("write")) >= number


def list_failures(client: Client) -> list[Attempt]:
    """Return the failed attempts; it is chance whether reads, writes or both hit a node."""
    return [each for each in client.ledger.attempts if not each.ok]


@pytest.mark.parametrize(
    ("successes", "expected"),
    [
        ([], [Outage(0, 10)]),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], []),
        ([1, 2, 7, 8, 9], [Outage(2, 7)]),
        ([5, 6, 7, 8, 9], [Outage(0, 5)]),
        ([1, 2, 3, 4], [Outage(4, 10)]),
        ([-1, 1, 2, 3, 6.5, 8, 9.5, 11], [Outage(3, 6.5)]),
    ],
)
def test_an_outage_is_a_time_without_a_success(
    successes: list[float], expected: list[Outage]
) -> None:
    assert outages(successes, 0, 10) == expected


@pytest.mark.parametrize(("moment", "seconds"), [(0, 9), (4, 5), (8.5, 0.5), (9, 0), (20, 0)])
def test_service_is_back_once_the_last_outage_after_the_fault_is_over(
    moment: float, seconds: float
) -> None:
    assert back_after([Outage(1, 4), Outage(6, 9)], moment) == seconds


def test_a_write_is_lost_if_its_secret_is_missing_or_has_another_value() -> None:
    ledger = Ledger()
    for name in ("A", "B", "C"):
        ledger.acknowledge(name, "value")
    assert ledger.list_lost({"A": "value", "B": "another", "D": "more"}) == ["B", "C"]


def test_writes_go_to_all_nodes_and_none_is_lost(client: Client, nodes: list[FakeApiNode]) -> None:
    with client:
        wait_until(has_written(client, 12))
    report = client.report()
    assert report.writes == len(nodes[0].store.secrets) == len(client.ledger.acknowledged)
    assert (report.failed_writes, report.failed_reads, report.wrong_reads) == (0, 0, ())
    assert client.list_lost(nodes[1].node) == []
    assert all(each.asked for each in nodes)
    assert {each.node for each in client.ledger.attempts} == {"node-1", "node-2", "node-3"}


def test_a_failing_node_causes_failed_attempts_and_no_lost_writes(
    client: Client, nodes: list[FakeApiNode]
) -> None:
    nodes[0].down = True
    with client:
        wait_until(lambda: len(list_failures(client)) > 2 and has_written(client, 12)())
    failed = list_failures(client)
    assert {each.node for each in failed} == {"node-1"}
    assert all(each.detail.startswith("500 ") for each in failed)
    reasons = {f"{each.node}: {each.kind}: {each.detail}" for each in failed}
    assert {why for why, _ in client.ledger.reasons()} == reasons
    assert sum(count for _, count in client.ledger.reasons()) == len(failed)
    assert client.list_lost(nodes[1].node) == []


def test_an_outage_lasts_until_a_node_accepts_writes_again(
    client: Client, nodes: list[FakeApiNode]
) -> None:
    with client:
        wait_until(has_written(client, 3))
        for each in nodes:
            each.down = True
        begun = client.now()
        client.wait(2.2)
        for each in nodes:
            each.down = False
        before = len(client.ledger.acknowledged)
        wait_until(has_written(client, before + 3))
    report = client.report()
    assert report.longest() >= 2
    assert report.back_after(begun) >= 2
    assert client.list_lost(nodes[0].node) == []


def test_a_client_that_no_node_serves_is_not_steady(
    client: Client, nodes: list[FakeApiNode]
) -> None:
    for each in nodes:
        each.down = True
    with client:
        assert not client.steady(2.5, 3.5)


def test_a_write_that_was_acknowledged_and_forgotten_is_reported(
    client: Client, nodes: list[FakeApiNode]
) -> None:
    nodes[2].forgetful = True
    with client:
        wait_until(lambda: has_written(client, 12)() and client.report().wrong_reads != ())
    lost = client.list_lost(nodes[0].node)
    assert lost
    assert not set(lost) & set(nodes[0].store.secrets)
    assert len(lost) + len(nodes[0].store.secrets) == client.report().writes


def test_a_read_of_another_value_is_reported_with_its_node(
    client: Client, nodes: list[FakeApiNode]
) -> None:
    nodes[1].lying = True
    with client:
        wait_until(lambda: len(client.report().wrong_reads) > 1)
    assert all(each.endswith(" at node-2") for each in client.report().wrong_reads)


def test_a_token_that_is_refused_is_replaced(client: Client, nodes: list[FakeApiNode]) -> None:
    nodes[0].store.tokens.clear()
    with client:
        wait_until(has_written(client, 3))
    assert nodes[0].store.logins > 1


def test_an_unhealthy_node_gets_no_requests_until_it_is_healthy(nodes: list[FakeApiNode]) -> None:
    balancer = Balancer([each.node for each in nodes], interval=0.02)

    def choose_often() -> set[str]:
        return {balancer.choose().name for _ in range(6)}

    nodes[1].sick = True
    balancer.start()
    wait_until(lambda: choose_often() == {"node-1", "node-3"})
    nodes[1].sick = False
    wait_until(lambda: len(choose_often()) == 3)
    balancer.stop()


def test_all_nodes_are_tried_if_none_is_healthy() -> None:
    nowhere = [Node(name, "http://127.0.0.1:9") for name in ("a", "b")]
    balancer = Balancer(nowhere, interval=0.02)
    balancer.start()
    wait_until(lambda: not balancer.healthy)
    assert {balancer.choose().name for _ in range(4)} == {"a", "b"}
    balancer.stop()
    with pytest.raises(httpx.ConnectError):
        nowhere[0].ask("GET", "/api/status", 1)
