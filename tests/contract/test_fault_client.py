"""Test the client of the fault tests while the database of its servers is unreachable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.client import Client
from tests.cluster.nodes import Node
from tests.cluster.place import Place

from .services import Standin, wait_until
from .world import World, set_up

if TYPE_CHECKING:
    from .conftest import StartStandin
    from .postgres import Postgres


def _place(world: World) -> Place:
    identity = world.deployer_identity
    return Place(
        {
            "INFISICAL_CLIENT_ID": identity.client_id,
            "INFISICAL_CLIENT_SECRET": identity.client_secret,
        }
    )


def test_acknowledged_writes_survive_outages_of_the_servers(
    postgres: Postgres, database: str, start: StartStandin
) -> None:
    servers: list[Standin] = [start(database).wait(), start(database).wait()]
    nodes = [Node(each.url, each.url) for each in servers]
    place = _place(set_up(servers[0], database)).set_up(nodes[0])
    assert _place_again(place, nodes[1]) == place.project_id
    with Client(nodes, place, per_second=30, seconds=5) as client:
        _wait_for_writes(client, 10)
        postgres.stop()
        try:
            wait_until(lambda: client.report().failed_writes > 0, "no write has failed")
        finally:
            postgres.start()
        _wait_for_writes(client, 10)
        servers[1].process.kill()
        _wait_for_writes(client, 10)
    assert client.report().wrong_reads == ()
    assert client.list_lost(nodes[0]) == []


def _place_again(place: Place, node: Node) -> str:
    """Find the project again, like a client that is started later."""
    return Place(place.credentials).set_up(node).project_id


def _wait_for_writes(client: Client, more: int) -> None:
    expected = client.report().writes + more
    wait_until(lambda: client.report().writes >= expected, "no more writes")
