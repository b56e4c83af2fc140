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
    from infisical_iac.core import transaction
    from infisical_iac.core.agent import Question, perform

    insert_line(module, line, _DEATH.format(token=secrets.token_hex(8)))

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


def insert_line(module: str, line: str, new: str) -> None:
    """Have this process bring an agent with a new line after another one, given by its end."""
    from infisical_iac.core import archive

    name, buffer = f"infisical_iac/agent/{module}.py", io.BytesIO()
    with ZipFile(io.BytesIO(archive.build())) as old, ZipFile(buffer, "w") as made:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == name:
                content = _with_line(content.decode(), line, new).encode()
            made.writestr(member, content)
    replace(archive, "build", buffer.getvalue)
    archive.path.cache_clear()


def _with_line(text: str, line: str, new: str) -> str:
    lines = text.splitlines()
    (number,) = (number for number, each in enumerate(lines) if each.endswith(line))
    found = lines[number]
    indent = " " * (len(found) - len(found.lstrip()) + 4 * found.endswith(":"))
    return "\n".join([*lines[: number + 1], f"{indent}{new}", *lines[number + 1 :], ""])
