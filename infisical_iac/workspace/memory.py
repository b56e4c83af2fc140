"""What a host keeps from one run to the next.

Which environment is which, so that one renamed by hand is known again; and which environments,
folders and imports the runs made, for Infisical has nowhere to mark them.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.workspace import holdings
from infisical_iac.workspace.change import Call, Change
from infisical_iac.workspace.holdings import Holding
from infisical_iac.workspace.state import Actual, remember

_NOTHING: frozenset[str] = frozenset()
# By the last part of the path of the request that makes one.
_KINDS = {
    "environments": "environment",
    "/api/v2/folders": "folder",
    "/api/v2/secret-imports": "import",
}


@dataclass(frozen=True)
class Memory:
    """What is known of earlier runs.

    Attributes:
        environments: slug to id, as after the last run.
        made: ids of the environments, folders and imports that runs made. What is not among
            them was there before, or somebody made it by hand, or a run that did not get to
            its end: it is never deleted.
    """

    environments: Mapping[str, str] = field(default_factory=dict)
    made: frozenset[str] = _NOTHING

    def without(self, environments: Collection[str]) -> "Memory":
        """The memory once environments, told by their ids, were deleted.

        They still count as made, for a deleted one can be restored.
        """
        left = {slug: id for slug, id in self.environments.items() if id not in environments}
        return replace(self, environments=left)


def parse(text: str) -> Memory:
    """The memory in a file's content; an empty one where the content says nothing.

    A file that holds nothing but slugs and ids, as it once was, tells of nothing made.
    """
    try:
        found: Any = json.loads(text or "{}")
    except ValueError:
        return Memory()
    if not isinstance(found, dict):
        return Memory()
    environments, made = found.get("environments"), found.get("made")
    if not isinstance(environments, dict):
        environments, made = found, None
    return Memory(
        {slug: id for slug, id in environments.items() if isinstance(id, str)},
        frozenset(id for id in made if isinstance(id, str)) if isinstance(made, list) else _NOTHING,
    )


def render(memory: Memory) -> str:
    """The file's content."""
    content = {"environments": dict(memory.environments), "made": sorted(memory.made)}
    return json.dumps(content, indent=2) + "\n"


def learn(client: Client, memory: Memory, actual: Actual, made: Sequence[Change]) -> Memory:
    """The memory after a run.

    Args:
        client: with the token of the deployer.
        memory: as it was before.
        actual: as read after the last change.
        made: the changes of the run; nothing is read unless they made something to remember.

    Raises ApiError or Unreachable.
    """
    ids = memory.made
    if actual.project and any(_posts(made)):
        ids |= made_ids(made, holdings.read(client, actual.project.id, actual.environments))
    return Memory(remember(actual), ids)


def made_ids(made: Iterable[Change], held: Iterable[Holding]) -> frozenset[str]:
    """The ids of what changes made, found again in what environments hold afterwards.

    The server refuses to make what is there already: what a change made is this project's own.
    """
    ids: dict[tuple[str, ...], str] = {}
    for holding in held:
        environment = holding.environment
        ids["environment", environment.slug] = environment.id
        for path, id in holding.folders.items():
            ids["folder", environment.slug, path] = id
        for each in holding.imports:
            if each.source[0] == environment.id:
                ids["import", environment.slug, each.folder, each.source[1]] = each.id
    return frozenset(ids[key] for key in map(_key, _posts(made)) if key in ids)


def _posts(made: Iterable[Change]) -> Iterator[Call]:
    calls = (call for change in made for call in change.calls)
    return (call for call in calls if call.method == "POST" and call.path[-1] in _KINDS)


def _key(call: Call) -> tuple[str, ...]:
    kind, body = _KINDS[call.path[-1]], call.body or {}
    if kind == "environment":
        return kind, body["slug"]
    if kind == "folder":
        return kind, body["environment"], f"{body['path'].rstrip('/')}/{body['name']}"
    return kind, body["environment"], body["path"], body["import"]["path"]
