"""Apply the project file to the Infisical of the current host, and keep the canary."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.agent import contents, database
from infisical_iac.agent.canary import CANARY_FILE
from infisical_iac.agent.identities import DEPLOYER, ClientSecret
from infisical_iac.api.client import Client
from infisical_iac.api.instance import Beyond, count_beyond
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, question
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import ApiError, CheckFailed, CommandFailed
from infisical_iac.core.files import read_text
from infisical_iac.core.operation import Commands, decide_changes, planned_operation, step
from infisical_iac.core.remote import remove, write
from infisical_iac.stack import session
from infisical_iac.workspace import canary, foreign, isolation, second_factor
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.canary import Canary, CanaryLogin
from infisical_iac.workspace.converge import (
    apply,
    converge,
    difference,
    expect_changes,
    list_rename_notes,
)
from infisical_iac.workspace.foreign import AccessState
from infisical_iac.workspace.foreign_actual import find_foreign
from infisical_iac.workspace.goal import Goal, Memory, empty_state
from infisical_iac.workspace.memory import (
    FILE,
    known_projects,
    learn,
    list_isolation_notes,
    parse,
    refuse_unmoved,
    remember,
    render,
)
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.second_factor import SecondFactors
from infisical_iac.workspace.state import Actual, ApiChange

_DEPLOYER, _CANARY = f"identity {DEPLOYER}", f"identity {canary.IDENTITY}"
_SEEN_LATER = "the project can be inspected once the deployer has its role again"

_memories: dict[str, Memory] = {}
_latest: dict[str, Actual] = {}
_secrets: dict[str, Mapping[str, Sequence[ClientSecret]]] = {}
_declared: dict[str, dict[str, Any]] = {}
_accesses: dict[str, tuple[Goal, Actual, AccessState]] = {}


@planned_operation
def project_contents(*, goal: Goal, port: int) -> Commands:
    """Make project, environments, folders, imports, identities and people as desired.

    Objects that this project did not make are never deleted. `actual` returns the state read last.
    Raises Refused if the settings name another administrator than the host's.
    """
    for each in (_latest, _secrets, _declared, _accesses):
        each.pop(host.name, None)
    session.expect_administrator(goal.admin_email)
    found, unseen = empty_state(goal), ""
    if not state.is_executing and not session.works(port):
        # Earlier steps of this run start it.
        unseen = session.unknown_contents()
    else:
        admin = cache(partial(session.administrator, port))
        goal = replace(goal, factors=required_factors(goal.desired)).recalling(known_memory())
        refuse_unmoved(goal)
        try:
            found = read(session.deployer(port), goal, admin)
        except ApiError as error:
            if not _is_seen_later(error):
                raise
            unseen = _SEEN_LATER
        else:
            _latest[host.name] = found
            _report_foreign(goal, found, admin, port, canary_id=read_canary_login().identity)
            _note_renames(goal, found)
            _note_duration(goal, found, port)
    yield from decide(goal, found, port, unseen=unseen)


def _is_seen_later(error: BaseException | None) -> bool:
    """Return whether a refused read will work after this run has repaired the deployer."""
    return isinstance(error, ApiError) and error.status == 403 and journal.will_change(_DEPLOYER)


def decide(goal: Goal, found: Actual, port: int, *, unseen: str = "") -> Commands:
    """Yield the changes due inside Infisical for the actual state.

    `unseen` is the reason why that state is unknown; empty if it is known.
    """
    changes: list[Change] = [*difference(goal, found)]
    blocked = all(each.kind == "!" for each in changes)
    if blocked and not unseen and remember(goal, found) == goal.memory:
        yield from changes
        if not changes:
            yield UpToDate("the project matches the project file")
        return
    if blocked:
        changes.append(Change("~", FILE, "the recorded ids of the project's parts"))
    yield from [Unknown(unseen)] if unseen else changes
    yield step(_converge, goal, port)


def actual() -> Actual | None:
    """Return the actual state of the current host as read last in this run; None if unread."""
    return _latest.get(host.name)


def known_access() -> tuple[Goal, Actual, AccessState] | None:
    """Return the goal of the current host with its actual state and access, as a plan read them.

    None if they could not be read.
    """
    return _accesses.get(host.name)


def count_undeclared(port: int) -> Beyond | None:
    """Count the objects of the current host's instance that are not declared.

    Returns None if the actual state couldn't be read in this run. Raises as
    `session.administrator` does.
    """
    declared = _declared.get(host.name)
    return count_beyond(session.administrator(port), **declared) if declared else None


def listed_secrets() -> Mapping[str, Sequence[ClientSecret]]:
    """Return the client secrets of the current host's identities by id, as a plan has read them.

    The result is empty in a run that changes things, as it may have made others since.
    """
    return {} if state.is_executing else _secrets.get(host.name, {})


def _report_foreign(
    goal: Goal, found: Actual, admin: Callable[[], Client], port: int, *, canary_id: str
) -> None:
    try:
        access, findings, notes = find_foreign(
            session.deployer(port),
            goal,
            found,
            admin,
            deployer=session.deployer_id(port),
            deployer_secret=session.deployer_secret(port),
        )
    except ApiError as error:  # differences are repaired nevertheless
        journal.foreign([Change("*", "access to the project", f"could not be read: {error}")], ())
        return
    _accesses[host.name] = goal, found, access
    _secrets[host.name] = access.secrets
    _declared[host.name] = {
        "organization": found.organization_id,
        "projects": {*found.project_ids, *goal.memory.projects},
        "identities": {
            *foreign.declared_identities(found, access.deployer),
            canary_id,
        },
    }
    left = foreign.left_behind(findings, goal, found)
    lacking = second_factor.describe(
        goal.desired, access.people, goal.factors, by_role=not goal.grants
    )
    notes = [*notes, *lacking, *left, *list_isolation_notes(goal), *goal.desired.warnings()]
    journal.foreign((each.change for each in findings), notes)


def _note_renames(goal: Goal, found: Actual) -> None:
    run_notes = journal.current().notes
    for each in list_rename_notes(goal.desired, found, moves_files=True):
        if each not in run_notes:  # An operation may inspect the host twice.
            run_notes.append(each)


def _note_duration(goal: Goal, found: Actual, port: int) -> None:
    changes = difference(goal, found)
    sentence = expect_changes(session.deployer(port), goal, changes)
    if sentence and sentence not in journal.current().notes:
        journal.current().notes.append(sentence)


def _converge(goal: Goal, port: int) -> None:
    goal = replace(goal, factors=required_factors(goal.desired)).recalling(read_memory())
    client = session.deployer(port)
    goal, replaced = isolation.settle(client, goal)
    made: list[ApiChange] = []

    def report(change: ApiChange) -> None:
        made.append(change)
        logger.info(f"{host.print_prefix}{change}")
        if change.shown:
            journal.current().operator_notes.append(change.shown)
            logger.info(f"{host.print_prefix}{change.shown}")

    if replaced:
        report(replaced)
        # If this run is killed after it made projects, the next one must find them.
        save_memory(goal.memory)
    admin = partial(session.administrator, port)
    found = _latest[host.name] = converge(client, goal, report, admin)
    save_memory(learn(client, goal, found, made))


def save_memory(memory: Memory) -> None:
    """Store the memory on the current host if it differs from the stored one."""
    if memory != read_memory():
        write(FILE, render(memory))


def read_memory() -> Memory:
    """Return the memory stored on the current host; an empty one before the first run."""
    return parse(read_text(FILE))


def read_canary_login() -> CanaryLogin:
    """Return the login of the current host's canary; with empty parts if there is none."""
    return canary.parse_login(read_text(CANARY_FILE))


def known_memory(*, again: bool = False) -> Memory:
    """Return the stored memory; it is read once until the run changes something, or `again`."""
    if journal.current().has_changed:
        return read_memory()
    if again or host.name not in _memories:
        _memories[host.name] = read_memory()
    return _memories[host.name]


def read_factors() -> SecondFactors:
    """Return the second factors of the current host's accounts; unknown if that fails."""
    try:
        found = ask(question(database.second_factors))
    except CommandFailed as error:
        return SecondFactors(unseen=str(error))
    return second_factor.known_factors(found, datetime.now(UTC).date())


def required_factors(desired: Workspace) -> SecondFactors:
    """Return the second factors; empty, without a read, if the project file requires none."""
    return read_factors() if desired.require_second_factor else SecondFactors()


def projects_here(client: Client, slug: str) -> list[dict[str, Any]]:
    """Return the projects that hold the current host's secrets, also those renamed by hand."""
    return contents.projects_of(client, slug, known_projects(read_memory()))


@planned_operation
def canary_project(*, admin_email: str, port: int) -> Commands:
    """Keep the canary up to date, for upgrades, restores and drills to read.

    Temporary projects and identities of an interrupted upgrade are removed.

    Raises Refused if the settings name another administrator than the host's, and CheckFailed for
    a canary that can't be read. It is not overwritten: the right key may still decrypt it.
    """
    session.expect_administrator(admin_email)
    if not state.is_executing and not session.works(port):
        # Earlier steps of this run start Infisical.
        due = canary.due(Canary(), admin_email)
        yield from decide_canary(due, admin_email, port, unseen=session.unknown_contents())
        return
    client, place = session.deployer(port), known_memory().canary
    try:
        found = canary.observe(client, admin_email, place)
    except CheckFailed as error:
        if not _is_seen_later(error.__cause__):
            raise
        yield from decide_canary((), admin_email, port, unseen=_SEEN_LATER)
        return
    due = _due(client, found, admin_email)
    yield from decide_canary(due, admin_email, port, is_known=_id(found) == place)


def decide_canary(
    due: Sequence[ApiChange],
    admin_email: str,
    port: int,
    *,
    is_known: bool = False,
    unseen: str = "",
) -> Commands:
    """Yield the changes `due` for the canary, and the command that makes them.

    Args:
        is_known: whether the host remembers which project is the canary's.
        unseen: the reason why its state is unknown; empty if it is known.
    """
    unknown = [] if is_known else [Change("~", FILE, "id of the canary's project")]
    yield from decide_changes(
        due or unknown, step(_keep, admin_email, port), "the canary is as desired", unseen
    )


def _keep(admin_email: str, port: int) -> None:
    client = session.deployer(port)
    memory = read_memory()
    found = canary.observe(client, admin_email, memory.canary)
    for _ in apply(client, _due(client, found, admin_email)):
        pass
    isolation.sweep(client)
    if not canary.is_alive(client):
        raise CheckFailed("the canary was made, but is missing: run again", code="checks.canary")
    save_memory(replace(memory, canary=_id(canary.observe(client, admin_email))))


def _due(client: Client, found: Canary, admin_email: str) -> list[ApiChange]:
    return [*canary.due(found, admin_email), *isolation.leftovers(client)]


@planned_operation
def canary_login(*, is_on: bool, port: int) -> Commands:
    """Keep the login by which the monitor proves that services can use Infisical; else remove it.

    Args:
        is_on: whether the monitor is on.
    """
    known = read_canary_login()
    if is_on and not state.is_executing and not session.works(port):
        # Earlier steps of this run start Infisical.
        yield from decide_canary_login(known, "new", port, unseen=session.unknown_contents())
        return
    drift, unseen, project = "new", "", known_memory().canary
    if is_on and project:
        try:
            drift = canary.diff_login(session.deployer(port), project, known)
        except ApiError as error:
            if not _is_seen_later(error):
                raise
            unseen = _SEEN_LATER
    yield from decide_canary_login(known, drift if is_on else None, port, unseen=unseen)


def decide_canary_login(
    known: CanaryLogin, drift: str | None, port: int, *, unseen: str = ""
) -> Commands:
    """Yield the changes due for the canary's login, and the command that makes them.

    Args:
        known: the login in the file on the host.
        drift: how it differs from the desired one, empty if it does not; None to have none.
        unseen: the reason why its state is unknown; empty if it is known.
    """
    there = bool(known.identity)
    if drift is None:
        changes = [Change("-", _CANARY, "the monitor is off")] if there else []
        yield from decide_changes(changes, step(_remove_login, port), "the monitor is off")
        return
    detail = drift if there else canary.LOGIN_PURPOSE
    changes = [Change("~" if there else "+", _CANARY, detail)] if drift else []
    yield from decide_changes(changes, step(_make_login, port), "the canary can log in", unseen)


def _make_login(port: int) -> None:
    client, project = session.deployer(port), read_memory().canary
    if not project:
        raise CheckFailed("the canary has no project yet: run again", code=canary.CODE)
    known = read_canary_login()
    canary.make_login(client, project, known, lambda made: write(CANARY_FILE, made.render()))


def _remove_login(port: int) -> None:
    canary.remove_login(session.deployer(port))
    remove(CANARY_FILE, doing="remove the login of the canary")


def _id(found: Canary) -> str:
    return found.place.project.id if found.place.project else ""
