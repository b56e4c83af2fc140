"""The steps of a restore: a deploy in which the database comes from a snapshot."""

from pyinfra.api.deploy import deploy

from infisical_iac.backup import proof, restore
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.restore import SnapshotSource
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.share import share
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.end_of_run import record
from infisical_iac.host.deploy import foundation
from infisical_iac.host.preflight import Preflight, preflight
from infisical_iac.stack import compose as containers
from infisical_iac.stack import keys
from infisical_iac.stack.deploy import compose_file, configure_ingress, run_containers, stack
from infisical_iac.workspace.deploy import bootstrap, canary, workspace


def restoring(source: SnapshotSource) -> None:
    """Bring the host up from what `source` names; the last steps are those of the deploy.

    Services' credentials are left to a later deploy: it ends those that no file on the host has,
    and a service may hold them.
    """
    journal.current().event = "restore"
    known = preflight(restoring=True)
    foundation(known=known)
    place(known=known, source=source)
    if known.cluster and not known.cluster.begun:
        # Of a cluster with data, another host that has to lead meanwhile needs the keys of those.
        share(known=known)
    backup(known=known, coming=[f"{restore.KEYS}/{path}" for path in source.files])
    exchange(known=known, source=source)
    share(known=known)
    bootstrap(known=known)
    workspace(known=known)
    canary(known=known)
    share(known=known)
    record()


@deploy("Keys")
def place(known: Preflight, source: SnapshotSource) -> None:
    """Begin, and have the keys that the snapshot needs."""
    if known.leads:
        restore.placed(
            source=source,
            admin_email=known.settings.workspace.admin_email,
            more=keys.more_of(known.settings),
            of_cluster=known.cluster is not None,
            name="Put the kit's keys in place",
        )


@deploy("Restore")
def exchange(known: Preflight, source: SnapshotSource) -> None:
    """Load the snapshot, let it take the place of the data, and prove it."""
    if known.cluster:
        _on_a_cluster(known, known.cluster, source)
    else:
        _on_one_host(known, source)
    if known.leads:
        proof.proven(
            desired=known.workspace,
            settings=known.settings,
            cluster=known.cluster,
            name="Prove that people and machines get in",
        )


def _on_a_cluster(known: Preflight, cluster: Cluster, source: SnapshotSource) -> None:
    """A cluster that has no stack yet gets one, with an empty database in it, first."""
    if not cluster.begun:
        stack(known=known)
    if known.leads:
        restore.restored_on_cluster(
            source=source,
            site=Site(known.settings, known.machine, cluster),
            project=known.workspace.project.slug,
            name="Restore the database",
        )


def _on_one_host(known: Preflight, source: SnapshotSource) -> None:
    settings = known.settings
    compose = compose_file(settings, known.machine)
    containers.fetched(
        images=settings.images, archives=settings.stack.image_archives, name="Fetch the images"
    )
    configure_ingress(settings)
    restore.restored(
        source=source,
        settings=settings,
        compose=compose,
        project=known.workspace.project.slug,
        name="Restore the database",
    )
    run_containers(settings, known.machine)
