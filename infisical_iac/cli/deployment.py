"""`deploy.py` in this process: what it would change, and the run, step by step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from infisical_iac.cli.connect import connected
from infisical_iac.cli.options import Lock

# isort: split
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import State, StateStage
from pyinfra_cli.util import exec_file

from infisical_iac.connection import LOST, lost
from infisical_iac.errors import UserError
from infisical_iac.item import Item
from infisical_iac.operations import audit, journal, lock
from infisical_iac.operations.journal import Journal

_DEPLOY = "deploy.py"
_AGAIN = "run again, and what is missing is completed"


class DeployError(UserError):
    """The deploy could not be planned, or a step of it failed."""


@dataclass(frozen=True)
class Step:
    """A step that has been run.

    Attributes:
        made: what it changed.
        seconds: how long it took.
    """

    name: str
    made: list[Item]
    seconds: float


@dataclass(frozen=True)
class Deployment:
    """A deploy whose operations have looked at the host and not changed anything yet."""

    host: Host
    journal: Journal

    @property
    def settled(self) -> bool:
        """Whether there is nothing to change."""
        return not self.journal.planned and not self.journal.unknown

    def planned(self) -> tuple[list[Item], list[str]]:
        """What a run would change, and what can't be seen before it has.

        Raises DeployError if something can't be seen and nothing is there that would help.
        """
        planned, unknown = self.journal.planned, self.journal.unknown
        if unknown and not planned:
            raise DeployError(f"nothing differs as far as can be seen, but {'; '.join(unknown)}")
        return planned, unknown

    def lines(self) -> list[str]:
        """The same, a line each. Raises DeployError as `planned` does."""
        planned, unknown = self.planned()
        return [*map(str, planned), *(f"? {each}" for each in unknown)]

    def run(self, begin: Callable[[str], None], remedy: str = _AGAIN) -> Iterator[Step]:
        """Run the steps, and yield each that has changed something once it is done.

        Args:
            begin: called with the name of each step before it.
            remedy: what helps if one fails.

        What the host was like when it was looked at is not read again until a step has changed
        something. Raises DeployError for a step that fails; that, and an interruption, is
        written into the audit log.
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
        except (DeployError, KeyboardInterrupt) as error:
            reason = str(error) or f"interrupted in {name!r}"
            self._end_in_log(reason)
            raise DeployError(f"{reason}; {self.journal.remedy or remedy}") from None

    def _run(self, name: str, operation: str) -> Step | None:
        before, started = len(self.journal.made), time.monotonic()
        if not run_host_op(self.host.state, self.host, operation):
            raise DeployError(f"{name}: {self.journal.failure}")
        made = self.journal.made[before:]
        return Step(name, made, time.monotonic() - started) if made else None

    def _end_in_log(self, reason: str) -> None:
        if self.journal.changed:
            try:
                audit.end(reason=reason)
            except (UserError, *LOST):
                return  # the host may be what failed


@contextmanager
def looked(inventory: str, *, writes: Lock | None) -> Iterator[Deployment]:
    """The deploy to the inventory's host, once its operations have looked at it.

    Args:
        writes: how to take the lock; None for a plan, which changes nothing and takes none.

    Raises a UserError, with nothing changed.
    """
    with connected(inventory) as host:
        if writes:
            lock.take(host, wait=writes.wait, by_force=writes.by_force)
        yield look(host)


def look(host: Host, steps: Callable[[], object] | None = None) -> Deployment:
    """Let the deploy's operations look at a host that is connected; raises as `looked` does.

    Takes no lock, and lets the deploy take none that is not held already.

    Args:
        steps: calls the operations; None for those of deploy.py.
    """
    lock.spare(host)
    state: State = host.state
    state.set_stage(StateStage.Prepare)
    state.check_for_changes = True
    state.current_deploy_filename = _DEPLOY if steps is None else None
    try:
        (steps or partial(exec_file, _DEPLOY))()
    except PyinfraError as error:
        raise DeployError(str(error)) from None
    except LOST as error:
        raise DeployError(f"{lost(host, error)}: run again") from None
    return Deployment(host, journal.current())
