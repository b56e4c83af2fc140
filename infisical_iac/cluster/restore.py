"""A restore of a cluster: the snapshot takes the place of its database, by its lead."""

from dataclasses import dataclass
from typing import ClassVar

from infisical_iac.backup import kit_host, restore, snapshot
from infisical_iac.backup.restore import RestoreSite, SnapshotSource
from infisical_iac.change.deploy import stack
from infisical_iac.cluster import deploy
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.stack import edge, keys
from infisical_iac.workspace.preflight import Preflight


@telling_operation
def restored(source: SnapshotSource, *, site: ClusterSite, project: str) -> Commands:
    """Load the snapshot beside the database, compare it, and let them change places.

    As `backup.restore.restored`, but that Infisical is brought up again too. The stack is there.
    """
    yield from restore.decide(source, over=site.cluster.begun)
    yield step(_restore, source, site, project)


def _restore(source: SnapshotSource, site: ClusterSite, project: str) -> None:
    def load() -> dict[str, int]:
        return snapshot.rows(restore.do("load", doing="load the snapshot").splitlines())

    def close() -> None:
        edge.close_on(site.settings, site.names)

    restore.exchange(source, site.settings, project, load, close=close)
    deploy.roll_out(site)


@dataclass(frozen=True)
class ClusterRestoreSite(RestoreSite):
    """A restore of a cluster, by its lead; of its other nodes, their part in it."""

    site: ClusterSite

    program: ClassVar[str] = "restore-cluster"
    more: ClassVar[str] = keys.OF_A_CLUSTER

    def files(self, kit: dict[str, str]) -> dict[str, str]:
        return kit_host.of_cluster(kit)

    def keep_keys(self) -> None:
        """Of a cluster with data, another host that has to lead meanwhile needs those data's."""
        if not self.site.cluster.begun:
            self.site.share()

    def exchange(self, known: Preflight, source: SnapshotSource) -> None:
        """One that has no stack yet gets one, with an empty database in it, first."""
        if not self.site.cluster.begun:
            stack(known=known)
        if known.leads:
            restored(
                source=source,
                site=self.site,
                project=known.workspace.project.slug,
                name="Restore the database",
            )

    def serve_again(self, *, touched: bool, kept: str) -> str:
        if touched:
            deploy.roll_out(cluster_site.running(self.site))
        edge.open_on(self.site.names)
        restore.forget()
        told = "The old data are back and serve." if touched else "The data were not touched."
        return f"{told}{kept}"
