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
    # These fields are empty: each kind of resource has some of them.
    unattached = {
        each: list[str]() for each in ("applied_to", "services", "targets", "private_net")
    }
    world.cloud.add(kind, name=what.rpartition(" ")[2], assignee_id=None, **unattached)
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
    ("settings", "code", "key", "facts"),
    [
        ("server_ssh_keys = ()\n", "settings.no_ssh_key", "server_ssh_keys", (" empty: ",)),
        (
            'server_ssh_keys = ("none.pub",)\n',
            "settings.ssh_key",
            "server_ssh_keys",
            (": none.pub is not a readable ", " public SSH key"),
        ),
        (
            'server_ssh_keys = ("nobody",)\n',
            "settings.unknown_ssh_key",
            "server_ssh_keys",
            (": no key named nobody ",),
        ),
        (
            'server_type = "cx99"\n',
            "settings.unknown_type",
            "server_type",
            (" no cx99: choose one of cx23, cx33, cx43",),
        ),
        (
            'server_location = "mars"\n',
            "settings.location",
            "server_location",
            ("cx33 ", " in mars: choose one of fsn1"),
        ),
        (
            'server_dns_zone = "example.org"\n',
            "settings.dns_zone",
            "server_dns_zone",
            (": secrets.example.com ", " not a name in example.org: "),
        ),
        (
            'site_url = "https://a.other.org"\nserver_dns_zone = "other.org"\n',
            "settings.unknown_zone",
            "server_dns_zone",
            (" no zone other.org: ",),
        ),
        (
            CLUSTER + 'site_url = "http://203.0.113.7"\nserver_dns_zone = ""\n',
            "settings.balancer_domain",
            "site_url",
            ("Load Balancer",),
        ),
        (
            CLUSTER + 'ingress = "none"\nserver_dns_zone = ""\n',
            "settings.balancer_certificate",
            "server_dns_zone",
            ('ingress "none"',),
        ),
        (
            CLUSTER + 'balancer_type = "lb99"\n',
            "settings.unknown_type",
            "balancer_type",
            (" no lb99: choose one of lb11, lb21",),
        ),
    ],
)
def test_invalid_settings_are_refused_before_anything_is_created(
    world: World, settings: str, code: str, key: str, facts: tuple[str, ...]
) -> None:
    world.set(settings)
    error = world.error("create", "--yes")
    assert error.code == code
    assert str(error).startswith(f"setting '{key}'")
    for fact in facts:
        assert fact in str(error)
    assert world.api.changes == []


@pytest.mark.parametrize(
    ("environment", "code", "fact"),
    [
        ({"HCLOUD_TOKEN": ""}, "error.token", "HCLOUD_TOKEN is not set"),
        ({"HCLOUD_TOKEN": "a b"}, "error.token", "HCLOUD_TOKEN has spaces"),
        ({"HCLOUD_TOKEN": "wrong"}, "error.hetzner", "HCLOUD_TOKEN … not a valid token"),
        ({"HCLOUD_ENDPOINT": "http://127.0.0.1:9"}, "unreachable.hetzner", "Hetzner Cloud"),
    ],
)
def test_an_invalid_token_or_an_unreachable_api_is_reported(
    world: World, environment: dict[str, str], code: str, fact: str
) -> None:
    error = world.error("plan", **environment)
    assert error.code == code
    assert all(part in str(error) for part in fact.split(" … "))
