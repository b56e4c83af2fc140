"""Deploy operations to fake hosts, for `forked.run`, as gevent patches the whole process."""

from infisical_iac.core.deployment import prepare

# isort: split
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyinfra.api.config import Config
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state, host

from infisical_iac.core import audit, operation
from infisical_iac.core.change import Change, Unknown
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step

_made: list[str] = []
_audits: list[tuple[str, str, str, Sequence[str], str]] = []


@planned_operation
def package(broken: str) -> Commands:
    """Install a package on each host."""
    yield Change("+", "package curl", diff="+1")
    yield step(_make, "package", broken)


@planned_operation
def key_on_first() -> Commands:
    """Make a key; called on the first host only, before the operations of all hosts."""
    yield Change("+", "key")
    yield step(_make, "key", "")


@planned_operation
def file_on_second() -> Commands:
    """Change a file on the second host; the state of the first host depends on this file."""
    if host.name == "two" and "file on two" not in _made:
        yield Change("~", "file", "old → new")
        yield step(_make, "file", "")


@planned_operation
def rest_on_first() -> Commands:
    """Change the first host; the change is unknown until the second host has its file."""
    if host.name == "one":
        if "file on two" in _made:
            yield Change("+", "the rest")
            yield step(_make, "rest", "")
        else:
            yield Unknown("the rest can be seen once two is corrected")


def _make(name: str, broken: str) -> None:
    if host.name == broken:
        raise UserError("it does not work")
    _made.append(f"{name} on {host.name}")


def _append(event: str, outcome: str, changes: Sequence[str] = (), reason: str = "") -> None:
    _audits.append((host.name, event, outcome, list(changes), reason))


def _steps(broken: str) -> None:
    if host.name == "one":
        key_on_first(name="Key")
    package(broken=broken, name="Package")
    file_on_second(name="File")
    rest_on_first(name="Rest")
    operation.closing_entry(name="Record")


@contextmanager
def _hosts(names: list[str]) -> Iterator[Host]:
    inventory = Inventory((names, {}))  # type: ignore[no-untyped-call]
    config = Config()  # type: ignore[no-untyped-call]
    state = State(inventory, config)
    with ctx_state.use(state), ctx_config.use(config), ctx_inventory.use(inventory):
        for each in inventory:
            state.activate_host(each)
        with ctx_host.use(inventory.get_host(names[0])):
            yield inventory.get_host(names[0])


def main(names: str, broken: str = "") -> dict[str, Any]:
    """Return the plan, the steps that ran, the entries of the audit logs, and the error.

    `names` are the hosts, separated by commas, and `broken` is the host that fails.
    """
    audit._append = _append
    found: dict[str, Any] = {"steps": [], "error": ""}
    with _hosts(names.split(",")) as first:
        deployment = prepare(first, lambda: _steps(broken))
        found["planned"] = deployment.lines()
        try:
            for done in deployment.run(lambda _: None):
                found["steps"].append([done.name, [str(item) for item in done.changes]])
        except RunFailed as error:
            found["error"] = str(error)
    return found | {"made": sorted(_made), "audits": sorted(_audits)}
