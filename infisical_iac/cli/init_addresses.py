"""Ask `infisical-iac init`'s questions about addresses: the server, the domain, and backups."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from infisical_iac.backup.target import BackupTarget
from infisical_iac.cli.init_questions import agree, ask_question
from infisical_iac.core import host_keys
from infisical_iac.core.errors import Unreachable
from infisical_iac.core.host_keys import ServerKey
from infisical_iac.core.terminal import echo
from infisical_iac.init import answers, server
from infisical_iac.init.server import Server


class TestedServer(NamedTuple):
    """A server as it was answered, and its host key; None if it could not be tested."""

    server: Server
    host_key: ServerKey | None = None

    def known_hosts(self, before: str) -> str:
        """Return the text of the repository's known_hosts with the server's host key."""
        return server.add_known(before, self.server, self.host_key) if self.host_key else before


def ask_server(
    given: Mapping[str, str | None],
    host: str,
    directory: Path,
    *,
    yes: bool,
    current: Mapping[str, str] | None = None,
) -> TestedServer:
    """Return the server that options or a person name; that of a person is tested at once.

    Args:
        host: the answer to the first question. If it does not pass, all are asked again.
        current: the answers of before, which are the defaults; None for the questions' own.

    Raises Refused for a host key that is not known, or not the known one.
    """
    now = current or {}
    while True:
        ask = partial(ask_question, given, yes)
        port = ask("ssh_port", answers.port, now.get("ssh_port", ""))
        user = ask("ssh_user", answers.ssh_user, now.get("ssh_user", ""))
        named = Server(host, port, user, os.environ.get("INFISICAL_SSH_KEY", "").strip())
        if yes:
            return TestedServer(named)
        tested = inspect_server(named, directory, yes=False)
        if tested is not None:
            return tested
        given = {**given, "host": None, "ssh_port": None, "ssh_user": None}
        now = {"host": host, "ssh_port": str(port), "ssh_user": user}
        host = ask_question(given, yes, "host", answers.host, host)


def inspect_server(named: Server, directory: Path, *, yes: bool) -> TestedServer | None:
    """Return a server that passes its test or is kept without one; None to ask again.

    Args:
        yes: whether nothing is asked. Then a server that can't be reached is kept.

    Raises Refused for a host key that is not accepted.
    """
    echo(f"Testing {named.address}, port {named.port} …")
    try:
        host_key = server.read_host_key(named, directory)
    except Unreachable as error:
        if yes:
            echo(f"Note: it was not tested: {error}", err=True)
            return TestedServer(named)
        echo(f"Error: {error}")
        is_kept = agree("Keep this address all the same", "--yes", default=False)
        return TestedServer(named) if is_kept else None
    if not _is_accepted(named, host_key, directory, yes):
        return None
    problem = server.find_login_problem(named, host_key)
    if problem:
        echo(
            f"Warning: {problem}: before the deploy, see that `ssh -p {named.port} "
            f"{named.user}@{named.address} true` works; `ssh-copy-id` installs your key",
            err=True,
        )
    else:
        echo(f"The login as {named.user} works.")
    return TestedServer(named, host_key)


def _is_accepted(named: Server, host_key: ServerKey, directory: Path, yes: bool) -> bool:
    """Return whether a host key is known, was given as accepted, or a person accepts it."""
    if server.is_known(named, host_key, directory):
        echo(f"Its host key is the known one: {host_key}")
        return True
    accepted = host_keys.accepted_fingerprints()
    if host_key.fingerprint in accepted:
        return True
    if accepted or yes:
        raise host_keys.refuse_unknown([host_key], accepted, command="infisical-iac init")
    echo(host_keys.describe_unknown(host_key))
    option = f"{host_keys.OPTION} {host_key.fingerprint}"
    return agree("Is it this server's key", option, default=False)


def ask_domain(
    given: Mapping[str, str | None], yes: bool, defaults: Mapping[str, object], current: str = ""
) -> str:
    """Return the address of the domain; empty for none, which a person who typed nothing confirms.

    Args:
        current: the address of before, which is the default; empty for none.
    """
    while True:
        typed: list[str] = []

        def check(answer: str, typed: list[str] = typed) -> str:
            typed.append(answer)
            return answers.site_url(defaults, answer)

        site_url = ask_question(given, yes, "domain", check, current)
        is_asked = given.get("domain") is None and not yes
        if site_url or not is_asked or typed[-1].lower() == "none":
            return site_url
        question = "Without a domain no browser reaches Infisical, except by an SSH tunnel. Is that"
        if agree(f"{question} right", "--domain", default=False):
            return ""


def ask_backup(given: Mapping[str, str | None], yes: bool) -> BackupTarget | None:
    """Return a second target for backups; None for later."""
    ask = partial(ask_question, given, yes)
    place = ask("backup", answers.backup_place)
    if not place:
        return None
    if not answers.is_sftp(place):
        return answers.backup_target(place)
    port = ask("backup_port", answers.port)
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
