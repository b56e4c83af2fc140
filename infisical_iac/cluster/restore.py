"""Replace a cluster's database by a snapshot, or undo an unfinished restore; on its leader."""

import base64
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.agent import restore_proof
from infisical_iac.agent.aside import DIRECTORY
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.restore import PROJECT
from infisical_iac.agent.restore_proof import BeforeRestore, RestoreProof
from infisical_iac.agent.snapshot import parse_rows
from infisical_iac.backup import kit_host, manifest, restore, snapshot
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.restore import KEYS, RestoreSite, SnapshotSource
from infisical_iac.change.deploy import stack
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.instance import given
from infisical_iac.stack import edge, keys, session
from infisical_iac.stack.model import (
    describe_kept_data,
    given_up_after_proof,
    parse_after_proof,
    parse_given_up,
)
from infisical_iac.workspace import checks
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.preflight import Preflight

_restored: dict[str, tuple[Manifest, BeforeRestore]] = {}


def do(name: str, *arguments: str, doing: str, stdin: str | None = None) -> str:
    """Run a step of a restore on the host and return its output. Raises CommandFailed."""
    return run(script("restore-cluster", name, *arguments), doing=doing, stdin=stdin)


@planned_operation
def snapshot_restore(source: SnapshotSource, *, site: ClusterSite, desired: Workspace) -> Commands:
    """Load the snapshot next to the database, compare it, and swap the two.

    Like `backup.restore.restored_data`, but without the proof. The stack must exist.
    """
    yield from restore.decide(source, over=site.cluster.has_databases)
    yield step(_restore, source, site, desired)


def _restore(source: SnapshotSource, site: ClusterSite, desired: Workspace) -> None:
    key, found = snapshot.fetch(DIRECTORY, source.targets, source.snapshot)
    manifest.refuse(found, key=key, settings=site.settings)
    logger.info(f"{host.print_prefix}Snapshot of {found.at}, Infisical {found.infisical}")
    loaded = parse_rows(do("load", doing="load the snapshot").splitlines())
    manifest.refuse_difference(found, loaded)
    _restored[host.name] = found, _record(site, desired)
    edge.close_on(site.settings, site.names)
    do("swap", doing="replace the data by the snapshot")
    session.forget()
    cluster_stack.roll_out(site)


def _record(site: ClusterSite, desired: Workspace) -> BeforeRestore:
    plan = checks.plan_of(site.settings, desired.project.slug)
    asked = question(
        restore_proof.record_before,
        project=plan.project,
        port=site.settings.stack.http_port,
        address=asdict(plan.address),
    )
    try:
        return ask(asked)
    except UserError:
        return BeforeRestore()


@planned_operation
def database_proof(*, desired: Workspace, site: ClusterSite) -> Commands:
    """Log in as administrator and deployer, read the canary and all folders, and end the restore.

    Then it opens the edge, and reports access that the restore reverted. Raises CheckFailed if the
    administrator can't log in, a secret can't be read, the canary was altered, or the public
    address has stopped answering. The restore has not ended then, and can be undone.
    """
    yield step(_prove, desired, site)


def _prove(desired: Workspace, site: ClusterSite) -> None:
    settings = site.settings
    found, before = _restored[host.name]
    asked = RestoreProof(
        desired.project.slug,
        [[each.credentials, each.former_credentials] for each in desired.secret_holders()],
        found.at,
        before.access,
    )
    checked = question(restore_proof.check, asked=asdict(asked), port=settings.stack.http_port)
    sentences = perform(checked, doing="check Infisical")
    snapshot.clean(DIRECTORY, PROJECT)
    opening = partial(edge.open_on, site.names)
    if before.public:
        checks.check_public_address(settings, Before({}, public=True), opening)
    else:
        opening()
    kept = do("end", doing="end the restore").splitlines()
    restore.note_proven()
    sentences += _describe_old_data(dict(line.split(" ", 1) for line in kept))
    journal.current().operator_notes += [
        *sentences,
        *given_up_after_proof(*parse_after_proof(kept)),
    ]


def _describe_old_data(found: dict[str, str]) -> list[str]:
    if "database" not in found:
        return []
    return [
        f"The old data are on the cluster, in the database {found['database']}, until the next "
        f"restore is proven; replaced files are on {host.name} in {DIRECTORY}/aside."
    ]


@dataclass(frozen=True)
class ClusterRestoreSite(RestoreSite):
    """A restore of a cluster: the steps of its leader and of its other nodes."""

    site: ClusterSite

    def files(self, kit: dict[str, str]) -> dict[str, str]:
        return kit_host.of_cluster(super().files(kit))

    def keep_keys(self) -> None:
        """Share the keys, unless the cluster has data: a new leader needs the keys of those."""
        if not self.site.cluster.has_databases:
            self.site.share()

    def begin(self, known: Preflight, source: SnapshotSource, due: Placing) -> None:
        do("begin", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", doing="begin the restore")
        if due.aside:
            do("aside", *due.aside, doing="move the old keys aside")
        for path, text in due.put.items():
            # Text that is sent gets a final newline, which a key's file may not have.
            encoded = base64.b64encode(text.encode()).decode()
            do("put", path, doing=f"write {KEYS}/{path}", stdin=f"{encoded}\n")
        if due.put or given.values():
            keys.make(known.settings.workspace.admin_email, "", keys.more_of(known.settings))

    def exchange(self, known: Preflight, source: SnapshotSource) -> None:
        """Restore the database; a cluster without a stack gets one with an empty database first."""
        if not self.site.cluster.has_databases:
            stack(known=known)
        if known.leads:
            snapshot_restore(
                source=source,
                site=self.site,
                desired=known.workspace,
                name="Restore the database",
            )
            database_proof(
                desired=known.workspace,
                site=self.site,
                name="Prove that people and machines can log in",
            )

    def go_back(self) -> str:
        phase = "".join(do("state", doing="see whether a restore is under way").split()[1:])
        snapshot.clean(DIRECTORY, PROJECT)
        said = do("back", doing="bring the old data back")
        session.forget()
        if phase != "begun":
            keys.make(self.site.settings.workspace.admin_email, "", keys.OF_A_CLUSTER)
        kept = "".join(f" {each}" for each in describe_kept_data(parse_given_up(said.splitlines())))
        # After a killed rollback, the phase does not show whether the data had been swapped.
        is_touched = phase in ("data", "backing", "back")
        if is_touched:
            cluster_stack.roll_out(cluster_site.keep_running_version(self.site))
        edge.open_on(self.site.names)
        do("forget", doing="forget the undone restore")
        sentence = (
            "The old data are back and serve." if is_touched else "The data were not touched."
        )
        return f"{sentence}{kept}"

    def follow(self) -> TransactionJournal:
        raise Refused(
            "a restore has not ended on the cluster: `infisical-iac restore --undo` brings the old "
            "data back"
        )
