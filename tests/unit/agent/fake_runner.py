"""A fake host for the agent's functions: files below a directory, programs with fixed output."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from infisical_iac.agent import PROTOCOL
from infisical_iac.agent.runner import Failure, Output, Runner
from infisical_iac.agent.serving import encode, serve
from infisical_iac.core import archive
from infisical_iac.core.agent import Question

T = TypeVar("T")


def answer(asked: Question[T], runner: Runner, *, changes: bool = False) -> T:
    """Return the answer to a question; its calls and answers pass through JSON.

    With `changes`, the question is an action. Raises RuntimeError with the error of a call.
    """
    calls = [{"name": each.name, "arguments": json.loads(each.arguments)} for each in asked.calls]
    answers = serve(runner, {"protocol": PROTOCOL, "changes": changes, "calls": calls})
    for each in answers:
        if "error" in each:
            raise RuntimeError(Failure(**each["error"]))
    return asked.read([each["value"] for each in json.loads(json.dumps(answers, default=encode))])


_BY_ANOTHER = """
import json, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from infisical_iac.agent.runner import Runner
from infisical_iac.agent.serving import encode, serve
json.dump(serve(Runner(Path(sys.argv[2])), json.load(sys.stdin)), sys.stdout, default=encode)
"""


def answer_by_newest_python(asked: Question[T], host: Runner) -> T:
    """Return the answer of the agent to a question as Debian 13's Python runs it.

    On a machine without that, this Python runs it.
    """
    newest = Path("/usr/bin/python3.13")
    python = newest if newest.exists() else sys.executable
    file = host.root / "agent.pyz"
    file.write_bytes(archive.build())
    calls = [{"name": each.name, "arguments": json.loads(each.arguments)} for each in asked.calls]
    done = subprocess.run(
        [python, "-IS", "-c", _BY_ANOTHER, file, host.root],
        input=json.dumps({"protocol": PROTOCOL, "calls": calls}),
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.read([each["value"] for each in json.loads(done.stdout)])


def docker_container(
    id: str,
    *,
    project: str = "",
    service: str = "",
    swarm: str = "",
    state: str = "running",
    health: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return a container as `docker inspect` prints it in JSON, with `more` of its fields."""
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.swarm.service.name": swarm,
    }
    status: dict[str, Any] = {"Status": state, "Pid": 7 if state == "running" else 0}
    if health:
        status["Health"] = {"Status": health}
    return {
        "Id": id,
        "Name": f"/{id}",
        "Config": {"Image": f"{service or swarm}:1", "Labels": labels},
        "Image": f"sha256:{id}",
        "State": status,
        "RestartCount": 0,
        "NetworkSettings": {"Networks": {}},
        **more,
    }


def docker_answers(*containers: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers of a Docker that has these containers, the newest first."""
    return {
        "docker ps": "".join(f"{each['Id']}\n" for each in containers),
        "docker inspect": "".join(f"{json.dumps(each)}\n" for each in containers),
    }


@dataclass(frozen=True)
class FakeRunner(Runner):
    """A runner that answers each command line by the entry of `answers` with its first words.

    A program without an answer is not installed. `ran` has each call, with its standard input.
    """

    answers: Mapping[str, str | Output] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        command = " ".join(words)
        self.ran.append((command, stdin))
        for begin, found in self.answers.items():
            if command.startswith(begin):
                return found if isinstance(found, Output) else Output(0, found)
        return Output(127)

    def dump(
        self, words: Sequence[str], target: Path, *, stdin: str = "", seconds: float = 0
    ) -> Output:
        done = self.run(words, stdin=stdin)
        target.write_text(done.text)
        return done

    def load(
        self, words: Sequence[str], source: Path, *, begin: str = "", seconds: float = 0
    ) -> Output:
        return self.run(words, stdin=begin + source.read_text())

    def write(self, path: str, text: str, *, mode: int = 0o600) -> Path:
        """Put a file at an absolute path of the host."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file
