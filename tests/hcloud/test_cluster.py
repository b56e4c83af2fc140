"""`server plan` and `create` of a cluster: its servers, their network, what stands before them."""

import pytest

from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import Data
from tests.hcloud.world import CLUSTER, ZONE, World

_NAMES = ["infisical", "infisical-2", "infisical-3"]


@pytest.fixture
def cluster(world: World) -> World:
    """A world whose settings want a cluster."""
    world.set(CLUSTER)
    return world


def _named(cloud: Cloud, kind: str) -> dict[str, Data]:
    return {each["name"]: each for each in cloud.kinds[kind].values()}


def _port(balancer: Data, port: int) -> Data:
    (found,) = (each for each in balancer["services"] if each["listen_port"] == port)
    return dict(found)


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
        "All of it: 28.90 EUR a month",
    ):
        assert line in done.output
    assert cluster.api.changes == []


def test_everything_is_made_and_a_second_run_changes_nothing(cluster: World) -> None:
    said = cluster.ok("create", "--yes")
    cloud = cluster.cloud
    servers = _named(cloud, "servers")
    assert [*servers] == _NAMES
    for number, server in enumerate(servers.values(), 1):
        assert server["labels"] == {
            "managed-by": "infisical-iac",
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
    # What leads to the balancer does not lead back to a node.
    assert not any(each["dns_ptr"] for each in cloud.kinds["primary_ips"].values())
    assert len(cluster.known_hosts) == 3
    assert "The Load Balancer is up at 203.0.113.50, 2001:db8:1::50." in said
    assert "data_volume" not in said

    before = len(cluster.api.changes)
    assert cluster.ok("create", "--yes") == "Nothing to change.\n"
    assert cluster.run("plan").exit_code == 0
    assert len(cluster.api.changes) == before


def test_a_group_spreads_the_servers_without_being_asked_for(cluster: World) -> None:
    cluster.set('server_placement_group = ""\n')
    cluster.ok("create", "--yes")
    group = cluster.cloud.only("placement_groups")
    assert (group["name"], group["type"], len(group["servers"])) == ("infisical", "spread", 3)


def test_tls_passes_through_to_caddy_which_is_told_the_clients_address(cluster: World) -> None:
    cluster.ok("create", "--yes")
    balancer = cluster.cloud.only("load_balancers")
    assert sorted(each["listen_port"] for each in balancer["services"]) == [80, 443]
    https = _port(balancer, 443)
    assert (https["protocol"], https["destination_port"]) == ("tcp", 443)
    assert https["proxyprotocol"]
    check = https["health_check"]
    assert (check["protocol"], check["port"]) == ("http", 80)
    assert (check["http"]["path"], check["http"]["domain"]) == ("/api/status", f"secrets.{ZONE}")
    # A node that is down is sent nothing more within half a minute.
    assert check["interval"] * (check["retries"] + 1) + check["timeout"] < 30
    assert not cluster.cloud.kinds["certificates"]


def test_without_caddy_https_ends_at_the_balancer_with_a_certificate_of_its_own(
    cluster: World,
) -> None:
    cluster.set('ingress = "none"\n')
    said = cluster.run("plan").output
    assert "+ certificate infisical-secrets.example.com" in said
    cluster.ok("create", "--yes")
    certificate = cluster.cloud.only("certificates")
    https = _port(cluster.cloud.only("load_balancers"), 443)
    assert certificate["domain_names"] == [f"secrets.{ZONE}"]
    assert (https["protocol"], https["destination_port"]) == ("https", 8080)
    assert https["http"]["certificates"] == [certificate["id"]]
    assert https["http"]["redirect_http"]
    assert (https["health_check"]["port"], https["proxyprotocol"]) == (8080, False)
    opened = {each["port"]: each["source_ips"] for each in cluster.cloud.only("firewalls")["rules"]}
    assert opened["8080"] == ["10.42.0.254/32"]
    assert {"80", "443"} & opened.keys() == set()
    assert cluster.run("plan").exit_code == 0


def test_a_certificate_that_was_not_issued_is_tried_again(cluster: World) -> None:
    cluster.set('ingress = "none"\n')
    cluster.cloud.failing.add("create_certificate")
    assert "bring about certificate infisical-secrets" in cluster.refused("create", "--yes")
    assert "issuing it failed (no zone), tried again" in cluster.run("plan").output
    cluster.ok("create", "--yes")
    assert cluster.run("plan").exit_code == 0


def test_another_name_has_another_certificate_and_the_old_one_goes(cluster: World) -> None:
    cluster.set('ingress = "none"\n')
    cluster.ok("create", "--yes")
    cluster.set(f'site_url = "https://vault.{ZONE}"\n')
    said = cluster.run("plan").output
    assert "- certificate infisical-secrets.example.com" in said
    assert "~ Load Balancer infisical: port 443: https to 8080" in said
    cluster.ok("create", "--yes")
    assert cluster.cloud.only("certificates")["domain_names"] == [f"vault.{ZONE}"]
    assert cluster.run("plan").exit_code == 0


def test_what_was_changed_at_the_balancer_by_hand_is_set_right(cluster: World) -> None:
    cluster.ok("create", "--yes")
    balancer = cluster.cloud.only("load_balancers")
    right = [dict(each) for each in balancer["services"]]
    stranger = cluster.cloud.add("servers", name="stranger", private_net=[])
    balancer["services"] = [
        {**right[0], "proxyprotocol": False},
        {**right[1], "listen_port": 8080},
    ]
    balancer["targets"][0]["use_private_ip"] = False
    balancer["targets"].append(
        {"type": "server", "server": {"id": stranger["id"]}, "use_private_ip": True}
    )
    said = cluster.run("plan").output
    for line in (
        "port 443: tcp to 443",
        "port 80: tcp to 80",
        "port 8080: nothing any more",
        f"sends nothing to server {stranger['id']} any more",
        "sends to infisical\n",
    ):
        assert f"~ Load Balancer infisical: {line}" in said
    cluster.ok("create", "--yes")
    assert sorted(balancer["services"], key=str) == sorted(right, key=str)
    assert len(balancer["targets"]) == 3
    assert cluster.run("plan").exit_code == 0


def test_a_balancer_of_another_type_is_changed_in_place(cluster: World) -> None:
    cluster.ok("create", "--yes")
    cluster.set('balancer_type = "lb21"\n')
    assert "lb11 → lb21, 15.00 EUR a month" in cluster.run("plan").output
    cluster.ok("create", "--yes")
    assert cluster.cloud.only("load_balancers")["load_balancer_type"]["name"] == "lb21"


def test_without_a_balancer_the_records_name_all_nodes(cluster: World) -> None:
    cluster.set('edge = "none"\n')
    cluster.ok("create", "--yes")
    assert not cluster.cloud.kinds["load_balancers"]
    assert cluster.cloud.rrsets["secrets", "A"]["records"] == [
        {"value": f"127.0.0.{number}"} for number in (2, 3, 4)
    ]
    assert cluster.run("plan").exit_code == 0


def test_further_servers_are_workers_and_one_too_many_is_told(cluster: World) -> None:
    cluster.set("servers = 4\n")
    cluster.ok("create", "--yes")
    servers = _named(cluster.cloud, "servers")
    assert servers["infisical-4"]["labels"]["role"] == "worker"
    cluster.set("servers = 3\n")
    said = cluster.run("plan").output
    assert "! the server infisical-4 is more than the setting 'servers' says: it stays" in said


def test_a_server_on_its_own_becomes_the_first_node(world: World) -> None:
    world.ok("create", "--yes")
    first, volume = world.cloud.only("servers"), world.cloud.only("volumes")
    world.set(CLUSTER)
    said = world.run("plan").output
    assert "~ server infisical: manager of the cluster infisical" in said
    assert "~ server infisical: in the private network as 10.42.0.11" in said
    world.ok("create", "--yes")
    servers = _named(world.cloud, "servers")
    assert [*servers] == _NAMES
    assert servers["infisical"]["id"] == first["id"]
    assert volume["server"] == first["id"]
    # People go on reaching the first node until the balancer finds one that is well.
    said = world.run("plan").output
    assert "! the records of secrets in example.com lead elsewhere" in said
    assert world.cloud.rrsets["secrets", "A"]["records"] == [{"value": "127.0.0.2"}]
    world.cloud.well = {each["id"] for each in servers.values()}
    assert "~ record secrets A in example.com: 203.0.113.50" in world.run("plan").output
    world.ok("create", "--yes")
    assert world.cloud.rrsets["secrets", "A"]["records"] == [{"value": "203.0.113.50"}]
    assert world.run("plan").exit_code == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ('server_network = "10.43.0.0/24"\n', 'set server_network to "10.42.0.0/24"'),
        ('server_location = "fsn1"\nserver_volume_gb = 0\n', "Load Balancer infisical is in nbg1"),
    ],
)
def test_what_cannot_be_moved_is_told(cluster: World, settings: str, sentence: str) -> None:
    cluster.ok("create", "--yes")
    cluster.set(settings)
    assert sentence in cluster.refused("create", "--yes")
