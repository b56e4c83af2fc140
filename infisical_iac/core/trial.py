"""Change SSH or the firewall, with a rollback if no new connection can be made.

The host gets the commands of the rollback first. It runs them after a while, or at its next boot,
unless a new connection succeeds before. This does not depend on this process or its connection.
"""

import time
from collections.abc import Callable

from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import host

from infisical_iac.core.connection import LOST, is_lost
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

DIRECTORY = "/var/lib/infisical-trial"
# After this time the host rolls back by itself. The change and the proof, which may take 35
# seconds, must have ended before.
_SECONDS = 60
_ATTEMPTS = 3
_ANSWER_SECONDS = 10


def try_change(what: str, change: Callable[[], object], *, back: str) -> None:
    """Make a change on the current host, and keep it only if a new connection works afterwards.

    The open connection is not proof, as it was accepted before the change. An unfinished earlier
    trial of the same `what` is rolled back first.

    Args:
        what: a word for the changed object, such as `firewall`. Names of files and units on the
            host contain it.
        change: makes the change with `remote.run` and `remote.write`.
        back: the rollback: commands of the shell that root runs with `sh -e`. They must also work
            after half of the change, or after an interrupted rollback. A file that only root can
            read holds them.

    Raises RunFailed, after the rollback, if the change fails or no new connection can be made. If
    the connection itself breaks, the host rolls back by itself.
    """
    run(
        script("trial", "arm", what, str(_SECONDS)),
        doing=f"prepare the rollback of a change of the {what}",
        stdin=back,
    )
    try:
        change()
        check_connection(host)
    except (UserError, *LOST) as error:
        if is_lost(error):
            raise RunFailed(
                f"the connection was lost while the {what} was changed ({type(error).__name__}): "
                f"the host rolls it back within {_SECONDS} s; run again then",
                code="run.connection_lost",
            ) from None
        run(script("trial", "back", what), doing=f"roll back the {what}")
        raise RunFailed(
            f"{error}; the change of the {what} was undone", code="run.rolled_back"
        ) from None
    run(script("trial", "keep", what), doing=f"keep the change of the {what}")


def mark(what: str) -> str:
    """Return the path of the file that exists on the host during a trial of `what`."""
    return f"{DIRECTORY}/{what}"


def check_connection(host: Host) -> None:
    """Raise RunFailed unless `host` accepts a new connection, made and verified as the first one.

    For a connection that is not by SSH, such as `@local`, nothing is checked.
    """
    if not isinstance(host.connector, SSHConnector):
        return None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _connect(host)
        except (ConnectError, *LOST) as error:
            reason = str(error) or type(error).__name__
            if attempt < _ATTEMPTS:
                # A server that reloads its configuration is unreachable for a moment.
                time.sleep(1)
    raise RunFailed(f"no new connection can be made to {host.name}: {reason}")


def _connect(host: Host) -> None:
    second = SSHConnector(host.state, host)
    second.connect()
    assert second.client is not None
    try:
        _, output, _ = second.client.exec_command("echo alive", timeout=_ANSWER_SECONDS)
        if output.read().strip() != b"alive":
            raise ConnectError("the login works, but no command can be run")
    finally:
        second.client.close()
