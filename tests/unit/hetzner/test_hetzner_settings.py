"""Test which settings of a cluster at Hetzner Cloud are refused."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from tests.unit.settings_of import settings_of


@pytest.mark.parametrize(
    ("changes", "key", "facts"),
    [
        ({"servers": 2}, "servers", ("2 can't form a cluster", "3 to 10")),
        ({"servers": 11}, "servers", ("11 can't form a cluster", "3 to 10")),
        ({"server_network": "203.0.113.0/24"}, "server_network", ("'203.0.113.0/24'", "256")),
        ({"server_network": "10.0.0.0/28"}, "server_network", ("'10.0.0.0/28'", "256")),
        ({"server_network": "home"}, "server_network", ("'home'", "256")),
        ({"edge": "floating-ip"}, "edge", ("'floating-ip'",)),
        ({"balancer_type": "cx33"}, "balancer_type", ("'cx33'", "lb11")),
        ({"hosts": ({"name": "a"},)}, "hosts.0.address", ("is not set",)),
        ({"hosts": ({"address": "a", "port": 1},)}, "hosts.0.port", ("is unknown",)),
        ({"hosts": ({"address": "a"}, {"address": "b", "name": "a"})}, "hosts", ("a twice",)),
        (
            {"hosts": ({"address": "a", "cluster_address": "b"},)},
            "hosts.0.cluster_address",
            ("'b' is not an address", "10.0.0.1"),
        ),
    ],
)
def test_a_cluster_setting_that_cannot_work_is_refused_by_its_key(
    changes: dict[str, Any], key: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**changes)
    assert str(refusal.value).startswith(f"setting {key!r}: ")
    for fact in facts:
        assert fact in str(refusal.value)
