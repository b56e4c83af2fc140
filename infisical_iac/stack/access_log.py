"""Describe the entries of the access log and of Infisical's own logs, and parse `audit` options.

Infisical has an audit log with a license only. Its request log, in the log of its container, names
no callers; it stands in for the access log where no Caddy writes one.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote

from infisical_iac.agent.access import FoundReads, FoundRequest, FoundRequests, NotedWrite
from infisical_iac.core.errors import SettingsError, UserError

# Paths that Infisical answers only after it has checked the token.
_CHECKED = re.compile(
    r"/api/v\d+/(secrets|dashboard|folders|secret-imports|dynamic-secrets|projects|workspace|identities)"
    r"([/;]|$)"
)
# Paths that read secrets, and those that write secrets or folders.
_READ = re.compile(r"/api/v\d+/(secrets|dashboard)(/|$)")
_WRITTEN = re.compile(r"/api/v\d+/(secrets|dashboard|folders|secret-imports)(/|$)")
_WRITING = ("POST", "PUT", "PATCH", "DELETE")
# Seconds by which the clocks of the proxy and the database may differ.
_TOLERANCE = 0.05
# Seconds that a write takes at most.
_LONGEST = 120
# Escapes that the server does not decode in a path: to it, `%2F` is not a slash.
_KEPT_ESCAPES = re.compile(r"(%(?:2[3-6BbCcFf]|3[AaBbDdFf]|40))")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROJECT = ("projectId", "workspaceId", "workspaceSlug")


@dataclass(frozen=True)
class KnownNames:
    """Names by id: of machine identities, people (their email addresses), and projects."""

    identities: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    projects: Mapping[str, str] = field(default_factory=dict)

    def ids(self, identity: str | None, person: str | None) -> list[str]:
        """Return the ids of the given names; an id, such as a deleted user's, stays as it is."""
        asked = [(self.identities, identity), (self.people, person)]
        return [
            id
            for names, desired in asked
            if desired is not None
            for id in ([desired] if _ID.fullmatch(desired) else names)
            if desired in (id, names.get(id))
        ]

    def name_of(self, id: str) -> str:
        """Return the name of an identity or a person, or the id without a known name."""
        return self.identities.get(id) or self.people.get(id) or id


@dataclass(frozen=True)
class LoggedRequest:
    """One request.

    Attributes:
        at: the time in UTC, such as `2026-11-25T14:20:00Z`.
        who: the name of the identity or person in the request's token, or the id without a known
            name; empty without a token.
        proven: whether Infisical has checked that token; otherwise it may be forged.
        path: the path as the server decodes it: `/api/v4/%73ecrets` is `/api/v4/secrets`.
        project: its slug, or its id if it is not known; all of them if the request names several;
            empty if the request's body names it.
        environment: its slug; empty if the request's body names it and the server's database does
            not tell it, or if nothing names it.
        folder: its path; empty as for the environment.
    """

    at: str
    who: str
    proven: bool
    method: str
    path: str
    project: str
    environment: str
    folder: str
    status: int
    address: str

    @property
    def is_unplaced(self) -> bool:
        """Return whether the request reads or writes secrets in an unknown environment."""
        reads = self.method == "GET" and bool(_READ.match(self.path))
        return (reads or self.is_write) and not self.environment

    @property
    def is_write(self) -> bool:
        """Return whether the request has written secrets or folders."""
        is_done = self.status < 400 and self.method in _WRITING
        return is_done and bool(_WRITTEN.match(self.path))


@dataclass(frozen=True)
class LoggedEvent:
    """One event of Infisical's own audit log.

    Attributes:
        at: the time in UTC, such as `2026-11-25T14:20:00Z`.
        who: the name of the identity or the address of the person, else the kind of the caller.
        event: its type by the server's name, such as `get-secrets`.
        secrets: the names of the secrets; empty where the server records none, as for a list.
        project: its slug, or else its name or id; empty for an event of the organization.
        environment, folder: as far as the event names them; both if it moves secrets.
    """

    at: str
    who: str
    event: str
    secrets: Sequence[str]
    project: str
    environment: str
    folder: str
    address: str


def describe_event(logged: Mapping[str, Any], known: KnownNames) -> LoggedEvent:
    """Describe an event as the server lists it."""
    at = datetime.fromisoformat(logged["createdAt"]).astimezone(UTC)
    actor, metadata = logged["actor"], logged["event"]["metadata"] or {}
    by = actor["metadata"] or {}
    several = [each.get("secretKey") for each in metadata.get("secrets") or ()]
    project = logged.get("projectId") or ""
    return LoggedEvent(
        at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        who=by.get("name") or by.get("email") or by.get("username") or actor["type"],
        event=logged["event"]["type"],
        secrets=[each for each in (metadata.get("secretKey"), *several) if each],
        project=known.projects.get(project) or logged.get("projectName") or project,
        environment=_join(metadata, "environment", "sourceEnvironment", "destinationEnvironment"),
        folder=_join(metadata, "secretPath", "sourceSecretPath", "destinationSecretPath"),
        address=logged.get("ipAddress") or "",
    )


def _join(metadata: Mapping[str, Any], *names: str) -> str:
    return ", ".join(dict.fromkeys(str(metadata[each]) for each in names if metadata.get(each)))


def latest(logs: Sequence[FoundRequests], last: int) -> FoundRequests:
    """Merge the requests that were found on several hosts: the `last` ones, ordered by time.

    The result is unfinished if the search on one of the hosts is.
    """
    every = sorted((each for log in logs for each in log.requests), key=lambda each: each.at)
    return FoundRequests(tuple(every[-last:]), all(each.is_finished for each in logs))


def describe_requests(
    found: FoundRequests, known: KnownNames, noted: Iterable[NotedWrite] = ()
) -> list[LoggedRequest]:
    """Return the entries for the requests that were found, with names for ids.

    Writes get their environment and folder from what the server has noted, and their caller if the
    log names none.
    """
    described = [(each, _describe(each, known)) for each in found.requests]
    writes = sorted(_WriteSpan.of(each) for each, request in described if request.is_write)
    by_span: dict[_WriteSpan, list[NotedWrite]] = {}
    for write in noted:
        first, last = bisect_left(writes, (write.at,)), bisect_left(writes, (write.at + _LONGEST,))
        fitting = [each for each in writes[first:last] if each.fits(write)]
        # Of two requests at the same time, nothing tells which one it was.
        if len(fitting) == 1:
            by_span.setdefault(fitting[0], []).append(write)
    return [
        _attribute(request, by_span.get(_WriteSpan.of(each), ()), known)
        for each, request in described
    ]


class _WriteSpan(NamedTuple):
    """The time in which a request was answered, and the id of its caller if the log has it."""

    end: float
    begin: float
    who: str

    @classmethod
    def of(cls, found: FoundRequest) -> "_WriteSpan":
        return cls(found.at + _TOLERANCE, found.at - found.seconds - _TOLERANCE, found.who)

    def fits(self, write: NotedWrite) -> bool:
        return self.begin <= write.at <= self.end and self.who in ("", write.who)


def _attribute(
    request: LoggedRequest, noted: Sequence[NotedWrite], known: KnownNames
) -> LoggedRequest:
    """Return a write with what the server has noted about it."""
    if not noted or not request.is_write or request.environment:
        return request

    def join(values: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    return replace(
        request,
        who=request.who or join(known.name_of(each.who) for each in noted),
        proven=True,
        project=join(known.projects.get(each.project, each.project) for each in noted),
        environment=join(each.environment for each in noted),
        folder=join(each.folder for each in noted),
    )


def count_unattributed(requests: Iterable[LoggedRequest]) -> tuple[int, int]:
    """Return how many requests have no known caller, and how many no known environment."""
    found = list(requests)
    return sum(not each.who for each in found), sum(each.is_unplaced for each in found)


def _describe(found: FoundRequest, known: KnownNames) -> LoggedRequest:
    who, method, status = found.who, found.method, found.status
    query = {key: unquote(value) for key, value in found.query.items()}
    path = _as_served(re.split("[?&]", found.uri, maxsplit=1)[0])
    at = datetime.fromtimestamp(found.at, UTC)
    # Which parameter the server uses depends on the version of the API, so all are listed.
    projects = dict.fromkeys(known.projects.get(query[k], query[k]) for k in _PROJECT if k in query)
    return LoggedRequest(
        at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        who=known.name_of(who),
        proven=bool(who) and status < 400 and method != "OPTIONS" and bool(_CHECKED.match(path)),
        method=method,
        path=path,
        project=", ".join(projects),
        environment=query.get("environment", ""),
        folder=query.get("secretPath", ""),
        status=status,
        address=found.address,
    )


def _as_served(path: str) -> str:
    """Return a path with its escapes decoded as the server decodes them."""
    parts = _KEPT_ESCAPES.split(path)
    return "".join(part if place % 2 else unquote(part) for place, part in enumerate(parts))


class FolderReads(NamedTuple):
    """The folders whose secrets were read with a token, according to the access log.

    Attributes:
        began: the time of the log's first request; None for an empty log.
        places: the folders, each as the project's id or slug, the environment, and the path.
        has_unplaced: whether the log has reads that name no environment.
    """

    began: datetime | None
    places: frozenset[tuple[str, str, str]] = frozenset()
    has_unplaced: bool = False


def describe_reads(log: FoundReads) -> FolderReads:
    """Return the reads that were found on one host. Raises UserError if the time ran out."""
    if not log.is_finished:
        raise UserError(
            "the access log is too long to be read in four minutes: lower unread_days",
            code="error.long_log",
        )
    found = frozenset((unquote(a), unquote(b), unquote(c) or "/") for a, b, c in log.places)
    placed = frozenset(each for each in found if each[0] and each[1])
    at = None if log.began is None else datetime.fromtimestamp(log.began, UTC)
    return FolderReads(at, placed, has_unplaced=len(placed) < len(found))


def merge_reads(hosts: Iterable[FolderReads]) -> FolderReads:
    """Return the reads on all hosts of a cluster, from the time at which all logs have begun."""
    found = list(hosts)
    begins = [each.began for each in found if each.began is not None]
    return FolderReads(
        max(begins, default=None),
        frozenset().union(*(each.places for each in found)),
        any(each.has_unplaced for each in found),
    )


_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time that `text` means: a duration before `now`, such as `7d`, or a date in UTC.

    Raises SettingsError.
    """
    if match := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--since {text!r} is not a time: write 30m, 12h, 7d, 2w or a date such as 2026-11-25",
            code="settings.since",
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def statuses(text: str) -> str:
    """Return a regular expression for statuses such as `200`, `4xx` or `401,403`; empty for all.

    Raises SettingsError.
    """
    if text and not re.fullmatch(r"[1-5](\d\d|xx)(,[1-5](\d\d|xx))*", text):
        raise SettingsError(
            f"--status {text!r} is not a status: write 200, 4xx, or 401,403", code="settings.status"
        )
    return text.replace("x", ".").replace(",", "|")
