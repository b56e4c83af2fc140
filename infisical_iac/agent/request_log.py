"""Search Infisical's own request log, and read the writes that it notes in its database."""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.access import FoundRequest, FoundRequests, may_concern, parse_query
from infisical_iac.agent.database import find_database
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.runner import Runner, observation

_SECONDS = 240
# A link that gives access, and parts of a path that look like a token, are never returned.
_LINK = re.compile("(/(?:secret-sharing|shared|secret-request)/)[^?&;#]*")
_TOKEN = re.compile(r"/(?:eyJ|st\.|[0-9a-f]{64}|[^/?&;#]{200})[^/?&;#]*")
_PLACES = ("projectId", "workspaceId", "workspaceSlug", "environment", "secretPath")
_HEALTH = "/api/status"


@observation
def find_own_requests(
    runner: Runner, *, since: float, last: int, environment: str = "", statuses: str = ""
) -> FoundRequests:
    """Return the latest requests that match, by the log of Infisical's container.

    That log names no callers. Checks of the container's health are left out. The arguments are
    those of `access.find_requests`.
    """
    container = find_container(runner, "infisical")
    found: deque[FoundRequest] = deque(maxlen=last)
    if container is None:
        return FoundRequests()
    asked = ["docker", "logs", "--since", str(int(since)), container.id]
    for each in _pairs(runner.run(asked, seconds=_SECONDS).text):
        is_chosen = not statuses or re.fullmatch(statuses, str(each.status))
        if is_chosen and (not environment or may_concern(each, environment)):
            found.append(each)
    return FoundRequests(tuple(found))


def _pairs(log: str) -> Iterator[FoundRequest]:
    """Yield the requests; the server logs a line at the begin of each, and one at its end."""
    begun: dict[str, Mapping[str, Any]] = {}
    for line in log.splitlines():
        if '"reqId"' not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        if entry.get("msg") == "incoming request":
            begun[entry["reqId"]] = entry["req"]
        elif entry.get("msg") == "request completed" and entry["reqId"] in begun:
            request = begun.pop(entry["reqId"])
            if request["url"] != _HEALTH:
                yield _found(request, entry)


def _found(request: Mapping[str, Any], end: Mapping[str, Any]) -> FoundRequest:
    query = parse_query(request["url"])
    path = request["url"].split("?")[0]
    return FoundRequest(
        at=end["time"] / 1000,
        who="",
        method=request["method"],
        uri=_TOKEN.sub("/", _LINK.sub(r"\1", path)),
        status=end["res"]["statusCode"],
        address=str(request.get("remoteAddress", "")),
        query={name: query[name] for name in _PLACES if name in query},
        seconds=end.get("responseTime", 0) / 1000,
    )


@dataclass(frozen=True)
class NotedWrite:
    """A write to a folder that Infisical has noted.

    Attributes:
        at: its time, in seconds since the epoch.
        who: the id of the identity or person.
        project: its id.
        environment: its slug.
        folder: its path; "?" if it is gone.
    """

    at: float
    who: str
    project: str
    environment: str
    folder: str


# An older release has no such table.
WRITES = r"""
SELECT $$
WITH RECURSIVE places AS (
    SELECT id, '' AS path FROM secret_folders WHERE "parentId" IS NULL
    UNION ALL
    SELECT f.id, p.path || '/' || f.name
    FROM secret_folders AS f JOIN places AS p ON f."parentId" = p.id
)
SELECT json_build_array(extract(epoch FROM c."createdAt"), c."actorMetadata" ->> 'id',
    e."projectId", e.slug, CASE p.path WHEN '' THEN '/' ELSE coalesce(p.path, '?') END)
FROM folder_commits AS c JOIN project_environments AS e ON e.id = c."envId"
    LEFT JOIN places AS p ON p.id = c."folderId"
WHERE c."createdAt" > to_timestamp({since}) ORDER BY c."createdAt"
$$ WHERE to_regclass('folder_commits') IS NOT NULL
\gexec
"""


@observation
def noted_writes(runner: Runner, *, since: float) -> list[NotedWrite]:
    """Return the writes since a time; none if the database does not answer."""
    try:
        rows = find_database(runner).sql(WRITES.format(since=since))
    except RuntimeError:
        return []
    found = map(json.loads, rows)
    return [NotedWrite(at, who or "", *place) for at, who, *place in found]
