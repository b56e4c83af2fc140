"""Read and write the file with one service's credentials.

Its comments hold everything that a later run needs, so that a run may be killed at any point.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError

# The time before the end of a client secret in which it is reported. Docs and templates repeat it
# in words.
REPORTED_BEFORE_END = timedelta(days=14)


@dataclass(frozen=True)
class Term:
    """The life of a client secret that expires."""

    begins: datetime
    ends: datetime

    def is_near_its_end(self, now: datetime) -> bool:
        """Return whether the end is reported: two weeks before, or a quarter of a short life."""
        return now >= self.ends - min(REPORTED_BEFORE_END, (self.ends - self.begins) / 4)


def until(term: Term, now: datetime) -> str:
    """Return when a client secret ends, for people, such as `ends 2027-02-23, 5 days from now`."""
    day = f"{term.ends:%Y-%m-%d}"
    days = (term.ends - now).days
    if days < 0:
        return f"has ended on {day}"
    return f"ends {day}, {days} {'day' if days == 1 else 'days'} from now"


FIRST_WORDS = "# client secret "

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_UNDELIVERED = "it is delivered"
_ID = "[A-Za-z0-9-]+"
_FILE = re.compile(
    rf"# client secret (?P<secret_id>{_ID}) sha256 (?P<digest>[0-9a-f]{{16}})\n"
    rf"(# ends (?P<ends>{_TIME}), made (?P<begins>{_TIME})\n)?"
    rf"(# replaces (?P<replaced>{_ID}( {_ID})*) until (?P<until>{_TIME}|{_UNDELIVERED})\n)?"
    rf"INFISICAL_CLIENT_ID=(?P<client_id>{_ID})\n"
    r"INFISICAL_CLIENT_SECRET=(?P<client_secret>[A-Za-z0-9._~+/=-]+)\n"
    r"(?P<named>INFISICAL_ENVIRONMENT=[a-z0-9-]+\n)?"
    r"(NODE_ENV=(?P<environment>[a-z0-9-]+)\n)?"
)


@dataclass(frozen=True)
class Replaced:
    """Client secrets that still work while services take up the new one.

    Attributes:
        until: when they are to be revoked; None before the new client secret is delivered.
    """

    ids: tuple[str, ...]
    until: datetime | None = None

    def is_kept(self, now: datetime) -> bool:
        """Return whether these client secrets may not be revoked yet."""
        return self.until is None or now < self.until


@dataclass(frozen=True)
class Credential:
    """The content of the file.

    Attributes:
        environment: empty for a job of a pipeline that does not read exactly one.
        term: the life of the client secret; None if it does not expire.
        replaced: the client secrets that it replaces.
        is_former: whether its file must be written again, because it lacks INFISICAL_ENVIRONMENT,
            like a file of a former release, or names an environment that a job does not read.
    """

    environment: str
    client_id: str
    secret_id: str
    client_secret: str = field(repr=False)
    term: Term | None = None
    replaced: Replaced | None = None
    is_former: bool = False

    @property
    def is_undelivered(self) -> bool:
        """Return whether the rotation to this credential is unfinished."""
        return self.replaced is not None and self.replaced.until is None

    @property
    def without_rotation(self) -> "Credential":
        """Return the credential without what concerns only its rotation."""
        return replace(self, replaced=None)


def variables(credential: Credential) -> dict[str, str]:
    """Return the variables that a service starts with.

    `INFISICAL_ENVIRONMENT` names the environment. `NODE_ENV` repeats it for loaders of former
    releases; the service's platform may set it to another value.
    """
    login = {
        "INFISICAL_CLIENT_ID": credential.client_id,
        "INFISICAL_CLIENT_SECRET": credential.client_secret,
    }
    named = ("INFISICAL_ENVIRONMENT", "NODE_ENV") if credential.environment else ()
    return login | dict.fromkeys(named, credential.environment)


def render(credential: Credential) -> str:
    """Return the file's content, which all parsers of env files read alike."""
    digest = sha256(credential.client_secret.encode()).hexdigest()[:16]
    lines = [f"{FIRST_WORDS}{credential.secret_id} sha256 {digest}"]
    if term := credential.term:
        lines.append(f"# ends {term.ends:{_FORMAT}}, made {term.begins:{_FORMAT}}")
    if replaced := credential.replaced:
        when = f"{replaced.until:{_FORMAT}}" if replaced.until else _UNDELIVERED
        lines.append(f"# replaces {' '.join(replaced.ids)} until {when}")
    lines += (f"{name}={value}" for name, value in variables(credential).items())
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Credential | None:
    """Return the credential in a file's content; None unless it is exactly as `render` wrote it.

    Also accepts a file of a former release, without `INFISICAL_ENVIRONMENT`.
    """
    match = _FILE.fullmatch(text)
    if match is None:
        return None
    found = match.groupdict()
    try:
        credential = Credential(
            found["environment"] or "",
            found["client_id"],
            found["secret_id"],
            found["client_secret"],
            Term(_time(found["begins"]), _time(found["ends"])) if found["ends"] else None,
            _parse_replaced(found["replaced"], found["until"]),
            is_former=found["named"] is None and found["environment"] is not None,
        )
    except ValueError:  # such as the thirtieth of February
        return None
    written = render(credential)
    if credential.is_former:
        written = written.replace(f"INFISICAL_ENVIRONMENT={credential.environment}\n", "")
    return credential if written == text else None


def _parse_replaced(ids: str | None, until: str) -> Replaced | None:
    if ids is None:
        return None
    return Replaced(tuple(ids.split(" ")), None if until == _UNDELIVERED else _time(until))


def _time(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Store:
    """Access to the files, by the names of the credentials such as `backend.production`.

    Attributes:
        place: where they are, for people.
        read: all of them, with their content.
        write: writes one atomically, readable only by its owner.
        remove: removes one, if it exists.
    """

    place: str
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], None]
    remove: Callable[[str], None]


def directory(where: Path) -> Store:
    """Return access to the files in a directory of this machine, which is made if missing.

    Its functions raise FileError.
    """

    def read() -> Mapping[str, str]:
        with _as_file_error(where):
            # A file that is not text has no credential, and is replaced.
            files = sorted(where.glob("*.env"))
            return {each.stem: each.read_text(encoding="utf-8", errors="replace") for each in files}

    def write(name: str, text: str) -> None:
        with _as_file_error(where):
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.write(where / f"{name}.env", text, mode=0o600)

    def remove(name: str) -> None:
        with _as_file_error(where):
            (where / f"{name}.env").unlink(missing_ok=True)

    return Store(str(where), read, write, remove)


@contextmanager
def _as_file_error(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(
            f"the credentials in {where} can't be used ({error.strerror}): check who owns them"
        ) from None
