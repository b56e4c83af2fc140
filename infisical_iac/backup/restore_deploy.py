"""Restore a host by a deploy whose database comes from a snapshot, or undo a restore."""

from pyinfra.api.deploy import deploy

from infisical_iac.backup import proof, restore
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.restore import RestoreSite, SnapshotSource
from infisical_iac.core import audit, journal
from infisical_iac.core.operation import record_run
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.site import at, site_of
from infisical_iac.stack import keys
from infisical_iac.workspace.deploy import bootstrap, canary, workspace
from infisical_iac.workspace.preflight import Preflight, preflight


def restoring(source: SnapshotSource) -> None:
    """Restore the host from `source`; the last steps are those of a deploy.

    A later deploy manages the service credentials: it revokes those that no file on the host has,
    and a service may still use them.
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
    record_run()


@deploy("Keys")
def place(known: Preflight, source: SnapshotSource) -> None:
    """Begin the restore, and put the keys that the snapshot needs in place."""
    if known.leads:
        secrets = known.settings.instance.given
        keys.given_secrets(
            secrets=[each for each in secrets if f"keys/{each.key}" not in source.files],
            more=keys.more_of(known.settings),
            name="Ask for the secrets that only you have",
        )
        restore.kit_keys(
            source=source,
            admin_email=known.settings.workspace.admin_email,
            more=keys.more_of(known.settings),
            site=known.site,
            name="Put the kit's keys in place",
        )


@deploy("Restore")
def exchange(known: Preflight, source: SnapshotSource) -> None:
    """Load the snapshot, replace the data by it, and prove it."""
    at(known.site, RestoreSite).exchange(known, source)
    if known.leads:
        proof.restore_proof(
            desired=known.workspace,
            site=known.site,
            name="Prove that people and machines can log in",
        )


def undo(settings: Settings, *, asked: bool) -> None:
    """Undo an unfinished restore, if there is one, and print the state of the host.

    Args:
        asked: whether the operator asked for the undo, and for nothing else.
    """
    began = restore.find_unfinished()
    if not began:
        if asked:
            echo("There is nothing to undo: no restore is under way.")
        return
    with audit.record("restore", [f"undone: the restore {began}"]):
        now = restore.go_back(site_of(settings))
    echo(f"The restore {began} had not ended. {now}", err=not asked)


def go_back(settings: Settings) -> str:
    """Bring the old data back unless the restore is proven; return the state of the host."""
    if proof.is_proven():
        return "The restored data are proven and serve; `infisical-iac apply` completes the host."
    if restore.find_unfinished():
        return restore.go_back(site_of(settings))
    return "The data were not touched."
