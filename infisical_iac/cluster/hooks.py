"""Map each class for a single host to the one for a cluster; `core.topology` loads them."""

from collections.abc import Sequence

from pyinfra.api.host import Host

from infisical_iac.backup.restore import RestoreSite
from infisical_iac.change.deploy import StackSteps
from infisical_iac.change.rotation import KeyHolders
from infisical_iac.change.upgrade import VersionChanges
from infisical_iac.cluster import membership, shared_state
from infisical_iac.cluster.change import (
    ClusterKeyHolders,
    ClusterVersionChanges,
)
from infisical_iac.cluster.deploy import ClusterRemoval, ClusterStackSteps
from infisical_iac.cluster.restore import ClusterRestoreSite
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.connection import LOST, current
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.terminal import echo
from infisical_iac.core.topology import InventoryHosts
from infisical_iac.host import site as host_site
from infisical_iac.stack.deploy import HostRemoval


class _ClusterHosts(InventoryHosts):
    several = True

    def leader(self, hosts: Sequence[Host], *, quorum: bool) -> Host:
        first = next(host for host in hosts if host in host.state.active_hosts)
        with current(first):
            try:
                name = membership.observe().leader.name
            except Refused:
                if quorum:
                    raise
                return first
        return first.state.inventory.get_host(name)

    def share(self) -> None:
        try:
            shared_state.spread(membership.observe())
        except (UserError, *LOST) as error:
            echo(
                f"Note: the change has not reached all hosts of the cluster yet ({error}): "
                "`infisical-iac apply` copies it there",
                err=True,
            )


HOOKS: dict[type, type] = {
    HostRemoval: ClusterRemoval,
    InventoryHosts: _ClusterHosts,
    host_site.Site: ClusterSite,
    KeyHolders: ClusterKeyHolders,
    RestoreSite: ClusterRestoreSite,
    StackSteps: ClusterStackSteps,
    VersionChanges: ClusterVersionChanges,
}
