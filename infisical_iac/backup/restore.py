"""Put a snapshot and its keys in the place of a host's data; undo that where it has not ended."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.api import identities
from infisical_iac.backup import access, kit_host, manifest, snapshot
from infisical_iac.backup.access import Access
from infisical_iac.backup.kit import Opened
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.backup.target import BackupTarget, choose_targets
from infisical_iac.core.errors import CheckFailed, UserError
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.core.topology import SINGLE, hook
from infisical_iac.host.site import Site, at
from infisical_iac.stack import compose, edge, given_up, session
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.deploy import configure_ingress, run_containers
from infisical_iac.stack.keys import Keys
from infisical_iac.workspace import gate
from infisical_iac.workspace.preflight import Preflight
from infisical_iac.workspace.reconcile import project_here

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
    settings: BackupSettings,
    snapshot: str,
    target: str | None,
    opened: Opened | None,
    replace_keys: bool,
) -> SnapshotSource:
    """Return what is to be restored: from one target, or any, with the files of an opened kit."""
    targets = choose_targets(settings.backup_targets, target)
    if opened is None:
        return SnapshotSource(snapshot, targets)
    return SnapshotSource(snapshot, targets, dict(opened.kit.files), replace_keys, opened.signer)


@dataclass(frozen=True)
class Restored:
    """The snapshot that was restored, who could get in before it, if that is known, and whether
    the public address answered.
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
    topology = str(host.data.get("topology") or SINGLE)
    command = script(hook(RestoreSite, topology).program, name, *arguments)
    return run(command, doing=doing, stdin=stdin)


def find_unfinished() -> str:
    """When a restore of the current host began that has not ended; empty if there is none."""
    return "".join(state()[:1])


def state() -> list[str]:
    """When one began that has not ended, and how far it came, as restore.sh has it."""
    return do("state", doing="see whether a restore is under way").split()


@telling_operation
def restored_data(
    source: SnapshotSource, *, settings: Settings, compose: str, project: str
) -> Commands:
    """Load the snapshot beside the data, compare it with its manifest, and let them change places.

    Infisical serves the old data until the last step. It stays stopped then, for the stack to
    bring up. Raises a UserError, with the old data where they were, for a snapshot that can't be
    fetched, that is for another key or a newer version, or that is not what its manifest says.
    """
    yield from decide(source, over=host.get_fact(Keys).database)
    yield step(_restore, source, settings, compose, project)


def decide(source: SnapshotSource, *, over: bool) -> Commands:
    """Tell what is restored, and whether there is a database that it comes `over`."""
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    yield Item("~" if over else "+", "database infisical", f"{what} of {names}")


def _restore(source: SnapshotSource, settings: Settings, compose: str, project: str) -> None:
    write(f"{DIRECTORY}/compose.yaml", compose)
    load = partial(snapshot.load, DIRECTORY, PROJECT, settings.stack.start_timeout)
    close = partial(edge.close, settings)
    exchange(source, settings, project, load, f"{PROJECT}_postgres", close=close)


def exchange(
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
    _restored[host.name] = Restored(found, _access(project), gate.public(settings))
    close()
    do("swap", *loaded, doing="put the snapshot in the place of the data")
    session.forget()


def _access(project: str) -> Access | None:
    try:
        port = compose.published_port()
        if not session.works(port):
            return None
        client, admin = session.deployer(port), session.administrator(port)
        organization, found = identities.organization_id(client), project_here(client, project)
        return access.read(client, admin, organization, found)
    except UserError:
        return None


@telling_operation
def kit_keys(source: SnapshotSource, *, site: Site, admin_email: str, more: str = "") -> Commands:
    """Begin the restore: put the kit's files onto the host, and move those aside that differ.

    Raises Refused, with nothing changed, for keys that are others than the host's or are missing.
    """
    files = at(site, RestoreSite).files(source.files)
    yield from decide_placing(
        source, files, kit_host.read().files, admin_email=admin_email, more=more
    )


def decide_placing(
    source: SnapshotSource,
    files: Mapping[str, str],
    there: Mapping[str, str],
    *,
    admin_email: str,
    more: str = "",
) -> Commands:
    """Decide which `files` of the kit are put onto the host, by those that are `there`."""
    due = kit_host.decide(files, there, replace=source.replace_keys)
    by = f"signed by {source.signer}" if source.signer else "that nobody has signed"
    for path in sorted(due.put):
        yield Item("~" if path in due.aside else "+", f"{KEYS}/{path}", f"from the kit {by}")
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


def go_back(site: Site) -> str:
    """Undo a restore that has not ended, and let run what ran before.

    Returns a sentence on what the host is like now. It can be repeated if it fails. Raises a
    UserError.
    """
    phase, restoring = "".join(state()[1:]), at(site, RestoreSite)
    snapshot.clean(DIRECTORY, PROJECT)
    said = do("back", doing="bring the old data back")
    session.forget()
    if phase != "begun":
        complete(site.settings.workspace.admin_email, restoring.more)
    # One that was killed on its way back does not tell any more how far it had come.
    touched = phase in ("data", "backing", "back")
    kept = "".join(f" {each}" for each in given_up.describe_kept(said.splitlines()))
    return restoring.serve_again(touched=touched, kept=kept)


@dataclass(frozen=True)
class RestoreSite:
    """A restore of a host that has Infisical for itself.

    Attributes:
        program: the script that has its steps.
        more: the keys, in one word, that are made again where the old ones are back.
    """

    site: Site

    program: ClassVar[str] = "restore"
    more: ClassVar[str] = ""

    def files(self, kit: dict[str, str]) -> dict[str, str]:
        """Return those of a kit's files that the host can use; called before any is put there."""
        return kit

    def keep_keys(self) -> None:
        """Have the keys where they outlast the host; called once the kit's are in place."""

    def exchange(self, known: Preflight, source: SnapshotSource) -> None:
        """Let the snapshot take the place of the data, and have Infisical serve it.

        All of the deploy "Restore", but for the proof.
        """
        settings = known.settings
        text = compose_file(settings, known.machine)
        compose.image_set(
            images=settings.images,
            archives=settings.stack.image_archives,
            name="Fetch the images",
        )
        configure_ingress(settings)
        restored_data(
            source=source,
            settings=settings,
            compose=text,
            project=known.workspace.project.slug,
            name="Restore the database",
        )
        run_containers(settings, known.machine)

    def serve_again(self, *, touched: bool, kept: str) -> str:
        """Have the old data serve, at the end of the way back; return what the host is like now.

        The data had changed places if they were `touched`. The sentence ends with what is `kept` of
        the new ones. Raises a UserError.
        """
        there = run(f"test ! -e {KEYS}/compose.yaml || echo there", doing="see what was there")
        if touched and there:
            compose.bring_up()
        edge.open_()
        forget()
        if not touched:
            return "The data were not touched."
        timeout = self.site.settings.stack.start_timeout
        return f"{_well(timeout, kept) if there else 'There were no data before it.'}{kept}"


def forget() -> None:
    """End a restore that was undone. Raises CommandFailed."""
    do("forget", doing="end what was undone")


def _well(timeout: int, kept: str) -> str:
    unwell = run(script("stack", "wait", str(timeout)), doing="wait for the containers")
    if unwell:
        raise CheckFailed(f"the old data are back, but:\n{unwell}{kept}")
    return "The old data are back and serve."
