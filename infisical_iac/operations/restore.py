"""A snapshot put in the place of the data on the current host; what was there moves aside."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.api import identities
from infisical_iac.backup.target import Target
from infisical_iac.errors import UserError
from infisical_iac.facts.keys import Keys
from infisical_iac.operations import (
    cluster_stack,
    journal,
    keys,
    recovery,
    session,
    snapshot,
    stack,
)
from infisical_iac.operations.cluster_stack import Site
from infisical_iac.operations.remote import run, write
from infisical_iac.operations.telling import Commands, step, telling_operation
from infisical_iac.recovery import access, manifest, placing
from infisical_iac.recovery.access import Access
from infisical_iac.recovery.manifest import Manifest
from infisical_iac.recovery.placing import Placing
from infisical_iac.rendering import script
from infisical_iac.settings import Settings

DIRECTORY = "/var/lib/infisical-restore"
PROJECT = "infisical-restore"
KEYS = "/etc/infisical"


class RestoreError(UserError):
    """Nothing can be restored, or what was restored does not prove to be right."""


@dataclass(frozen=True)
class Source:
    """What is to be restored.

    Attributes:
        snapshot: its id, or `latest`.
        targets: where to look for it, one after another.
        files: those of the recovery kit, by path under /etc/infisical; none without a kit.
        replace_keys: whether the kit's files take the place of the host's.
    """

    snapshot: str
    targets: Sequence[Target]
    files: dict[str, str] = field(default_factory=dict, repr=False)
    replace_keys: bool = False


@dataclass(frozen=True)
class Restored:
    """What was restored, and who could get in before; None where that could not be read."""

    manifest: Manifest
    before: Access | None


_restored: dict[str, Restored] = {}


def latest() -> Restored:
    """What this run has restored on the current host."""
    return _restored[host.name]


def on_host(name: str, *arguments: str) -> str:
    """The command of a step of the restore, which a cluster has a script of its own for."""
    cluster = host.data.get("topology") == "swarm"
    return script("restore-cluster" if cluster else "restore", name, *arguments)


def unfinished() -> str:
    """When a restore of the current host began that has not ended; empty if there is none."""
    return "".join(_state()[:1])


@telling_operation
def placed(source: Source, *, admin_email: str, more: str = "") -> Commands:
    """Begin the restore: put the kit's files onto the host, and move those aside that differ.

    Raises PlacingError, with nothing changed, for keys that are others than the host's or are
    missing.

    Args:
        more: the keys that only a cluster has, in one word.
    """
    files = placing.of_cluster(source.files) if more else source.files
    due = placing.decide(files, recovery.read().files, replace=source.replace_keys)
    for path in sorted(due.put):
        journal.item("~" if path in due.aside else "+", f"{KEYS}/{path}", "from the kit")
    yield step(_place, due, admin_email, more)


def _place(due: Placing, admin_email: str, more: str) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    run(on_host("begin", stamp), doing="begin the restore")
    if due.aside:
        run(on_host("aside", *due.aside), doing="move the old keys aside")
    for path, text in due.put.items():
        # A key's file may end without the newline that whatever is sent as text gets.
        encoded = base64.b64encode(text.encode()).decode()
        run(on_host("put", path), doing=f"write {KEYS}/{path}", stdin=f"{encoded}\n")
    if due.put:
        _make_keys(admin_email, more)


def _make_keys(admin_email: str, more: str) -> None:
    """Make what follows from the keys, and those that are missing still."""
    make = script("keys", "make", admin_email, *([more] if more else []))
    run(make, doing="bring the keys in order", stdin="\n")


@telling_operation
def restored(source: Source, *, settings: Settings, compose: str, project: str) -> Commands:
    """Load the snapshot beside the data, compare it with its manifest, and let them change places.

    Infisical serves the old data until the last step. It stays stopped then, for the stack to
    bring up. Raises a UserError, with the old data where they were, for a snapshot that can't be
    fetched, that is for another key or a newer version, or that is not what its manifest says.

    Args:
        compose: the text of the Compose file.
        project: the slug of the project whose members are compared.
    """
    names = " or ".join(each.name for each in source.targets)
    there = host.get_fact(Keys).database
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    journal.item("~" if there else "+", "database infisical", f"{what} of {names}")
    yield step(_restore, source, settings, compose, project)


@telling_operation
def restored_on_cluster(source: Source, *, site: Site, project: str) -> Commands:
    """Load the snapshot beside the database, compare it, and let them change places.

    As `restored`, but that Infisical is brought up again too. The stack is there.
    """
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    journal.item("~" if site.cluster.begun else "+", "database infisical", f"{what} of {names}")
    yield step(_restore_on_cluster, source, site, project)


def _restore_on_cluster(source: Source, site: Site, project: str) -> None:
    found = _fetched(source, site.settings)
    rows = snapshot.rows(run(on_host("load"), doing="load the snapshot").splitlines())
    manifest.refuse_difference(found, rows)
    _restored[host.name] = Restored(found, _access(project))
    run(on_host("swap"), doing="put the snapshot in the place of the data")
    session.forget()
    cluster_stack.roll_out(site)


def _fetched(source: Source, settings: Settings) -> Manifest:
    key, found = snapshot.fetch(DIRECTORY, source.targets, source.snapshot)
    manifest.refuse(found, key=key, settings=settings)
    logger.info(f"{host.print_prefix}Snapshot of {found.at}, Infisical {found.infisical}")
    return found


def _restore(source: Source, settings: Settings, compose: str, project: str) -> None:
    write(f"{DIRECTORY}/compose.yaml", compose)
    found = _fetched(source, settings)
    rows = snapshot.load(DIRECTORY, PROJECT, settings.start_timeout)
    manifest.refuse_difference(found, rows)
    _restored[host.name] = Restored(found, _access(project))
    run(
        on_host("swap", f"{PROJECT}_postgres"),
        doing="put the snapshot in the place of the data",
    )
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


def go_back(*, admin_email: str, timeout: int, site: Site | None = None) -> str:
    """Undo a restore that has not ended, and let run what ran before.

    Returns a sentence on what the host is like now. It can be repeated if it fails. Raises a
    UserError.

    Args:
        site: of a cluster, which is rolled out again.
    """
    phase = "".join(_state()[1:])
    snapshot.clean(DIRECTORY, PROJECT)
    run(on_host("back"), doing="bring the old data back")
    session.forget()
    if phase != "begun":
        _make_keys(admin_email, keys.OF_A_CLUSTER if site else "")
    # One that was killed on its way back does not tell any more how far it had come.
    touched = phase in ("data", "back")
    if site:
        return _back_on_cluster(site, touched=touched)
    there = run(f"test ! -e {KEYS}/compose.yaml || echo there", doing="see what was there")
    if touched and there:
        run(script("stack", "up"), doing="bring the containers up")
    run(on_host("forget"), doing="end what was undone")
    if not touched:
        return "The data were not touched."
    return _well(timeout) if there else "There were no data before it."


def _back_on_cluster(site: Site, *, touched: bool) -> str:
    if touched:
        cluster_stack.roll_out(site)
    run(on_host("forget"), doing="end what was undone")
    return "The old data are back and serve." if touched else "The data were not touched."


def _well(timeout: int) -> str:
    unwell = run(script("stack", "wait", str(timeout)), doing="wait for the containers")
    if unwell:
        raise RestoreError(f"the old data are back, but:\n{unwell}")
    return "The old data are back and serve."


def _state() -> list[str]:
    return run(on_host("state"), doing="see whether a restore is under way").split()
