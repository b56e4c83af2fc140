"""Call the API of the current host through its SSH connection, logged in as the deployer.

A login is cached for a few minutes per host, so that the steps of one run share it.
"""

import re
import time
from dataclasses import dataclass

import httpx
import paramiko
from pyinfra.context import host

from infisical_iac.agent import identities, login
from infisical_iac.agent.identities import PREFIX
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import RateLimiter
from infisical_iac.api.tunnel import SSHTransport
from infisical_iac.core import journal
from infisical_iac.core.agent import inspect
from infisical_iac.core.errors import ApiError, NotBootstrapped, agent_failures
from infisical_iac.core.files import read_text
from infisical_iac.core.settings import load
from infisical_iac.core.terminal import print_note
from infisical_iac.stack.keys import question_for, refuse_other_administrator

NO_ENGINE = "the containers can be inspected once Docker runs"
_UNSEEN = "the project in Infisical can be inspected once it runs and the deployer can log in"
# Shorter than the lifetime of the deployer's token, which workspace/bootstrap.py sets.
_KEPT_SECONDS = 240
# The variables that workspace/bootstrap.py writes into the deployer's file.
_SECRET_ID = re.compile(r"# client secret (\S+)\n")


@dataclass(frozen=True)
class _Login:
    client: Client
    client_id: str
    secret_id: str
    until: float


_clients: dict[tuple[str, int], Client] = {}
_logins: dict[str, _Login] = {}


def api(port: int) -> Client:
    """Return a client without a token for the API on `port` of the current host's loopback."""
    key = (host.name, port)
    if key not in _clients:
        limits = load(host.data.dict()).workspace.api_rate  # type: ignore[no-untyped-call]
        _clients[key] = Client(
            f"http://127.0.0.1:{port}",
            transport_for(host.connector),
            limiter=RateLimiter(dict(limits or ()), note=print_note),
        )
    return _clients[key]


def deployer(port: int) -> Client:
    """Return a client with the deployer's token.

    Raises NotBootstrapped where the host has no deployer, or one that the server refuses.
    """
    kept = _logins.get(host.name)
    if kept and time.monotonic() < kept.until:
        return kept.client
    text = read_text(login.DEPLOYER_FILE)
    found = login.parse_variables(text)
    with agent_failures():
        client = login.log_in_deployer(api(port), found)
    until = time.monotonic() + _KEPT_SECONDS
    secret_id = _SECRET_ID.match(text)
    known = secret_id[1] if secret_id else found["INFISICAL_CLIENT_SECRET"][:PREFIX]
    _logins[host.name] = _Login(client, found["INFISICAL_CLIENT_ID"], known, until)
    return client


def deployer_id(port: int) -> str:
    """Return the client id of the deployer's login. Raises as `deployer` does."""
    deployer(port)
    return _logins[host.name].client_id


def deployer_secret(port: int) -> str:
    """Return the id of the deployer's client secret. Raises as `deployer` does.

    If the deployer's file is an earlier release's and lacks the id, return the secret's prefix.
    """
    deployer(port)
    return _logins[host.name].secret_id


def administrator(port: int) -> Client:
    """Return a client with the first administrator's token; it logs in again each time.

    Raises NotBootstrapped where the host has no administrator, or one that the server refuses.
    """
    with agent_failures():
        return login.log_in_administrator(api(port), read_env(login.ADMIN_FILE), _organization())


def expect_administrator(admin_email: str) -> None:
    """Raise Refused if the current host's administrator is not the one of the settings.

    The project would be opened to whoever owns the other address.
    """
    stored = read_env(login.ADMIN_FILE).get("INFISICAL_ADMIN_EMAIL", "")
    refuse_other_administrator(stored, admin_email)


def _organization() -> str | None:
    """Return the deployer's organization, None if it isn't logged in.

    The administrator may be in other organizations too, because every user may create some.
    """
    kept = _logins.get(host.name)
    try:
        return identities.organization_id(kept.client) if kept else None
    except ApiError:  # the login from before a restore
        return None


def answers(port: int) -> bool:
    """Return whether the API of the current host works and will keep working.

    While Docker is down, nothing reads the containers' output, so that they hang sooner or later.
    """
    return NO_ENGINE not in journal.current().unknown and api(port).answers()


def works(port: int) -> bool:
    """Return whether the API of the current host works and the deployer can log in."""
    try:
        return answers(port) and bool(deployer(port))
    except NotBootstrapped:
        return False


def unknown_contents() -> str:
    """Return a description of the unknown contents of an Infisical that can't be inspected yet.

    Empty for a host without a database, which certainly has no contents.
    """
    restores = journal.current().event == "restore"
    return _UNSEEN if restores or inspect(question_for()).database else ""


def forget() -> None:
    """Have the next `deployer` log in again on the current host."""
    _logins.pop(host.name, None)


def read_env(path: str) -> dict[str, str]:
    """Return the variables of an env file on the host, without logging them; empty without it."""
    return login.parse_variables(read_text(path))


def transport_for(connector: object) -> httpx.BaseTransport | None:
    """Return a transport through the SSH connection of a pyinfra connector; None if it has none."""
    client = getattr(connector, "client", None)
    ssh = client.get_transport() if isinstance(client, paramiko.SSHClient) else None
    return SSHTransport(ssh) if ssh is not None else None
