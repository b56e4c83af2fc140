"""Plan and run `deploy.py` in this process, step by step."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# This must come first, as it patches the process with gevent.
from infisical_iac.core.inventory import connect

# isort: split
import pyinfra
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import State, StateStage
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.util import exec_file

from infisical_iac.core import audit, journal, lock
from infisical_iac.core.change import Change, together, with_names
from infisical_iac.core.connection import LOST, current, each_of, explain_loss, is_lost, with_others
from infisical_iac.core.errors import FileError, RunFailed, UserError
from infisical_iac.core.journal import Journals
from infisical_iac.core.operation import Refusal
from infisical_iac.core.own_repository import DEPLOY, require_deploy, require_inventory
from infisical_iac.core.settings import Settings, load

_AGAIN = "run again to complete it"


@dataclass(frozen=True)
class DeployStep:
    """A step that was run: its changes, and its duration in seconds."""

    name: str
    changes: list[Change]
    seconds: float


@dataclass(frozen=True)
class Deployment:
    """A deploy whose operations have inspected the hosts and changed nothing yet.

    Attributes:
        host: the single host, or the cluster's leader.
        journal: the planned and the made changes.
        hosts: all connected hosts.
    """

    host: Host
    journal: Journals
    hosts: list[Host]

    @property
    def is_up_to_date(self) -> bool:
        """True if there is nothing to change and nothing is blocked."""
        return not self.has_work and not self.journal.blocked_parts

    @property
    def has_work(self) -> bool:
        """True if a run would do anything."""
        return bool(self.journal.planned_changes or self.journal.unknown)

    def plan(self) -> tuple[list[Change], list[str]]:
        """Return the changes of a run, and sentences on what can't be seen before they are made.

        Raises RunFailed if something can't be seen and no change would help.
        """
        planned, unknown = self.journal.planned_changes, self.journal.unknown
        if unknown and not planned and not self.journal.blocked_parts:
            raise RunFailed(f"cannot compute a complete plan: {'; '.join(unknown)}")
        return planned, unknown

    def lines(self) -> list[str]:
        """Return the plan as lines, with the blocked parts. Raises RunFailed as `plan` does."""
        planned, unknown = self.plan()
        changes = together([*planned, *self.journal.blocked_parts])
        return [*map(str, changes), *(f"? {each}" for each in unknown)]

    def refuse_blocked(self) -> None:
        """Raise RunFailed with the blocked parts, if there are any; call it last."""
        if blocked := together(self.journal.blocked_parts):
            raise RunFailed(
                "; ".join(str(each).removeprefix("! ") for each in blocked), code="run.blocked"
            )

    def run(self, begin: Callable[[str], None], remedy: str | None = None) -> Iterator[DeployStep]:
        """Run the steps, and yield each that changed something once it is done.

        Args:
            begin: called with the name of each step before the step.
            remedy: what to do about a failed step; None for another run.

        Facts of the plan are not read again until a step has changed something. Raises RunFailed if
        a step fails or is interrupted, and records it in the audit log.
        """
        state: State = self.host.state
        state.set_stage(StateStage.Execute)
        state.is_executing = True
        name = ""
        try:
            for operation in state.get_op_order():  # type: ignore[no-untyped-call]
                name = ", ".join(state.get_op_meta(operation).names)
                begin(name)
                if step := self._run(name, operation):
                    yield step
        except (RunFailed, KeyboardInterrupt) as error:
            reason = str(error) or f"interrupted in {name!r}"
            self._end_in_log(reason)
            raise RunFailed(f"{reason}; {self.journal.remedy or remedy or _AGAIN}") from None

    def _run(self, name: str, operation: str) -> DeployStep | None:
        before, started = self.journal.counts(), time.monotonic()
        state: State = self.host.state
        hosts = [each for each in self.hosts if operation in state.ops[each]]
        done = each_of(hosts, lambda host: run_host_op(state, host, operation))
        failed = [host.name for host, succeeded in zip(hosts, done, strict=True) if not succeeded]
        if failed:
            raise RunFailed(f"{name}: {self.journal.failure(failed)}")
        changes = self.journal.changes_since(before)
        return DeployStep(name, changes, time.monotonic() - started) if changes else None

    def _end_in_log(self, reason: str) -> None:
        for host in self.hosts:
            if not journal.of(host.name).has_changed:
                continue
            with current(host):
                try:
                    audit.end(reason=reason)
                except (UserError, *LOST):
                    continue  # The host itself may have failed.


@contextmanager
def open_deployment(
    inventory: str,
    *,
    writes: Callable[[Host], None] | None,
    check: Callable[[Settings], object] = lambda _: None,
) -> Iterator[Deployment]:
    """Connect to the inventory's hosts, and yield the deploy once its operations have planned.

    Args:
        writes: takes the lock of a connected host; None for a plan, which takes none.
        check: called with each host's settings before the first connection; raises a UserError to
            end there.

    Raises a UserError, with nothing changed.
    """
    require_inventory(inventory)
    require_deploy()

    def check_settings(hosts: Sequence[Host]) -> None:
        for host in hosts:
            check(load(host.data.dict()))  # type: ignore[no-untyped-call]

    with connect(inventory, shares=False, check=check_settings) as host:
        if writes:
            writes(host)
        yield prepare(host)


def prepare(host: Host, steps: Callable[[], object] | None = None) -> Deployment:
    """Have the deploy's operations inspect all connected hosts, and return the deploy.

    Args:
        host: the single host, or the cluster's leader.
        steps: calls the operations; None for those of deploy.py.

    Takes no lock, and has the deploy take none either. Raises a UserError, with nothing changed.
    """
    if steps is None:
        require_deploy()
    lock.skip(host)
    state: State = host.state
    state.set_stage(StateStage.Prepare)
    state.check_for_changes = True
    state.current_deploy_filename = str(DEPLOY) if steps is None else None
    hosts = with_others(host)
    # With is_cli, pyinfra identifies operations by where they are called, as its own command line
    # does, and not by how many were called before: some are called for a cluster's leader only.
    pyinfra.is_cli = len(hosts) > 1
    for each in hosts:
        journal.of(each.name).is_read = True
        journal.of(each.name).answers.clear()
    _prepare_hosts(hosts, steps or _run_deploy_file)
    journal.block_waiting()
    operations = state.get_op_order() if len(hosts) > 1 else ()  # type: ignore[no-untyped-call]
    journals = {each.name: journal.of(each.name) for each in hosts}
    return Deployment(host, Journals(journals, operations), hosts)


def _run_deploy_file() -> None:
    try:
        exec_file(str(DEPLOY))
    except UnexpectedExternalError as error:
        # pyinfra wraps errors that it does not know, and would print a traceback.
        raise error.exception from None


def _prepare_hosts(hosts: Sequence[Host], steps: Callable[[], object]) -> None:
    said: dict[str, list[str]] = {}
    codes = set()
    for host, error in zip(
        hosts, each_of(hosts, lambda host: _prepare_one(host, steps)), strict=True
    ):
        if error:
            said.setdefault(error[0], []).append(host.name)
            codes.add(error[1])
    if said:
        # An error of all hosts, such as a wrong setting, is reported without their names.
        sentences = with_names(said, of=len(hosts))
        code = codes.pop() if len(codes) == 1 else RunFailed.code
        raise RunFailed("; ".join(sentences), code=code)


def _prepare_one(host: Host, steps: Callable[[], object]) -> tuple[str, str] | None:
    """Have the operations inspect one host; return an error's sentence and code, or None."""
    try:
        steps()
    except (Refusal, UserError) as error:
        return str(error), error.code
    except PyinfraError as error:
        return str(error), RunFailed.code
    except LOST as error:
        code = "unreachable.host" if is_lost(error) else FileError.code
        return explain_loss(host, error, "run again"), code
    return None
