"""Put a snapshot and its keys in the place of a host's data; undo that where it has not ended."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.api import identities
from infisical_iac.backup import access, kit_host, manifest, snapshot
from infisical_iac.backup.access import Access
from infisical_iac.backup.kit import Opened
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.target import BackupTarget
from infisical_iac.change import gate, releases
from infisical_iac.cluster import deploy
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.errors import CheckFailed, UserError
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import compose, edge, keys, session
from infisical_iac.stack import compose as stack
from infisical_iac.stack.keys import Keys

DIRECTORY = "/var/lib/infisical-restore"
PROJECT = "infisical-restore"
KEYS = "/etc/infisical"


@dataclass(frozen=True)
class SnapshotSource:
    """Hold what is to be restored.

    Attributes:
        snapshot: its id, or `latest`.
        targets: where to look for it, one after another.
        files: those of the recovery kit, by path under /etc/infisical; none without a kit.
        replace_keys: whether the kit's files take the place of the host's.
        signer: the fingerprint of the key that signed the kit; empty if nobody has.
    """

    snapshot: str
    targets: Sequence[BackupTarget]
    files: dict[str, str] = field(default_factory=dict, repr=False)
    replace_keys: bool = False
    signer: str = ""


def choose_source(
    settings: Settings,
    snapshot: str,
    target: str | None,
    opened: Opened | None,
    replace_keys: bool,
) -> SnapshotSource:
    """Return what is to be restored: from one target, or any, with the files of an opened kit."""
    targets = [each for each in settings.backup.backup_targets if target in (None, each.name)]
    if not targets:
        names = ", ".join(each.name for each in settings.backup.backup_targets)
        raise UserError(f"there is no backup target {target!r}: the settings have {names}")
    if opened is None:
        return SnapshotSource(snapshot, targets)
    return SnapshotSource(snapshot, targets, dict(opened.kit.files), replace_keys, opened.signer)


@dataclass(frozen=True)
class Restored:
    """The snapshot that was restored, and the state before it.

    Attributes:
        before: who could get in; None where that could not be read.
        public: whether the public address answered.
    """

    manifest: Manifest
    before: Access | None
    public: bool = False


_restored: dict[str, Restored] = {}


def latest() -> Restored:
    """Return what this run has restored on the current host."""
    return _restored[host.name]


def do(name: str, *arguments: str, doing: str, stdin: str | None = None) -> str:
    """Do a step of a restore on the host; what it prints. Raises CommandFailed."""
    cluster = host.data.get("topology") == "swarm"
    command = script("restore-cluster" if cluster else "restore", name, *arguments)
    return run(command, doing=doing, stdin=stdin)


def unfinished() -> str:
    """When a restore of the current host began that has not ended; empty if there is none."""
    return "".join(state()[:1])


def state() -> list[str]:
    """When one began that has not ended, and how far it came, as restore.sh has it."""
    return do("state", doing="see whether a restore is under way").split()


@telling_operation
def restored(source: SnapshotSource, *, settings: Settings, compose: str, project: str) -> Commands:
    """Load the snapshot beside the data, compare it with its manifest, and let them change places.

    Infisical serves the old data until the last step. It stays stopped then, for the stack to
    bring up. Raises a UserError, with the old data where they were, for a snapshot that can't be
    fetched, that is for another key or a newer version, or that is not what its manifest says.

    Args:
        compose: the text of the Compose file.
        project: the slug of the project whose members are compared.
    """
    _tell(source, over=host.get_fact(Keys).database)
    yield step(_restore, source, settings, compose, project)


@telling_operation
def restored_on_cluster(source: SnapshotSource, *, site: Site, project: str) -> Commands:
    """Load the snapshot beside the database, compare it, and let them change places.

    As `restored`, but that Infisical is brought up again too. The stack is there.
    """
    _tell(source, over=site.cluster.begun)
    yield step(_restore_on_cluster, source, site, project)


def _tell(source: SnapshotSource, *, over: bool) -> None:
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    journal.item("~" if over else "+", "database infisical", f"{what} of {names}")


def _restore(source: SnapshotSource, settings: Settings, compose: str, project: str) -> None:
    def load() -> dict[str, int]:
        return snapshot.load(DIRECTORY, PROJECT, settings.stack.start_timeout)

    write(f"{DIRECTORY}/compose.yaml", compose)

    def close() -> None:
        edge.close(settings)

    _exchange(source, settings, project, load, f"{PROJECT}_postgres", close=close)


def _restore_on_cluster(source: SnapshotSource, site: Site, project: str) -> None:
    def load() -> dict[str, int]:
        return snapshot.rows(do("load", doing="load the snapshot").splitlines())

    def close() -> None:
        edge.close_all(site.settings, site.cluster)

    _exchange(source, site.settings, project, load, close=close)
    deploy.roll_out(site)


def _exchange(
    source: SnapshotSource,
    settings: Settings,
    project: str,
    load: Callable[[], dict[str, int]],
    *loaded: str,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Fetch the snapshot, `load` it, and put what was `loaded` in the place of the data.

    From then on `close` keeps everybody out, until the proof.
    """
    key, found = snapshot.fetch(DIRECTORY, source.targets, source.snapshot)
    manifest.refuse(found, key=key, settings=settings)
    logger.info(f"{host.print_prefix}Snapshot of {found.at}, Infisical {found.infisical}")
    manifest.refuse_difference(found, load())
    public = gate.public(settings)
    _restored[host.name] = Restored(found, _access(project), public)
    close()
    do("swap", *loaded, doing="put the snapshot in the place of the data")
    session.forget()


def _access(project: str) -> Access | None:
    try:
        port = stack.published_port()
        if not session.works(port):
            return None
        client, admin = session.deployer(port), session.administrator(port)
        return access.read(client, admin, identities.organization_id(client), project)
    except UserError:
        return None


@telling_operation
def placed(
    source: SnapshotSource, *, admin_email: str, more: str = "", of_cluster: bool = False
) -> Commands:
    """Begin the restore: put the kit's files onto the host, and move those aside that differ.

    Raises Refused, with nothing changed, for keys that are others than the host's or are
    missing.

    Args:
        more: the keys that not every host has, in one word.
        of_cluster: whether the host leads a cluster.
    """
    files = kit_host.of_cluster(source.files) if of_cluster else source.files
    due = kit_host.decide(files, kit_host.read().files, replace=source.replace_keys)
    by = f"signed by {source.signer}" if source.signer else "that nobody has signed"
    for path in sorted(due.put):
        journal.item("~" if path in due.aside else "+", f"{KEYS}/{path}", f"from the kit {by}")
    yield step(_place, due, admin_email, more)


def _place(due: Placing, admin_email: str, more: str) -> None:
    do("begin", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", doing="begin the restore")
    if due.aside:
        do("aside", *due.aside, doing="move the old keys aside")
    for path, text in due.put.items():
        # A key's file may end without the newline that whatever is sent as text gets.
        encoded = base64.b64encode(text.encode()).decode()
        do("put", path, doing=f"write {KEYS}/{path}", stdin=f"{encoded}\n")
    if due.put:
        complete(admin_email, more)


def complete(admin_email: str, more: str) -> None:
    """Make what follows from the keys, and those that are missing still."""
    make = script("keys", "make", admin_email, *([more] if more else []))
    run(make, doing="bring the keys in order", stdin="\n")


def go_back(*, admin_email: str, timeout: int, site: Site | None = None) -> str:
    """Undo a restore that has not ended, and let run what ran before.

    Returns a sentence on what the host is like now. It can be repeated if it fails. Raises a
    UserError.

    Args:
        site: of a cluster, which is rolled out again.
    """
    phase = "".join(state()[1:])
    snapshot.clean(DIRECTORY, PROJECT)
    said = do("back", doing="bring the old data back")
    session.forget()
    if phase != "begun":
        complete(admin_email, keys.OF_A_CLUSTER if site else "")
    # One that was killed on its way back does not tell any more how far it had come.
    touched = phase in ("data", "backing", "back")
    kept = "".join(f" {each}" for each in releases.describe_kept(said.splitlines()))
    if site:
        return f"{_on_cluster(site, touched=touched)}{kept}"
    there = run(f"test ! -e {KEYS}/compose.yaml || echo there", doing="see what was there")
    if touched and there:
        compose.bring_up()
    edge.open_()
    _forget()
    if not touched:
        return "The data were not touched."
    return f"{_well(timeout, kept) if there else 'There were no data before it.'}{kept}"


def _on_cluster(site: Site, *, touched: bool) -> str:
    if touched:
        deploy.roll_out(cluster_site.running(site))
    edge.open_all(site.cluster)
    _forget()
    return "The old data are back and serve." if touched else "The data were not touched."


def _forget() -> None:
    do("forget", doing="end what was undone")


def _well(timeout: int, kept: str) -> str:
    unwell = run(script("stack", "wait", str(timeout)), doing="wait for the containers")
    if unwell:
        raise CheckFailed(f"the old data are back, but:\n{unwell}{kept}")
    return "The old data are back and serve."
