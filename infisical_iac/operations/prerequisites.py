"""Decide which parts of a deploy need which: how far one that can't go on keeps others from it.

A part is what a file of `deploys/` names, such as "Stack". A part that is named in no table here
neither waits for another nor keeps one from going on: what is blocked in "Hardening" is that alone.
docs/operations.md says the same to operators.
"""

# By part, those without which nothing of it can be done. One that names itself is a chain: each of
# its operations needs those before it.
_NEEDS = {
    # Docker would make its data on the host's own disk.
    "Docker": ("Docker", "Data volume"),
    # What the nodes say to each other is for them alone.
    "Swarm": ("Swarm", "Docker", "Firewall"),
    # Compose reads no file without the keys, and no container starts before a version has changed.
    "Stack": ("Stack", "Swarm", "Docker", "Data volume"),
    # A change that has not ended may be why the edge is closed.
    "Ingress": ("Stack",),
    # It would bring to all nodes what the lead has lost.
    "Share": ("Stack", "Swarm"),
    # Which identities there are.
    "Credentials": ("Workspace",),
}
# By part, those that it needs as long as it can't see what it works on: an Infisical that answers
# is looked at and set right, whatever keeps its containers from being so.
_NEEDS_TO_SEE = {
    "Bootstrap": ("Stack", "Swarm", "Docker", "Data volume"),
    "Workspace": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Canary": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
    "Credentials": ("Bootstrap", "Stack", "Swarm", "Docker", "Data volume"),
}
# Of the other nodes of a cluster, these need nothing.
_OF_EACH_HOST = ("Docker",)
# Containers go on with the files that Caddy has.
_ASIDE = "Stack | Configure the way in"


def part_of(name: str) -> str:
    """Return the part that an operation is of, by its whole name."""
    return name.partition(" | ")[0]


def needs(name: str, other: str, *, unseen: bool, same_host: bool = True) -> bool:
    """Return whether one operation can't go on where another, earlier one can't.

    Args:
        name: the one's, with its part before it, as in "Stack | Fetch the images".
        other: the other's, likewise; or a part, for all of it.
        unseen: whether the one could not see all that it works on.
        same_host: whether both are of the same host; else of two nodes of a cluster.
    """
    part, before = part_of(name), part_of(other)
    if part in _OF_EACH_HOST and not same_host:
        return False
    if other == part and same_host:
        return True
    if _ASIDE in (name, other) and part == before:
        return False
    return before in _NEEDS.get(part, ()) or (unseen and before in _NEEDS_TO_SEE.get(part, ()))
