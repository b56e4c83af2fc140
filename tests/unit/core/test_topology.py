"""Test what answers for a topology."""

import subprocess
import sys

from infisical_iac.cluster.hooks import HOOKS
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.topology import InventoryHosts, hook
from infisical_iac.host.site import Site, at
from tests.unit.clusters import site
from tests.unit.settings_of import settings_of


def test_a_single_host_is_answered_for_by_what_is_asked() -> None:
    class Asked:
        def __init__(self, site: Site) -> None:
            self.site = site

    alone = Site(settings_of())
    assert hook(InventoryHosts, "single") is InventoryHosts
    assert type(at(alone, Asked)) is Asked
    # A slice without a hook of the topology uses its own class.
    assert type(at(site(), Asked)) is Asked


def test_a_cluster_is_answered_for_by_a_subclass_of_what_is_asked() -> None:
    assert hook(Site, "swarm") is ClusterSite
    for asked, answering in HOOKS.items():
        assert issubclass(answering, asked)
        assert answering is not asked


def test_a_single_host_loads_nothing_of_a_cluster() -> None:
    program = (
        "import infisical_iac.core.inventory, infisical_iac.backup.restore_deploy, sys\n"
        "print(*(each for each in sys.modules if each.startswith('infisical_iac.cluster.')))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert said.split() == ["infisical_iac.cluster.settings"]
