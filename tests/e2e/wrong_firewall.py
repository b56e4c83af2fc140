"""`python -m tests.e2e.wrong_firewall <end> …`: run pyinfra with a firewall that locks it out.

The firewall opens another port for SSH. With `proof` the run tests the connection, which fails.
With `death` the run is killed before that, and the host rolls back by itself after SECONDS.
"""

import os
import sys
from collections.abc import Sequence

from infisical_iac.core import connection
from infisical_iac.core.settings import Settings
from infisical_iac.host import firewall
from infisical_iac.host.openings import Opening, openings

KILLED = 137
SECONDS = 8
_WRONG_PORT = 2222


def _wrong(settings: Settings, *_: int, peers: Sequence[str]) -> tuple[Opening, ...]:
    return openings(settings, _WRONG_PORT, peers=peers)


def _die(*_: object) -> None:
    os._exit(KILLED)


def lock_out(end: str) -> None:
    """Patch this process to load the wrong firewall, and to end as `end` says."""
    vars(firewall)["openings"] = _wrong
    # One attempt is enough, and takes ten seconds.
    vars(connection)["_TRIAL_ATTEMPTS"] = 1
    if end == "death":
        vars(connection)["check_connection"] = _die
        vars(connection)["_TRIAL_SECONDS"] = SECONDS


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    from pyinfra_cli.cli import cli

    lock_out(sys.argv.pop(1))
    cli()
