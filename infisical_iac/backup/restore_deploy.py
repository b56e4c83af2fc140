"""Restore a host by a deploy whose database comes from a snapshot, prove it, or undo it.

The proof: people and machines can log in, and secrets can be read.
"""

from pyinfra.api.deploy import deploy

from infisical_iac.backup import restore
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.restore import RestoreSite, SnapshotSource
from infisical_iac.core import audit, journal
from infisical_iac.core.errors import Refused, RunFailed
from infisical_iac.core.operation import record_run
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.firewall import end_egress
from infisical_iac.host.site import at, site_of
from infisical_iac.stack import keys
from infisical_iac.workspace.deploy import bootstrap, canary, workspace
from infisical_iac.workspace.preflight import Preflight, preflight


def restoring(source: SnapshotSource) -> None:
    """Restore the host from `source`; the last steps are those of a deploy.

    Service credentials are left to a later deploy, which revokes those that no file on the host
    has: a service may still use them.
    """
    journal.current().event = "restore"
    known = preflight(restoring=True)
    ask_secrets(known=known, source=source)
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
    end_egress(known=known)
    record_run()


@deploy("Secrets")
def ask_secrets(known: Preflight, source: SnapshotSource) -> None:
    """Ask for the secrets that only the user has and the kit lacks, before anything is changed."""
    if known.leads:
        files = at(known.site, RestoreSite).files(source.files)
        secrets = known.settings.secrets
        keys.given_secrets(
            secrets=[each for each in secrets if f"keys/{each.key}" not in files],
            more=keys.more_of(known.settings),
            name="Ask for the secrets that only you have",
        )


@deploy("Keys")
def place(known: Preflight, source: SnapshotSource) -> None:
    """Begin the restore, and put the keys that the snapshot needs in place."""
    if known.leads:
        restore.kit_keys(source=source, known=known, name="Put the kit's keys in place")


@deploy("Restore")
def exchange(known: Preflight, source: SnapshotSource) -> None:
    """Load the snapshot, replace the data by it, and prove it."""
    at(known.site, RestoreSite).exchange(known, source)


def undo(settings: Settings, *, asked: bool) -> None:
    """Undo an unfinished restore, if there is one, and print the state of the host.

    Raises a UserError, also if the host is at work on the restore and nobody asked to undo it.

    Args:
        asked: whether the operator asked for nothing but the undo.
    """
    found = restore.find_unfinished()
    if found is None or found.journal is None:
        if asked:
            echo("There is nothing to undo: no restore is under way.")
        return
    if found.is_active and not asked:
        raise Refused(
            "the host is at work on a restore: `infisical-iac attach` follows it, and "
            "`infisical-iac restore --undo` undoes it",
            code="refused.under_way",
        )
    began = found.journal.began
    with audit.record("restore", [f"undone: the restore {began}"]):
        now = at(site_of(settings), RestoreSite).go_back()
    echo(f"The restore {began} had not ended. {now}", err=not asked)


def go_back(settings: Settings) -> str:
    """Bring the old data back unless the restore is proven; return the state of the host."""
    if now := restore.state_after_failure():
        return now
    if restore.find_unfinished():
        return at(site_of(settings), RestoreSite).go_back()
    return "The data were not touched."


def attach(settings: Settings) -> None:
    """Follow an unfinished restore, and print its end.

    Raises RunFailed if it was undone, and a UserError if it can't be followed.
    """
    ended = at(site_of(settings), RestoreSite).follow()
    sentences = " ".join(restore.describe_end(ended))
    if ended.outcome == "undone":
        raise RunFailed(f"the restore was undone. {sentences}", code="run.given_up")
    echo(f"{sentences} `infisical-iac apply` completes the host.")
