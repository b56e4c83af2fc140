"""Finish a move of secrets, or undo it: delete the projects of one side.

A finish is refused while it would lose a secret; an undo names the secrets that it deletes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.core.errors import Refused
from infisical_iac.core.wording import pluralize
from infisical_iac.workspace.goal import Layout, Move, split
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.moving import (
    MoveKeeper,
    find_project_ids,
    list_environments,
    list_unnamed,
    refuse_homeless,
)
from infisical_iac.workspace.reach import Reached
from infisical_iac.workspace.secret_copies import (
    CopiedSecret,
    CopyState,
    SecretPlace,
    compare,
    read_side,
)

_MOST_SHOWN = 5


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
