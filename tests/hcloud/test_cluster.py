"""Test `server plan` and `create` of a cluster: its servers and their network."""

import pytest

from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import Data
from tests.hcloud.world import CLUSTER, ZONE, World, notes, parse_plan

_NAMES = ["infisical", "infisical-2", "infisical-3"]


def _index_by_name(cloud: Cloud, kind: str) -> dict[str, Data]:
    return {each["name"]: each for each in cloud.kinds[kind].values()}


def test_a_plan_names_each_server_and_the_balancer_with_prices(cluster: World) -> None:
    done = cluster.run("plan")
    assert done.exit_code == 2, done.output
    for line in (
        "+ network infisical: 10.42.0.0/24",
        "+ volume infisical-3-data: 20 GB, 0.88 EUR a month",
        "+ server infisical-2: cx33 in nbg1 with debian-13, 5.49 EUR a month",
        "~ server infisical-2: in the private network as 10.42.0.12",
        "+ Load Balancer infisical: lb11 in nbg1, 5.00 EUR a month (0.0080 an hour)",
        "~ Load Balancer infisical: in the private network as 10.42.0.254",
        "~ Load Balancer infisical: sends to infisical-3",
        "+ record secrets AAAA in example.com",
        # Three times 7.97, and the balancer.
        "In total: 28.90 EUR a month",
    ):
        assert line in done.output
    assert cluster.api.changes == []


def test_create_makes_all_resources_and_a_second_run_changes_nothing(cluster: World) -> None:
    said = cluster.ok("create", "--yes")
    cloud = cluster.cloud
    servers = _index_by_name(cloud, "servers")
    assert [*servers] == _NAMES
    for number, server in enumerate(servers.values(), 1):
        assert server["labels"] == {
            "managed-by": "infisical-iac",
            "infisical-iac-deployment": "infisical",
            "infisical-iac-cluster": "infisical",
            "role": "manager",
            "infisical-iac-ready": "yes",
        }
        assert server["private_net"][0]["ip"] == f"10.42.0.{10 + number}"
    ids = sorted(each["id"] for each in servers.values())
    assert sorted(cloud.only("placement_groups")["servers"]) == ids
    assert sorted(each["server"]["id"] for each in cloud.only("firewalls")["applied_to"]) == ids
    assert sorted(each["server"] for each in cloud.kinds["volumes"].values()) == ids
    assert {each["protection"]["delete"] for each in cloud.kinds["volumes"].values()} == {True}
    balancer = cloud.only("load_balancers")
    assert [each["server"]["id"] for each in balancer["targets"]] == ids
    assert all(each["use_private_ip"] for each in balancer["targets"])
    assert balancer["private_net"][0]["ip"] == "10.42.0.254"
    assert cloud.rrsets["secrets", "A"]["records"] == [{"value": "203.0.113.50"}]
    assert cloud.rrsets["secrets", "AAAA"]["records"] == [{"value": "2001:db8:1::50"}]
    assert balancer["public_net"]["ipv4"]["dns_ptr"] == f"secrets.{ZONE}"
    # The name resolves to the balancer, so the addresses of nodes get no reverse DNS.
    assert not any(each["dns_ptr"] for each in cloud.kinds["primary_ips"].values())
    assert len(cluster.known_hosts) == 3
    assert "203.0.113.50, 2001:db8:1::50" in said
    assert "data_volume" not in said

    before = len(cluster.api.changes)
    assert cluster.ok("create", "--yes") == "Nothing to change.\n"
    assert cluster.run("plan").exit_code == 0
    assert len(cluster.api.changes) == before


def test_a_cluster_gets_a_placement_group_by_default(cluster: World) -> None:
    cluster.set('server_placement_group = ""\n')
    cluster.ok("create", "--yes")
    group = cluster.cloud.only("placement_groups")
    assert (group["name"], group["type"], len(group["servers"])) == ("infisical", "spread", 3)


def test_further_servers_are_workers_and_surplus_ones_are_reported(cluster: World) -> None:
    cluster.set("servers = 4\n")
    cluster.ok("create", "--yes")
    servers = _index_by_name(cluster.cloud, "servers")
    assert servers["infisical-4"]["labels"]["role"] == "worker"
    cluster.set("servers = 3\n")
    (note,) = notes(cluster.run("plan").output)
    assert "server infisical-4 " in note
    assert "'servers'" in note


def test_a_single_server_becomes_the_first_node(world: World) -> None:
    world.ok("create", "--yes")
    first, volume = world.cloud.only("servers"), world.cloud.only("volumes")
    world.set(CLUSTER)
    detail = parse_plan(world.run("plan").output)["~", "server infisical"]
    assert detail.startswith("manager of ")
    assert detail.endswith(" 10.42.0.11")
    world.ok("create", "--yes")
    servers = _index_by_name(world.cloud, "servers")
    assert [*servers] == _NAMES
    assert servers["infisical"]["id"] == first["id"]
    assert volume["server"] == first["id"]
    # The records keep the address of the first node until the balancer finds a healthy node.
    (note,) = notes(world.run("plan").output)
    assert f"records of secrets in {ZONE}" in note
    assert world.cloud.rrsets["secrets", "A"]["records"] == [{"value": "127.0.0.2"}]
    world.cloud.healthy = {each["id"] for each in servers.values()}
    plan = parse_plan(world.run("plan").output)
    assert plan["~", f"record secrets A in {ZONE}"] == "203.0.113.50"
    world.ok("create", "--yes")
    assert world.cloud.rrsets["secrets", "A"]["records"] == [{"value": "203.0.113.50"}]
    assert world.run("plan").exit_code == 0


@pytest.mark.parametrize(
    ("settings", "code", "resource", "remedy"),
    [
        (
            'server_network = "10.43.0.0/24"\n',
            "error.network_range",
            "network infisical:",
            'set server_network to "10.42.0.0/24"',
        ),
        (
            'server_location = "fsn1"\nserver_volume_gb = 0\n',
            "error.location",
            "Load Balancer infisical ",
            "set server_location to nbg1",
        ),
    ],
)
def test_changes_that_would_need_a_new_resource_are_refused(
    cluster: World, settings: str, code: str, resource: str, remedy: str
) -> None:
    cluster.ok("create", "--yes")
    cluster.set(settings)
    error = cluster.error("create", "--yes")
    assert error.code == code
    assert resource in str(error)
    assert remedy in str(error)
