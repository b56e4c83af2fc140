"""Test which classes implement a topology."""

import subprocess
import sys

from infisical_iac.cluster.hooks import HOOKS
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.topology import InventoryHosts, hook
from infisical_iac.host.site import Site, at
from tests.unit.clusters import site
from tests.unit.settings_of import settings_of


def test_a_single_host_uses_the_requested_class() -> None:
    class Requested:
        def __init__(self, site: Site) -> None:
            self.site = site

    single = Site(settings_of())
    assert hook(InventoryHosts, "single") is InventoryHosts
    assert type(at(single, Requested)) is Requested
    # Without a hook of the topology, the requested class itself is used.
    assert type(at(site(), Requested)) is Requested


def test_a_cluster_uses_a_subclass_of_the_requested_class() -> None:
    assert hook(Site, "swarm") is ClusterSite
    for requested, used in HOOKS.items():
        assert issubclass(used, requested)
        assert used is not requested


def test_a_single_host_loads_no_module_of_clusters_but_their_settings() -> None:
    program = (
        "import infisical_iac.core.inventory, infisical_iac.backup.restore_deploy, sys\n"
        "print(*(each for each in sys.modules if each.startswith('infisical_iac.cluster.')))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == ["infisical_iac.cluster.settings"]
