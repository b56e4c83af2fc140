"""Test the Load Balancer of a cluster, its certificate, and the records."""

from tests.hcloud.shapes import Data
from tests.hcloud.world import ZONE, World, parse_plan


def _port(balancer: Data, port: int) -> Data:
    (found,) = (each for each in balancer["services"] if each["listen_port"] == port)
    return dict(found)


def test_tls_passes_through_to_caddy_with_the_clients_address(cluster: World) -> None:
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
    assert ("+", f"certificate infisical-secrets.{ZONE}") in parse_plan(cluster.run("plan").output)
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


def test_a_failed_certificate_is_requested_again(cluster: World) -> None:
    cluster.set('ingress = "none"\n')
    cluster.cloud.failing.add("create_certificate")
    error = cluster.error("create", "--yes")
    assert error.code == "run.hetzner"
    assert f"certificate infisical-secrets.{ZONE}" in str(error)
    plan = parse_plan(cluster.run("plan").output)
    assert "(no zone)" in plan["~", f"certificate infisical-secrets.{ZONE}"]
    cluster.ok("create", "--yes")
    assert cluster.run("plan").exit_code == 0


def test_a_new_name_gets_a_new_certificate_and_the_old_one_is_deleted(cluster: World) -> None:
    cluster.set('ingress = "none"\n')
    cluster.ok("create", "--yes")
    cluster.set(f'site_url = "https://vault.{ZONE}"\n')
    plan = parse_plan(cluster.run("plan").output)
    assert ("-", f"certificate infisical-secrets.{ZONE}") in plan
    assert plan["~", "Load Balancer infisical"].startswith("port 443: https to 8080")
    cluster.ok("create", "--yes")
    assert cluster.cloud.only("certificates")["domain_names"] == [f"vault.{ZONE}"]
    assert cluster.run("plan").exit_code == 0


def test_manual_changes_of_the_balancer_are_corrected(cluster: World) -> None:
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
        "port 8080: removed",
        f"no longer sends to server {stranger['id']}",
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
    detail = parse_plan(cluster.run("plan").output)["~", "Load Balancer infisical"]
    assert detail.startswith("lb11 → lb21, 15.00 EUR ")
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
