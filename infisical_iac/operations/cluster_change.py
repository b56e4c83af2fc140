"""A change of version on a cluster: rolled out replica by replica, given up as a whole.

Infisical serves all the while, so what is written meanwhile stays where the old version can use
the data afterwards. Where it can't, for the new one has changed the database too far, a dump of
before takes their place; those data move aside, so that even then nothing is lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.errors import UserError
from infisical_iac.facts.machine import Machine
from infisical_iac.facts.stack import Stack
from infisical_iac.facts.upgrade import Upgrades
from infisical_iac.operations import (
    changeover,
    cluster_stack,
    gate,
    journal,
    nodes,
    session,
    snapshot,
    stack,
    upgrade,
)
from infisical_iac.operations.changeover import DIRECTORY, PROJECT, ChangeFailed
from infisical_iac.operations.cluster_stack import Site
from infisical_iac.operations.gate import Before
from infisical_iac.operations.remote import run
from infisical_iac.operations.telling import Commands, shared, step, telling_operation
from infisical_iac.recovery import manifest
from infisical_iac.recovery.manifest import Manifest
from infisical_iac.rendering import script
from infisical_iac.settings import Settings
from infisical_iac.upgrade import RELEASES, path
from infisical_iac.upgrade.path import Images
from infisical_iac.upgrade.release import Release, Unfinished


@dataclass(frozen=True)
class Change:
    """What is to run, and with which data.

    Attributes:
        was: what runs now.
        image: the reference of Infisical's image that is to run; it is on the nodes.
        data: the release whose data it gets; None for those that are there.
    """

    was: Images
    image: str
    data: Release | None = None


def site(settings: Settings) -> Site | None:
    """What the current host, the lead, knows of its cluster; for a command that is no deploy.

    None for a host of its own. Raises ClusterRefused.
    """
    if settings.topology == "single":
        return None
    return Site(settings, host.get_fact(Machine), nodes.known())


def with_image(settings: Settings, reference: str) -> Settings:
    """The settings, with another image of Infisical."""
    name, _, digest = reference.partition("@")
    image, _, version = name.rpartition(":")
    return settings.model_copy(
        update={
            "infisical_image": image,
            "infisical_version": version,
            "infisical_digest": digest,
        }
    )


@telling_operation
def ended(unfinished: Unfinished | None, *, site: Site, project: str) -> Commands:
    """End a change of version that was interrupted: completed if it is well, else undone."""
    if unfinished is None:
        host.noop("no change of version is under way")
        return
    how = "completed if it is well, else undone" if unfinished.phase == "swapped" else "undone"
    journal.item("~", upgrade.CHANGE, f"{unfinished.release}, {how}")
    yield step(_recover, unfinished, site, project)


def _recover(unfinished: Unfinished, site: Site, project: str) -> None:
    journal.current().shown.append(recover(unfinished, site, project))


@telling_operation
def upgraded(*, site: Site, project: str) -> Commands:
    """Bring data that an older version used to the one of the settings.

    Where there are no data, or no version changes, it does nothing: that is `rolled_out`'s. The
    images are on the nodes. Raises UpgradeError, with nothing touched, for a change that can't be
    made, CanaryError where secrets can't be decrypted before it already, and ChangeFailed for one
    that was undone.
    """
    if journal.will_change(upgrade.CHANGE):
        journal.unknown("whether a version changes can be seen once the last change has ended")
        return
    settings = site.settings
    found = shared(Upgrades, wanted=settings.infisical_reference)
    wanted = Images(settings.infisical_reference, settings.patroni_image)
    changes = path.changes(found.was, wanted, same_bytes=found.same_bytes) if found.was else {}
    if not found.was or not changes:
        host.noop("no version changes")
        return
    path.refuse_other_major(found.was, wanted)
    path.refuse(found.was, wanted)
    upgrade.refuse_room([], settings)
    gate.refuse(settings.http_port)
    for what, how in changes.items():
        journal.item("~", what, how + upgrade.failed(found, wanted))
    yield step(_change, Change(found.was, settings.infisical_reference), site, project)


def _change(change: Change, site: Site, project: str) -> None:
    try:
        journal.current().shown += made(change, site, project)
    except ChangeFailed:
        journal.current().remedy = "the next run tries it again, unless the setting is changed back"
        raise


def made(change: Change, site: Site, project: str) -> list[str]:
    """Make the change, and return what is to be said of it.

    Infisical stands still only where the data change too. Raises ChangeFailed, with what ran
    before running again, or with how it comes to.

    Args:
        site: of the settings; its image of Infisical need not be the one that is to run.
        project: the slug of the project whose secrets are read before and after.
    """
    before = gate.before(site.settings, project, site.settings.http_port)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{change.was.version}"
    changeover.on_releases("make", name, doing="keep what runs as a release")
    _step("begin", name, change.image, doing="begin the change of version")
    unfinished = Unfinished(name, "begun", change.image)
    with _or_back(unfinished, change.was.infisical, site, project, before):
        _dump(name, change)
        if change.data:
            _load(name, change.data)
        else:
            _step("roll", doing="begin the roll-out")
        told = _prove(change.image, site, project, before, same_data=change.data is None)
    _end(site, change.image)
    return told


def fetch(release: Release, site: Site) -> None:
    """Have the release's image of Infisical on all nodes. Raises a UserError, nothing stopped."""
    image = release.images["infisical"]
    changeover.on_releases("reset", release.name, doing="find its images")
    for node in site.cluster.connected:
        with nodes.on(node.name):
            if host.get_fact(Stack, compose="", images=[image]).missing([image]):
                stack.fetch([image], site.settings.image_archives)


def _dump(name: str, change: Change) -> None:
    pauses = "pauses" if change.data else "goes on"
    logger.info(f"{host.print_prefix}Infisical {pauses}; its data go to {RELEASES}/{name}")
    if change.data:
        _step("pause", doing="pause Infisical")
    run(script("backup-dump", f"{RELEASES}/{name}"), doing="dump the database")


def _load(name: str, data: Release) -> None:
    present, wanted = _taken(name), _taken(data.name)
    if wanted.key != present.key:
        raise path.UpgradeError(
            f"the release needs the encryption key with fingerprint {wanted.key}, and the host "
            f"has {present.key}"
        )
    _loaded(wanted)
    _step("swap", doing="put the new data in place")


def _taken(name: str) -> Manifest:
    return manifest.parse(_step("take", name, doing=f"use the dump of {name}"))


def _loaded(wanted: Manifest) -> None:
    lines = _step("load", doing="load the dump").splitlines()
    manifest.refuse_difference(wanted, snapshot.rows(lines))


def _prove(
    image: str, site: Site, project: str, before: Before | None, *, same_data: bool
) -> list[str]:
    _roll_out(image, site)
    port = site.settings.http_port
    return gate.passed(site.settings, project, before, port=port, same_data=same_data)


def _roll_out(image: str, site: Site) -> None:
    session.forget()
    cluster_stack.roll_out(Site(with_image(site.settings, image), site.machine, site.cluster))


def recover(unfinished: Unfinished, site: Site, project: str) -> str:
    """Complete a change that has not ended, or go back, and return which of them was done.

    What has been rolled out already may have been written to since: it is kept if it proves to be
    well. Raises ChangeFailed where neither can be had.
    """
    new, old = changeover.tag(unfinished.image), unfinished.release.partition("-")[2]
    image = _image_of(unfinished.release)
    # What could be read before is not known any more, but the deployer must get in.
    before = Before({}, public=False)
    if unfinished.phase == "swapped":
        with _or_back(unfinished, image, site, project, before):
            _prove(unfinished.image, site, project, before, same_data=True)
    elif unfinished.phase != "proven":
        try:
            told = _back(unfinished, image, site, project, before, "it was interrupted")
        except UserError as error:
            raise changeover.stuck("it was interrupted", error) from None
        _end(site, unfinished.image)
        return f"Infisical {old} serves again, {told}."
    _end(site, unfinished.image)
    return f"Infisical {new} serves."


def _image_of(release: str) -> str:
    return next(each for each in changeover.releases() if each.name == release).images["infisical"]


@contextmanager
def _or_back(
    unfinished: Unfinished, image: str, site: Site, project: str, before: Before | None
) -> Iterator[None]:
    """Go back to `image` if the context fails, and raise ChangeFailed with what runs then."""
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        reason = str(error) or "it was interrupted"
        new, old = changeover.tag(unfinished.image), changeover.tag(image)
        try:
            told = _back(unfinished, image, site, project, before, reason)
            _end(site, unfinished.image)
        except UserError as another:
            raise changeover.stuck(f"Infisical {new} failed: {reason}", another) from None
        raise ChangeFailed(
            f"Infisical {new} was given up and {old} serves again, {told}; see "
            f"{RELEASES}/{unfinished.release} on the lead for logs: {reason}"
        ) from None


def _back(
    unfinished: Unfinished,
    image: str,
    site: Site,
    project: str,
    before: Before | None,
    reason: str,
) -> str:
    """Bring the old version back, and return with which data."""
    logger.info(f"{host.print_prefix}Going back: {reason.splitlines()[0]}")
    _step("back", doing="bring the old data back")
    _roll_out(image, site)
    port = site.settings.http_port
    try:
        gate.passed(site.settings, project, before, port=port, same_data=True)
    except UserError as error:
        return _revert(unfinished, image, site, error)
    return "with all data"


def _revert(unfinished: Unfinished, image: str, site: Site, reason: UserError) -> str:
    """The data of before take the place of those that the old version can't use."""
    logger.info(f"{host.print_prefix}The old version can't use the data any more: {reason}")
    then = _taken(unfinished.release)
    _loaded(then)
    aside = _step("revert", doing="put the data of before in place").strip()
    _roll_out(image, site)
    if not session.api(site.settings.http_port).answers():
        raise path.UpgradeError("the API does not answer")
    return (
        f"with the data of {then.at}, for the new one had changed them so that it could not use "
        f"them any more ({reason}); those, with what was written since, are in the database {aside}"
    )


def _end(site: Site, image: str) -> None:
    """End what has been proven or is back, and let go of what need not be kept."""
    snapshot.clean(DIRECTORY, PROJECT)
    _step("end", doing="end the change of version")
    changeover.let_go(site.settings, image)


def _step(name: str, *arguments: str, doing: str) -> str:
    return run(script("upgrade-cluster", name, *arguments), doing=doing)
