"""Replace a host's data and keys by a snapshot and its keys, or undo an unfinished restore.

The host makes the restore by itself (`agent/restore.py`), but for its preparation: the operations
between `kit_keys` and `restored_data` need the keys, and only this side can run them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pyinfra.context import host

from infisical_iac.agent import restore as on_host
from infisical_iac.agent.aside import DIRECTORY
from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.transaction import Progress, needs_plan
from infisical_iac.backup import kit_host
from infisical_iac.backup.kit import Opened
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.manifest import versions_of
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.backup.target import BackupTarget, choose_targets
from infisical_iac.core import journal, transaction
from infisical_iac.core.agent import ask, inspect, perform, question
from infisical_iac.core.change import Change
from infisical_iac.core.errors import CheckFailed, CommandFailed, Refused, RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.host import resume
from infisical_iac.host.site import Site, at
from infisical_iac.instance import given
from infisical_iac.instance.settings import GIVEN
from infisical_iac.stack import compose, edge, session
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.deploy import configure_containers, run_containers
from infisical_iac.stack.keys import more_of, question_for
from infisical_iac.stack.model import describe_kept_data, given_up_after_proof
from infisical_iac.workspace import checks
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.preflight import Preflight

KEYS = "/etc/infisical"


@dataclass(frozen=True)
class SnapshotSource:
    """The snapshot and the keys for a restore.

    Attributes:
        snapshot: its id, or `latest`.
        targets: the targets that may hold it; the first that has it whole is used.
        files: the files of the recovery kit, by path under /etc/infisical; empty without a kit.
        replace_keys: whether the kit's files replace the host's.
        signer: the fingerprint of the key that signed the kit; empty for an unsigned kit.
    """

    snapshot: str
    targets: Sequence[BackupTarget]
    files: dict[str, str] = field(default_factory=dict, repr=False)
    replace_keys: bool = False
    signer: str = ""


def choose_source(
    settings: BackupSettings,
    snapshot: str,
    target: str | None,
    opened: Opened | None,
    replace_keys: bool,
) -> SnapshotSource:
    """Return the source of a restore: one target or any, and the files of an opened kit."""
    targets = choose_targets(settings.backup_targets, target)
    if opened is None:
        return SnapshotSource(snapshot, targets)
    return SnapshotSource(snapshot, targets, dict(opened.kit.files), replace_keys, opened.signer)


def find_unfinished() -> Progress | None:
    """Return the unfinished restore of the current host; None if there is none."""
    found = transaction.open_transactions().get("restore")
    return found if found and found.journal and not found.journal.outcome else None


@planned_operation
def kit_keys(source: SnapshotSource, *, known: Preflight) -> Commands:
    """Begin the restore: put the kit's files on the host, and keep files that differ.

    Raises Refused, with nothing changed, if keys differ from the host's or are missing.

    Example:
        restore.kit_keys(source=source, known=known, name="Put the kit's keys in place")
    """
    restoring = at(known.site, RestoreSite)
    files, there = restoring.files(source.files), kit_host.read().files

    def begin(due: Placing) -> None:
        restoring.begin(known, source, due)

    yield from decide_placing(source, files, there, begin)


def decide_placing(
    source: SnapshotSource,
    files: Mapping[str, str],
    there: Mapping[str, str],
    begin: Callable[[Placing], None],
) -> Commands:
    """Return the steps that put `files` of the kit on the host, which has the files `there`.

    Args:
        begin: begins the restore, and puts the files.
    """
    due = kit_host.decide(files, there, replace=source.replace_keys)
    by = f"signed by {source.signer}" if source.signer else "that nobody has signed"
    for path in sorted(due.put):
        yield Change("~" if path in due.aside else "+", f"{KEYS}/{path}", f"from the kit {by}")
    yield step(begin, due)


@planned_operation
def restored_data(source: SnapshotSource, *, settings: Settings) -> Commands:
    """Have the host replace its data by the snapshot, and prove that.

    The host loads the snapshot next to the data, compares it with its manifest, swaps the two, and
    opens the edge once people and machines can log in and secrets can be read. Raises RunFailed for
    a restore that the host has undone.

    Example:
        restored_data(source=source, settings=settings, name="Restore the database")
    """
    yield from decide(source, over=inspect(question_for()).database)
    yield step(_go_on, settings)


def decide(source: SnapshotSource, *, over: bool) -> Commands:
    """Return the change that a restore makes; `over` if it replaces a database."""
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    yield Change("~" if over else "+", "database infisical", f"{what} of {names}")


_PROVEN = "The restored data are proven and serve; `infisical-iac apply` completes the host."
_proven: set[str] = set()
_undone: dict[str, TransactionJournal] = {}
_detached: set[str] = set()


def is_proven() -> bool:
    """Return whether this run has proven a restore of the current host."""
    return host.name in _proven


def note_proven() -> None:
    """Note that this run has proven a restore of the current host."""
    _proven.add(host.name)


def state_after_failure() -> str:
    """Return a sentence on the current host after a restore of this run that has failed.

    Empty if the restore has not ended there, or has never begun. Raises CheckFailed if the old data
    do not serve.
    """
    if is_proven():
        return _PROVEN
    if host.name in _detached:
        return "Nothing was undone."
    return describe_undone(_undone[host.name]) if host.name in _undone else ""


@contextmanager
def _following() -> Iterator[None]:
    """Note a restore that goes on on the host without this command."""
    try:
        yield
    except RunFailed as error:
        if error.code == "run.detached":
            _detached.add(host.name)
        raise


def _go_on(settings: Settings) -> None:
    edge.prepare_closing(settings)
    with _following():
        ended = transaction.go_on("restore", on_host.PREPARE)
    session.forget()
    _refuse_undone(ended)
    note_proven()
    journal.current().operator_notes += describe_end(ended)


def _refuse_undone(found: TransactionJournal) -> None:
    """Raise RunFailed for a restore that was undone, with the reason."""
    if found.outcome == "undone":
        _undone[host.name] = found
        raise RunFailed(transaction.explain(found.failure), code="run.given_up")


def describe_end(ended: TransactionJournal) -> list[str]:
    """Return sentences on a restore that has ended."""
    if ended.outcome == "undone":
        try:
            return [describe_undone(ended)]
        except CheckFailed as error:
            return [str(error)]
    return [
        *ended.told,
        *describe_old_data(str(ended.kept.get("volume", ""))),
        *given_up_after_proof(ended.kept.get("removed", ()), _list_given_up(ended)),
    ]


def _list_given_up(ended: TransactionJournal) -> list[GivenUp]:
    return [GivenUp(**each) for each in ended.kept.get("given_up", ())]


def describe_old_data(volume: str) -> list[str]:
    """Return sentences on the volume with the old data, and on the replaced files."""
    if not volume:
        return []
    files = f"{DIRECTORY}/aside/{volume.rpartition('_')[2]}"
    return [
        f"The old data are on the host {host.name}, in the Docker volume {volume}, and replaced "
        f"files in {files}. Once nobody needs them, run there: "
        f"docker volume rm {volume} && rm -rf {files}"
    ]


def describe_undone(ended: TransactionJournal) -> str:
    """Return sentences on the data of a host whose restore was undone.

    Raises CheckFailed if the old data do not serve.
    """
    kept = "".join(f" {each}" for each in describe_kept_data(_list_given_up(ended)))
    if not ended.kept.get("is_swapped"):
        return "The data were not touched."
    if not ended.kept.get("serves"):
        return f"There were no data before it.{kept}"
    if unhealthy := ended.kept.get("unhealthy"):
        raise CheckFailed(f"the old data are back, but:\n{unhealthy}{kept}")
    return f"The old data are back and serve.{kept}"


@dataclass(frozen=True)
class RestoreSite:
    """A restore of a single host."""

    site: Site

    def files(self, kit: dict[str, str]) -> dict[str, str]:
        """Return the files of a kit that the host can use; called before any is put there.

        A secret that the user gave and that no setting uses would be removed by the next deploy.
        """
        used = {f"keys/{each.key}" for each in self.site.settings.secrets}
        return {
            path: text
            for path, text in kit.items()
            if path in used or not path.startswith(f"keys/{GIVEN}")
        }

    def keep_keys(self) -> None:
        """Store the keys where they outlast the host; called once the kit's keys are in place."""

    def begin(self, known: Preflight, source: SnapshotSource, due: Placing) -> None:
        """Begin the restore, with the kit's files in place. Raises a UserError."""
        own = {f"keys/{name}": f"{value}\n" for name, value in given.values().items()}
        files = {**due.put, **own}
        perform(question(on_host.hand_in, files=files), doing="hand the keys over to the host")
        began = transaction.stamp()
        plan = {**_plan(known, source), "put": sorted(files), "aside": [*due.aside]}
        try:
            with _following():
                found = transaction.begin(
                    "restore", began, plan, named=[began], until=on_host.PREPARE
                )
            _refuse_undone(found)
        except (CommandFailed, Refused, RunFailed):
            if host.name not in _detached:
                perform(question(on_host.take_back), doing="remove the keys that were handed over")
            raise

    def exchange(self, known: Preflight, source: SnapshotSource) -> None:
        """Replace the data by the snapshot, start Infisical on it, and prove it.

        These are all steps of the deploy "Restore".
        """
        settings = known.settings
        compose.image_set(
            images=settings.images,
            sources=compose.sources_of(settings.stack),
            name="Fetch the images",
        )
        configure_containers(settings)
        resume.resuming(name="Take up interrupted changes after a boot")
        restored_data(source=source, settings=settings, name="Restore the database")
        run_containers(settings, known.machine)

    def go_back(self) -> str:
        """Undo an unfinished restore, and start what ran before.

        Returns a sentence on the state of the host. A rollback that failed can be repeated. Raises
        a UserError.
        """
        if not ask(question(needs_plan, name="restore")):
            transaction.ask_back("restore")
        ended = self.follow()
        return _PROVEN if ended.outcome == "done" else describe_undone(ended)

    def follow(self) -> TransactionJournal:
        """Take up an unfinished restore, and return its journal at the end. Raises a UserError."""
        stack = self.site.settings.stack

        def make_plan() -> dict[str, Any]:
            return {"timeout": stack.start_timeout, "edge": edge.is_ours(stack)}

        with _following():
            ended = transaction.take_up("restore", make_plan)
        session.forget()
        return ended


def _plan(known: Preflight, source: SnapshotSource) -> dict[str, Any]:
    """Return the plan of a restore for the agent, but for its files."""
    settings, workspace = known.settings, known.workspace
    return {
        "admin_email": settings.workspace.admin_email,
        "more": more_of(settings).split(),
        "targets": [each.name for each in source.targets],
        "snapshot": source.snapshot,
        "versions": asdict(versions_of(settings)),
        "compose": compose_file(settings, known.machine),
        "timeout": settings.stack.start_timeout,
        "edge": edge.is_ours(settings.stack),
        "port": settings.stack.http_port,
        "old_port": _published_port(),
        **proof_plan(known.settings, workspace),
    }


def proof_plan(settings: Settings, desired: Workspace) -> dict[str, Any]:
    """Return what the proof of a restore needs to know."""
    return {
        "services": [
            [each.credentials, each.former_credentials] for each in desired.secret_holders()
        ],
        "proof": asdict(checks.plan_of(settings, desired.project.slug)),
    }


def _published_port() -> int:
    """Return the port of the Infisical that is deployed; 0 without one."""
    try:
        return compose.published_port()
    except UserError:
        return 0
