"""Run commands without printing their output, read facts, and write files atomically."""

import posixpath
import shlex
from typing import Any, TypeVar, get_args

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.context import ctx_host, host, state

from infisical_iac.core import journal
from infisical_iac.core.errors import CommandFailed


def run(command: str, *, doing: str, stdin: str | None = None) -> str:
    """Run a command on the current host, and return its standard output.

    Args:
        command: a command of the shell, without secrets.
        doing: what the command does, which completes the sentence "could not …".
        stdin: its standard input, which may hold secrets.

    Neither the output nor `stdin` is printed, at any verbosity. Raises CommandFailed, and EOFError
    if the connection was closed meanwhile.
    """
    # Outside of operations, the settings of sudo are in the host's own data.
    given: Any = host.current_op_global_arguments or host.data.dict()  # type: ignore[no-untyped-call]
    arguments = {key: given[key] for key in CONNECTOR_ARGUMENT_KEYS if key in given}
    if stdin is not None:
        arguments["_stdin"] = stdin
    succeeded, output = host.run_shell_command(
        StringCommand(command), print_output=False, print_input=state.print_input, **arguments
    )
    if not succeeded:
        if _is_disconnected():
            raise EOFError
        reason = " / ".join(output.stderr_lines[-3:]) or "no reason given"
        raise CommandFailed(f"could not {doing}: {reason}")
    return output.stdout


def _is_disconnected() -> bool:
    """Return whether the host has closed its SSH connection, which pyinfra takes for a failure."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    return transport is not None and not transport.is_active()


def write(path: str, content: str, *, mode: str = "600", check: str = "") -> None:
    """Write a file atomically: a reader sees the old file or the new one.

    Args:
        mode: the file's permissions. For "600", missing folders are private too.
        check: a command that validates the new file; `{}` stands for its path. If it fails, the old
            file stays.

    The new file is created with umask 077 next to the old one. It is flushed to the disk before it
    replaces the old one, and its folder is flushed afterwards, so that a power cut does not bring
    the old file back. Raises CommandFailed.
    """
    new, target = shlex.quote(f"{path}.new"), shlex.quote(path)
    steps = [
        f'(umask {"077" if mode == "600" else "022"}; mkdir -p "$(dirname {target})")',
        f"umask 077; cat > {new}",
        f"chmod {mode} {new}",
        *([check.replace("{}", new)] if check else []),
        f"sync {new}",
        f"mv -f {new} {target}",
        f'sync "$(dirname {target})"',
    ]
    forget_answers()
    cleanup = f"{{ rm -f {new}; exit 1; }}"
    run(f"{' && '.join(steps)} || {cleanup}", doing=f"write {path}", stdin=content)


def forget_answers() -> None:
    """Discard the answers of the agent, which a change may make outdated."""
    if ctx_host.isset():  # type: ignore[no-untyped-call]
        journal.current().answers.clear()


def remove(*paths: str, doing: str) -> None:
    """Remove files of the current host, so that a power cut does not bring them back.

    `doing` is as for `run`. Raises CommandFailed.
    """
    forget_answers()
    run(removal(*paths), doing=doing)


def removal(*paths: str) -> str:
    """Return the command that removes files, with their folders flushed to the disk."""
    folders = shlex.join(sorted({posixpath.dirname(each) for each in paths}))
    return (
        f"rm -f -- {shlex.join(paths)} && for folder in {folders}; do "
        '[ ! -d "$folder" ] || sync "$folder"; done'
    )


T = TypeVar("T")


class Fact(FactBase[T]):
    """A fact with a typed value, which is the argument of the base: `class Keys(Fact[KeysState])`.

    If the host reports nothing, the value is the type's own default: `KeysState()`.
    """

    @classmethod
    def default(cls) -> T:
        (value,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        empty: T = value()
        return empty
