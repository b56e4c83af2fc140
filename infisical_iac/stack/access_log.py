"""Describe the requests in the access log, with names for ids, and parse what is asked of it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from infisical_iac.core.errors import SettingsError

UNFINISHED = "unfinished"
# What Infisical answers nobody whose token it has not checked.
_CHECKED = re.compile(
    r"/api/v\d+/(secrets|dashboard|folders|secret-imports|dynamic-secrets|projects|workspace|identities)"
    r"([/;]|$)"
)
# Where secrets are read.
_READ = re.compile(r"/api/v\d+/(secrets|dashboard)(/|$)")
# The escapes that the server leaves in a path: `%2F` is no slash to it.
_KEPT_ESCAPES = re.compile(r"(%(?:2[3-6BbCcFf]|3[AaBbDdFf]|40))")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROJECT = ("projectId", "workspaceId", "workspaceSlug")


@dataclass(frozen=True)
class KnownNames:
    """Names by id: of machine identities, of persons (their addresses), and of projects."""

    identities: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    projects: Mapping[str, str] = field(default_factory=dict)

    def ids(self, identity: str | None, person: str | None) -> list[str]:
        """The ids of all that have one of the names; an id names whom nobody knows any more."""
        asked = [(self.identities, identity), (self.people, person)]
        return [
            id
            for names, wanted in asked
            if wanted is not None
            for id in ([wanted] if _ID.fullmatch(wanted) else names)
            if wanted in (id, names.get(id))
        ]


@dataclass(frozen=True)
class LoggedRequest:
    """One request.

    Attributes:
        at: when, in UTC, such as `2026-11-25T14:20:00Z`.
        who: the name of the identity or person whose token came with it, their id where nobody
            knows it any more, or empty.
        proven: whether Infisical has checked that token; else anybody may have written it.
        path: as the server reads it: `/api/v4/%73ecrets` is `/api/v4/secrets`.
        project: its slug, or its id where nobody knows it, and each where the request names
            several; empty if the request's body names it.
        environment: its slug; empty if the request's body names it, or nothing does.
        folder: likewise.
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
        """Return whether it reads secrets and does not say of which environment."""
        reads = self.method == "GET" and bool(_READ.match(self.path))
        return reads and not self.environment


def latest(logs: Sequence[Sequence[str]], last: int) -> list[str]:
    """The lines that `access.sh` printed on several hosts, at most so many, in order of time.

    What did not come to its end on one did not on all.
    """
    lines = [line for log in logs for line in log if line != UNFINISHED]
    found = sorted(lines, key=lambda line: float(json.loads(line)["at"]))[-last:]
    return [*found, *([UNFINISHED] if any(UNFINISHED in log for log in logs) else [])]


def parse(lines: Iterable[str], known: KnownNames) -> list[LoggedRequest]:
    """The requests that `access.sh` printed, in the order of the log, but for its last word."""
    return [_access(json.loads(line), known) for line in lines if line != UNFINISHED]


def _access(line: Mapping[str, object], known: KnownNames) -> LoggedRequest:
    uri, who, method = (str(line[each]) for each in ("uri", "who", "method"))
    status = int(str(line["status"]))
    found = line["query"]
    query = {k: unquote(str(v)) for k, v in found.items()} if isinstance(found, dict) else {}
    path = _as_served(re.split("[?&]", uri, maxsplit=1)[0])
    at = datetime.fromtimestamp(float(str(line["at"])), UTC)
    # Which of them the server goes by depends on the version of the API, and is not known here.
    projects = dict.fromkeys(known.projects.get(query[k], query[k]) for k in _PROJECT if k in query)
    return LoggedRequest(
        at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        who=known.identities.get(who) or known.people.get(who) or who,
        proven=bool(who) and status < 400 and method != "OPTIONS" and bool(_CHECKED.match(path)),
        method=method,
        path=path,
        project=", ".join(projects),
        environment=query.get("environment", ""),
        folder=query.get("secretPath", ""),
        status=status,
        address=str(line["address"]),
    )


def _as_served(path: str) -> str:
    """Return a path with its escapes decoded as the server does, whose routes are letters then."""
    parts = _KEPT_ESCAPES.split(path)
    return "".join(part if place % 2 else unquote(part) for place, part in enumerate(parts))


_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str, now: datetime) -> datetime:
    """The moment that `text` means: so long before `now`, such as `7d`, or a date in UTC.

    Raises SettingsError.
    """
    if match := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--since {text!r} is no time: write 30m, 12h, 7d, 2w or a date such as 2026-11-25"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def statuses(text: str) -> str:
    """A regular expression for statuses such as `200`, `4xx` or `401,403`; empty for all.

    Raises SettingsError.
    """
    if text and not re.fullmatch(r"[1-5](\d\d|xx)(,[1-5](\d\d|xx))*", text):
        raise SettingsError(f"--status {text!r} is no status: write 200, 4xx, or 401,403")
    return text.replace("x", ".").replace(",", "|")
