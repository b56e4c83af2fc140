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


def test_a_cluster_needs_its_own_images_and_for_drills_the_one_of_a_single_host() -> None:
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
def test_a_version_may_have_a_letter_before_it(image: str) -> None:
    assert settings_of(etcd_image=image).cluster.etcd_image == image


def test_an_address_is_normalized() -> None:
    assert settings_of(cluster_address="fd00:0:0::2").cluster.cluster_address == "fd00::2"
    assert settings_of(cluster_address="").cluster.cluster_address == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"topology": "kubernetes"},
            "'kubernetes' is not accepted; write 'single' or 'swarm'",
        ),
        ({"cluster_address": "node-1"}, "'node-1' is no address; write where the other hosts"),
        ({"cluster_address": "10.0.0.0/24"}, "'10.0.0.0/24' is no address"),
        ({"infisical_replicas": 1}, "1 is out of range; choose 2 to 20"),
        ({"infisical_replicas": 21}, "21 is out of range; choose 2 to 20"),
        ({"patroni_image": "ghcr.io/zalando/spilo-17"}, "names no version; write one such as ghcr"),
        ({"etcd_image": "gcr.io/etcd-development/etcd:latest"}, "names no version"),
        ({"haproxy_image": "haproxy:lts"}, "names no version; write one such as haproxy:3.2.25"),
    ],
)
def test_invalid_settings_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(**changes)
    assert sentence in str(refused.value)
