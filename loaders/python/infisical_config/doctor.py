"""Report the settings that a start would use, their sources and the failing request; no values."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .bootstrap import OF_PEOPLE
from .commands import WITHOUT_ADDRESS, Surroundings, day_of, describe
from .errors import ConfigError
from .loading import fetch
from .login import connect
from .platform_token import IDENTITY
from .route import Route
from .starting import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TIMEOUT = 10.0
_MOST_SECONDS_APART = 30
# Seconds before its end in which a certificate should have been renewed.
_RENEWED_BEFORE = 7 * 86400
# The same as a fraction of its lifetime, for certificates that live only for a few hours.
_RENEWED_PART = 1 / 6
# OpenSSL's codes for a certificate that has not begun, or has ended.
_OUT_OF_TIME = (9, 10)
_WIDTH = 12


class _Finding(NamedTuple):
    """A line of the report."""

    what: str
    text: str = ""
    error: ConfigError | None = None


def doctor(
    environ: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    environment: str | None = None,
    address: str = "",
    allow_http: bool = False,
) -> int:
    """Print the findings, and return the exit status of the first failure; 0 without one."""
    status = 0
    for what, text, error in _examine(environ, environment, address, allow_http=allow_http):
        tell(f"{'WRONG' if error else 'ok   '} {what.ljust(_WIDTH)} {error or text}")
        status = status or (error.exit_code if error else 0)
    return status


def _examine(
    environ: Mapping[str, str], environment: str | None, address: str, *, allow_http: bool
) -> Iterator[_Finding]:
    try:
        found = Surroundings.at(environ, address=address, allow_http=allow_http)
    except ConfigError as error:
        yield _Finding("settings", error=error)
        return
    yield _Finding("file", str(found.file) if found.file else "there is no .infisical.json")
    yield from _settings(found, environment, is_typed=bool(address))
    if found.overrides:
        yield _Finding("overrides", f"{found.overrides}, from .env.local or .env.override")
    if not found.address:
        return
    yield _access(found)
    yield from _server(found.address)
    known = {**environ, "INFISICAL_DOMAIN": found.address} if address else environ
    yield _secrets(known, environment, allow_http=allow_http)


def _settings(
    found: Surroundings, environment: str | None, *, is_typed: bool
) -> Iterator[_Finding]:
    content: Any = json.loads(found.file.read_bytes()) if found.file else {}

    def of(names: Sequence[str], key: str, default: str = "") -> tuple[str, str]:
        for name in names:
            if value := found.environ.get(name):
                return value, f"from {name}"
        for name in names:
            if value := found.local.get(name):
                return value, f"from {name} in .env.local"
        value = content.get(key)
        if isinstance(value, str) and value:
            return value, f"from {key} in .infisical.json"
        return (default, "by default") if default else ("not set", "")

    def line(what: str, value: str, source: str) -> _Finding:
        return _Finding(what, f"{value}, {source}" if source else value)

    _, source = of(("INFISICAL_DOMAIN", "INFISICAL_API_URL"), "domain")
    if found.address:
        yield line("address", found.address, "from --address" if is_typed else source)
    else:
        yield _Finding("address", error=ConfigError("not_configured", WITHOUT_ADDRESS))
    chosen = (environment, "from --env") if environment else None
    names = ("INFISICAL_ENVIRONMENT", "NODE_ENV")
    own = ("", "") if found.machine else ("defaultEnvironment", OF_PEOPLE)
    chosen = chosen or of(names, *own)
    yield line("environment", *chosen)
    projects = content.get("projects") or {}
    project = projects.get(chosen[0]) or {}
    one = of(("INFISICAL_PROJECT_ID",), "" if projects else "workspaceId")
    if project.get("workspaceId") and not one[1]:
        one = (project["workspaceId"], f"from projects.{chosen[0]} in .infisical.json")
    yield line("project", *one)
    yield line("folder", *of(("INFISICAL_SECRET_PATH",), "defaultSecretPath", "/"))


def _access(found: Surroundings) -> _Finding:
    name = "INFISICAL_CLIENT_ID"
    if found.machine:
        login = None
        with suppress(ConfigError):  # a login that can't be read is not needed here
            login = found.logins.find(found.address)
        other = f", which wins over the login of {login.email}" if login else ""
        client = found.environ.get(name) or found.local.get(name) or "without an id"
        who = f"the service {client}"
        if identity := found.environ.get(IDENTITY):
            who = f"the identity {identity}, by a platform's token"
        return _Finding("access", f"{who}, from {found.machine}{other}")
    try:
        known = found.login()
    except ConfigError as error:
        return _Finding("access", error=error)
    place = found.logins.place(known.address)
    return _Finding("access", f"{describe(known)}, kept in {place}")


def _server(address: str) -> Iterator[_Finding]:
    if address.startswith("https:"):
        yield _certificate(address)
    else:
        yield _Finding("certificate", "none, because the address is plain http")
    try:
        with connect(address) as instance:
            begun = time.monotonic()
            reply = instance.ask("GET", "/api/status")
            took = round((time.monotonic() - begun) * 1000)
            if reply.status != 200 or not reply.body.get("message"):
                raise instance.unexpected(reply)
    except ConfigError as error:
        yield _Finding("server", error=error)
        return
    yield _Finding("server", f"answers in {took} ms")
    try:
        apart = round(abs(time.time() - parsedate_to_datetime(reply.date).timestamp()))
    except (ValueError, TypeError):
        yield _Finding("clock", "the server sends no time")
        return
    text = f"{apart} s from the server's"
    late = ConfigError("not_configured", f"{text}: set the clock of this machine")
    yield _Finding("clock", text, late if apart > _MOST_SECONDS_APART else None)


def _certificate(address: str) -> _Finding:
    try:
        connection = Route.to(address).connection()
        connection.timeout = _TIMEOUT
        connection.connect()
        peer = cast("ssl.SSLSocket", connection.sock).getpeercert() or {}
        connection.close()
    except (OSError, ValueError, ConfigError) as error:
        why = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error)
        message = (
            f"not trusted, or no connection ({why}): if the authority is your own, name its file"
            " in SSL_CERT_FILE (REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE win over it)"
        )
        if getattr(error, "verify_code", 0) in _OUT_OF_TIME:
            message = (
                f"not valid at the time of this machine ({why}): set its clock if that is wrong;"
                " else tell who runs the server"
            )
        return _Finding("certificate", error=ConfigError("unreachable", message))
    begun, end = (ssl.cert_time_to_seconds(str(peer[each])) for each in ("notBefore", "notAfter"))
    day = day_of(end)
    if end - time.time() < min(_RENEWED_BEFORE, (end - begun) * _RENEWED_PART):
        message = f"ends on {day}: tell who runs it"
        return _Finding("certificate", error=ConfigError("unreachable", message))
    return _Finding("certificate", f"trusted, until {day}")


def _secrets(environ: Mapping[str, str], environment: str | None, *, allow_http: bool) -> _Finding:
    """Make the requests of a start, and count what it reads."""
    start = Start(
        environment=environment,
        allow_http=allow_http,
        allow=["*"],
        warn=lambda _: None,
        is_typed=environment is not None,
        environ=environ,
    )
    try:
        place = start.place()
        found = fetch(start, place)
    except ConfigError as error:
        return _Finding("secrets", error=error)
    folders = ", ".join(each.folder for each in place.places())
    return _Finding("secrets", f"{len(found)} may be read in {place.environment} {folders}")
