"""Run a deploy with blocked operations by `forked.run`, because gevent patches the process."""

from infisical_iac.core.deployment import prepare

# isort: split
from collections.abc import Callable, Sequence
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

from infisical_iac.core import audit, journal, operation
from infisical_iac.core.change import Change, Unknown, UpToDate, together
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from tests.unit.cluster.fake_run import _hosts

_PARTS = {
    "Firewall": ("Drop",),
    "Docker": ("Install Docker", "Keep Docker running"),
    "Hardening": ("Harden the kernel", "Harden SSH"),
    "Stack": ("Make keys", "Configure the ingress", "Change the version", "Run containers"),
    "Bootstrap": ("Make the deployer",),
    "Workspace": ("Converge Infisical",),
    "Credentials": ("Store client secrets",),
    "Backup": ("Configure backups",),
    "Ingress": ("Open the edge",),
}
_INSIDE = ("Bootstrap", "Workspace", "Credentials")

_blocked: list[str] = []
_silent: list[str] = []
_starts: list[str] = []
_shared: list[str] = []
_done: list[str] = []
_audits: list[tuple[str, str, Sequence[str], str]] = []


@planned_operation
def change_unless_blocked(what: str, part: str) -> Commands:
    """Make a change, unless it is blocked."""
    if f"{what} alone" in _blocked:
        raise UserError(f"no {what} because of a setting", blocks_others=False)
    if {what, f"{host.name}:{what}"} & {*_blocked}:
        raise UserError(f"no {what} because of /a/file", code="error.file")
    if part in _INSIDE and _silent and not state.is_executing:
        yield Unknown("the project can be read once Infisical runs")
    elif what == "Keep Docker running" and _starts and f"Install Docker on {host.name}" in _done:
        yield UpToDate("Docker runs")
        return
    elif _shared and what in ("Drop", "Configure backups"):
        if f"Drop on {host.name}" not in _done:
            yield Change("~", "a shared file")
        if what == "Configure backups":
            yield Change("~", what)
    else:
        yield Change("~", what)
    yield step(_do, what)


def _do(what: str) -> None:
    _done.append(f"{what} on {host.name}")


def _append(event: str, outcome: str, changes: Sequence[str] = (), reason: str = "") -> None:
    _audits.append((host.name, outcome, list(changes), reason))


def _part(name: str) -> Callable[[], object]:
    @deploy(name)
    def part() -> None:
        for what in _PARTS[name]:
            change_unless_blocked(what=what, part=name, name=what)

    return part


def _steps(goes_on: bool) -> None:
    journal.current().goes_on = goes_on
    for name in _PARTS:
        _part(name)()
    operation.closing_entry(name="Record")


def _plainly(state: State, found: dict[str, Any], goes_on: bool) -> None:
    state.set_stage(StateStage.Prepare)
    state.check_for_changes = True
    _steps(goes_on)
    state.set_stage(StateStage.Execute)
    state.is_executing = True
    try:
        run_ops(state)
    except PyinfraError as error:
        found["error"] = str(error)
    found["failed"] = sorted(each.name for each in state.failed_hosts)


def main(names: str, blocks: str, *how: str) -> dict[str, Any]:
    """Return what was planned, blocked and done, the entries of the audit log, and the error.

    Args:
        names: the hosts, separated by commas.
        blocks: the blocked operations, of all hosts or of one as in "two:Harden SSH", separated by
            commas. With "alone" after its name, an operation blocks no other one.
        how: "new": the hosts have no deployment yet; "plain": pyinfra's own command line runs the
            deploy; "starts": Docker runs as soon as it is installed; "shared": two operations need
            the same file.
    """
    blocked, goes_on = blocks.split(","), "new" not in how
    audit._append = _append
    _blocked.extend(each for each in blocked if each != "silent")
    _silent.extend(each for each in blocked if each == "silent")
    _starts.extend(each for each in how if each == "starts")
    _shared.extend(each for each in how if each == "shared")
    found: dict[str, Any] = {"error": "", "code": "", "planned": [], "blocked": []}
    with _hosts(names.split(",")) as first:
        try:
            if "plain" in how:
                _plainly(first.state, found, goes_on)
            else:
                deployment = prepare(first, lambda: _steps(goes_on))
                found["planned"] = deployment.lines()
                items = together(deployment.journal.blocked_parts)
                found["blocked"] = [(each.host, each.what, each.detail) for each in items]
                for _ in deployment.run(lambda _: None):
                    pass
                deployment.refuse_blocked()
        except (RunFailed, PyinfraError) as error:
            found["error"], found["code"] = str(error), getattr(error, "code", "")
    return found | {"done": _done, "audits": _audits}
