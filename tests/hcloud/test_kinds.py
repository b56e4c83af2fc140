"""Test the order of the kinds of resources, and the addition of a kind."""

from collections.abc import Mapping
from typing import Any

import pytest

from infisical_iac.hetzner import plan
from infisical_iac.hetzner.api import labels
from infisical_iac.hetzner.resource import Changes, Resource, SharedResource, change
from tests.hcloud.cloud import Cloud
from tests.hcloud.shapes import Data
from tests.hcloud.world import World


def test_kinds_are_created_after_the_kinds_that_they_need() -> None:
    """A server needs the kinds before it, the balancer needs servers, and records need both."""
    assert [kind.__name__ for kind in plan.KINDS] == [
        "SshKeys",
        "CloudFirewall",
        "PlacementGroup",
        "PrivateNetwork",
        "PrimaryIps",
        "CloudVolume",
        "CloudServer",
        "ReverseDns",
        "ManagedCertificates",
        "LoadBalancer",
        "FormerCertificates",
        "DnsRecords",
        "FirstBoot",
    ]


def test_kinds_are_deleted_before_the_kinds_that_they_need_and_data_last() -> None:
    """Hetzner refuses to delete resources in use, and a killed run must not lose data."""
    deleted = sorted((kind.deleted, kind.__name__) for kind in plan.KINDS if kind.deleted)
    assert len({rank for rank, _ in deleted}) == len(deleted)
    assert [name for _, name in deleted] == [
        "DnsRecords",
        "LoadBalancer",
        "ManagedCertificates",
        "CloudServer",
        "PrimaryIps",
        "PrivateNetwork",
        "CloudFirewall",
        "PlacementGroup",
        "SshKeys",
        "CloudVolume",
    ]
    assert [kind.__name__ for kind in plan.KINDS if kind.is_data] == ["CloudVolume"]


class _FloatingIps(SharedResource):
    """A kind that no other module names."""

    collection, made, deleted, listed = "floating_ips", 45, 55, 4

    @classmethod
    def describe(cls, found: Any, servers: Mapping[Any, str]) -> tuple[str, str, str]:
        return str(found.type), "spare", "nowhere"

    def find(self) -> None:
        self.found = self.deployment.find_by_name(self.collection, "spare")

    def diff(self) -> Changes:
        if self.found is None:
            yield change("+", "floating ip spare", "", self._create)

    def _create(self) -> None:
        ours = labels(self.desired.name)
        self.client.floating_ips.create("ipv4", name="spare", labels=ours)


@pytest.fixture
def floating(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a further kind in the table."""

    def create(cloud: Cloud, given: Data) -> tuple[int, Data]:
        return 201, {"floating_ip": cloud.add("floating_ips", **given), "action": None}

    kinds: list[type[Resource]] = [*plan.KINDS, _FloatingIps]
    monkeypatch.setattr(plan, "KINDS", sorted(kinds, key=lambda kind: kind.made))
    monkeypatch.setattr(Cloud, "_create_floating_ips", create, raising=False)
    world.cloud.kinds["floating_ips"] = {}
    return world


def test_a_kind_in_the_table_is_planned_made_and_destroyed(floating: World) -> None:
    said = floating.run("plan").output
    assert said.index("+ floating ip spare") < said.index("+ primary IP infisical-ipv4")
    floating.ok("create", "--yes")
    assert floating.run("plan").exit_code == 0
    assert floating.cloud.only("floating_ips")["name"] == "spare"
    assert "floating ip" in floating.ok("list")
    said = floating.ok("destroy", "--confirm", "infisical")
    assert said.index("- primary IP infisical-ipv4") < said.index("- floating ip spare")
    assert said.index("- floating ip spare") < said.index("- firewall infisical")
    assert not floating.cloud.kinds["floating_ips"]


def test_a_resource_of_others_of_any_kind_is_refused(floating: World) -> None:
    floating.cloud.add("floating_ips", name="spare", type="ipv4")
    error = floating.error("create", "--yes")
    assert error.code == "refused.foreign"
    assert "floating ip spare" in str(error)
    assert floating.api.changes == []
