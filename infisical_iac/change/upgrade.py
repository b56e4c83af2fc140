"""The change of a version that the settings ask for, with a way back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pyinfra.context import host

from infisical_iac.change import gate, path, release_store
from infisical_iac.change.changeover import ChangeFailed
from infisical_iac.change.path import Disk, Images, Room, UpgradeError
from infisical_iac.change.releases import Unfinished
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.settings import Settings
from infisical_iac.facts.upgrade import UpgradeState
from infisical_iac.operations import host_change
from infisical_iac.operations.host_change import Change
from infisical_iac.stack import compose as stack
from infisical_iac.stack import edge
from infisical_iac.upgrade import RELEASES
from infisical_iac.upgrade.known import IMAGE_KIB

# What the plan calls one.
CHANGE = "unfinished change of version"


class ChangeRefused(UpgradeError):
    """The change of version that the settings ask for is refused; what runs is looked at as it is.

    All else that the settings ask for, of the stack too, is still compared and set right.
    """

    blocks_others = False


@contextmanager
def refusing(was: Images) -> Iterator[None]:
    """Take a UserError for a refusal of the change from what `was`: raise ChangeRefused with it.

    What ends a whole run still does.
    """
    try:
        yield
    except UserError as error:
        if error.ends_run:
            raise
        journal.current().kept = was
        raise ChangeRefused(str(error)) from None


@telling_operation
def ended(
    unfinished: Unfinished | None,
    *,
    settings: Settings,
    project: str,
    site: Site | None = None,
    closed: bool = False,
) -> Commands:
    """End a change of version that was interrupted: completed if it is well, else undone.

    Args:
        site: of a cluster, which is rolled out again.
        closed: whether the edge lets nobody in, which nobody needs without such a change.
    """
    if unfinished is None and closed:
        journal.item("~", "edge", "closed, and no change is under way: opened")
        yield step(edge.open_)
        return
    if unfinished is None:
        host.noop("no change of version is under way")
        return
    how = "completed if it is well, else undone" if unfinished.phase == "swapped" else "undone"
    journal.item("~", CHANGE, f"{unfinished.release}, {how}")
    yield step(_recover, unfinished, settings, project, site)


def _recover(unfinished: Unfinished, settings: Settings, project: str, site: Site | None) -> None:
    journal.current().shown.append(recover(unfinished, settings, project, site))


def recover(unfinished: Unfinished, settings: Settings, project: str, site: Site | None) -> str:
    """End a change that was interrupted, and return how. Raises ChangeFailed if it can't be."""
    if site:
        return cluster_change.recover(unfinished, site, project)
    return host_change.recover(unfinished, settings, project)


def waits() -> bool:
    """Return whether what an upgrade is to do can't be seen yet, which is told then."""
    if not journal.will_change(CHANGE):
        return False
    journal.unknown("whether a version changes can be seen once the last change has ended")
    return True


@telling_operation
def upgraded(*, compose: str, settings: Settings, project: str) -> Commands:
    """Bring data that an older version used to the one that `compose` names.

    Where there are no data, or no version changes, it does nothing: that is `running`'s. Raises
    ChangeRefused, with nothing touched, for a change that can't be made, CanaryUnreadable where
    secrets can't be decrypted before it already, and ChangeFailed for one that was undone.
    """
    journal.current().kept = None
    if waits():
        return
    there, wanted = stack.look(compose, settings.images), path.images_of(compose)
    found = there.upgrade
    changes = path.changes(found.was, wanted, same_bytes=found.same_bytes) if found.was else {}
    if not found.was or not changes:
        host.noop("no version changes")
        return
    missing = there.stack.missing(settings.images)
    with refusing(found.was):
        path.refuse(found.was, wanted)
        if without := journal.current().without:
            raise UpgradeError(
                f"Infisical can't be changed to {wanted.version} while {' and '.join(without)} "
                "can't run, for nothing could be proven from outside"
            )
        refuse_room(missing, settings)
        if there.file:
            gate.refuse(stack.published_port())
    for what, change in changes.items():
        journal.item("~", what, change + failed(found, wanted))
    if missing:
        yield step(stack.fetch, missing, settings.image_archives)
    made = partial(host_change.made, Change(found.was, compose), settings, project)
    yield step(make, made)


def failed(found: UpgradeState, wanted: Images) -> str:
    """Return what is to be said of an earlier change to the same that failed; empty if none did."""
    last = found.failed.get(wanted.infisical)
    return f", which failed at {last.at}: see {RELEASES}/{last.release}" if last else ""


def refuse_room(missing: Sequence[str], settings: Settings) -> None:
    """Raise UpgradeError if a change that needs the `missing` images does not fit."""
    said = release_store.step("room", doing="see how much room there is").split()
    *disks, data = map(int, said)
    images, volumes, dumps = map(Disk, disks[::2], disks[1::2])
    aside = tuple(each.name for each in release_store.given_up())
    room = Room(images, volumes, dumps, data, aside)
    path.refuse_room(room, images=_size(missing, settings))


def _size(missing: Sequence[str], settings: Settings) -> int:
    """The KiB that the missing images take, at most: an archive is uploaded, then unpacked."""
    if missing and settings.image_archives:
        archives = map(Path, settings.image_archives)
        # One that is not there is told by what would upload it.
        return 2 * sum(each.stat().st_size for each in archives if each.is_file()) // 1024
    return IMAGE_KIB if missing else 0


def make(change: Callable[[], list[str]]) -> None:
    """Make a change, and have said what it returns; where it fails, what helps is noted."""
    try:
        journal.current().shown += change()
    except ChangeFailed:
        journal.current().remedy = "the next run tries it again, unless the setting is changed back"
        raise
