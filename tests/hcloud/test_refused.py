"""Test that resources of others and invalid settings are refused before any change."""

import pytest

from tests.hcloud.world import CLUSTER, ZONE, World


@pytest.mark.parametrize(
    ("settings", "kind", "what"),
    [
        ("", "servers", "server infisical"),
        ("", "firewalls", "firewall infisical"),
        ("", "volumes", "volume infisical-data"),
        ("", "primary_ips", "primary IP infisical-ipv4"),
        (CLUSTER, "networks", "network infisical"),
        (CLUSTER, "load_balancers", "Load Balancer infisical"),
    ],
)
def test_resources_of_others_are_refused_and_kept(
    world: World, settings: str, kind: str, what: str
) -> None:
    world.set(settings)
    # Of one kind or the other, without anything that it would be with.
    alone = {each: list[str]() for each in ("applied_to", "services", "targets", "private_net")}
    world.cloud.add(kind, name=what.rpartition(" ")[2], assignee_id=None, **alone)
    error = world.error("create", "--yes")
    assert error.code == "refused.foreign"
    assert what in str(error)
    assert world.api.changes == []


def test_records_of_others_are_refused(world: World) -> None:
    world.cloud.rrsets["secrets", "A"] = {"name": "secrets", "type": "A", "labels": {}}
    error = world.error("create", "--yes")
    assert error.code == "refused.foreign"
    assert f"record secrets A in {ZONE} " in str(error)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("server_ssh_keys = ()\n", "'server_ssh_keys' is empty: nobody could log in"),
        ('server_ssh_keys = ("none.pub",)\n', "none.pub is no public key of SSH"),
        ('server_ssh_keys = ("nobody",)\n', "no key named nobody is at Hetzner Cloud"),
        ('server_type = "cx99"\n', "Hetzner Cloud has no cx99: choose one of cx23, cx33, cx43"),
        ('server_location = "mars"\n', "cx33 is not sold in mars: choose one of fsn1"),
        ('server_dns_zone = "example.org"\n', "secrets.example.com is no name in example.org"),
        ('site_url = "https://a.other.org"\nserver_dns_zone = "other.org"\n', "no zone other.org"),
        (
            CLUSTER + 'site_url = "http://203.0.113.7"\nserver_dns_zone = ""\n',
            "a Load Balancer needs a name",
        ),
        (
            CLUSTER + 'ingress = "none"\nserver_dns_zone = ""\n',
            "'server_dns_zone': with ingress \"none\"",
        ),
        (CLUSTER + 'balancer_type = "lb99"\n', "has no lb99: choose one of lb11, lb21"),
    ],
)
def test_invalid_settings_are_refused_before_anything_is_created(
    world: World, settings: str, sentence: str
) -> None:
    world.set(settings)
    assert sentence in world.refused("create", "--yes")
    assert world.api.changes == []


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"HCLOUD_TOKEN": ""}, "HCLOUD_TOKEN is not set"),
        ({"HCLOUD_TOKEN": "a b"}, "HCLOUD_TOKEN has spaces"),
        ({"HCLOUD_TOKEN": "wrong"}, "HCLOUD_TOKEN is no valid token"),
        ({"HCLOUD_ENDPOINT": "http://127.0.0.1:9"}, "the API of Hetzner Cloud can't be reached"),
    ],
)
def test_an_invalid_token_or_an_unreachable_api_is_reported(
    world: World, environment: dict[str, str], sentence: str
) -> None:
    assert sentence in world.refused("plan", **environment)
