"""Rotate a key of a cluster, on all its data nodes."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra import logger

from infisical_iac.change.keys import Key
from infisical_iac.change.rotation import KeyHolders, forget, hand_out
from infisical_iac.cluster import membership, rollout, shared_state
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core import connection
from infisical_iac.core.errors import CommandFailed, RunFailed
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class ClusterKeyHolders(KeyHolders):
    """The other data nodes of a cluster, as its leader sees them.

    Replicas are re-created one by one.
    """

    site: ClusterSite

    def refuse(self, key: Key) -> None:
        if key.name == "redis" and (unreachable := self._unreachable_nodes()):
            raise RunFailed(
                f"{', '.join(unreachable)} can't be reached, and its Redis would accept the old "
                "key forever: bring it back first; nothing was changed"
            )

    def own_repositories(self) -> Mapping[str, list[str]]:
        targets = self.site.settings.backup.backup_targets
        directories = [each.name for each in targets if each.kind.on_host]
        cluster = self.site.cluster
        others = [each for each in cluster.nodes if each.number and each != cluster.me]
        if directories and (unreachable := self._unreachable_nodes()):
            raise RunFailed(
                f"{', '.join(unreachable)} can't be reached, and has repositories of its own that "
                "the key opens: bring it back first; nothing was changed"
            )
        # A node without repositories gets the password too, before shared targets drop the old one.
        return {each.name: directories for each in others if each.up}

    def admit(self, key: Key, *, all_of_them: bool = True) -> None:
        """Make Redis on all data nodes accept the leader's passwords.

        A Redis that does not answer accepts them from its next start on, which is logged. With
        `all_of_them` it raises CommandFailed instead.
        """
        if key.name == "redis":
            doing = "make Redis accept both passwords"
            _each(self.site.cluster, "admit", _hashes(), doing, all_of_them=all_of_them)

    def give_both(self, key: Key) -> None:
        hand_out(self._others(), f"{key.file}.old", f"{key.file}.next")
        shared_state.spread(self.site.cluster)

    def share(self) -> None:
        """Share the key under a new serial, so that no node with the old key can lead."""
        shared_state.spread(membership.observe())

    def use(self) -> None:
        rollout.roll_out(cluster_site.keep_running_version(self.site))

    def forget(self, key: Key) -> None:
        if key.name == "database":
            forget(self._others(), key)
        if key.name == "redis":
            # A Redis that does not answer drops it at its next start.
            doing = "make Redis refuse the other password"
            _each(self.site.cluster, "only", _hashes()[:1], doing, all_of_them=False)

    def _unreachable_nodes(self) -> list[str]:
        """Return the names of the unreachable data nodes."""
        return [each.name for each in self.site.cluster.nodes if each.number and not each.up]

    def _others(self) -> list[str]:
        cluster = self.site.cluster
        return [node.name for node in cluster.connected_nodes if node.number and node != cluster.me]


def _hashes() -> list[str]:
    """Return the hashes of the leader's passwords, the current one first. They are not secret."""
    return run(script("redis-passwords", "hashes"), doing="read the passwords of Redis").split()


def _each(cluster: Cluster, what: str, hashes: list[str], doing: str, *, all_of_them: bool) -> None:
    for node in cluster.connected_nodes:
        if node.number:
            with connection.on(node.name):
                try:
                    run(script("redis-passwords", what, *hashes), doing=f"{doing} on {node.name}")
                except CommandFailed as error:
                    if all_of_them:
                        raise
                    logger.warning(f"{error}; Redis does so when it starts again")
