"""Connect to fake hosts, for `forked.run`, as gevent patches the whole process."""

from infisical_iac.core import inventory

# isort: split
from contextlib import redirect_stderr
from io import StringIO
from types import SimpleNamespace
from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from pyinfra.context import host

from infisical_iac.cluster import membership, shared_state
from infisical_iac.core import lock
from infisical_iac.core.errors import Refused, UserError


def _run(setup: dict[str, Any]) -> list[str]:
    """Replace all that needs hosts by fakes; return the hosts that share their state."""
    shared: list[str] = []

    def connect_all(state: State) -> None:
        for each in state.inventory:
            if each.name in setup["up"]:
                state.activate_host(each)
            else:
                logger.error(f"{each.print_prefix}Could not connect (timed out)")
        if not setup["up"]:
            raise PyinfraError("No hosts remaining!")

    def find_cluster() -> Any:
        if setup.get("refused"):
            raise Refused(setup["refused"])
        return SimpleNamespace(leader=SimpleNamespace(name=setup["leader"]))

    def spread(_: object) -> tuple[str, ...]:
        shared.append(host.name)
        if setup.get("unshared"):
            raise UserError(setup["unshared"])
        return ()

    vars(inventory).update(connect_all=connect_all, disconnect_all=lambda _: None)
    vars(membership).update(observe=find_cluster)
    vars(shared_state).update(spread=spread)
    vars(lock).update(is_held=lambda _: bool(setup.get("writes")))
    return shared


def main(setup: dict[str, Any]) -> dict[str, Any]:
    """Connect; return the `current` host, hosts that `shared` their state, `error` and `output`.

    `setup` has these keys:

    - `inventory`, and the reachable hosts as `up`
    - `leader`: its name; or `refused`: the error instead of a leader
    - `writes`: whether the command takes the lock; `anyway`: whether it needs no majority
    - `fails`: the error of the command; `unshared`: the error of sharing the state
    """
    found: dict[str, Any] = {"current": "", "error": "", "shared": _run(setup)}
    with redirect_stderr(StringIO()) as output:
        try:
            with inventory.connect(setup["inventory"], quorum=not setup.get("anyway")) as leader:
                found["current"] = host.name
                assert leader.name == host.name
                if setup.get("fails"):
                    raise UserError(setup["fails"])
        except UserError as error:
            found["error"] = str(error)
    return found | {"output": output.getvalue()}
