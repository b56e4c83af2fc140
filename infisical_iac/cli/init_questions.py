"""The questions of `infisical-iac init`: asked on a terminal, or answered by options."""

import ast
import os
import re
import stat
from collections.abc import Callable, Mapping
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from infisical_iac.agent.others import OtherContainers
from infisical_iac.backup.target import BackupTarget
from infisical_iac.cli.output import answered_by
from infisical_iac.core import atomic, host_keys, terminal
from infisical_iac.core.errors import FileError, SettingsError, Unreachable, printable
from infisical_iac.core.host_keys import ServerKey
from infisical_iac.core.own_repository import list_assignments
from infisical_iac.core.terminal import echo
from infisical_iac.host.shared import AUTO, describe
from infisical_iac.init import answers, server
from infisical_iac.init.answers import LATER, NEW, NONE
from infisical_iac.init.server import ProposedIsolation, Server
from infisical_iac.instance.login import TITLES, callback_address
from infisical_iac.monitoring.settings import GIVEN, KINDS, OPEN_KINDS
from infisical_iac.workspace.model import Isolation

_T = TypeVar("_T")

# By option, the question with an example, and its default. A question without a default requires
# an answer.
_QUESTIONS: dict[str, tuple[str, str | None]] = {
    "host": (
        f"The server's name or address, such as 203.0.113.7 ({NEW}: one to be made at Hetzner "
        "Cloud)",
        None,
    ),
    "ssh_port": ("The port of SSH on the server, usually 22", "22"),
    "ssh_public_key": ("The file of your public SSH key", "~/.ssh/id_ed25519.pub"),
    "ssh_user": ("The user to log in as, root or one with sudo", "root"),
    "harden": (
        "Shall infisical-iac manage the server itself: harden SSH and kernel, set firewall and "
        "bans, upgrade Docker and reboot (yes or no)",
        AUTO,
    ),
    "domain": (
        "The domain of Infisical, such as secrets.example.com (`none` or nothing: by an SSH tunnel "
        "only)",
        "",
    ),
    "email": ("The first administrator's e-mail address, such as you@example.com", None),
    "services": ("The directory that your services are in, such as ../services", ".."),
    "organization": ("The organization, such as Acme", None),
    "project": ("The project in Infisical, such as Acme Shop", None),
    "environments": (
        "The environments, in the order in which people see them",
        "development, staging, production",
    ),
    "isolation": ("The method that restricts a service to its own secrets", "privilege"),
    "backup": (
        "A second place for backups, such as sftp:u123456@u123456.your-storagebox.de:infisical",
        LATER,
    ),
    "backup_port": ("The SFTP port of that place, such as 23", "22"),
    "backup_host_key": (
        "The host key of that place, as `ssh-keyscan -t ed25519` prints it: ssh-ed25519 AAAA…",
        None,
    ),
    "smtp_host": (
        "Shall Infisical send mail (invitations, password resets)? Its mail server, such as "
        f"smtp.example.com (`{NONE}`: no mail)",
        NONE,
    ),
    "smtp_port": ("The port of the mail server, 587 or 465", "587"),
    "smtp_tls": (
        "TLS of the mail server: starttls, tls, or none for one at a private address",
        "starttls",
    ),
    "smtp_user": (
        f"The login of the mail server, such as infisical (`{NONE}`: it asks for none)",
        None,
    ),
    "smtp_from": ("The address that mails come from, such as infisical@example.com", None),
    "monitoring": (
        "Shall the server watch itself every minute, and report problems (yes or no)",
        "no",
    ),
    "alert": (
        f"Where shall it send alerts: {', '.join(KINDS)} (`{NONE}`: nowhere)",
        NONE,
    ),
    "alert_to": ("The e-mail address, or the program on the server, that gets alerts", None),
    "heartbeat": (
        "Shall it call a heartbeat, such as healthchecks.io or Uptime Kuma, whose silence shows "
        "that the server is off (yes or no)",
        "no",
    ),
    "login": (
        "Shall people also sign in with Google, GitHub or GitLab? One of them "
        f"(`{NONE}`: by password only)",
        NONE,
    ),
    "login_address": ("The address of your GitLab", "https://gitlab.com"),
    "login_client_id": ("The client id of that application", None),
}

# Settings that may hold a secret: a difference shows their names only.
_HIDDEN = re.compile(
    r"^([+ -][#\s]*[\"']?\w*(?:webhook|password|token|secret|login)\w*[\"']?\s*[:=]).*$"
)


def ask_question(
    given: Mapping[str, str | None],
    yes: bool,
    name: str,
    check: Callable[[str], _T],
    default: str = "",
) -> _T:
    """Return the checked value of an option, of its default if `yes`, or of a person's answer.

    Args:
        given: the values of the options.
        check: converts an answer, and raises SettingsError for one that can't be used.
        default: replaces the question's own default; "" to keep that.

    Raises SettingsError for an option that can't be used, or is required and missing.
    """
    answer, (text, own_default) = given.get(name), _QUESTIONS[name]
    default_answer = default or own_default
    option = "--" + name.replace("_", "-")
    if answer is None and not yes:
        return prompt(text, default_answer, check, option)
    answer = default_answer if answer is None else answer
    if answer is None:
        raise SettingsError(f"{option} is missing: with --yes nothing is asked, so give it")
    try:
        return check(answer.strip())
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}", code=error.code) from None


def prompt(text: str, default: str | None, check: Callable[[str], _T], option: str) -> _T:
    """Ask until `check` accepts the answer, and return the checked value.

    Raises Refused with the option that answers the question if there is nobody to answer.
    """

    def check_answer(answer: str) -> _T:
        try:
            return check(answer.strip())
        except SettingsError as error:
            raise click.UsageError(str(error)) from None

    question = f"{text} [{printable(default)}]" if default else text
    with answered_by(option):
        return terminal.prompt(question, check_answer, default)


def agree(question: str, option: str, *, default: bool) -> bool:
    """Ask a question that is answered by yes or no.

    Raises Refused with the option that answers the question if there is nobody to answer.
    """
    with answered_by(option):
        return terminal.confirm(question, default=default)


def parse_choice(value: str, most: int) -> int:
    """Return an answer as a number. Raises SettingsError unless it is from 1 to `most`."""
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise SettingsError(
            f"{value!r} is not a choice; write a number from 1 to {most}", code="settings.choice"
        )
    return int(value)


def show_difference(path: str, before: str, after: str) -> None:
    """Print the lines of a file that differ, as `find_differences` returns them."""
    for line in find_differences(path, before, after):
        echo(f"  {line}")


def find_differences(path: str, before: str, after: str, context: int = 0) -> list[str]:
    """Return the lines of a file that differ, with the values of possible secrets masked.

    Args:
        context: the number of unchanged lines before and after each difference.
    """
    old, new = (_mask_long_values(text).splitlines() for text in (before, after))
    lines = unified_diff(old, new, path, path, "now", "then", lineterm="", n=context)
    return [_HIDDEN.sub(r"\1 …", line) for line in lines]


def _mask_long_values(text: str) -> str:
    """Return settings with multi-line values masked if they may be secret."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    lines = text.splitlines()
    for name, (statement, _) in list_assignments(tree).items():
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        if last > first and _HIDDEN.search(f" {name} = "):
            lines[first:last] = ["    …"] * (last - first)
    return "\n".join(lines)


def write_files(files: Mapping[Path, str]) -> None:
    """Write all files; if one of them can't be written, write none. Raises FileError."""
    new_files: dict[Path, Path] = {}
    try:
        for file, text in files.items():
            with atomic.explain_failure(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                mode = stat.S_IMODE(file.stat().st_mode) if file.is_file() else None
                new_files[file] = atomic.prepare(file, text, mode=mode)
        for file, new in new_files.items():
            with atomic.explain_failure(file):
                new.replace(file)
    finally:
        for new in new_files.values():
            new.unlink(missing_ok=True)


def read_file(file: Path) -> str:
    """Return the text of a file with its line ends; empty if there is no file. Raises FileError."""
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FileError(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileError(f"{file} is not in UTF-8; save it as UTF-8", code="file.encoding") from None


class TestedServer(NamedTuple):
    """A server that a person or an option named, with the results of its test.

    Attributes:
        host_key: None if the server was not tested.
        others: the containers of others on the server; None if nobody could log in.
        isolation: the method that suits the Infisical on the server; None without Infisical.
    """

    server: Server
    host_key: ServerKey | None = None
    others: OtherContainers | None = None
    isolation: ProposedIsolation | None = None

    def known_hosts(self, before: str) -> str:
        """Return the text of the repository's known_hosts with the server's host key."""
        return server.add_known(before, self.server, self.host_key) if self.host_key else before


def find_named_key() -> str:
    """Return the path of the private key that INFISICAL_SSH_KEY names; empty without it."""
    return os.environ.get("INFISICAL_SSH_KEY", "").strip()


def explain_named_key(settings: str) -> None:
    """Print that the next commands need the key that INFISICAL_SSH_KEY names.

    Args:
        settings: the path of the settings, which are shared with people who have another key.
    """
    if find_named_key():
        echo(
            "Commands log in with the key that INFISICAL_SSH_KEY names: keep it set in each shell, "
            f"or set ssh_key in {settings} if everyone who deploys has the key at one path."
        )


def ask_server(
    given: Mapping[str, str | None],
    host: str,
    directory: Path,
    *,
    yes: bool,
    current: Mapping[str, str] | None = None,
) -> TestedServer:
    """Return the server that options or a person name; test it at once unless `yes`.

    Args:
        host: the answer to the first question. If the test fails, all questions are repeated.
        current: the previous answers, used as defaults; None for the questions' own defaults.

    Raises Refused for a host key that is not known, or not the known one.
    """
    now = current or {}
    while True:
        ask = partial(ask_question, given, yes)
        port = ask("ssh_port", answers.parse_port, now.get("ssh_port", ""))
        user = ask("ssh_user", answers.check_user, now.get("ssh_user", ""))
        named = Server(host, port, user, find_named_key())
        if yes:
            return TestedServer(named)
        tested = inspect_server(named, directory, yes=False)
        if tested is not None:
            return tested
        given = {**given, "host": None, "ssh_port": None, "ssh_user": None}
        now = {"host": host, "ssh_port": str(port), "ssh_user": user}
        host = ask_question(given, yes, "host", answers.check_host, host)


def inspect_server(named: Server, directory: Path, *, yes: bool) -> TestedServer | None:
    """Test a server, and return it if it passes or is kept anyway; None to ask for it again.

    Args:
        yes: whether to ask nothing, and to keep a server that can't be reached.

    Raises Refused for a host key that is not accepted.
    """
    echo(f"Testing {named.address}, port {named.port} …")
    try:
        host_key = server.read_host_key(named, directory)
    except Unreachable as error:
        if yes:
            echo(f"Note: the server was not tested: {error}", err=True)
            return TestedServer(named)
        echo(f"Error: {error}")
        is_kept = agree("Keep this address anyway", "--yes", default=False)
        return TestedServer(named) if is_kept else None
    if not _is_accepted(named, host_key, directory, yes):
        return None
    login = server.try_login(named, host_key)
    if login.problem:
        echo(
            f"Warning: {login.problem}: before the deploy, see that `ssh -p {named.port} "
            f"{named.user}@{named.address} true` works; `ssh-copy-id` installs your key, and "
            "INFISICAL_SSH_KEY names the file of one that is not in ~/.ssh",
            err=True,
        )
    else:
        echo(f"The login as {named.user} works.")
    return TestedServer(named, host_key, login.others, login.isolation)


def _is_accepted(named: Server, host_key: ServerKey, directory: Path, yes: bool) -> bool:
    """Return whether a host key is known, was given as accepted, or a person accepts it."""
    if server.is_known(named, host_key, directory):
        echo(f"The server's host key is the known one: {host_key}")
        return True
    accepted = host_keys.read_accepted_fingerprints()
    if host_key.fingerprint in accepted:
        return True
    if accepted or yes:
        raise host_keys.refuse_unknown([host_key], accepted, command="infisical-iac init")
    echo(host_keys.describe_unknown(host_key))
    option = f"{host_keys.OPTION} {host_key.fingerprint}"
    return agree("Is it this server's key", option, default=False)


def ask_harden(
    given: Mapping[str, str | None], yes: bool, others: OtherContainers | None
) -> dict[str, str]:
    """Return the settings that say whether the server itself is managed; none for `auto`.

    Args:
        others: the containers of others on the server, which decide the default; None if they are
            unknown.
    """
    if others is None and given.get("harden") is None:
        # The first deploy detects other containers, and its plan lists the parts that are left off.
        return {}
    default = AUTO
    if others is not None:
        default = "no" if others.is_shared else "yes"
        if others.is_shared:
            echo(f"Others use Docker on this server: {describe(others)}.")
    harden = ask_question(given, yes, "harden", answers.parse_harden, default)
    return answers.host_settings(harden, others)


def ask_domain(
    given: Mapping[str, str | None], yes: bool, defaults: Mapping[str, object], current: str = ""
) -> str:
    """Return the address of the domain, empty for none. A person confirms an empty answer.

    Args:
        current: the previous address, used as the default; empty for none.
    """
    while True:
        typed: list[str] = []

        def check(answer: str, typed: list[str] = typed) -> str:
            typed.append(answer)
            return answers.parse_domain(defaults, answer)

        site_url = ask_question(given, yes, "domain", check, current)
        is_asked = given.get("domain") is None and not yes
        if site_url or not is_asked or typed[-1].lower() == "none":
            return site_url
        question = "Without a domain, browsers reach Infisical by an SSH tunnel only. Is that right"
        if agree(question, "--domain", default=False):
            return ""


def explain_authority(site_url: str) -> None:
    """Print what certifies a name that no public authority certifies."""
    if authority := answers.find_authority(site_url):
        echo(
            f"No public authority certifies {site_url.removeprefix('https://')}, so acme_ca is "
            f"{authority!r}: Caddy's own authority does, and browsers and services must trust it "
            "(`infisical-iac docs operate/ingress`)."
        )


def ask_backup(given: Mapping[str, str | None], yes: bool) -> BackupTarget | None:
    """Return a second target for backups; None for later."""
    ask = partial(ask_question, given, yes)
    place = ask("backup", answers.check_backup_place)
    if not place:
        return None
    if not answers.is_sftp(place):
        return answers.backup_target(place)
    port = ask("backup_port", answers.parse_port)
    if given.get("backup_host_key") is None and not yes:
        address = place.partition("@")[2].partition(":")[0]
        try:
            shown = host_keys.read_key(address, port)
        except Unreachable as error:
            echo(f"Note: {error}", err=True)
        else:
            echo(
                f"The host key of {address} is {shown}\nCompare it with the one that the provider "
                "publishes."
            )
            if agree("Is it this server's key", "--backup-host-key", default=False):
                return answers.backup_target(place, f"{shown.type} {shown.base64}", port)
    return ask("backup_host_key", lambda key: answers.backup_target(place, key, port))


def ask_mail(
    given: Mapping[str, str | None],
    yes: bool,
    email: str,
    current: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the mail server, as the setting; empty for none.

    Args:
        email: the first administrator's address; the sender's has the same domain by default.
        current: the previous setting, used for defaults; None for the questions' own.

    Raises SettingsError for an option on the mail server without the server.
    """
    now = {name: str(value) for name, value in (current or {}).items()}
    ask = partial(ask_question, given, yes)
    host = ask("smtp_host", answers.check_mail_host, now.get("host", ""))
    if not host:
        for name in ("smtp_port", "smtp_tls", "smtp_user", "smtp_from"):
            if given.get(name) is not None:
                raise SettingsError(
                    f"--{name.replace('_', '-')} is given without a mail server: give --smtp-host "
                    "too",
                    code="settings.mail",
                )
        return {}
    port = ask("smtp_port", partial(answers.parse_mail_port, host), now.get("port", ""))
    keeps = now.get("port") == str(port)
    tls = now.get("tls", "") if keeps else answers.default_tls(port)
    tls = ask("smtp_tls", partial(answers.check_tls, host, port), tls)
    # A server without a login has no `user` in the setting.
    known_user = now.get("user", NONE if now else "")
    user = ask("smtp_user", partial(answers.check_mail_user, host), known_user)
    sender = now.get("from_address", f"infisical@{email.partition('@')[2]}")
    sender = ask("smtp_from", partial(answers.check_sender, host), sender)
    named = {"from_name": now["from_name"]} if "from_name" in now else {}
    return answers.mail_server(
        host=host, port=port, tls=tls, user=user, from_address=sender, **named
    )


def ask_monitoring(
    given: Mapping[str, str | None], yes: bool, email: str, *, has_mail: bool
) -> dict[str, object]:
    """Return the settings on monitoring; empty if it is off.

    Addresses of webhooks and of the heartbeat are secret: `apply` asks for them.

    Args:
        email: the first administrator's address, the default for alerts by e-mail.
        has_mail: whether there is a mail server.

    Raises SettingsError for an option on alerts without monitoring.
    """
    details = [name for name in ("alert", "alert_to", "heartbeat") if given.get(name) is not None]
    if details and given.get("monitoring") is None:
        given = {**given, "monitoring": "yes"}
    ask = partial(ask_question, given, yes)
    if not ask("monitoring", answers.parse_yes):
        if details:
            raise SettingsError(
                f"--{details[0].replace('_', '-')} is given without monitoring: give --monitoring "
                "yes",
                code="settings.alert",
            )
        return {}
    found: dict[str, object] = {"monitoring": "on"}
    if kind := ask("alert", partial(answers.check_alert, has_mail=has_mail)):
        target = partial(answers.alert_target, kind)
        if kind in OPEN_KINDS or given.get("alert_to"):
            found["alerts"] = (ask("alert_to", target, email if kind == "email" else ""),)
        else:
            found["alerts"] = (target(),)
    if ask("heartbeat", answers.parse_yes):
        found["heartbeat_url"] = GIVEN
    return found


_ISOLATION = """\
A service must read its own secrets only. How to enforce that (`infisical-iac docs isolation`):
    privilege: one project, and a privilege for each service. If the server has no Infisical yet,
        the first deploy asks it whether it enforces privileges, and uses `projects` if not.
    projects: a project for each service and environment. It needs nothing else of the server;
        people see many projects, and nothing is imported from one to another.
    viewer: one project, in which each service reads every environment."""


def ask_isolation(
    given: Mapping[str, str | None], yes: bool, tested: TestedServer | None
) -> Isolation:
    """Return the method that keeps a service to its own secrets.

    The default is the method that suits the Infisical on the tested server. Without Infisical it is
    `privilege`, and the first deploy queries the new Infisical.
    """
    proposed = tested.isolation if tested else None
    if given.get("isolation") is None:
        if not yes:
            echo(_ISOLATION)
        if proposed:
            echo(proposed.reason)
    default = proposed.method if proposed else ""
    return ask_question(given, yes, "isolation", answers.check_isolation, default)


def ask_login(given: Mapping[str, str | None], yes: bool, site_url: str) -> dict[str, object]:
    """Return a provider of logins, as the setting; empty for none.

    Args:
        site_url: the address of Infisical, for the callback that the provider has to know.
    """
    ask = partial(ask_question, given, yes)
    provider = ask("login", answers.parse_provider)
    if not provider:
        return {}
    address = ask("login_address", answers.check_gitlab) if provider == "gitlab" else ""
    echo(
        f"Register an application at {TITLES[provider]} with the callback "
        f"{callback_address(provider, site_url)}: it has a client id and a client secret "
        "(`infisical-iac docs operate/login`)."
    )
    return ask("login_client_id", partial(answers.login_client, provider, address))
