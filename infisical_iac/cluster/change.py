"""Change the version of a cluster with a rollback, and rotate keys.

Infisical serves while the version changes, replica by replica, and a rollback keeps later writes if
the old version can use the data. Otherwise a dump from before the change replaces the data, which
are set aside, not deleted. A key is rotated on all data nodes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

from pyinfra import logger

from infisical_iac.agent import redis_passwords
from infisical_iac.change import kept_releases, releases, upgrade
from infisical_iac.change.keys import Key
from infisical_iac.change.releases import Release, Rollback, UnfinishedChange
from infisical_iac.change.rotation import KeyHolders, forget, hand_out
from infisical_iac.change.upgrade import VersionChanges
from infisical_iac.cluster import membership, shared_state
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core import audit, connection, journal, transaction
from infisical_iac.core.agent import Question, ask, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import CommandFailed, Refused, RunFailed
from infisical_iac.core.images import Images
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.stack import compose, edge
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.state import UpgradeState, missing_images, upgrade_question
from infisical_iac.workspace import checks


def fetch(release: Release, site: ClusterSite) -> None:
    """Load the release's image of Infisical on all nodes, without stopping a service.

    Raises a UserError.
    """
    image = release.images["infisical"]
    kept_releases.reset_release(release.name)
    for node in site.cluster.connected_nodes:
        with connection.on(node.name):
            if missing_images([image]):
                compose.fetch([image], compose.sources_of(site.settings.stack))


def change_version(
    site: ClusterSite, project: str, was: Images, image: str, data: Release | None = None
) -> list[str]:
    """Change the version, and return sentences on the result.

    The leader makes the change by itself (`agent/cluster_upgrade.py`). Infisical pauses only if the
    data change too. Raises RunFailed: the previous version runs again then, or the message says how
    to restore it.

    Args:
        site: the site with the settings; its image of Infisical may differ from `image`.
        project: the slug of the project whose secrets are read before and after.
        was: the running images.
        image: the reference of the new image of Infisical, which is on the nodes.
        data: the release whose data are loaded; None to keep the current data.
    """
    cluster_stack.require_tls(site)
    if data:
        edge.prepare_closing_on(site.settings, site.names)
    unfinished = kept_releases.starting(was, image)
    plan = _plan(unfinished, site, project)
    plan |= cluster_stack.read_replicas(site)
    plan["data"] = data.name if data else ""
    began = unfinished.release.partition("-")[0]
    named = [unfinished.release, image]
    ended = transaction.begin(ClusterVersionChanges.kind, began, plan, named=named)
    return upgrade.read_end(unfinished, ended, site.settings)


def _plan(unfinished: UnfinishedChange, site: ClusterSite, project: str) -> dict[str, Any]:
    """Return the plan of a change for the leader's agent, without the way back."""
    settings, image = site.settings, unfinished.image
    return {
        "release": unfinished.release,
        "image": image,
        "compose": compose_file(settings, site.machine, drill=True, image=image),
        "data": "",
        "timeout": settings.stack.start_timeout,
        "edge": edge.is_ours(settings.stack),
        "port": settings.stack.http_port,
        "proof": asdict(checks.plan_of(settings, project)),
        **cluster_stack.render_replicas(_with_image(site, image)),
    }


def _with_image(site: ClusterSite, image: str) -> ClusterSite:
    return replace(site, settings=site.settings.with_infisical(image))


@dataclass(frozen=True)
class ClusterVersionChanges(VersionChanges):
    """Changes of version on a cluster, made by its leader."""

    site: ClusterSite

    kind: ClassVar[str] = "cluster_upgrade"

    def make_plan(self, unfinished: UnfinishedChange, project: str) -> dict[str, Any]:
        cluster_stack.require_tls(self.site)
        kept = kept_releases.read_releases()
        was = next(each for each in kept if each.name == unfinished.release)
        old = cluster_stack.render_replicas(_with_image(self.site, was.images["infisical"]))
        return {
            **_plan(unfinished, self.site, project),
            **{f"old_{name}": old[name] for name in ("stack", "part")},
        }

    def refuse_bringing_writes(self) -> None:
        raise Refused(
            "a cluster can't bring writes over a rollback: leave out --bring-writes, and copy "
            "what is missing from the release that the rollback keeps"
        )

    def go_to(self, back: Rollback, project: str) -> list[str]:
        release = back.release
        image = release.images["infisical"]
        fetch(release, self.site)
        with audit.record("rollback", [f"~ Infisical: back to {release.name}"]):
            sentences = change_version(self.site, project, back.was, image, back.data)
        settings = self.site.settings
        runs = Images(image, settings.stack.postgres_image)
        return [
            *sentences,
            f"Infisical {runs.version} serves, as of {release.name}.",
            *releases.list_settings_to_change(runs, settings.stack),
        ]


@planned_operation
def version_change(*, site: ClusterSite, project: str) -> Commands:
    """Upgrade the data of an older version to the version of the settings.

    Without data or a changed version it does nothing: `stack.services` rolls out then. The images
    are on the nodes. Raises Refused, with nothing changed, for a change that can't be made,
    CheckFailed if secrets can't be decrypted before it, and RunFailed after a rollback.
    """
    journal.current().kept = None
    settings, waits = site.settings, journal.will_change(upgrade.CHANGE)
    found = (
        UpgradeState() if waits else inspect(upgrade_question(settings.stack.infisical_reference))
    )
    desired = Images(settings.stack.infisical_reference, settings.cluster.patroni_image)
    changes = (
        releases.list_version_changes(found.was, desired, same_bytes=found.same_bytes)
        if found.was
        else {}
    )
    if found.was and changes:
        with upgrade.refusing(found.was):
            releases.refuse_other_major(found.was, desired)
            releases.refuse_change(found.was, desired)
            upgrade.check_free_space([], settings)
            checks.refuse_undecryptable(settings.stack.http_port)
    yield from decide_change(found, desired, changes, site, project, waits=waits)


def decide_change(
    found: UpgradeState,
    desired: Images,
    changes: Mapping[str, str],
    site: ClusterSite,
    project: str,
    *,
    waits: bool = False,
) -> Commands:
    """Plan the `changes` of version, which the caller has not refused.

    Args:
        waits: whether an earlier change has to end first.
    """
    if waits:
        yield upgrade.UNSEEN
        return
    if not found.was or not changes:
        yield UpToDate("no version changes")
        return
    for what, how in changes.items():
        yield Change("~", what, how + upgrade.describe_failure(found, desired))
    yield step(upgrade.make, partial(change_version, site, project, found.was, desired.infisical))


@dataclass(frozen=True)
class ClusterKeyHolders(KeyHolders):
    """The other data nodes of a cluster, as its leader sees them.

    Replicas are re-created one by one.
    """

    site: ClusterSite

    on_host: ClassVar[bool] = False

    def refuse(self, key: Key) -> None:
        if key.name == "redis" and (unreachable := self._unreachable_nodes()):
            raise RunFailed(
                f"{', '.join(unreachable)} can't be reached, so Redis there would accept the old "
                "key forever, and nothing was changed: bring it back first"
            )

    def own_repositories(self) -> Mapping[str, list[str]]:
        targets = self.site.settings.backup.backup_targets
        directories = [each.name for each in targets if each.kind.on_host]
        cluster = self.site.cluster
        others = [each for each in cluster.nodes if each.number and each != cluster.me]
        if directories and (unreachable := self._unreachable_nodes()):
            raise RunFailed(
                f"{', '.join(unreachable)} can't be reached, but has backups of its own with the "
                "old key, and nothing was changed: bring it back first"
            )
        # A node without repositories gets the password too, before shared targets drop the old one.
        return {each.name: directories for each in others if each.up}

    def admit(self, key: Key, *, all_of_them: bool = True) -> None:
        """Make Redis on all data nodes accept the leader's passwords.

        A Redis that does not answer accepts them from its next start on, which is logged. With
        `all_of_them` it raises CommandFailed instead.
        """
        if key.name == "redis":
            admitting = question(redis_passwords.admit, hashes=_list_password_hashes())
            doing = "make Redis accept both passwords"
            _set_in_each_redis(self.site.cluster, admitting, doing, all_of_them=all_of_them)

    def give_both(self, key: Key) -> None:
        hand_out(self._others(), f"{key.file}.old", f"{key.file}.next")
        shared_state.spread(self.site.cluster)

    def share(self) -> None:
        """Share the key under a new serial, so that no node with the old key can lead."""
        shared_state.spread(membership.observe())

    def use(self) -> None:
        cluster_stack.roll_out(cluster_site.keep_running_version(self.site))

    def forget(self, key: Key) -> None:
        if key.name == "database":
            forget(self._others(), key)
        if key.name == "redis":
            # A Redis that does not answer drops the other password at its next start.
            only = question(redis_passwords.accept_only, hash=_list_password_hashes()[0])
            doing = "make Redis refuse the other password"
            _set_in_each_redis(self.site.cluster, only, doing, all_of_them=False)

    def _unreachable_nodes(self) -> list[str]:
        """Return the names of the unreachable data nodes."""
        return [each.name for each in self.site.cluster.nodes if each.number and not each.up]

    def _others(self) -> list[str]:
        cluster = self.site.cluster
        return [node.name for node in cluster.connected_nodes if node.number and node != cluster.me]


def _list_password_hashes() -> list[str]:
    """Return the hashes of the leader's passwords, the current one first. They are not secret."""
    return ask(question(redis_passwords.hashes))


def _set_in_each_redis(
    cluster: Cluster, asked: Question[None], doing: str, *, all_of_them: bool
) -> None:
    for node in cluster.connected_nodes:
        if node.number:
            with connection.on(node.name):
                try:
                    perform(asked, doing=f"{doing} on {node.name}")
                except CommandFailed as error:
                    if all_of_them:
                        raise
                    logger.warning(f"{error}; that Redis gets its passwords when it starts again")
