"""Whether the other nodes of a cluster can do without one that is to be replaced. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# What Patroni calls members that have every write that was acknowledged, and that are well.
_COMPLETE = ("leader", "sync_standby", "quorum_standby")
_WELL = ("running", "streaming")


class Member(NamedTuple):
    """A node as the Swarm has it; `number` and `vote` are `-` for none."""

    name: str
    number: str
    state: str
    vote: str


def lacking(told: str, name: str) -> str:
    """Why the node `name` can't be taken away, empty if it can.

    Args:
        told: what `scripts/others.sh` printed on another node; nothing where there is no cluster
            yet.
    """
    lines = [line.partition(" ") for line in told.splitlines()]
    rest = {kind: rest for kind, _, rest in lines}
    members = [Member(*each.split()) for kind, _, each in lines if kind == "node"]
    databases, patroni = rest.get("databases", "0"), rest.get("patroni", "")
    reasons = [
        *_without_majority(members, name),
        *_without_data(members, name, databases, patroni),
    ]
    return reasons[0] if reasons else ""


def has_told_of_data(told: str) -> bool:
    """Whether a node could say how the databases are."""
    return any(line.startswith("patroni {") for line in told.splitlines())


def _without_majority(members: Sequence[Member], name: str) -> Iterator[str]:
    voting = [each for each in members if each.vote != "-"]
    others = [each for each in voting if each.name != name and each.vote == "reachable"]
    if voting and 2 * len(others) <= len(voting):
        yield f"{len(others)} of {len(voting)} managers would be left, which is no majority"


def _without_data(
    members: Sequence[Member], name: str, databases: str, patroni: str
) -> Iterator[str]:
    if databases == "0":
        return
    try:
        found = json.loads(patroni)["members"]
    except (ValueError, KeyError):
        yield "no other node tells how PostgreSQL is"
        return
    numbers = {each.number for each in members if each.name == name}
    left = [each for each in found if each["name"].rpartition("-")[2] not in numbers]
    unwell = [each["name"] for each in left if each["state"] not in _WELL]
    if unwell:
        yield f"{', '.join(unwell)} would be needed, and is not well"
    if not any(each["role"] in _COMPLETE for each in left):
        yield "no other node has all writes that were acknowledged"
