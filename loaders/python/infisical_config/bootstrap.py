"""Find the credential, the address and the place of the secrets before a start's first request."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os.path import lexists
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from . import envfile, files, platform_token
from .envfile import LocalFile
from .errors import (
    ABSENT,
    IN_PLACE_OF,
    LOGIN_FAILED,
    NOT_FOUND,
    PERSON_TEXTS,
    SERVER_ERROR,
    TEXTS,
    TOKEN_REFUSED,
    TUNNEL,
    UNTRUSTED,
    Code,
    ConfigError,
)
from .platform_token import IDENTITY, Platform
from .withheld import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .person import Person

    _Parser = Callable[[str, Path], LocalFile]

_KEYS = ("workspaceId", "domain", "defaultSecretPath", "defaultEnvironment")
# The environment of a person, if nothing names one.
OF_PEOPLE: Final = "development"
# Names of production: a person reads it only by typing one, and it takes no overrides.
PRODUCTION: Final = ("production", "prod", "live")
# Set by the runner for its program, with the environment that a person has typed.
TYPED: Final = "INFISICAL_TYPED_ENVIRONMENT"
_CREDENTIAL = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET")
_ORIGIN = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?")
_OCTET = r"(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])"
_LOOPBACK = re.compile(rf"http://(?i:localhost|127(?:\.{_OCTET}){{3}}|\[::1\])(?::\d+)?(?:/.*)?")
_PROJECT = ("the project", "workspaceId", "INFISICAL_PROJECT_ID")
_ADDRESS = ("the address of Infisical", "domain", "INFISICAL_DOMAIN")
_SWITCH = {"1": True, "true": True, "0": False, "false": False}


class Part(NamedTuple):
    """A folder in a project."""

    project: str
    folder: str


@dataclass(frozen=True)
class Bootstrap:
    """The credential of a service, the place of its secrets, and the rules for their names.

    Attributes:
        node_env: the NODE_ENV of `.env.local`, for libraries, if the environment has none.
        overrides: a developer's own values, which replace Infisical's.
        imports: folders that are read too, if each service has a project of its own; a later one
            wins over an earlier one, and the service's own folder over all.
        platform: the source of tokens for an identity that logs in by them. `client_id` is then the
            id of the identity, and there is no client secret.
        person: the person whose access is used instead of a client's.
    """

    client_id: str
    client_secret: str = field(repr=False)
    environment: str
    address: str
    project: str
    folder: str
    node_env: str = field(default="", compare=False)
    overrides: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    policy: Policy = field(default_factory=Policy)
    imports: tuple[Part, ...] = ()
    platform: Platform | None = None
    person: Person | None = None

    def places(self) -> list[Bootstrap]:
        """Return the places that a start reads: the service's own folder, then its imports."""
        return [
            self,
            *(replace(self, project=p, folder=folder, imports=()) for p, folder in self.imports),
        ]

    def error(self, code: Code, **details: object) -> ConfigError:
        """Return the error of that code, with this place in its message."""
        text = TEXTS[code]
        if self.person:
            text = PERSON_TEXTS.get(code, text)
        words = {
            "client_id": self.client_id,
            "person": self.person.email if self.person else "",
            "environment": self.environment,
            "address": self.address,
            "project": self.project,
            "folder": self.folder,
            "tunnel": TUNNEL if is_loopback(self.address) else "",
        }
        if code == "refused" and "reason" in details:
            text = TOKEN_REFUSED
        if code == "server" and details.get("by_token") and details["status"] == SERVER_ERROR:
            text = LOGIN_FAILED
        if code == "unreachable" and "why" in details:
            text = UNTRUSTED
        if code == "unreachable" and "status" in details:
            text = ABSENT if details["status"] == NOT_FOUND else IN_PLACE_OF
        return ConfigError(code, text.format(**words, **details))


class _Project(NamedTuple):
    """A service's own project in an environment, and the folders of others that it imports."""

    id: str
    imports: tuple[Part, ...] = ()


class _ProjectConfig(NamedTuple):
    """The content of `.infisical.json`; `projects` are by environment, None without the key."""

    project: str = ""
    domain: str = ""
    folder: str = ""
    environment: str = ""
    strict: bool = False
    allow: tuple[str, ...] = ()
    projects: Mapping[str, _Project] | None = None

    def find_project(self, environment: str) -> _Project | None:
        """Return the project in an environment; None if `projects` lacks it."""
        return _Project(self.project) if self.projects is None else self.projects.get(environment)


class _Sources(NamedTuple):
    """The process's variables that are set, and those of `.env.local` if it counts."""

    process: Mapping[str, str]
    local: Mapping[str, str]

    def first(self, *names: str) -> str:
        """Return the first value that the process has, or else the file; "" if neither has one."""
        return next((each[name] for each in self for name in names if each.get(name)), "")

    def switch(self, name: str) -> bool | None:
        """Return the value of a variable that is on or off; None if it is not set."""
        text = self.first(name).lower()
        if text and text not in _SWITCH:
            raise _wrong(f"{name} is neither 1 nor 0: set it to one of them")
        return _SWITCH.get(text)


def find(
    environ: Mapping[str, str],
    directory: Path,
    environment: str | None,
    warn: Callable[[str], None],
    *,
    allow_http: bool = False,
    strict: bool | None = None,
    allow: Sequence[str] = (),
    is_typed: bool = False,
) -> Bootstrap:
    """Combine the environment, `.env.local` and `.infisical.json`.

    Args:
        environ: the process's variables; an empty one counts as not set.
        directory: the first to search for `.infisical.json`; its parents follow.
        environment: overrides the variables that name one.
        warn: called with names in `.env.local` that don't belong there, and files that don't
            count.
        allow_http: whether plain http to another machine is accepted.
        strict: overrides the variables and the file.
        allow: names that get through, in addition to those of the file.
        is_typed: whether a person has typed the environment.

    Raises ConfigError `not_configured` if something is missing or can't be read.
    """
    project, env_file = files.find(directory, warn)
    config = _file(project) if project else _ProjectConfig()
    process = {name: value for name, value in environ.items() if value}
    in_process = [name for name in (*_CREDENTIAL, IDENTITY) if name in process]
    own_files = _peek(env_file) if in_process else _own_files(env_file, warn)
    local = None if in_process else own_files.get(env_file, _NO_FILE).settings
    sources = _Sources(process, {name: value for name, value in (local or {}).items() if value})
    domain = sources.first("INFISICAL_DOMAIN", "INFISICAL_API_URL") or config.domain
    address = _origin(domain)
    chosen = environment or sources.first("INFISICAL_ENVIRONMENT") or sources.first("NODE_ENV")
    _warn_of(env_file, sources.local, {chosen, process.get("NODE_ENV")}, warn, in_process)
    if strict is None:
        strict = sources.switch("INFISICAL_STRICT")
    is_safe = allow_http or bool(sources.switch("INFISICAL_ALLOW_HTTP"))
    platform = platform_token.find(process)
    person = None
    if address and not platform and not any(sources.first(name) for name in _CREDENTIAL):
        _check_address(address, allow_http=is_safe)
        person = find_person(address, environ)
    if person:
        chosen = chosen or config.environment or OF_PEOPLE
        is_typed = (is_typed and bool(environment)) or environ.get(TYPED) == chosen
        _check_production(chosen, person, is_typed=is_typed)
    one = sources.first("INFISICAL_PROJECT_ID")
    own = _Project(one) if one else config.find_project(chosen)
    found = Bootstrap(
        platform.identity if platform else sources.first("INFISICAL_CLIENT_ID"),
        "" if platform else sources.first("INFISICAL_CLIENT_SECRET"),
        chosen,
        address,
        own.id if own else "",
        sources.first("INFISICAL_SECRET_PATH") or config.folder or "/",
        "" if process.get("NODE_ENV") else _node_env(sources.local),
        {name: value for each in own_files.values() for name, value in each.overrides.items()},
        Policy(
            tuple(dict.fromkeys((*allow, *config.allow))),
            config.strict if strict is None else strict,
        ),
        own.imports if own else (),
        platform,
        person,
    )
    _check_credential(found, in_process)
    if own is None:
        raise _wrong(
            f"{project} has no project for {chosen}, only for {', '.join(config.projects or ())}:"
            " check INFISICAL_ENVIRONMENT or NODE_ENV, or let `infisical-iac check REPO --fix` add"
            " it"
        )
    _check_place(found)
    _check_address(found.address, allow_http=is_safe)
    _check_overrides(own_files, chosen, in_process, warn)
    return found


def find_address(file: Path | None, local: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return the address of Infisical, unchecked; empty if none is set.

    Raises ConfigError for a malformed file, even if the address is not taken from it.
    """
    sources = _Sources({name: value for name, value in environ.items() if value}, local)
    in_file = _file(file).domain if file else ""
    return _origin(sources.first("INFISICAL_DOMAIN", "INFISICAL_API_URL") or in_file)


def check_address(
    address: str, local: Mapping[str, str], environ: Mapping[str, str], *, allow_http: bool
) -> None:
    """Raise ConfigError for an address that a login must not be sent to."""
    is_safe = allow_http or bool(_Sources(environ, local).switch("INFISICAL_ALLOW_HTTP"))
    _check_address(address, allow_http=is_safe)


def find_person(address: str, environ: Mapping[str, str]) -> Person | None:
    """Return the person who is logged in at an address; raises ConfigError."""
    from .keyring import Logins  # imports subprocess, which takes long
    from .person import Person

    logins = Logins(environ)
    login = logins.find(address)
    return Person(login, logins) if login else None


def _check_production(chosen: str, person: Person, *, is_typed: bool) -> None:
    """Refuse production for a person who has not typed its name."""
    if chosen in PRODUCTION and not is_typed:
        raise _wrong(
            f"{chosen} is read with the access of a person ({person.email}) only if you type its "
            f"name: with-secrets --env {chosen} -- COMMAND"
        )


def is_loopback(address: str) -> bool:
    """Return whether requests to an address in plain http stay on this machine."""
    return bool(_LOOPBACK.fullmatch(address))


def _warn_of(
    file: Path,
    local: Mapping[str, str],
    environments: set[str | None],
    warn: Callable[[str], None],
    in_process: Sequence[str],
) -> None:
    """Warn of an `.env.local` that does not count, or that counts in production."""
    if in_process and lexists(file):
        warn(
            f"{file} is ignored, because the environment has credentials: delete the file, and"
            " keep it out of what is deployed"
        )
    if local and not environments.isdisjoint(PRODUCTION):
        warn(
            f"{file} is read in production: let the platform set its variables, and keep the file"
            " out of what is deployed"
        )


def _file(file: Path) -> _ProjectConfig:
    try:
        config: Any = json.loads(files.read(file))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise _wrong(
            f"{file} is not a JSON object: write workspaceId, domain and defaultSecretPath into it"
        )
    for key in _KEYS:
        if key in config and not isinstance(config[key], str):
            raise _wrong(f"{file} has a {key} that is not text: write it in quotes")
    strict, allow = config.get("strict", False), config.get("allow", [])
    if not isinstance(strict, bool):
        raise _wrong(f"{file} has a strict that is neither true nor false: write it without quotes")
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow):
        raise _wrong(f'{file} has an allow that is not a list of names: write it as ["NAME"]')
    project, domain, folder, environment = (config.get(key, "") for key in _KEYS)
    projects = _projects(config["projects"], file) if "projects" in config else None
    return _ProjectConfig(project, domain, folder, environment, strict, tuple(allow), projects)


def _projects(content: Any, file: Path) -> dict[str, _Project]:
    """Return the projects by environment; raises ConfigError for another shape."""

    def wrong(what: str) -> ConfigError:
        return _wrong(f"{file} has a {what}: let `infisical-iac check REPO --fix` write it")

    if not isinstance(content, dict) or not content:
        raise wrong("projects that is not an object of environments")
    projects = {}
    for environment, project in content.items():
        key = f"projects.{environment}"
        if not _has_texts(project, "workspaceId"):
            raise wrong(f"{key} that is not an object with workspaceId")
        imports = project.get("imports", [])
        if not isinstance(imports, list) or not all(
            _has_texts(each, "workspaceId", "secretPath") for each in imports
        ):
            raise wrong(
                f"{key}.imports that is not a list of objects with workspaceId and secretPath"
            )
        parts = (Part(each["workspaceId"], each["secretPath"]) for each in imports)
        projects[environment] = _Project(project["workspaceId"], tuple(parts))
    return projects


def _has_texts(content: Any, *keys: str) -> bool:
    """Return whether this is an object that has a text for each key."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), str) and content[key] for key in keys
    )


_NO_FILE = LocalFile({}, {}, [])


def _own_files(env_file: Path, warn: Callable[[str], None]) -> dict[Path, LocalFile]:
    """Return a developer's own files that exist, in the order in which a later one wins."""
    found = {}
    for file, parse in _parsers(env_file).items():
        content = _read_own(file, parse)
        if content is None:
            continue
        found[file] = content
        if content.ignored:
            verb = "is" if len(content.ignored) == 1 else "are"
            where = (
                "secrets belong in Infisical, your own values below a line `# overrides`"
                if file == env_file
                else "it belongs in .env.local"
            )
            warn(f"{file}: {', '.join(content.ignored)} {verb} ignored: {where}")
    return found


def _peek(env_file: Path) -> dict[Path, LocalFile]:
    """Return the files that do not count, so that their overrides can be refused."""
    found = {}
    for file, parse in _parsers(env_file).items():
        with suppress(ConfigError):
            if content := _read_own(file, parse):
                found[file] = content
    return found


def _parsers(env_file: Path) -> dict[Path, _Parser]:
    overrides = env_file.with_name(files.OVERRIDES)
    return {env_file: envfile.parse, overrides: envfile.parse_overrides}


def _read_own(file: Path, parse: _Parser) -> LocalFile | None:
    content = files.read_private(file)
    try:
        return None if content is None else parse(content.decode(), file)
    except UnicodeDecodeError:
        raise _wrong(f"{file} is not text in UTF-8: save it as UTF-8") from None


def _node_env(local: Mapping[str, str]) -> str:
    """Return the NODE_ENV for libraries; "" if it only repeats the environment's name.

    Otherwise a build that sets NODE_ENV=production only if it is unset would get another value.
    """
    node_env = local.get("NODE_ENV", "")
    return "" if node_env == local.get("INFISICAL_ENVIRONMENT") else node_env


def _check_overrides(
    own_files: Mapping[Path, LocalFile],
    environment: str,
    in_process: Sequence[str],
    warn: Callable[[str], None],
) -> None:
    """Name the overrides; refuse them in production, and next to a platform's credentials."""
    for file, content in own_files.items():
        if not content.overrides:
            continue
        has = f"{file} overrides {content.override_names}"
        if in_process:
            raise _wrong(
                f"{has}, and the environment has credentials: delete the overrides, which are for a"
                " developer's machine"
            )
        if environment in PRODUCTION:
            raise _wrong(
                f"{has}, which production does not accept: delete the overrides, or choose another"
                " environment"
            )
        warn(has)


def _origin(address: str) -> str:
    return address.rstrip("/").removesuffix("/api").rstrip("/")


def _is_address(text: str) -> bool:
    try:
        urlsplit(text).port  # noqa: B018 - raises for invalid brackets and ports
    except ValueError:
        return False
    return bool(_ORIGIN.fullmatch(text))


def _check_credential(found: Bootstrap, in_process: Sequence[str]) -> None:
    """Refuse a missing credential or environment.

    Args:
        in_process: the names of the credentials in the process's environment.
    """
    credential = dict(zip(_CREDENTIAL, (found.client_id, found.client_secret), strict=True))
    has_other = found.person or found.platform
    unset = [name for name, value in credential.items() if not value and not has_other]
    if unset and in_process:
        raise _not_set(unset, f"set it where {in_process[0]} is set, in the environment")
    if len(unset) == 2 and not found.address:
        raise _wrong(
            f"{', '.join(unset)} and the address of Infisical are not set: start in a service's"
            " directory, where .infisical.json is, or let the platform inject them"
        )
    if len(unset) == 2:
        raise _wrong(
            f"nobody is logged in, and {' and '.join(unset)} are not set: run `with-secrets login`,"
            " or let the platform set them"
        )
    if unset:
        raise _not_set(unset, "put it into .env.local, or let the platform inject it")
    if not found.environment:
        raise _not_set(
            ["INFISICAL_ENVIRONMENT"],
            "say which environment this is, such as INFISICAL_ENVIRONMENT=development",
        )


def _check_place(found: Bootstrap) -> None:
    """Refuse a place without project or address."""
    places = ((_PROJECT, found.project), (_ADDRESS, found.address))
    if absent := [place for place, value in places if not value]:
        keys = " and ".join(key for _, key, _ in absent)
        names = " and ".join(name for _, _, name in absent)
        whats = [what for what, _, _ in absent]
        raise _not_set(whats, f"put {keys} into .infisical.json, or set {names}")


def _check_address(address: str, *, allow_http: bool) -> None:
    """Refuse an invalid address, and one that would get the client secret unencrypted."""
    if not _is_address(address):
        shown = address.rpartition("@")[2]  # text before the @ may be a password
        raise _wrong(f"the address of Infisical is '{shown}': write https:// and the server's name")
    if not (address.startswith("https:") or allow_http or is_loopback(address)):
        raise _wrong(
            f"the address of Infisical is '{address}', where the client secret would go"
            " unencrypted: write https://, or set INFISICAL_ALLOW_HTTP=1 if you trust the whole"
            " network between"
        )


def empty_strict_error() -> ConfigError:
    """Return the error of a strict mode that no name would pass."""
    return _wrong(
        "strict mode passes only names that you ask for, and you asked for none: give required, a"
        " schema or allow"
    )


def _not_set(what: list[str], remedy: str) -> ConfigError:
    verb = "is" if len(what) == 1 else "are"
    return _wrong(f"{' and '.join(what)} {verb} not set: {remedy}")


def _wrong(message: str) -> ConfigError:
    return ConfigError("not_configured", message)
