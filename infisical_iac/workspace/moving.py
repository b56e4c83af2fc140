"""Move the secrets from the projects of one isolation to those of another; finish or undo a move.

Both sides stay readable until the move is finished, and identities keep their client secrets, so
that services change over one by one. The versions of each secret after a copy are remembered, and
show the side that was written to since. Values are never stored.

The end of a move deletes the projects of one side. A finish is refused while it would lose a
secret; an undo names the secrets that it deletes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent import contents
from infisical_iac.api.client import Client
from infisical_iac.core.errors import CheckFailed, Refused
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.workspace import isolation
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import converge, difference, expect_changes
from infisical_iac.workspace.goal import Goal, Layout, Memory, Move, Reached, parts_of, split
from infisical_iac.workspace.memory import find_listed, learn, locate
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.secret_copies import (
    CopiedSecret,
    CopyState,
    SecretPlace,
    Side,
    compare,
    confirm_copies,
    copy,
    read_side,
    remove,
)
from infisical_iac.workspace.state import ApiChange

_MOST_PASSES = 5
_MOST_SHOWN = 5
# A reference to a secret of another folder, such as ${production.shared.KEY}.
_REFERENCE = re.compile(r"\$\{[^}]*\.[^}]*\}")


@dataclass(frozen=True)
class MovePlan:
    """The state of a move.

    Attributes:
        changes: the projects, folders, identities and people to bring to the new isolation first.
        compared: the difference between the two sides; a side that does not exist yet lacks all
            secrets.
        duration: the time that it takes because of rate limits; empty if that is short.
        expanded: the number of values that refer to a secret of another folder. Infisical resolves
            such references only inside one project; a loader reads values as they are.
    """

    to: Isolation
    changes: Sequence[ApiChange]
    compared: CopyState
    duration: str = ""
    expanded: int = 0

    @property
    def is_due(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.changes) or not self.compared.is_settled


def origin(reached: Reached, to: Isolation) -> Goal:
    """Return the goal of the side that the secrets move from.

    Raises Refused if a move to another isolation is unfinished, or if there is nothing to move.
    """
    move = reached.memory.move
    if move and move.to != to:
        raise Refused(
            f"the move to {move.to}, begun at {move.since}, is neither finished nor undone: run "
            "`infisical-iac isolation finish` or `infisical-iac isolation undo` first",
            code="refused.isolation",
        )
    if move and move.ending:
        raise Refused(
            f"`infisical-iac isolation {move.ending}` was interrupted: run it again first",
            code="refused.isolation",
        )
    is_split = to != "projects"
    there = bool(reached.memory.parts) if is_split else bool(reached.memory.project)
    if not there:
        raise Refused(
            "there are no secrets to move from here: set isolation in your settings and run "
            "`infisical-iac apply`",
            code="refused.isolation",
        )
    return replace(reached, isolation="projects" if is_split else "privilege")


def list_unnamed(goal: Goal) -> set[str]:
    """Return the ids of remembered projects that the file no longer names."""
    if not goal.is_split:
        return set()
    named = {each.memory.project for each in split(goal).values()}
    return {each.project for each in goal.memory.parts.values()} - named


def list_environments(goal: Goal) -> list[str]:
    """Return the slugs of the environments in the project file."""
    return [each.slug for each in goal.desired.environments]


def refuse_homeless(stray: Sequence[SecretPlace], layout: Layout, side: Side) -> None:
    """Raise Refused for secrets that no project of the new side holds."""
    homeless = [*stray, *(each for each in side if not layout.find(*each[:2]))]
    if homeless:
        folders = sorted({f"{each.folder} in {each.environment}" for each in homeless})
        raise Refused(
            f"{pluralize(len(homeless), 'secret')} would have no project, as the project file "
            f"does not name {join_names(folders[:_MOST_SHOWN])}: add a service, a shared folder or "
            "an environment there, or move these secrets in Infisical",
            code="refused.isolation",
        )


def compute_move(reached: Reached, to: Isolation) -> MovePlan:
    """Return the plan of a move, and change nothing.

    Raises Refused as `origin` and `refuse_homeless` do, and UserError if a state can't be read.
    """
    here, goal = origin(reached, to), replace(reached, isolation=to)
    client, environments = reached.client, list_environments(reached)
    source = locate(client, here, known_only=True)
    side, stray = read_side(client, source, environments, list_unnamed(here))
    refuse_homeless(stray, _future(goal), side)
    changes = difference(goal, read(client, goal, reached.admin))
    there: Side = {}
    is_made = not any(each.kind == "+" and each.what.startswith("project ") for each in changes)
    if is_made:
        there, _ = read_side(client, locate(client, goal), environments)
    move = reached.memory.move
    compared = compare(side, there, move.versions if move and is_made else {})
    expanded = sum(bool(_REFERENCE.search(each.value)) for each in side.values())
    # Each side is read, and again after a copy: the one project by environments, the others whole.
    passes = 1 if compared.is_settled else 2
    places = len(environments) + len(parts_of(reached.desired)) + len(list_unnamed(here))
    batches = sum(len({each[:2] for each in some}) for some in (compared.write, compared.remove))
    # Folders are made by calls of the same class.
    known = {(slug, path) for slug in environments for path in reached.desired.folders}
    made = {*_list_folders(compared.write)} - {*_list_folders(there)} - known
    calls = passes * places + batches + len(made)
    duration = expect_changes(client, goal, changes, of_secrets=calls)
    return MovePlan(to, changes, compared, duration, expanded if to == "projects" else 0)


def _list_folders(places: Iterable[SecretPlace]) -> Iterator[tuple[str, str]]:
    """Yield the folders of secrets, and those around them, by environment and path."""
    for each in places:
        names = [name for name in each.folder.split("/") if name]
        for depth in range(1, len(names) + 1):
            yield each.environment, "/" + "/".join(names[:depth])


def refuse_unenforced(reached: Reached, to: Isolation) -> None:
    """Prove, before secrets move to `privilege`, that the server enforces privileges.

    Raises CheckFailed if it does not, and UserError if that can't be proven.
    """
    if to == "projects":  # Every release enforces the membership of projects.
        return
    try:
        isolation.prove(reached.client, to)
    except CheckFailed as error:
        reason = str(error).partition("; ")[0]
        raise CheckFailed(f"{reason}; the secrets stay where they are", code=error.code) from None


def _future(goal: Goal) -> Layout:
    """Return the layout of a goal whose projects may be missing yet, with keys for ids."""
    parts = {(each.environment.slug, each.folder): each.key for each in parts_of(goal.desired)}
    return Layout(parts=parts) if goal.is_split else Layout("project")


def carry_out(reached: Reached, to: Isolation, report: Callable[[str], None]) -> CopyState:
    """Make the projects of an isolation, and copy the secrets until both sides are equal.

    The next run continues a killed one. Secrets written on the new side since a copy stay.

    Args:
        report: called with each change that was made.

    Returns:
        The difference that is left: secrets that were written on the new side.

    Raises UserError; CheckFailed if the secrets of the old side keep changing.
    """
    here, client = origin(reached, to), reached.client
    keep = MoveKeeper(reached)
    move = reached.memory.move
    if move is None:
        existing = find_project_ids(contents.projects(client), reached, to)
        move = Move(to, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", existing)
    # The user chooses the isolation here, so the fallback of the first deploy ends.
    unenforced = reached.memory.unenforced and to == "projects"
    keep.save(move, replace(reached.memory, fell_back=False, unenforced=unenforced))
    goal = replace(keep.reached, isolation=to)
    made: list[ApiChange] = []

    def note(change: ApiChange) -> None:
        made.append(change)
        report(str(change))

    actual = converge(client, goal, note, reached.admin)
    memory = learn(client, goal, actual, made)
    move = memory.move or move
    keep.save(move, memory)
    source = locate(client, replace(keep.reached, isolation=here.isolation), known_only=True)
    target = locate(client, replace(keep.reached, isolation=to))
    for _ in range(_MOST_PASSES):
        side, stray = read_side(client, source, list_environments(reached), list_unnamed(here))
        refuse_homeless(stray, target, side)
        there, _ = read_side(client, target, list_environments(reached))
        versions = confirm_copies(client, source, side, there, move.versions)
        found = compare(side, there, versions)
        known = {
            str(place): (each.version, there[place].version)
            for place, each in side.items()
            if there.get(place) == each
        }
        versions = {key: each for key, each in versions.items() if key not in known}
        due = {str(each): (side[each].version, -_next(there.get(each))) for each in found.write}
        move = replace(move, versions={**versions, **known, **due})
        keep.save(move)
        if found.is_settled:
            return found
        copy(client, target, {each: side[each] for each in found.write}, report)
        remove(client, target, found.remove, report)
        gone = {str(each) for each in found.remove}
        move = replace(move, versions={k: v for k, v in move.versions.items() if k not in gone})
    raise CheckFailed(
        f"secrets still differ after {_MOST_PASSES} copies, such as {found.write[0]}, because "
        "somebody is writing to them: run again once the writing has stopped",
        code="checks.move",
    )


def _next(secret: CopiedSecret | None) -> int:
    """Return the version that a secret has after the next write to it."""
    return secret.version + 1 if secret else 1


def find_project_ids(
    listed: Sequence[Mapping[str, Any]], reached: Reached, isolation: Isolation
) -> frozenset[str]:
    """Return the ids of the listed projects that an isolation would use."""
    goals = split(replace(reached, isolation=isolation)).values()
    found = [
        find_listed(listed, replace(each.memory, slug=each.desired.project.slug))[0]
        for each in goals
    ]
    return frozenset(str(each["id"]) for each in found if each)


class MoveKeeper:
    """The memory of a host while secrets move: each step is stored before the next begins."""

    def __init__(self, reached: Reached) -> None:
        if reached.remember is None:
            raise Refused(
                "with INFISICAL_API_URL no host records the progress of the move: give --inventory "
                "instead",
                code="refused.isolation",
            )
        self.reached = reached
        self._remember = reached.remember

    def save(self, move: Move | None, memory: Memory | None = None) -> None:
        """Store the state of the move, with the rest of the memory as it is or as given."""
        kept = replace(memory or self.reached.memory, move=move)
        self._remember(kept)
        self.reached = replace(self.reached, memory=kept)


@dataclass(frozen=True)
class Ending:
    """The projects that the end of a move deletes.

    Attributes:
        name: `finish`, which deletes the old projects, or `undo`, which deletes the new ones.
        projects: the slugs of the projects to delete, by id.
        compared: the difference between the two sides; None if the deletion had begun before,
            also by hand.
    """

    name: str
    projects: Mapping[str, str]
    compared: CopyState | None


def compute_ending(reached: Reached, name: str) -> Ending:
    """Return the projects that `finish` or `undo` would delete, and change nothing.

    Raises Refused if there is no move, if the other ending was interrupted, if the settings name
    the isolation to delete, or if `finish` would lose secrets that were written since the copy.
    """
    move = reached.memory.move
    if move is None:
        raise Refused("no move of secrets is under way", code="refused.isolation")
    if move.ending and move.ending != name:
        raise Refused(
            f"`infisical-iac isolation {move.ending}` was interrupted: run it again",
            code="refused.isolation",
        )
    is_forward = name == "finish"
    stays = _stay(move, name)
    if (reached.isolation == "projects") != (stays == "projects"):
        raise Refused(
            f"the settings have isolation {reached.isolation!r}: set it to {stays!r} and run "
            "`infisical-iac apply` first",
            code="refused.isolation",
        )
    begun = bool(move.ending) or (is_forward and _is_deleted(reached, move))
    compared = None if begun else _compare_sides(reached, move, is_forward=is_forward)
    if is_forward and compared:
        _refuse_late(move, [*compared.write, *compared.remove, *compared.conflicts])
    leaves = _origin(move) if is_forward else move.to
    return Ending(name, _list_leaving(reached, move, leaves), compared)


def _stay(move: Move, ending: str) -> Isolation:
    """Return the isolation whose projects stay after an ending."""
    return move.to if ending == "finish" else _origin(move)


def _refuse_unread(client: Client, project: str, move: Move, stays: Layout) -> None:
    """Raise Refused if a project to delete holds secrets that were written since the copy.

    A finish with many projects takes a while, and may have been interrupted.
    """
    there = contents.secrets_of(client.with_patience(), contents.project_of(client, project))
    secrets = {
        SecretPlace(slug, each["secretPath"], each["secretKey"]): CopiedSecret.of(each)
        for slug, listed in there.items()
        for each in listed
    }
    late = [
        place
        for place, each in secrets.items()
        if move.versions.get(str(place), (0, 0))[0] != each.version
        and _find(client, stays, place) != each
    ]
    if late:
        raise Refused(
            f"{pluralize(len(late), 'secret')} would be lost: {_list_some(late)}: write them where "
            "the secrets are now, or delete them, then run `infisical-iac isolation finish` again",
            code="refused.isolation",
        )


def _find(client: Client, layout: Layout, place: SecretPlace) -> CopiedSecret | None:
    id = layout.find(place.environment, place.folder)
    if not id:
        return None
    listed = contents.secrets(client, id, place.environment)
    held = [each for each in listed if (each["secretPath"], each["secretKey"]) == tuple(place[1:])]
    return CopiedSecret.of(held[0]) if held else None


def _list_some(places: Sequence[SecretPlace]) -> str:
    more = f" and {len(places) - _MOST_SHOWN} more" if len(places) > _MOST_SHOWN else ""
    return ", ".join(map(str, places[:_MOST_SHOWN])) + more


def _origin(move: Move) -> Isolation:
    return "privilege" if move.to == "projects" else "projects"


def _is_deleted(reached: Reached, move: Move) -> bool:
    """Return whether somebody has deleted the one project that the secrets came from."""
    id = reached.memory.project
    return move.to == "projects" and reached.client.find(f"/api/v1/projects/{id}") is None


def _compare_sides(reached: Reached, move: Move, *, is_forward: bool) -> CopyState:
    client = reached.client
    goals = (replace(reached, isolation=each) for each in (_origin(move), move.to))
    (here, lost), (there, added) = (
        read_side(
            client,
            locate(client, each, known_only=True),
            list_environments(reached),
            list_unnamed(each),
        )
        for each in goals
    )
    if is_forward:
        refuse_homeless(lost, Layout("project"), {})
    found = compare(here, there, move.versions)
    return replace(found, newer=(*found.newer, *added))


def _refuse_late(move: Move, late: Sequence[SecretPlace]) -> None:
    if late:
        raise Refused(
            f"{pluralize(len(late), 'secret')} would be lost: {_list_some(late)}: run "
            f"`infisical-iac isolation apply --to {move.to}` again, which copies what was written "
            "since; if a secret was changed in both places, write its right value in both",
            code="refused.isolation",
        )


def _refuse_unreported(late: Sequence[SecretPlace]) -> None:
    if late:
        raise Refused(
            f"{pluralize(len(late), 'secret')} were written in the new projects meanwhile, such as "
            f"{late[0]}: run `infisical-iac isolation undo` again",
            code="refused.isolation",
        )


def _list_leaving(reached: Reached, move: Move, leaves: Isolation) -> dict[str, str]:
    """Return the slugs by id of the projects of one side that still exist."""
    listed = contents.projects(reached.client)
    memory = reached.memory
    known = {each.project for each in memory.parts.values()}
    ids = known if leaves == "projects" else {memory.project}
    if leaves == move.to:
        # A killed run may have made projects that the memory lacks.
        ids = (ids | _find_made(listed, reached, leaves)) - move.existing
    return {each["id"]: each["slug"] for each in listed if each["id"] in ids}


def _find_made(
    listed: Sequence[Mapping[str, Any]], reached: Reached, isolation: Isolation
) -> frozenset[str]:
    """Return the ids of projects with the slug, name and delete protection that a run gives."""
    names = {
        each.desired.project.name for each in split(replace(reached, isolation=isolation)).values()
    }
    made = [each for each in listed if each["hasDeleteProtection"] and each["name"] in names]
    return find_project_ids(made, reached, isolation)


def end(reached: Reached, ending: Ending, report: Callable[[str], None]) -> None:
    """Delete the projects of an ending, and forget the move; after a kill, run it again.

    Both sides are read again first, since secrets may have changed while a person confirmed.

    Raises UserError; Refused if secrets that were written meanwhile would be lost.
    """
    move = reached.memory.move
    assert move is not None
    now = compute_ending(reached, ending.name).compared
    if ending.name == "undo" and now and ending.compared:
        reported = {*ending.compared.newer, *ending.compared.conflicts}
        _refuse_unreported([each for each in (*now.newer, *now.conflicts) if each not in reported])
    keep = MoveKeeper(reached)
    keep.save(replace(move, ending=ending.name))
    stays = locate(
        reached.client, replace(reached, isolation=_stay(move, ending.name)), known_only=True
    )
    for id, slug in ending.projects.items():
        if ending.name == "finish":
            _refuse_unread(reached.client, id, move, stays)
        path = f"/api/v1/projects/{id}"
        there = contents.project_of(reached.client, id)
        if there["hasDeleteProtection"]:
            body = {"name": there["name"], "hasDeleteProtection": False}
            reached.client.patch(path, json=body)
        reached.client.delete(path)
        report(f"- project {slug}")
    leaves = _origin(move) if ending.name == "finish" else move.to
    memory = keep.reached.memory
    if leaves == "projects":
        kept = {key: each for key, each in memory.parts.items() if each.project in move.existing}
        keep.save(None, replace(memory, parts=kept))
    elif memory.project in move.existing:
        keep.save(None)
    else:
        keep.save(
            None,
            replace(memory, project="", slug="", environments={}, folders={}, made=frozenset()),
        )
