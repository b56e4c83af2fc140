"""A change of version on a single host: Infisical stands still from its dump to its new start."""

from dataclasses import dataclass

from infisical_iac.backup import snapshot
from infisical_iac.change import changeover, gate, release_store
from infisical_iac.change.changeover import DIRECTORY, PROJECT, Changeover
from infisical_iac.change.path import Images, UpgradeError, images_of, way_in
from infisical_iac.change.releases import Release, Unfinished
from infisical_iac.core import session
from infisical_iac.core.remote import write
from infisical_iac.core.settings import Settings
from infisical_iac.stack import compose as stack
from infisical_iac.stack import edge
from infisical_iac.upgrade import given_up


@dataclass(frozen=True)
class Change:
    """Hold what is to run, and with which data.

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
        """Return what is to run."""
        return images_of(self.compose)


def made(change: Change, settings: Settings, project: str) -> list[str]:
    """Make the change, and return what is to be said of it.

    Raises ChangeFailed, with what ran before running again, or with how it comes to.

    Args:
        project: the slug of the project whose secrets are read before and after.
    """
    now, then = way_in(stack.compose_text()), way_in(change.compose)
    before = gate.before(settings, project, now.port, same_way=now == then)
    unfinished = changeover.starting(change.was, change.wanted.infisical)
    under_way = _OnHost(unfinished, settings, project, before)
    under_way.begin()
    with under_way.or_back():
        under_way.close()
        under_way.swap(change)
        told = under_way.prove(same_data=change.data is None)
    return [*told, *under_way.end()]


def recover(unfinished: Unfinished, settings: Settings, project: str) -> str:
    """End a change that was interrupted, and return how. Raises ChangeFailed if it can't be."""
    if data := _OnHost(unfinished, settings, project, changeover.UNKNOWN).recover():
        how = "as it did" if data == given_up.data([]) else data
        return f"Infisical {unfinished.old} serves again, {how}."
    return f"Infisical {unfinished.new} serves."


@dataclass(frozen=True)
class _OnHost(Changeover):
    program = "upgrade"
    place = "host"

    def swap(self, change: Change) -> None:
        """Dump what is there, load what is wanted, and let the two change places."""
        write(f"{DIRECTORY}/compose.yaml", change.compose)
        self.dump(pausing=True)
        self.load_beside(change.data)
        further = ("data",) if change.data else ()
        self.step("swap", f"{PROJECT}_postgres", *further, doing="put the new data in place")
        session.forget()

    def load(self) -> dict[str, int]:
        return snapshot.load(DIRECTORY, PROJECT, self.settings.start_timeout)

    def prove(self, *, same_data: bool) -> list[str]:
        stack.up(self.settings.start_timeout)
        port = stack.published_port()
        return gate.passed(
            self.settings,
            self.project,
            self.before,
            port=port,
            same_data=same_data,
            opening=self.open_,
            other_version=True,
        )

    def close(self) -> None:
        edge.close(self.settings)

    def open_(self) -> None:
        edge.open_()

    def back(self) -> str:
        snapshot.clean(DIRECTORY, PROJECT)
        said = self.step("back", doing="bring the old data back")
        release_store.step("reset", self.unfinished.release, doing="bring the old images back")
        session.forget()
        stack.up(self.settings.start_timeout)
        if not session.api(stack.published_port()).answers():
            raise UpgradeError("the API does not answer")
        kept = given_up.parse(said.splitlines())
        return given_up.data(kept, f" of {kept[0].since}" if kept and kept[0].since else "")
