"""Validate the answers of `infisical-iac init`, and keep them for the files of a repository."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from infisical_iac.agent.others import OtherContainers
from infisical_iac.backup.target import BackupTarget, kind_of, remote_prefixes
from infisical_iac.core import settings
from infisical_iac.core.errors import SettingsError
from infisical_iac.host.shared import AUTO, OWN, SHARED
from infisical_iac.init.services import FoundService, slug
from infisical_iac.instance.login import PROVIDERS, TITLES, Logins, Provider, client_secret_of
from infisical_iac.instance.settings import TLS_PORT, Smtp
from infisical_iac.monitoring.settings import (
    GIVEN,
    HEARTBEAT_VARIABLE,
    KINDS,
    OPEN_KINDS,
    AlertTarget,
)
from infisical_iac.stack import ingress_kinds
from infisical_iac.workspace.model import (
    ROLES,
    DisplayName,
    Email,
    Environment,
    Isolation,
    Slug,
)

# The group of the shipped inventory. Other groups may have any other name.
GROUP = "hetzner"

# Reserved: pyinfra's own group, and the name that an inventory imports. A clone of this project
# reserves its other inventories too.
_TAKEN_GROUPS = ("all", "production_hosts")
_TAKEN_IN_A_CLONE = (*_TAKEN_GROUPS, "local", "staging", "staging_cluster")

# The answer for a host that `infisical-iac server create` will create.
NEW = "new"
# The answer for no second backup target yet: the settings keep their default.
LATER = "later"
# The answer for no mail, and for no login by a provider.
NONE = "none"

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_EXAMPLE = (FoundService("backend", "/backend"), FoundService("python-service", "/python-services"))
_ENVIRONMENTS = tuple(
    Environment(slug=each, name=each.capitalize())
    for each in ("development", "staging", "production")
)
# The name of a second target for backups, next to the default one on the host's own disk.
_TARGET = "offsite"
# The name of the target of alerts.
ALERT_TARGET = "team"


@dataclass(frozen=True)
class Answers:
    """The answers for a first deploy, with the shipped example's defaults.

    Attributes:
        ssh_public_key: the file of a public key, for a server that will be made at Hetzner Cloud.
        site_url: empty for the default, an Infisical behind an SSH tunnel.
        project: the name of the project; empty for the organization's.
        group: the name of the inventory and of the file of its settings.
        backup: a second target for backups; None for the default on the host's own disk only.
        host_settings: the settings on managing the host itself; empty to let a deploy decide.
        smtp: the mail server, as the setting; empty for none.
        login: the providers of logins, as the setting; empty for none.
        monitoring: the settings on monitoring; empty if it is off.
    """

    host: str = ""
    ssh_port: int = 22
    ssh_public_key: str = ""
    ssh_user: str = ""
    site_url: str = ""
    email: str = ""
    organization: str = ""
    project: str = ""
    environments: Sequence[Environment] = _ENVIRONMENTS
    services: Sequence[FoundService] = _EXAMPLE
    group: str = GROUP
    backup: BackupTarget | None = None
    host_settings: Mapping[str, str] = field(default_factory=dict)
    smtp: Mapping[str, object] = field(default_factory=dict)
    login: Mapping[str, object] = field(default_factory=dict)
    isolation: Isolation = "privilege"
    monitoring: Mapping[str, object] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        """Return the setting `acme_ca` that the address needs; empty for the default."""
        return find_authority(self.site_url)

    @property
    def secrets(self) -> dict[str, str]:
        """Return the variables of the secrets that follow from these answers, by their purpose."""
        mail = {}
        if "user" in self.smtp:
            mail = {f"the password of the mail server {self.smtp['host']}": "SMTP_PASSWORD"}
        clients = {
            f"the client secret of {TITLES[each]}": client_secret_of(each)
            for each in PROVIDERS
            if each in self.login
        }
        return mail | clients | list_addresses(self.monitoring)


def project_slug(name: str) -> str:
    """Return the slug of a project; Infisical requires 5 to 36 characters."""
    made = slug(name, fallback="project")
    return made if len(made) >= 5 else f"{made}-project"


def check_group(value: str, *, is_clone: bool = True) -> str:
    """Return the name of a group. Raises SettingsError for one that can't be used.

    It is the name of two files, and of a Python variable in one of them.

    Args:
        is_clone: whether the files are for a clone of this project, which has groups of its own.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value) or iskeyword(value):
        raise SettingsError(
            f"{value!r} is not a group name; use lower-case letters, digits and underscores, such "
            "as office",
            code="settings.group_name",
        )
    if is_taken(value, is_clone=is_clone):
        raise SettingsError(
            f"{value!r} is a group of this project's own; choose another name",
            code="settings.group_taken",
        )
    return value


def is_taken(group: str, *, is_clone: bool) -> bool:
    """Return whether a group is one of pyinfra's or this project's own."""
    return group in (_TAKEN_IN_A_CLONE if is_clone else _TAKEN_GROUPS)


def check_host(value: str) -> str:
    """Return a server's name or address. Raises SettingsError if it is neither."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        named = re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", value) and len(value) <= 253
        if not named or value.rpartition(".")[2].isdigit():
            raise SettingsError(
                f"{value!r} is not a host; write its name or address, such as 203.0.113.7"
            ) from None
    return value


def check_user(value: str) -> str:
    """Return a user's name. Raises SettingsError if it is not a valid one."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
        raise SettingsError(f"{value!r} is not a user; write the name of one, such as root")
    return value


def check_public_key(value: str) -> str:
    """Return the path of a public key's file. Raises SettingsError if there is no such file."""
    if not (value.endswith(".pub") and Path(value).expanduser().is_file()):
        raise SettingsError(
            f"{value!r} is not a public key file: name a file that ends in .pub, such as "
            "`ssh-keygen -t ed25519` makes"
        )
    return value


def check_setting(defaults: Mapping[str, Any], name: str, value: str) -> str:
    """Return an answer, validated as the value of a setting. Raises SettingsError if it is wrong.

    The error does not name the setting: the question asked for something else, such as a domain.
    """
    needed = {"admin_email": "you@example.com"}
    try:
        checked = settings.load({**defaults, **needed, name: value})
    except SettingsError as error:
        reason = str(error).removeprefix(f"setting {name!r}: ")
        raise SettingsError(reason, code=error.code) from None
    return str(checked.value_of(name))


def parse_domain(defaults: Mapping[str, Any], domain: str) -> str:
    """Return the address of a domain, with or without https://; empty for no domain.

    An empty answer and the word `none` mean no domain. Raises SettingsError if the answer is not a
    domain, or a name without a dot.
    """
    bare = domain.removeprefix("https://")
    if bare.lower() in ("", "none"):
        return ""
    if bare.startswith("http://"):
        raise SettingsError(
            f"{domain!r} is without TLS: write the domain only, such as secrets.example.com",
            code="settings.domain",
        )
    if "@" in bare:
        raise SettingsError(
            f"{domain!r} is an e-mail address: write a domain such as secrets.example.com, or "
            "`none`",
            code="settings.domain",
        )
    if not re.fullmatch(r".*[^.]\.[^.].*", bare.partition(":")[0]):
        raise SettingsError(
            f"{domain!r} has no dot, so it can't be a domain in the DNS: write one such as "
            "secrets.example.com, or `none`",
            code="settings.domain",
        )
    return check_setting(defaults, "site_url", f"https://{bare}")


def find_authority(site_url: str) -> str:
    """Return the setting `acme_ca` that an address needs; empty for the default.

    Caddy's own authority certifies names that no public one does.
    """
    name = urlsplit(site_url).hostname or ""
    return ingress_kinds.INTERNAL if name and ingress_kinds.is_private(name) else ""


def project_name(directory: Path) -> str:
    """Return the name of a directory as a project's: `acme-shop` becomes `Acme Shop`."""
    words = re.split(r"[-_.\s]+", directory.name)
    return " ".join(word[0].upper() + word[1:] for word in words if word)


def parse_port(value: str) -> int:
    """Return a port. Raises SettingsError if it is not a port number."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise SettingsError(
            f"{value!r} is not a port; write a number from 1 to 65535, such as 22",
            code="settings.port",
        )
    return int(value)


def check_project_name(value: str) -> str:
    """Return the name of a project. Raises SettingsError for one that can't be used."""
    return _valid(DisplayName, value, "settings.project")


def parse_environment(value: str) -> Environment:
    """Return an environment by its slug, or by `slug=Name`. Raises SettingsError if it is wrong."""
    name, _, given = value.partition("=")
    shown = given.strip() or " ".join(word.capitalize() for word in name.strip().split("-"))
    try:
        return Environment(slug=name.strip(), name=shown)
    except ValidationError as error:
        raise SettingsError(_reason(error), code="settings.environment") from None


def parse_environments(value: str) -> tuple[Environment, ...]:
    """Return the environments of an answer: slugs with commas or blanks in between.

    Raises SettingsError if none is named, one is named twice, or a slug can't be used.
    """
    slugs = [each for each in re.split(r"[,\s]+", value) if each]
    if not slugs:
        raise SettingsError(
            "no environment is named; write one or more, such as development, production",
            code="settings.environment",
        )
    if repeated := sorted({each for each in slugs if slugs.count(each) > 1}):
        raise SettingsError(
            f"{repeated[0]!r} is named twice; write each environment once",
            code="settings.environment",
        )
    return tuple(parse_environment(each) for each in slugs)


def parse_service(value: str) -> tuple[str, str]:
    """Return the name of a service and the path of its directory from `NAME=PATH` or `NAME`.

    The path is empty if there is none. Raises SettingsError for a name that can't be used.
    """
    name, _, path = (each.strip() for each in value.partition("="))
    return _valid(Slug, name, "settings.service"), path


def parse_person(value: str) -> tuple[str, str]:
    """Return the address and the role of `EMAIL=ROLE`. Raises SettingsError if one is wrong."""
    email, _, role = (each.strip() for each in value.partition("="))
    return _valid(Email, email.lower(), "settings.person"), check_role(role)


def check_email(value: str) -> str:
    """Return a person's e-mail address. Raises SettingsError if it is not an address."""
    return _valid(Email, value.lower(), "settings.person")


def check_role(value: str) -> str:
    """Return a role. Raises SettingsError if there is no such role."""
    if value not in ROLES:
        raise SettingsError(
            f"{value!r} is not a role; write admin, developer, viewer or none, such as "
            "ada@example.com=developer",
            code="settings.person",
        )
    return value


def parse_harden(value: str) -> bool | None:
    """Return whether the server itself is to be managed; None to leave it to the deploy.

    Raises SettingsError for another answer than yes, no or auto.
    """
    words = {"y": True, "yes": True, "n": False, "no": False, AUTO: None}
    if value.lower() not in words:
        raise SettingsError(
            f"{value!r} is not an answer; write yes, no, or {AUTO} to let the first deploy find "
            "out whether others use the server",
            code="settings.harden",
        )
    return words[value.lower()]


def host_settings(harden: bool | None, others: OtherContainers | None) -> dict[str, str]:
    """Return the settings on managing the server itself; none for `auto`.

    Args:
        harden: the answer, as `parse_harden` returns it.
        others: the others who use the server's Docker; None if unknown.
    """
    if harden is None:
        return {}
    if not harden:
        return dict(SHARED)
    # The firewall would close the ports of somebody else's Swarm.
    closes = others is not None and others.is_shared and others.in_swarm
    return {**OWN, "firewall": "off"} if closes else dict(OWN)


def mail_server(**values: Any) -> dict[str, object]:
    """Return a mail server, as the setting. Raises SettingsError if a value can't be used."""
    try:
        checked = Smtp.model_validate({"from_address": "infisical@example.com", **values})
    except ValidationError as error:
        raise SettingsError(_reason(error), code="settings.mail") from None
    return {name: value for name, value in checked.model_dump().items() if values.get(name)}


def check_mail_host(value: str) -> str:
    """Return the name of a mail server; empty for `none`. Raises SettingsError if it is wrong."""
    if value.lower() in ("", NONE):
        return ""
    if "." not in value and ":" not in value and value != "localhost":
        raise SettingsError(
            f"{value!r} is no mail server; write its name, such as smtp.example.com, or {NONE!r}",
            code="settings.mail",
        )
    return str(mail_server(host=value)["host"])


def parse_mail_port(host: str, value: str) -> int:
    """Return the port of a mail server. Raises SettingsError if it is not a port number."""
    port = parse_port(value)
    mail_server(host=host, port=port, tls=default_tls(port))
    return port


def default_tls(port: int) -> str:
    """Return the TLS mode that goes with a port."""
    return "tls" if port == TLS_PORT else "starttls"


def check_tls(host: str, port: int, value: str) -> str:
    """Return the TLS mode of a mail server. Raises SettingsError for one that does not fit."""
    if value not in ("starttls", "tls", "none"):
        raise SettingsError(
            f"{value!r} is no TLS mode; write starttls for port 587, or tls for port {TLS_PORT}",
            code="settings.mail",
        )
    return str(mail_server(host=host, port=port, tls=value)["tls"])


def check_mail_user(host: str, value: str) -> str:
    """Return the login of a mail server; empty for `none`."""
    user = "" if value.lower() == NONE else value
    mail_server(host=host, user=user)
    return user


def check_sender(host: str, value: str) -> str:
    """Return the sender's address of mails. Raises SettingsError if it is not an address."""
    return str(mail_server(host=host, from_address=value)["from_address"])


def check_isolation(value: str) -> Isolation:
    """Return a method of isolation. Raises SettingsError for an unknown one."""
    methods: tuple[Isolation, ...] = get_args(Isolation)
    for each in methods:
        if each == value.lower():
            return each
    raise SettingsError(f"{value!r} is no method; write {', '.join(methods[:-1])} or {methods[-1]}")


def parse_yes(value: str) -> bool:
    """Return the answer to a question. Raises SettingsError for another one than yes or no."""
    words = {"y": True, "yes": True, "n": False, "no": False}
    if value.lower() not in words:
        raise SettingsError(f"{value!r} is not an answer; write yes or no", code="settings.choice")
    return words[value.lower()]


def check_alert(value: str, *, has_mail: bool) -> str:
    """Return a kind of alert target; empty for none. Raises SettingsError for one that can't work.

    Args:
        has_mail: whether there is a mail server.
    """
    kind = value.lower()
    if kind in ("", NONE):
        return ""
    if kind not in KINDS:
        raise SettingsError(
            f"{value!r} is no kind of target; write {', '.join(KINDS)}, or {NONE!r}",
            code="settings.alert",
        )
    if kind == "email" and not has_mail:
        raise SettingsError(
            "alerts by e-mail need a mail server: give --smtp-host too, or choose a webhook",
            code="settings.no_mail_for_alerts",
        )
    return kind


def alert_target(kind: str, to: str = "") -> dict[str, object]:
    """Return a target of alerts, as the setting. Raises SettingsError if `to` does not fit.

    Args:
        to: an e-mail address or a program; empty for a webhook, whose address is secret.
    """
    variable = AlertTarget(name=ALERT_TARGET, kind="json").variable
    if to and kind not in OPEN_KINDS:
        raise SettingsError(
            "the address of a webhook is secret, and does not belong in a repository: leave it "
            f"out, and `infisical-iac apply` asks for it, or takes it from {variable}",
            code="settings.alert",
        )
    values: dict[str, Any] = {"name": ALERT_TARGET, "kind": kind}
    if kind in OPEN_KINDS:
        values["to"] = to
    try:
        AlertTarget.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_reason(error), code="settings.alert") from None
    return values


def list_addresses(monitoring: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of addresses that settings leave out, by their purpose."""
    targets = [AlertTarget.model_validate(each) for each in monitoring.get("alerts", ())]
    found = {
        f"the address of the alert target {each.name}": each.variable
        for each in targets
        if each.variable
    }
    if monitoring.get("heartbeat_url") == GIVEN:
        found["the address of the heartbeat"] = HEARTBEAT_VARIABLE
    return found


def parse_provider(value: str) -> Provider | None:
    """Return a provider of logins; None for `none`. Raises SettingsError for an unknown one."""
    if value.lower() in ("", NONE):
        return None
    for provider in PROVIDERS:
        if provider == value.lower():
            return provider
    names = ", ".join(TITLES[each] for each in PROVIDERS)
    raise SettingsError(
        f"{value!r} is none of {names}; write one of them, or {NONE!r}", code="settings.login"
    )


def login_client(provider: str, address: str, client_id: str) -> dict[str, object]:
    """Return a provider of logins, as the setting. Raises SettingsError if a value is wrong.

    Args:
        address: of a GitLab; empty for the provider's own.
    """
    more = {"address": address} if address else {}
    try:
        Logins.model_validate({provider: {"client_id": client_id, **more}})
    except ValidationError as error:
        raise SettingsError(f"the answer {_reason(error)}", code="settings.login") from None
    return {provider: {"client_id": client_id, **more}}


def check_gitlab(value: str) -> str:
    """Return the address of a GitLab; empty for gitlab.com. Raises SettingsError if it is wrong."""
    address = value.rstrip("/")
    try:
        Logins.model_validate({"gitlab": {"client_id": "any", "address": address}})
    except ValidationError as error:
        raise SettingsError(_reason(error), code="settings.login") from None
    return "" if address == "https://gitlab.com" else address


def check_backup_place(value: str) -> str:
    """Return the address of a second place for backups; empty for `later`.

    Raises SettingsError for an address of no known kind, and for a directory: the backups must
    survive the loss of its disk.
    """
    if value.lower() in ("", LATER):
        return ""
    kind = kind_of(value)
    if kind is None or kind.on_host or ".." in value:
        raise SettingsError(
            f"{value!r} is not a second place for backups; write an address that begins with "
            f"{remote_prefixes()}, such as sftp:u123456@u123456.your-storagebox.de:infisical, or "
            f"{LATER!r}",
            code="settings.backup",
        )
    return value


def is_sftp(place: str) -> bool:
    """Return whether a place for backups is reached by SFTP, which needs a host key."""
    kind = kind_of(place)
    return kind is not None and kind.uses_ssh


def backup_target(place: str, host_key: str = "", port: int = 22) -> BackupTarget:
    """Return the target for a place. Raises SettingsError if something is wrong or missing."""
    values: dict[str, Any] = {"name": _TARGET, "repository": place}
    if is_sftp(place):
        values |= {"host_key": " ".join(host_key.split()[:2]), "port": port}
    try:
        return BackupTarget.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_reason(error), code="settings.backup") from None


def _valid(form: Any, value: str, code: str) -> str:
    try:
        return str(TypeAdapter(form).validate_python(value))
    except ValidationError as error:
        raise SettingsError(_reason(error), code=code) from None


def _reason(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
