"""A change of version, with its two ends: the new one proves to be well, or the old one is back.

How the one is brought about and the other brought back is the single host's or the cluster's.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.change import releases
from infisical_iac.change.path import RELEASES
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.images import Images
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import given_up
from infisical_iac.stack.given_up import GivenUp
from infisical_iac.workspace.gate import Before

DIRECTORY = "/var/lib/infisical-upgrade"
PROJECT = "infisical-upgrade"
# Of a change that was interrupted it is not known any more what could be read before it, but the
# deployer must get in.
UNKNOWN = Before({}, public=False)


def release_step(name: str, *arguments: str, doing: str) -> str:
    """Do a step of releases.sh, and return what it prints. Raises CommandFailed."""
    return run(script("releases", name, *arguments), doing=doing)


def read_releases() -> list[Release]:
    """Return the releases that the current host keeps, the newest first."""
    return releases.parse_releases(release_step("list", doing="list the releases").splitlines())


def read_given_up() -> list[GivenUp]:
    """Return the data that changes were given up with, and that are kept."""
    lines = release_step("given_up", doing="see what was given up").splitlines()
    return given_up.parse_given_up(lines)


def discard_releases(settings: Settings, image: str) -> None:
    """Remove releases, and images, that nobody needs beside `image`."""
    surplus = releases.find_surplus(
        read_releases(), settings.stack.keep_releases, {*settings.images, image}
    )
    if surplus.releases:
        release_step("forget", *surplus.releases, doing="remove releases nobody needs")
    if surplus.images:
        release_step("drop", *surplus.images, doing="remove images nobody needs")


def starting(was: Images, image: str) -> UnfinishedChange:
    """A change from what runs now to an image of Infisical, as it starts now."""
    return UnfinishedChange(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{was.version}", "begun", image)


@dataclass(frozen=True)
class Changeover(ABC):
    """One version of the stack taking the place of another.

    Attributes:
        unfinished: the change, as the host has it until its end.
        project: the slug of the project whose secrets are read before and after.
        before: what could be done before; None if the deployer could not get in.
    """

    unfinished: UnfinishedChange
    settings: Settings
    project: str
    before: Before | None

    program: ClassVar[str]  # the script that has its steps
    place: ClassVar[str]  # where it is, for people

    @abstractmethod
    def load(self) -> dict[str, int]:
        """Load the dump that was taken last beside the data; how many rows each table has."""

    @abstractmethod
    def prove(self, *, same_data: bool) -> list[str]:
        """Start the new version and let it pass the gate, and return what is to be said of it."""

    @abstractmethod
    def back(self) -> str:
        """Bring the old version back, and return with which data, `given_up.describe_data` has it.

        What may have been written to since is kept, and told of there.
        """

    @abstractmethod
    def close(self) -> None:
        """Keep everybody out by the edge until `open_`, where the data change places.

        Nobody's writes are acknowledged then by what may be given up. Raises a UserError.
        """

    @abstractmethod
    def open_(self) -> None:
        """Let everybody in again. It can be repeated. Raises CommandFailed."""

    def step(self, name: str, *arguments: str, doing: str) -> str:
        """Do a step on the host; what it prints. Raises CommandFailed."""
        return run(script(self.program, name, *arguments), doing=doing)

    def begin(self) -> None:
        """Keep what runs as a release, and note the change."""
        name, _, image = self.unfinished
        release_step("make", name, doing="keep what runs as a release")
        self.step("begin", name, image, doing="begin the change of version")

    def dump(self, *, pausing: bool) -> None:
        """Dump the data into the release, with Infisical standing still if it is `pausing`."""
        how = "pauses" if pausing else "goes on"
        directory = f"{RELEASES}/{self.unfinished.release}"
        logger.info(f"{host.print_prefix}Infisical {how}; its data go to {directory}")
        if pausing:
            self.step("pause", doing="pause Infisical")
        run(script("backup-dump", directory), doing="dump the database")

    def load_beside(self, data: Release | None) -> None:
        """Load the dump of a release, or of now, beside the data; its key must be the host's."""
        present = self.take(self.unfinished.release)
        wanted = self.take(data.name) if data else present
        if wanted.key != present.key:
            raise Refused(
                f"the release needs the encryption key with fingerprint {wanted.key}, and the host "
                f"has {present.key}"
            )
        manifest.refuse_difference(wanted, self.load())

    def take(self, release: str) -> Manifest:
        """Take the dump of a release to be loaded."""
        return manifest.parse(self.step("take", release, doing=f"use the dump of {release}"))

    def end(self) -> list[str]:
        """End what has been proven or is back, and let go of what need not be kept.

        Returns sentences on what was given up before and is kept, or goes.
        """
        snapshot.clean(DIRECTORY, PROJECT)
        # Once it has ended, nobody would know that it is still closed.
        self.open_()
        told = self.step("end", doing="end the change of version")
        discard_releases(self.settings, self.unfinished.image)
        return given_up.after_proof(told.splitlines())

    @contextmanager
    def or_back(self) -> Iterator[None]:
        """Go back if the context fails, and raise RunFailed with what runs then."""
        try:
            yield
        except (UserError, KeyboardInterrupt) as error:
            reason = str(error) or "it was interrupted"
            new, old = self.unfinished.new, self.unfinished.old
            try:
                data = self._go_back(reason)
                self.end()
            except UserError as another:
                raise _stuck(f"Infisical {new} failed: {reason}", another) from None
            raise RunFailed(
                f"Infisical {new} was given up and {old} serves again {data}; see "
                f"{RELEASES}/{self.unfinished.release} on the {self.place} for logs: {reason}"
            ) from None

    def recover(self) -> str:
        """Complete what was interrupted, or go back; with which data then, else empty.

        What has taken its place already may have been written to since: it is kept if it proves to
        be well, and else given up, which is not to lose it. Raises RunFailed where neither can
        be had.
        """
        data = ""
        if self.unfinished.phase == "swapped":
            self._try_to_close()
            with self.or_back():
                self.prove(same_data=True)
        elif self.unfinished.phase != "proven":
            try:
                data = self._go_back("it was interrupted")
            except UserError as error:
                raise _stuck("it was interrupted", error) from None
        for sentence in self.end():
            logger.info(f"{host.print_prefix}{sentence}")
        return data

    def _go_back(self, reason: str) -> str:
        logger.info(f"{host.print_prefix}Going back: {reason.splitlines()[0]}")
        self._try_to_close()
        return self.back()

    def _try_to_close(self) -> None:
        try:
            self.close()
        except UserError as error:
            # What is written from now on is kept, or given up and told of: no reason to go back,
            # and none not to.
            logger.info(f"{host.print_prefix}The edge could not be closed: {error}")


def _stuck(why: str, error: UserError) -> RunFailed:
    return RunFailed(
        f"the version before could not be brought back ({error}); no data were removed, and "
        f"`infisical-iac apply` tries again. What came before: {why}"
    )
