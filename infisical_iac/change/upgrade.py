"""Change versions as the settings say, with a rollback if the new version fails."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from infisical_iac.agent import cluster_upgrade
from infisical_iac.agent import releases as kept_on_host
from infisical_iac.agent import upgrade as host_upgrade
from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.transaction import INTERRUPTED
from infisical_iac.change import kept_releases, releases
from infisical_iac.change.releases import IMAGE_KIB, Release, Rollback, UnfinishedChange
from infisical_iac.core import audit, journal, transaction
from infisical_iac.core.agent import ask, question
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.files import text_question
from infisical_iac.core.images import Images
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names
from infisical_iac.host.site import Site, at, site_of
from infisical_iac.stack import compose as stack
from infisical_iac.stack import edge, session
from infisical_iac.stack.model import (
    GIVEN_UP_HELP,
    describe_given_up,
    given_up_after_proof,
    images_of,
    ingress_of,
    isolate,
    with_own_settings,
)
from infisical_iac.stack.settings import StackSettings
from infisical_iac.stack.state import COMPOSE_FILE, DeploymentState, UpgradeState, upgrade_question
from infisical_iac.workspace import checks


@dataclass(frozen=True)
class VersionChange:
    """The running images, the desired Compose file, and the release whose data are loaded.

    Attributes:
        bring_writes: whether the secrets that those data lack are written to them afterwards.
    """

    was: Images
    compose: str
    data: Release | None = None
    bring_writes: bool = False

    @property
    def desired_images(self) -> Images:
        return images_of(self.compose)


def change_on_host(change: VersionChange, settings: Settings, project: str) -> list[str]:
    """Make the change, and return sentences about it.

    The host makes it by itself (`agent/upgrade.py`). Raises RunFailed: the previous version runs
    again then, or the message says how to restore it.
    """
    now, then = ingress_of(stack.compose_text()), ingress_of(change.compose)
    unfinished = kept_releases.starting(change.was, change.desired_images.infisical)
    edge.prepare_closing(settings)
    plan = {
        **_plan(unfinished, change.compose, settings, project),
        "port": now.port,
        "same_ingress": now == then,
        "data": change.data.name if change.data else "",
        "bring_writes": change.bring_writes,
        "other_postgres": change.was.postgres != change.desired_images.postgres,
        # Files of the data are of use to the same major version only.
        "copies": change.data is None and change.was.major == change.desired_images.major,
    }
    began = unfinished.release.partition("-")[0]
    named = [unfinished.release, unfinished.image]
    journal = transaction.begin("upgrade", began, plan, named=named)
    return read_end(unfinished, journal, settings)


def _plan(
    unfinished: UnfinishedChange, compose: str, settings: Settings, project: str
) -> dict[str, Any]:
    """Return the plan of a change for the agent, whose new Compose file is the text `compose`."""
    return {
        "release": unfinished.release,
        "image": unfinished.image,
        "compose": compose,
        "rehearsal": isolate(compose) if compose else "",
        "data": "",
        "other_postgres": False,
        "copies": False,
        "timeout": settings.stack.start_timeout,
        "edge": edge.is_ours(settings.stack),
        "proof": asdict(checks.plan_of(settings, project)),
    }


# Where the logs are, and whether it has stopped what served, by the kind of a change of version.
_ENDS = {
    "upgrade": ("host", host_upgrade.has_paused),
    "cluster_upgrade": ("leader", cluster_upgrade.has_paused),
}
KINDS = (*_ENDS,)


def read_end(
    unfinished: UnfinishedChange, ended: TransactionJournal, settings: Settings
) -> list[str]:
    """Return sentences on a change that is done. Raises RunFailed for one that was undone."""
    session.forget()
    kept_releases.discard_releases(settings, unfinished.image)
    if ended.outcome == "done":
        removed = ended.kept.get("removed", ())
        return [*ended.told, *given_up_after_proof(removed, _given_up(ended))]
    place, has_paused = _ENDS[ended.transaction]
    how = (
        f"failed, and {unfinished.old} serves again {describe_data(ended)}"
        if has_paused(ended)
        else f"failed on a copy of the data, and {unfinished.old} has served without a pause"
    )
    raise RunFailed(
        f"Infisical {unfinished.new} {how}; the logs of {unfinished.new} are in "
        f"{RELEASES}/{unfinished.release} on the {place}; the failure: "
        f"{transaction.explain(ended.failure)}",
        code="run.given_up",
    )


def _given_up(ended: TransactionJournal) -> list[GivenUp]:
    return [GivenUp(**each) for each in ended.kept.get("given_up", ())]


def describe_data(ended: TransactionJournal) -> str:
    """Return a clause on the data that the old version serves again."""
    kept, given_up = ended.kept, _given_up(ended)
    if at := kept.get("reverted"):
        clauses = "; ".join(each.describe() for each in given_up)
        return (
            f"with the data of {at}, because the new version had changed the data beyond its use "
            f"({kept['unusable']}); {clauses} ({GIVEN_UP_HELP})"
        )
    then = f" of {given_up[0].since}" if given_up and given_up[0].since else ""
    # What the old version has found in data that the new one may have changed, on a cluster.
    found = kept.get("usable", ())
    return describe_given_up(given_up, f"{then} ({'; '.join(found)})" if found else then)


@dataclass(frozen=True)
class VersionChanges:
    """Changes of version on a single host."""

    site: Site

    kind: ClassVar[str] = "upgrade"

    def recover(self, unfinished: UnfinishedChange, project: str) -> str:
        """End an interrupted change, and return a sentence on how it ended.

        Called before another change begins. Raises RunFailed if it can't be ended.
        """
        ended = transaction.take_up(self.kind, partial(self.make_plan, unfinished, project))
        settings = self.site.settings
        if ended.outcome == "done" or ended.failure != INTERRUPTED:
            sentences = read_end(unfinished, ended, settings)
            return " ".join([f"Infisical {unfinished.new} serves.", *sentences])
        session.forget()
        kept_releases.discard_releases(settings, unfinished.image)
        has_changed = any(each in ended.kept for each in ("given_up", "reverted", "usable"))
        how = describe_data(ended) if has_changed else "as it did"
        return f"Infisical {unfinished.old} serves again, {how}."

    def make_plan(self, unfinished: UnfinishedChange, project: str) -> dict[str, Any]:
        """Return the plan of a change that an earlier version of this project began."""
        # A host of an earlier version may have lost the file; the change is undone then.
        found = ask(text_question(COMPOSE_FILE)).get(COMPOSE_FILE, "")
        return _plan(unfinished, found, self.site.settings, project)

    def refuse_bringing_writes(self) -> None:
        """Raise Refused if a rollback can't bring writes over."""

    def go_to(self, back: Rollback, project: str) -> list[str]:
        """Roll back to a release, and return sentences about it.

        Raises a UserError: the previous version runs again then, or the message says how to restore
        it.
        """
        settings, release = self.site.settings, back.release
        kept = with_own_settings(fetch_release(release, settings.stack), stack.compose_text())
        change = VersionChange(back.was, kept, back.data, back.brings_writes)
        with audit.record("rollback", [f"~ Infisical: back to {release.name}"]):
            sentences = change_on_host(change, settings, project)
        return [
            *sentences,
            f"Infisical {change.desired_images.version} serves, as of {release.name}.",
            *releases.list_settings_to_change(change.desired_images, settings.stack),
            *releases.describe_other_ingress(ingress_of(change.compose), settings),
        ]


# The plan's words for an unfinished change, and for the next change meanwhile.
CHANGE = "unfinished change of version"
UNSEEN = Unknown("the versions can be compared once the unfinished change has ended")


@contextmanager
def refusing(was: Images) -> Iterator[None]:
    """Turn a UserError into Refused for the change of version, and keep the images in `was`.

    Only that change is refused: the run still compares and repairs everything else, other settings
    of the stack included. An error that ends the whole run is raised as it is.
    """
    try:
        yield
    except UserError as error:
        if error.ends_run:
            raise
        journal.current().kept = was
        code = error.code if isinstance(error, Refused) else ""
        raise Refused(str(error), code=code, blocks_others=False) from None


@planned_operation
def unfinished_change(
    unfinished: UnfinishedChange | None,
    *,
    project: str,
    site: Site,
    closed: bool = False,
) -> Commands:
    """End an interrupted change of version: complete it if the checks pass, else undo it.

    An edge that is `closed` without such a change is opened.

    Example:
        upgrade.unfinished_change(
            unfinished=parse_unfinished(known.machine.upgrading),
            closed=known.machine.closed,
            project="chainalign",
            site=known.site,
            name="End a change of version that was interrupted",
        )
    """
    if unfinished is None and closed:
        yield Change("~", "edge", "closed, although no change is under way → open")
        yield step(edge.open_)
        return
    if unfinished is None:
        yield UpToDate("no change of version is under way")
        return
    how = (
        "completed if it passes the checks, else undone"
        if unfinished.phase == "swapped"
        else "undone"
    )
    yield Change("~", CHANGE, f"{unfinished.release}, {how}")
    yield step(_recover, unfinished, project, site)


def end_unfinished(unfinished: UnfinishedChange, settings: Settings, project: str) -> None:
    """End an interrupted change, record it in the audit log, and print how it ended."""
    with audit.record("rollback", [f"~ {unfinished.release}: ended"]):
        how = at(site_of(settings), VersionChanges).recover(unfinished, project)
    echo(f"A change of version had not ended. {how}", err=True)


def _recover(unfinished: UnfinishedChange, project: str, site: Site) -> None:
    journal.current().operator_notes.append(at(site, VersionChanges).recover(unfinished, project))


@planned_operation
def version(*, compose: str, settings: Settings, project: str) -> Commands:
    """Change the versions to those in `compose`, and take the data along.

    It does nothing without data, or if no version changes: the operation `running` does the rest.
    Raises Refused, with nothing changed, for a change that can't be made; CheckFailed if secrets
    can't be decrypted even before the change; and RunFailed for a change that was undone.

    Example:
        upgrade.version(
            compose=compose, settings=settings, project="chainalign", name="Change the version"
        )
    """
    journal.current().kept = None
    waits, desired = journal.will_change(CHANGE), images_of(compose)
    there = DeploymentState() if waits else stack.observe(compose, settings.images)
    if there.upgrade.was and _changes(there.upgrade, desired):
        with refusing(there.upgrade.was):
            releases.refuse_change(there.upgrade.was, desired)
            if without := journal.current().without:
                raise Refused(
                    f"Infisical can't be changed to {desired.version} while {join_names(without)} "
                    "can't run, because it could not be checked from outside: repair that first"
                )
            check_free_space(there.stack.missing(settings.images), settings)
            if there.file:
                checks.refuse_undecryptable(stack.published_port())
    yield from decide(there, compose, settings, project, waits=waits)


def decide(
    there: DeploymentState, compose: str, settings: Settings, project: str, *, waits: bool = False
) -> Commands:
    """Return the steps of an allowed change of version, given the actual state, `there`.

    With `waits`, an earlier change has to end first, and the steps are unknown.
    """
    found, desired = there.upgrade, images_of(compose)
    changes = _changes(found, desired)
    if waits:
        yield UNSEEN
        return
    if not found.was or not changes:
        yield UpToDate("no version changes")
        return
    for what, change in changes.items():
        yield Change("~", what, change + describe_failure(found, desired))
    if missing := there.stack.missing(settings.images):
        yield step(stack.fetch, missing, stack.sources_of(settings.stack))
    made = partial(change_on_host, VersionChange(found.was, compose), settings, project)
    yield step(make, made)


def _changes(found: UpgradeState, desired: Images) -> dict[str, str]:
    return (
        releases.list_version_changes(found.was, desired, same_bytes=found.same_bytes)
        if found.was
        else {}
    )


def describe_failure(found: UpgradeState, desired: Images) -> str:
    """Return a clause about a failed earlier change to the same version; empty for none."""
    last = found.failed.get(desired.infisical)
    return f", which failed at {last.at}: see {RELEASES}/{last.release}" if last else ""


def check_free_space(missing: Sequence[str], settings: Settings) -> None:
    """Raise Refused if there is no space for a change that needs the `missing` images."""
    room = ask(question(kept_on_host.free_space))
    aside = [each.name for each in kept_releases.read_given_up()]
    releases.check_free_space(room, aside=aside, images=_size(missing, settings.stack))


def refuse_release(release: Release, settings: Settings, *, keep_data: bool) -> Images:
    """Return the images that run. Raises Refused if they can't be rolled back to the release."""
    was = ask(upgrade_question(settings.stack.infisical_reference)).was
    if was is None:
        raise Refused("there is no database on the host: `infisical-iac restore` restores one")
    if keep_data:
        now = ask(question(kept_on_host.migrations))
        releases.refuse_other_schema(release, now)
        releases.refuse_older_postgres(was, release.runs, "go back without --keep-data")
    check_free_space([], settings)
    return was


def fetch_release(release: Release, settings: StackSettings) -> str:
    """Return the release's Compose file, after bringing its images to the host."""
    gone = kept_releases.reset_release(release.name)
    if gone:
        stack.fetch(gone, stack.sources_of(settings))
    file = f"{RELEASES}/{release.name}/compose.yaml"
    text = run(f"cat {file}", doing=f"read {file}")
    return f"{text}\n"


def _size(missing: Sequence[str], settings: StackSettings) -> int:
    """Return the KiB that the missing images take at most; an archive takes its size twice."""
    if missing and settings.image_archives:
        archives = map(Path, settings.image_archives)
        # A missing archive is reported where it would be uploaded.
        return 2 * sum(each.stat().st_size for each in archives if each.is_file()) // 1024
    return IMAGE_KIB if missing else 0


def make(change: Callable[[], list[str]]) -> None:
    """Make a change and report the sentences that it returns; note a remedy if it fails."""
    try:
        journal.current().operator_notes += change()
    except RunFailed:
        journal.current().remedy = "the next run tries it again, unless the setting is changed back"
        raise
