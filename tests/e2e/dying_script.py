"""`python -m tests.e2e.dying_script <script> <line> …`: kill infisical-iac at a line.

The running script on the host is killed right after its line that ends with <line>, and this
process with it. The script `agent/<module>` is a module of the agent. The script `agent` stands for
its actions: this process ends right after the action <line>, such as `stack.up`.
"""

import os
import sys
from typing import Any

from infisical_iac.core.errors import CommandFailed

KILLED = 137
# A line of agent/snapshot.py: the copy of the database runs, and has no data yet.
LOADING = ("agent/snapshot", 'container = copy.start("postgres")["postgres"]')
AGENT = "agent"
_LAST_WORDS = "killed by the test"


def program(script: str, line: str) -> tuple[str, ...]:
    """Return the program that runs `infisical-iac` and kills it at this line."""
    return (sys.executable, "-m", "tests.e2e.dying_script", script, line)


def replace(module: object, name: str, with_: Any) -> None:
    """Replace a module's attribute."""
    assert hasattr(module, name), f"{module} has no {name}"
    setattr(module, name, with_)


def die_at(script: str, line: str) -> None:
    """Kill this process when the script on the host has run a line, or the agent an action."""
    if script == AGENT:
        _die_after(line)
        return
    if script.startswith(f"{AGENT}/"):
        from tests.e2e.dying_agent import die_after_line

        die_after_line(script.removeprefix(f"{AGENT}/"), line)
        return
    from infisical_iac.change import rotation
    from infisical_iac.cluster import restore, scaling
    from infisical_iac.core import rendering
    from infisical_iac.core.remote import run
    from infisical_iac.stack import compose

    original = rendering._text
    killing = _insert_kill(original(script), line)
    replace(rendering, "_text", lambda name: killing if name == script else original(name))

    def die(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except CommandFailed as error:
            if _LAST_WORDS in str(error):
                os._exit(KILLED)
            raise

    changing = [rotation, scaling]
    for module in [*changing, restore, compose]:
        replace(module, "run", die)


def _die_after(action: str) -> None:
    from infisical_iac.change import rotation
    from infisical_iac.core.agent import Question, perform
    from infisical_iac.stack import compose

    def die(asked: Question[Any], **more: Any) -> Any:
        done = perform(asked, **more)
        if action in [each.name for each in asked.calls]:
            os._exit(KILLED)
        return done

    for module in (rotation, compose):
        replace(module, "perform", die)


def _insert_kill(text: str, line: str) -> str:
    lines = text.splitlines()
    whole = [number for number, each in enumerate(lines) if each == line]
    ends = [number for number, each in enumerate(lines) if each.endswith(line)]
    (number,) = whole or ends
    # `continue` would skip the kill.
    last = lines[number].removesuffix(" && continue")
    dying = [last, f"echo {_LAST_WORDS} >&2", "kill -9 $$"]
    return "\n".join([*lines[:number], *dying, *lines[number + 1 :]])


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    die_at(sys.argv.pop(1), sys.argv.pop(1))
    main()
