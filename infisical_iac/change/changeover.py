"""Change the version: either the new one passes its checks, or the old one is restored.

Subclasses implement the steps for a single host and for a cluster.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.agent import releases as kept_on_host
from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.dump import make_dump
from infisical_iac.agent.proof_model import Before
from infisical_iac.agent.releases import RELEASES
from infisical_iac.backup import manifest, snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.change import releases
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.images import Images
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.stack import session
from infisical_iac.stack.model import given_up_after_proof, parse_after_proof
from infisical_iac.workspace import checks

DIRECTORY = "/var/lib/infisical-upgrade"
PROJECT = "infisical-upgrade"
# After an interruption, it is unknown which secrets could be read before the change. The deployer
# must be able to log in, though.
UNKNOWN = Before({}, public=False)


def read_releases() -> list[Release]:
    """Return the releases that the current host keeps, the newest first."""
    return releases.read_releases(ask(question(kept_on_host.kept)))


def read_given_up() -> list[GivenUp]:
    """Return the kept data of changes that were given up."""
    return ask(question(kept_on_host.given_up))


def reset_release(name: str) -> list[str]:
    """Give the images of a release their names back, and return those that are missing."""
    return perform(question(kept_on_host.reset, release=name), doing="bring the old images back")


def discard_releases(settings: Settings, image: str) -> None:
    """Remove the releases and images that are needed by neither the settings nor `image`."""
    surplus = releases.find_surplus(
        read_releases(), settings.stack.keep_releases, {*settings.images, image}
    )
    if surplus.releases:
        old = question(kept_on_host.forget, releases=surplus.releases)
        perform(old, doing="remove releases nobody needs")
    if surplus.images:
        old = question(kept_on_host.drop, images=surplus.images)
        perform(old, doing="remove images nobody needs")


def starting(was: Images, image: str) -> UnfinishedChange:
    """Return a change that begins now, from the running version to an image of Infisical."""
    return UnfinishedChange(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{was.version}", "begun", image)


@dataclass(frozen=True)
class Changeover(ABC):
    """A change of the stack from one version to another.

    Attributes:
        unfinished: the change, as the host records it until it ends.
        project: the slug of the project whose secrets are read before and after.
        before: what could be read before; None if the deployer could not log in.
    """

    unfinished: UnfinishedChange
    settings: Settings
    project: str
    before: Before | None

    program: ClassVar[str]  # the script with its steps
    place: ClassVar[str]  # where it runs, for messages

    @abstractmethod
    def load(self) -> dict[str, int]:
        """Load the latest dump next to the data, and return the number of rows of each table."""

    @abstractmethod
    def prove(self, *, same_data: bool) -> list[str]:
        """Start the new version, run the post-upgrade checks, and return sentences about them."""

    @abstractmethod
    def back(self) -> str:
        """Bring the old version back, and return the clause of `describe_given_up`.

        Data that may have been written to since are kept, and named in that clause.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the edge until `open_`, if the data are swapped.

        So no write goes to data that may be given up. Raises a UserError.
        """

    @abstractmethod
    def open_(self) -> None:
        """Open the edge again; a second call does no harm. Raises CommandFailed."""

    def step(self, name: str, *arguments: str, doing: str) -> str:
        """Run a step on the host and return its output. Raises CommandFailed."""
        return run(script(self.program, name, *arguments), doing=doing)

    def begin(self) -> None:
        """Keep the running version as a release, and record the change on the host."""
        name, _, image = self.unfinished
        kept = question(kept_on_host.make, release=name)
        perform(kept, doing="keep what runs as a release")
        self.step("begin", name, image, doing="begin the change of version")

    def dump(self, *, pausing: bool) -> None:
        """Dump the data into the release, with Infisical stopped if `pausing`."""
        how = "pauses" if pausing else "goes on"
        directory = f"{RELEASES}/{self.unfinished.release}"
        logger.info(f"{host.print_prefix}Infisical {how}; its data go to {directory}")
        if pausing:
            self.step("pause", doing="pause Infisical")
        perform(question(make_dump, folder=directory), doing="dump the database")

    def rehearse(self, compose: str) -> None:
        """Prove on a copy of the release's dump that the new version isolates services.

        The copy has no access to any network, and only the host itself can reach the copy. So a
        version without a proof was never public. Raises a UserError.

        Args:
            compose: the text of the copy's Compose file, with the new version.
        """
        logger.info(
            f"{host.print_prefix}Infisical {self.unfinished.new} is tried on a copy of the data"
        )
        write(f"{DIRECTORY}/compose.yaml", compose)
        seconds = self.settings.stack.start_timeout
        expected = self.take(self.unfinished.release)
        manifest.refuse_difference(expected, snapshot.load(DIRECTORY, PROJECT, seconds))
        port = snapshot.serve(DIRECTORY, PROJECT, seconds)
        session.forget()
        try:
            checks.prove_isolation(self.settings, port)
        finally:
            # This login is valid at the copy only.
            session.forget()
        snapshot.clean(DIRECTORY, PROJECT)

    def load_next_to_data(self, data: Release | None) -> None:
        """Load a dump next to the data: the dump of `data`, or by default that of the live data.

        Raises Refused if the dump needs another encryption key than the host's.
        """
        present = self.take(self.unfinished.release)
        desired = self.take(data.name) if data else present
        if desired.key != present.key:
            raise Refused(
                f"the data of {data.name if data else 'today'} need the encryption key with "
                f"fingerprint {desired.key}, and the host has {present.key}: choose a newer "
                "release, or restore a backup with the recovery kit of that time"
            )
        manifest.refuse_difference(desired, self.load())

    def take(self, release: str) -> Manifest:
        """Select the dump of a release for the next load, and return its manifest."""
        return manifest.parse(self.step("take", release, doing=f"use the dump of {release}"))

    def end(self) -> list[str]:
        """End a change that was proven or rolled back, and remove releases and images not needed.

        Returns sentences about data that were given up earlier and are kept or removed now.
        """
        snapshot.clean(DIRECTORY, PROJECT)
        # Before the end: afterwards no later run would know that the edge is still closed.
        self.open_()
        output = self.step("end", doing="end the change of version")
        discard_releases(self.settings, self.unfinished.image)
        return given_up_after_proof(*parse_after_proof(output.splitlines()))

    @contextmanager
    def or_back(self) -> Iterator[None]:
        """Roll back if the context fails, and raise RunFailed that names the version that runs."""
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
                f"Infisical {new} failed, and {old} serves again {data}; the logs of {new} are in "
                f"{RELEASES}/{self.unfinished.release} on the {self.place}; the failure: {reason}",
                code="run.given_up",
            ) from None

    def recover(self) -> str:
        """Complete an interrupted change or roll it back; return the clause about the data.

        New data that are already in place may have received writes. They stay if they pass the
        checks; otherwise they are given up, but kept next to the old ones. Raises RunFailed if the
        change can neither be completed nor rolled back. The clause is empty for a completed change.
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
            # Writes from now on are kept, or given up and reported: this neither requires a
            # rollback nor prevents one.
            logger.info(f"{host.print_prefix}The edge could not be closed: {error}")


def _stuck(why: str, error: UserError) -> RunFailed:
    return RunFailed(
        f"the previous version could not be restored ({error}); no data were removed, and "
        f"`infisical-iac apply` tries again. The first failure: {why}"
    )
