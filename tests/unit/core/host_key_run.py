"""Connect to servers on loopback whose host keys may be unknown, for `forked.run`."""

from infisical_iac.core import inventory

# isort: split
import os
from contextlib import redirect_stderr
from io import StringIO
from types import SimpleNamespace
from typing import Any

from infisical_iac.cluster import membership
from infisical_iac.core.connection import check_connection
from infisical_iac.core.errors import UserError


def main(file: str, leader: str, environment: dict[str, str], typed: str | None) -> dict[str, Any]:
    """Return the names of `connected` hosts, the `code` and `error`, and the `output`.

    Args:
        file: the inventory.
        leader: the name of the leader, if there are several hosts.
        environment: variables to set.
        typed: what a person types on the terminal; None for a process without a terminal.
    """
    os.environ.update(environment)
    vars(membership).update(observe=lambda: SimpleNamespace(leader=SimpleNamespace(name=leader)))
    if typed is not None:
        terminal, inside = os.openpty()
        os.write(terminal, typed.encode())
        os.dup2(inside, 0)
    found: dict[str, Any] = {"connected": [], "code": "", "error": ""}
    with redirect_stderr(StringIO()) as output:
        try:
            with inventory.connect(file) as host:
                active = [each for each in host.state.inventory if each in host.state.active_hosts]
                for each in active:
                    check_connection(each)
                found["connected"] = [each.name for each in active]
        except UserError as error:
            found |= {"code": error.code, "error": str(error)}
    return found | {"output": output.getvalue()}
