"""Close the edge of the current host while a change is checked, and open it afterwards."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.public_address import read_certificates
from infisical_iac.core import connection
from infisical_iac.core.agent import Question, ask, inspect, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.connection import LOST, current, explain_loss, with_others
from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.settings import Settings
from infisical_iac.stack import ingress
from infisical_iac.stack.ingress import CADDYFILE, DIRECTORY
from infisical_iac.stack.paths import MARKER
from infisical_iac.stack.settings import StackSettings

_FILE = f"{DIRECTORY}/{MARKER}"


def is_ours(settings: StackSettings) -> bool:
    """Return whether clients connect to a Caddy of this project, which can be closed."""
    return settings.runs_caddy


def close(settings: Settings) -> None:
    """Have Caddy answer every request with 503 from now on. Raises a UserError.

    Without a Caddy of this project, nothing is closed. The call can be repeated.
    """
    if not is_ours(settings.stack):
        return
    run(f"mkdir -p -m 700 {DIRECTORY} && touch {_FILE} && sync {DIRECTORY}", doing="close the edge")
    prepare_closing(settings)


def prepare_closing(settings: Settings) -> None:
    """Bring the ingress that can be closed, if the host has an earlier version's. Raises UserError.

    Without a Caddy of this project, nothing can be closed.
    """
    if not is_ours(settings.stack):
        return
    run(f"mkdir -p -m 700 {DIRECTORY}", doing=f"make {DIRECTORY}")
    command = f"test ! -e {CADDYFILE} || grep -q 'try_files /{MARKER}' {CADDYFILE} || echo older"
    if run(command, doing=f"read {CADDYFILE}"):
        ingress.bring(settings)


def prepare_closing_on(settings: Settings, names: Sequence[str]) -> None:
    """Prepare the connected hosts of these names for a closed edge, as `prepare_closing` does.

    Tries all of them, and raises CommandFailed if one could not be prepared.
    """
    if failed := _on_each(names, lambda: prepare_closing(settings)):
        raise CommandFailed(
            f"the edge of every node can't be closed: {'; '.join(failed)}",
            code="command.close_edge",
        )


def close_on(settings: Settings, names: Sequence[str]) -> None:
    """Close the edge of the connected hosts of these names.

    Tries all of them, and raises CommandFailed if one could not be closed.
    """
    if failed := _on_each(names, lambda: close(settings)):
        raise CommandFailed(
            f"could not close the edge of every node: {'; '.join(failed)}",
            code="command.close_edge",
        )


def open_on(names: Sequence[str]) -> None:
    """Open the edge of the connected hosts of these names again.

    Reports each host that fails; the next run opens it. Raises CommandFailed if all fail.
    """
    failed = _on_each(names, open_)
    for each in failed:
        logger.warning(f"{host.print_prefix}The next run opens the edge of a node: {each}")
    if len(failed) == len(names):
        raise CommandFailed(
            f"could not open the edge of any node: {'; '.join(failed)}", code="command.open_edge"
        )


def _on_each(names: Sequence[str], do: Callable[[], None]) -> list[str]:
    """Call `do` on every host; return each failure with the host's name."""
    failed = []
    for name in names:
        with connection.on(name):
            try:
                do()
            except UserError as error:
                failed.append(f"{name}: {error}")
            except LOST as error:
                failed.append(explain_loss(host, error))
    return failed


@planned_operation
def opening() -> Commands:
    """Open the edge of the current host once no change is in progress.

    A node's edge stays closed if the node was unreachable at the end of the change that closed it.
    """
    there = inspect(edge_question())
    yield from decide(there)


def edge_question() -> Question[dict[str, PathState]]:
    """Return the question that `opening` asks."""
    return question(states, paths=[_FILE])


def decide(there: Collection[str]) -> Commands:
    """Decide whether to open the edge; it is closed if its mark exists."""
    if _FILE not in there:
        yield UpToDate("the edge is open")
        return
    yield Change("~", "edge", "closed → open")
    yield step(open_)


def open_() -> None:
    """Open the edge of the current host again. Raises CommandFailed."""
    run(f"rm -f {_FILE}; test ! -d {DIRECTORY} || sync {DIRECTORY}", doing="open the edge")


def read_certificates_of_others() -> list[str]:
    """Return the certificates of Caddy on all other connected hosts, as any node may answer."""
    found = []
    for each in with_others(host):
        if each.name == host.name:
            continue  # the agent there reads its own ones when it needs them
        with current(each), suppress(UserError, *LOST):  # another node may answer
            found.append(ask(question(read_certificates)))
    return found
