"""Search the access log of Caddy, and Infisical's own: its log, and the writes in its database."""

import binascii
import gzip
import json
import re
import time
import zlib
from base64 import urlsafe_b64decode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_iac.agent.database import find_database
from infisical_iac.agent.docker import find_container
from infisical_iac.agent.runner import Runner, observation

# A search that takes longer ends unfinished.
_SECONDS = 240
_QUERY = re.compile("[?&]([A-Za-z]+)=([^?&]*)")
_SECRETS = re.compile("/api/v[0-9]+/secrets([^A-Za-z0-9_-]|$)")
# Reads whose answer may have a secret, and writes; a path may be written with escapes.
_READS = re.compile("(/api/v[0-9]+/(secrets|dashboard)([^A-Za-z0-9_-]|$)|[^?&]*%[3-7])")
_WRITES = re.compile(
    "(/api/v[0-9]+/(secrets|dashboard|folders|secret-imports)([^A-Za-z0-9_-]|$)|[^?&]*%[3-7])"
)
_SIGNS = (b"/secrets", b"/dashboard", b"/folders", b"/secret-imports", b"%")
# A service token is logged by the id before its secret. Behind another proxy, the address of the
# caller comes before that.
_USER = re.compile("(?:([0-9A-Fa-f.:]*) )?(.*)", re.DOTALL)
# Caddy cuts a long token, and with it the JSON of its claims.
_CUT = 700


@dataclass(frozen=True)
class FoundRequest:
    """A request in the log.

    Attributes:
        at: the time of its end, in seconds since the epoch.
        who: the id of the identity or person in its token; empty without one.
        query: the parameters of its address, as they are written there.
        address: the address of the caller.
        seconds: how long its answer took.
    """

    at: float
    who: str
    method: str
    uri: str
    status: int
    address: str
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class FoundRequests:
    """The latest requests that match, ordered by time; not finished if the time ran out."""

    requests: tuple[FoundRequest, ...] = ()
    is_finished: bool = True


@dataclass(frozen=True)
class FoundReads:
    """The folders whose secrets were read with a token.

    Attributes:
        began: the time of the log's first request; None for an empty log.
        places: project, environment and folder, with the escapes of the request; empty for a read
            that names no environment.
        is_finished: False if the time ran out.
    """

    began: float | None = None
    places: frozenset[tuple[str, str, str]] = frozenset()
    is_finished: bool = True


@observation
def find_requests(
    runner: Runner,
    *,
    folder: str,
    since: float,
    last: int,
    ids: Sequence[str] = (),
    environment: str = "",
    statuses: str = "",
) -> FoundRequests:
    """Return the latest requests that match.

    With an environment, reads and writes that name none are returned too, since they may concern
    it: reads by a secret's id or by a service token, and writes, which name it in their body.

    Args:
        last: how many requests to return at most.
        ids: of identities and persons; none for all.
        statuses: a regular expression; empty for all.
    """
    end = time.monotonic() + _SECONDS
    found: deque[FoundRequest] = deque(maxlen=last)
    named = f"environment={environment}".encode()
    for line in _lines(runner.path(folder), since):
        if time.monotonic() > end:
            return FoundRequests(tuple(found), is_finished=False)
        # Most lines are left out without parsing them.
        if environment and not any(each in line for each in (named, *_SIGNS)):
            continue
        request = _parse(line, since)
        if request is None or (ids and request.who not in ids):
            continue
        if environment and not may_concern(request, environment):
            continue
        if not statuses or re.fullmatch(statuses, str(request.status)):
            found.append(request)
    return FoundRequests(tuple(found))


def may_concern(request: FoundRequest, environment: str) -> bool:
    """Return whether a request names the environment, or may read or write it without a name."""
    if "environment" in request.query:
        return request.query["environment"] == environment
    if request.method == "GET":
        return bool(_READS.match(request.uri))
    return request.method in ("POST", "PUT", "PATCH", "DELETE") and bool(_WRITES.match(request.uri))


def parse_query(uri: str) -> dict[str, str]:
    """Return the parameters of an address, as they are written there."""
    return dict(_QUERY.findall(uri))


@observation
def find_reads(
    runner: Runner, *, folder: str, since: float, without: Sequence[str] = ()
) -> FoundReads:
    """Return the folders whose secrets were read with a token.

    Args:
        without: the ids of identities whose reads don't count.
    """
    end = time.monotonic() + _SECONDS
    begins = [*_begins(runner.path(folder))]
    places: set[tuple[str, str, str]] = set()
    for line in _lines(runner.path(folder), since):
        if time.monotonic() > end:
            return FoundReads(min(begins, default=None), frozenset(places), is_finished=False)
        if b"/secrets" not in line:
            continue
        entry = _entry(line, since)
        request = entry.get("request") or {}
        is_read = request.get("method") == "GET" and _SECRETS.match(str(request.get("uri", "")))
        if not is_read or entry.get("status", 400) >= 400 or not entry.get("user_id"):
            continue
        if not without or _parse_user(entry)[1] not in without:
            places.add(_place(parse_query(request["uri"])))
    return FoundReads(min(begins, default=None), frozenset(places))


def _place(query: Mapping[str, str]) -> tuple[str, str, str]:
    if not query.get("environment"):
        return "", "", ""
    names = ("projectId", "workspaceId", "workspaceSlug")
    project = next((query[each] for each in names if each in query), "")
    return project, query["environment"], query.get("secretPath", "/")


def _files(folder: Path) -> list[Path]:
    """Return the log's files, the oldest first."""
    found = (*folder.glob("access.log*"), folder / "live" / "access.log")
    return sorted(filter(Path.is_file, found), key=lambda each: each.stat().st_mtime)


def _lines(folder: Path, since: float) -> Iterator[bytes]:
    """Yield the lines of the files that were written after a time."""
    for file in _files(folder):
        # The file may be rotated away meanwhile, or its end be missing after a crash.
        try:
            if file.stat().st_mtime >= since:
                yield from _read(file)
        except (OSError, EOFError, zlib.error):
            continue


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as plain:
        is_compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        if is_compressed:
            with gzip.open(plain) as text:
                yield from text
        else:
            yield from plain


def _begins(folder: Path) -> Iterator[float]:
    """Yield the time of each file's first request."""
    for file in _files(folder):
        try:
            entry = _entry(next(_read(file), b""), 0)
        except (OSError, EOFError, zlib.error):
            continue
        if entry:
            yield entry["ts"]


def _entry(line: bytes, since: float) -> Mapping[str, Any]:
    """Return the object in a line since a time; empty for an earlier or an incomplete line."""
    try:
        found = json.loads(line.decode(errors="replace"))
    except ValueError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("ts"), int | float):
        return {}
    return found if found["ts"] >= since else {}


def _parse(line: bytes, since: float) -> FoundRequest | None:
    entry = _entry(line, since)
    request = entry.get("request")
    if not isinstance(request, dict):
        return None
    address, who = _parse_user(entry)
    uri = str(request.get("uri", ""))
    return FoundRequest(
        at=entry["ts"],
        who=who,
        method=str(request.get("method", "")),
        uri=uri,
        status=int(entry.get("status", 0)),
        address=address or str(request.get("remote_ip", "")),
        query=parse_query(uri),
        seconds=float(entry.get("duration") or 0),
    )


def _parse_user(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the address that comes before the token, if any, and the id in the token."""
    match = _USER.fullmatch(str(entry.get("user_id") or ""))
    return (match[1] or "", _who(match[2])) if match else ("", "")


def _who(user: str) -> str:
    if user.startswith("st."):
        return user
    claims = _claims(user)
    found = claims.get("identityId") or claims.get("userId") or ""
    return found if isinstance(found, str) else json.dumps(found)


def _claims(user: str) -> Mapping[str, Any]:
    try:
        text = urlsafe_b64decode(user + "=" * (-len(user) % 4)).decode(errors="replace")
    except (binascii.Error, ValueError):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        # The server writes these two at the beginning of the claims, so cut ones have them too.
        names = ("identityId", "userId") if len(text) > _CUT else ()
        matches = ((name, re.search(rf'"{name}":"([^"\\]*)"', text)) for name in names)
        return {name: match[1] for name, match in matches if match}
    return found if isinstance(found, dict) else {}


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
    those of `find_requests`.
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
