"""The steps of a restore: a deploy in which the database comes from a snapshot."""

from pyinfra.api.deploy import deploy

from infisical_iac.backup import proof, restore
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.restore import RestoreSite, SnapshotSource
from infisical_iac.core import journal
from infisical_iac.core.end_of_run import record
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.site import at
from infisical_iac.stack import keys
from infisical_iac.workspace.deploy import bootstrap, canary, workspace
from infisical_iac.workspace.preflight import Preflight, preflight


def restoring(source: SnapshotSource) -> None:
    """Bring the host up from what `source` names; the last steps are those of the deploy.

    Services' credentials are left to a later deploy: it ends those that no file on the host has,
    and a service may hold them.
    """
    journal.current().event = "restore"
    known = preflight(restoring=True)
    foundation(known=known)
    place(known=known, source=source)
    at(known.site, RestoreSite).keep_keys()
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
            site=known.site,
            name="Put the kit's keys in place",
        )


@deploy("Restore")
def exchange(known: Preflight, source: SnapshotSource) -> None:
    """Load the snapshot, let it take the place of the data, and prove it."""
    at(known.site, RestoreSite).exchange(known, source)
    if known.leads:
        proof.proven(
            desired=known.workspace,
            site=known.site,
            name="Prove that people and machines get in",
        )
