"""A change to how the host is reached, which undoes itself unless a new connection proves alive.

The host itself is told first how to bring back what was: it does so after a while, or at its next
boot, whatever becomes of this process, of the connection and of the change.
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
_SECONDS = 60
_ATTEMPTS = 3
_ANSWER_SECONDS = 10


def try_change(
    what: str, change: Callable[[], object], *, back: str, seconds: int = _SECONDS
) -> None:
    """Make a change on the current host, and keep it only if a new connection works afterwards.

    The connection that is open is used until then; it is no proof, for it was let in before. An
    earlier trial of the same `what` that has not ended is taken back first.

    Args:
        what: a word for it, such as `firewall`; names of files and units on the host have it.
        change: makes the change, by `remote.run` and `remote.write`.
        back: commands of the shell, run as root with `sh -e`, that bring back what was. They may be
            run when only half of the change was made, and again when they were interrupted. They
            are kept in a file that only root can read.
        seconds: after which the host brings it back by itself. `change` and the proof, which may
            take 35 seconds, must have ended by then.

    Raises RunFailed if the change fails or no new connection can be made; what was is back then.
    Where the connection itself is lost, it is back after `seconds`.
    """
    run(
        script("trial", "arm", what, str(seconds)),
        doing=f"prepare the way back from a change of the {what}",
        stdin=back,
    )
    try:
        change()
        check_connection(host)
    except (UserError, *LOST) as error:
        if is_lost(error):
            raise RunFailed(
                f"the connection was lost while the {what} was changed ({type(error).__name__}): "
                f"the host brings back what was within {seconds} s; run again then"
            ) from None
        run(script("trial", "back", what), doing=f"bring back the {what} of before")
        raise RunFailed(f"{error}; the {what} is as it was before") from None
    run(script("trial", "keep", what), doing=f"keep the change of the {what}")


def mark(what: str) -> str:
    """The file on the host that is there from the beginning of a trial of `what` to its end."""
    return f"{DIRECTORY}/{what}"


def check_connection(host: Host) -> None:
    """Prove that `host` lets a new connection in, made and verified as its first one was.

    There is nothing to prove on the machine that this runs on. Raises RunFailed.
    """
    if not isinstance(host.connector, SSHConnector):
        return None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _connect(host)
        except (ConnectError, *LOST) as error:
            reason = str(error) or type(error).__name__
            if attempt < _ATTEMPTS:
                # A server that is told to read its configuration again is away for a moment.
                time.sleep(1)
    raise RunFailed(f"no new connection can be made to {host.name}: {reason}")


def _connect(host: Host) -> None:
    second = SSHConnector(host.state, host)
    second.connect()
    assert second.client is not None
    try:
        _, output, _ = second.client.exec_command("echo alive", timeout=_ANSWER_SECONDS)
        if output.read().strip() != b"alive":
            raise ConnectError("it lets one log in, but runs no command")
    finally:
        second.client.close()
