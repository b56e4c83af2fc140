"""Kill the agent on the host after a line of its source, and infisical-iac with it.

The agent that this process brings to the host kills itself there, once. This process ends as soon
as it notices that.
"""

import io
import os
import secrets
from typing import Any
from zipfile import ZipFile

from infisical_iac.core.errors import CommandFailed
from tests.e2e.dying_script import KILLED, replace

_DEATH = (
    "import os as _os; _died = '/run/died-{token}'; "
    "_os.path.exists(_died) or (open(_died, 'w').close(), _os.kill(_os.getpid(), 9))"
)


def die_after_line(module: str, line: str) -> None:
    """Kill the agent when it has run a line, given by its module and its end."""
    from infisical_iac.backup import snapshot
    from infisical_iac.change import rotation
    from infisical_iac.core import archive, transaction
    from infisical_iac.core.agent import Question, perform

    killing = _insert_death(archive.build(), module, line)
    replace(archive, "build", lambda: killing)
    archive.path.cache_clear()

    def die(asked: Question[Any], **more: Any) -> Any:
        # This side would start a unit again that has died.
        if "transaction.start" in [each.name for each in asked.calls]:
            os._exit(KILLED)
        try:
            return perform(asked, **more)
        except CommandFailed:
            os._exit(KILLED)

    for each in (rotation, snapshot, transaction):
        replace(each, "perform", die)


def _insert_death(archive: bytes, module: str, line: str) -> bytes:
    """Return the agent with a death in place after a line."""
    name, buffer = f"infisical_iac/agent/{module}.py", io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as old, ZipFile(buffer, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == name:
                content = _with_death(content.decode(), line).encode()
            new.writestr(member, content)
    return buffer.getvalue()


def _with_death(text: str, line: str) -> str:
    lines = text.splitlines()
    (number,) = (number for number, each in enumerate(lines) if each.endswith(line))
    found = lines[number]
    indent = " " * (len(found) - len(found.lstrip()) + 4 * found.endswith(":"))
    death = indent + _DEATH.format(token=secrets.token_hex(8))
    return "\n".join([*lines[: number + 1], death, *lines[number + 1 :], ""])
