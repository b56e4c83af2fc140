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

from infisical_iac.core import audit, end_of_run
from infisical_iac.core.change import Change, Unknown
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step

_made: list[str] = []
_audits: list[tuple[str, str, str, Sequence[str], str]] = []


@planned_operation
def everywhere(broken: str) -> Commands:
    """Is due on each host."""
    yield Change("+", "package curl", diff="+1")
    yield step(_make, "everywhere", broken)


@planned_operation
def first_only() -> Commands:
    """Is called on the first host only, before the operations of all hosts."""
    yield Change("+", "key")
    yield step(_make, "alone", "")


@planned_operation
def on_the_second() -> Commands:
    """Is due on the second host; the state of the first one depends on it."""
    if host.name == "two" and "second on two" not in _made:
        yield Change("~", "file", "old → new")
        yield step(_make, "second", "")


@planned_operation
def on_the_first() -> Commands:
    """Is due on the first host, and unknown before the second one has changed."""
    if host.name == "one":
        if "second on two" in _made:
            yield Change("+", "the rest")
            yield step(_make, "first", "")
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
        first_only(name="Alone")
    everywhere(broken=broken, name="Everywhere")
    on_the_second(name="On the second")
    on_the_first(name="On the first")
    end_of_run.closing_entry(name="Record")


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
    """Return what was planned, run and written into the audit logs, and the result.

    `names` are the hosts, divided by commas, and `broken` is the one that fails.
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
