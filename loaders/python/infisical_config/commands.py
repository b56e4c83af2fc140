"""The commands of a person: login, whoami, logout."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from . import bootstrap, envfile, files
from .errors import ConfigError
from .keyring import Login, Logins
from .login import LoginOptions, Terminal, claims_of, connect, log_in
from .person import Person
from .platform_token import IDENTITY
from .starting import print_warning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CREDENTIAL = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", IDENTITY)
WITHOUT_ADDRESS: Final = (
    "the address of Infisical is not set: put domain into .infisical.json, set INFISICAL_DOMAIN, or"
    " give --address"
)
# The seconds before an end in which its time is shown too, and not only its day.
_NEAR = 2 * 86400


@dataclass(frozen=True)
class Surroundings:
    """The files, address and logins that a command finds before its first request.

    Attributes:
        file: the `.infisical.json`, if there is one.
        local: the variables of `.env.local`, if it counts.
        overrides: names of a developer's own values, safe to print.
        address: empty if none is set.
        machine: the place, in words, of a service's credentials, which win over a login; empty
            without them.
    """

    environ: Mapping[str, str]
    file: Path | None
    local: Mapping[str, str]
    overrides: str
    address: str
    machine: str
    logins: Logins

    @classmethod
    def at(
        cls,
        environ: Mapping[str, str],
        *,
        directory: Path | None = None,
        address: str = "",
        allow_http: bool = False,
    ) -> Surroundings:
        """Return the surroundings of a command in a directory; raises ConfigError."""
        file, env_file = files.find((directory or Path()).absolute(), print_warning)
        in_process = any(environ.get(name) for name in _CREDENTIAL)
        parsers = {
            env_file: envfile.parse,
            env_file.with_name(files.OVERRIDES): envfile.parse_overrides,
        }
        own = [] if in_process else [_read(file, parse) for file, parse in parsers.items()]
        local = {name: value for name, value in own[0].settings.items() if value} if own else {}
        overrides = ", ".join(each.override_names for each in own if each.override_names)
        machine = "the environment" if in_process else ""
        if any(name in local for name in _CREDENTIAL):
            machine = str(env_file)
        known = {**environ, "INFISICAL_DOMAIN": address} if address else environ
        found = bootstrap.find_address(file, local, known)
        if found:
            bootstrap.check_address(found, local, environ, allow_http=allow_http)
        return cls(environ, file, local, overrides, found, machine, Logins(environ))

    def login(self) -> Login:
        """Return the login of the person; raises ConfigError without one."""
        if not self.address:
            raise ConfigError("not_configured", WITHOUT_ADDRESS)
        login = self.logins.find(self.address)
        if login is None:
            raise ConfigError(
                "login_needed",
                f"nobody is logged in at {self.address}: run `with-secrets login`",
            )
        return login


def login(
    environ: Mapping[str, str],
    terminal: Terminal,
    options: LoginOptions,
    *,
    address: str = "",
    allow_http: bool = False,
) -> None:
    """Log in, and store the login; raises ConfigError."""
    found = Surroundings.at(environ, address=address, allow_http=allow_http)
    if not found.address:
        address = terminal.ask("Address of Infisical: ")
        if not address:
            raise ConfigError("not_configured", WITHOUT_ADDRESS)
        found = Surroundings.at(environ, address=address, allow_http=allow_http)
    terminal.tell(f"Infisical at {found.address}")
    made = log_in(found.address, terminal, options)
    place = found.logins.keep(made)
    terminal.tell(f"Logged in as {describe(made)}, until {_end(made)}; kept in {place}")
    _warn_of_end(made, terminal.tell)
    _warn_of_machine(found, terminal.tell)


def whoami(
    environ: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    address: str = "",
    allow_http: bool = False,
) -> None:
    """Print who is logged in, after a request to the server; raises ConfigError."""
    found = Surroundings.at(environ, address=address, allow_http=allow_http)
    known = found.login()
    with connect(known.address) as instance:
        reply = instance.ask("GET", "/api/v1/user", token=known.token)
        if reply.status in (401, 403, 404):
            Person(known, found.logins).renew(instance.client)
        elif reply.status != 200:
            raise instance.unexpected(reply)
    now = found.login()
    place = found.logins.place(now.address)
    tell(f"{describe(now)} at {now.address}, until {_end(now)}; kept in {place}")
    _warn_of_end(now, tell)
    _warn_of_machine(found, tell)


def logout(
    environ: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    address: str = "",
    allow_http: bool = False,
) -> None:
    """End the session at the server, and forget the login.

    Raises ConfigError without a login, if the session can't be ended at the server, or if the login
    can't be removed from its place.
    """
    found = Surroundings.at(environ, address=address, allow_http=allow_http)
    known = found.login()
    place = found.logins.place(known.address)
    is_forgotten = found.logins.forget(known.address)
    session = quote(str(claims_of(known.token).get("tokenVersionId")), safe="")
    try:
        with connect(known.address) as instance:
            if known.refresh:
                reply = instance.ask("POST", "/api/v1/auth/logout", cookie=known.refresh)
            else:
                path = f"/api/v2/users/me/sessions/{session}"
                reply = instance.ask("DELETE", path, token=known.token)
            if reply.status >= 500:
                raise instance.unexpected(reply)
    except ConfigError as error:
        here = "is forgotten here, but" if is_forgotten else f"is still in {place}, and"
        raise ConfigError(
            error.code, f"the login of {known.email} {here} not ended at the server: {error}"
        ) from None
    if not is_forgotten:
        raise ConfigError(
            "not_configured",
            f"the login of {known.email} is ended at the server, but still in {place}: unlock that,"
            " and run `with-secrets logout` again",
        )
    tell(f"Logged out {describe(known)} at {known.address}")


def describe(login: Login) -> str:
    """Return the person of a login, in words."""
    return f"{login.email} of {login.organization}" if login.organization else login.email


def _read(file: Path, parse: Callable[[str, Path], envfile.LocalFile]) -> envfile.LocalFile:
    return parse((files.read_private(file) or b"").decode(errors="replace"), file)


def day_of(moment: float) -> str:
    """Return the day of a time in seconds since 1970, with the time of day if it is near."""
    is_near = abs(moment - time.time()) < _NEAR
    shown = datetime.fromtimestamp(moment, UTC)
    return shown.strftime("%Y-%m-%d %H:%M UTC" if is_near else "%Y-%m-%d")


def _end(login: Login) -> str:
    """Return when a login ends if it is not used."""
    ends = [claims_of(each).get("exp") for each in (login.token, login.refresh)]
    return day_of(max(float(each) if isinstance(each, int | float) else 0.0 for each in ends))


def _warn_of_end(login: Login, tell: Callable[[str], None]) -> None:
    if not login.refresh:
        tell(
            "A login in the browser is not renewed and ends at that time: `session_token_lifetime` "
            "of the instance says how long it lasts"
        )


def _warn_of_machine(found: Surroundings, tell: Callable[[str], None]) -> None:
    if found.machine:
        tell(
            "The credentials of a service win over this login: delete INFISICAL_CLIENT_ID and"
            f" INFISICAL_CLIENT_SECRET in {found.machine} to use it"
        )
