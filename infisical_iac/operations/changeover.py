"""One version of the stack taking the place of another; the old one comes back if it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.errors import UserError
from infisical_iac.operations import gate, session, snapshot, stack
from infisical_iac.operations.gate import Before
from infisical_iac.operations.remote import run, write
from infisical_iac.recovery import manifest
from infisical_iac.recovery.manifest import Manifest
from infisical_iac.rendering import script
from infisical_iac.settings import Settings
from infisical_iac.upgrade import RELEASES, release
from infisical_iac.upgrade.path import Images, UpgradeError, images_of, way_in
from infisical_iac.upgrade.release import Release, Unfinished

DIRECTORY = "/var/lib/infisical-upgrade"
PROJECT = "infisical-upgrade"


class ChangeFailed(UserError):
    """A change of version failed; the text says what runs now."""


@dataclass(frozen=True)
class Change:
    """What is to run, and with which data.

    Attributes:
        was: what runs now.
        compose: the text of the wanted Compose file, whose images are on the host.
        data: the release whose data it gets; None for those that are there.
    """

    was: Images
    compose: str
    data: Release | None = None

    @property
    def wanted(self) -> Images:
        """What is to run."""
        return images_of(self.compose)


def made(change: Change, settings: Settings, project: str) -> list[str]:
    """Make the change, and return what is to be said of it.

    Infisical stands still from its dump to its new start. Raises ChangeFailed, with what ran
    before running again, or with how it comes to.

    Args:
        project: the slug of the project whose secrets are read before and after.
    """
    now, then = way_in(stack.compose_text()), way_in(change.compose)
    before = gate.before(settings, project, now.port, same_way=now == then)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{change.was.version}"
    wanted = change.wanted
    on_releases("make", name, doing="keep what runs as a release")
    _step("begin", name, wanted.infisical, doing="begin the change of version")
    unfinished = Unfinished(name, "begun", wanted.infisical)
    with _or_back(unfinished, change.was.version, settings):
        write(f"{DIRECTORY}/compose.yaml", change.compose)
        _load(name, change, settings.start_timeout)
        told = _prove(settings, project, before, same_data=change.data is None)
    _end(settings, wanted.infisical)
    return told


def _load(name: str, change: Change, timeout: int) -> None:
    """Dump what is there, load what is wanted, and let the two change places."""
    logger.info(f"{host.print_prefix}Infisical pauses; its data go to {RELEASES}/{name}")
    _step("pause", doing="pause Infisical")
    run(script("backup-dump", f"{RELEASES}/{name}"), doing="dump the database")
    present = _take(name)
    wanted = _take(change.data.name) if change.data else present
    if wanted.key != present.key:
        raise UpgradeError(
            f"the release needs the encryption key with fingerprint {wanted.key}, and the host "
            f"has {present.key}"
        )
    rows = snapshot.load(DIRECTORY, PROJECT, timeout)
    manifest.refuse_difference(wanted, rows)
    further = ("data",) if change.data else ()
    _step("swap", f"{PROJECT}_postgres", *further, doing="put the new data in place")
    session.forget()


def _take(name: str) -> Manifest:
    return manifest.parse(_step("take", name, doing=f"use the dump of {name}"))


def _prove(
    settings: Settings, project: str, before: Before | None, *, same_data: bool
) -> list[str]:
    stack.up(settings.start_timeout)
    return gate.passed(settings, project, before, port=stack.published_port(), same_data=same_data)


def recover(unfinished: Unfinished, settings: Settings, project: str) -> str:
    """Complete a change that has not ended, or go back, and return which of them was done.

    What has taken its place already may have been written to since: it is kept if it proves to be
    well. Raises ChangeFailed where neither can be had.
    """
    new, old = tag(unfinished.image), unfinished.release.partition("-")[2]
    if unfinished.phase == "swapped":
        # What could be read before is not known any more, but the deployer must get in.
        with _or_back(unfinished, old, settings):
            _prove(settings, project, Before({}, public=False), same_data=True)
    elif unfinished.phase != "proven":
        try:
            _back(unfinished, settings, "it was interrupted")
        except UserError as error:
            raise stuck("it was interrupted", error) from None
    _end(settings, unfinished.image)
    done = unfinished.phase in ("swapped", "proven")
    return f"Infisical {new} serves." if done else f"Infisical {old} serves again, as it did."


@contextmanager
def _or_back(unfinished: Unfinished, old: str, settings: Settings) -> Iterator[None]:
    """Go back if the context fails, and raise ChangeFailed with what runs then."""
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        reason = str(error) or "it was interrupted"
        new = tag(unfinished.image)
        try:
            _back(unfinished, settings, reason)
            _end(settings, unfinished.image)
        except UserError as another:
            raise stuck(f"Infisical {new} failed: {reason}", another) from None
        raise ChangeFailed(
            f"Infisical {new} was given up and {old} serves again with all data, see "
            f"{RELEASES}/{unfinished.release} on the host for logs: {reason}"
        ) from None


def stuck(why: str, error: UserError) -> ChangeFailed:
    """What is to be raised where not even the way back was come to the end of."""
    return ChangeFailed(
        f"the version before could not be brought back ({error}); nothing of its data is lost, and "
        f"`infisical-iac apply` tries again. What came before: {why}"
    )


def _back(unfinished: Unfinished, settings: Settings, reason: str) -> None:
    logger.info(f"{host.print_prefix}Going back: {reason.splitlines()[0]}")
    snapshot.clean(DIRECTORY, PROJECT)
    _step("back", doing="bring the old data back")
    on_releases("reset", unfinished.release, doing="bring the old images back")
    session.forget()
    stack.up(settings.start_timeout)
    if not session.api(stack.published_port()).answers():
        raise UpgradeError("the API does not answer")


def _end(settings: Settings, image: str) -> None:
    """End what has been proven or is back, and let go of what need not be kept."""
    snapshot.clean(DIRECTORY, PROJECT)
    _step("end", doing="end the change of version")
    let_go(settings, image)


def let_go(settings: Settings, image: str) -> None:
    """Remove releases, and images, that nobody needs beside `image`."""
    surplus = release.surplus(releases(), settings.keep_releases, {*settings.images, image})
    if surplus.releases:
        on_releases("forget", *surplus.releases, doing="remove releases nobody needs")
    if surplus.images:
        on_releases("drop", *surplus.images, doing="remove images nobody needs")


def releases() -> list[Release]:
    """The releases that the current host keeps, the newest first."""
    return release.parse(on_releases("list", doing="list the releases").splitlines())


def _step(name: str, *arguments: str, doing: str) -> str:
    return run(script("upgrade", name, *arguments), doing=doing)


def on_releases(name: str, *arguments: str, doing: str) -> str:
    """A step of releases.sh; what it prints."""
    return run(script("releases", name, *arguments), doing=doing)


def tag(image: str) -> str:
    """The version of an image."""
    return Images(image, "").version
