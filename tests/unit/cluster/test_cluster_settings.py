"""Test which settings of a cluster are accepted, and how others are refused."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from tests.unit.settings_of import settings_of


def test_a_single_host_is_the_default_and_needs_no_cluster_images() -> None:
    settings = settings_of()
    assert settings.cluster.topology == "single"
    assert list(settings.services) == ["infisical", "postgres", "redis", "caddy"]
    assert settings.services["postgres"] == settings.stack.postgres_image


def test_a_cluster_needs_its_own_images_and_the_single_hosts_postgres_for_drills() -> None:
    settings = settings_of(topology="swarm")
    assert settings.images == (
        settings.stack.infisical_reference,
        settings.cluster.patroni_image,
        settings.stack.redis_image,
        settings.cluster.etcd_image,
        settings.cluster.haproxy_image,
        settings.stack.caddy_image,
        settings.stack.postgres_image,
    )
    assert "caddy" not in settings_of(topology="swarm", ingress="none").services


@pytest.mark.parametrize(
    "image", ["gcr.io/etcd-development/etcd:v3.5.21", "quay.io/coreos/etcd:3.5.21"]
)
def test_the_version_of_an_image_may_begin_with_a_letter(image: str) -> None:
    assert settings_of(etcd_image=image).cluster.etcd_image == image


def test_an_address_is_normalized() -> None:
    assert settings_of(cluster_address="fd00:0:0::2").cluster.cluster_address == "fd00::2"
    assert settings_of(cluster_address="").cluster.cluster_address == ""


@pytest.mark.parametrize(
    ("key", "value", "problem", "example"),
    [
        ("topology", "kubernetes", "not accepted", "'single' or 'swarm'"),
        ("cluster_address", "node-1", "not an address", "10.0.0.2"),
        ("cluster_address", "10.0.0.0/24", "not an address", "10.0.0.2"),
        ("infisical_replicas", 1, "out of range", "2 to 20"),
        ("infisical_replicas", 21, "out of range", "2 to 20"),
        ("patroni_image", "ghcr.io/zalando/spilo-17", "no version", "spilo-17:4.0-p3"),
        ("etcd_image", "gcr.io/etcd-development/etcd:latest", "no version", "etcd:v3.5.21"),
        ("haproxy_image", "haproxy:lts", "no version", "haproxy:3.2.25"),
    ],
)
def test_invalid_settings_are_refused_with_an_accepted_value(
    key: str, value: Any, problem: str, example: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(**{key: value})
    what, _, remedy = str(refused.value).partition("; ")
    assert what.startswith(f"setting {key!r}: {value!r} ")
    assert what.endswith(problem)
    assert example in remedy
