"""Start an operator's machine: a bare Debian in a container, without a clone of this project."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.on_terminal import run_on_terminal
from tests.staging import entering
from tests.staging.build import RECIPES, base, build, digest, recipe_of
from tests.staging.host import CLONE, LABEL
from tests.staging.shell import StagingError, docker, hold_lock, say

USER = "ada"
HOME = "/home/ada"
_PATH = f"{HOME}/.local/bin:/usr/local/bin:/usr/bin:/bin"
_SECONDS = 600
# Questions on a server that can't be reached come once more.
_REPEATS = 3
Done = subprocess.CompletedProcess[str]


class OperatorMachine:
    """The machine of a person who is not root, and who has installed `uv`."""

    def __init__(self, name: str) -> None:
        self.container = f"infisical-iac-operator{CLONE}-{name}"
        self._name = name

    def up(self) -> None:
        """Start the machine, without anything of an earlier one. Raises StagingError."""
        self.down()
        docker(
            *("run", "--detach", "--name", self.container, "--hostname", "laptop"),
            *("--label", f"{LABEL}={self._name}", operator_image()),
        )
        for program in ("uv", "uvx"):
            self.copy(Path(sys.executable).with_name(program), f"/usr/local/bin/{program}")

    def down(self) -> None:
        """Remove the machine."""
        docker("rm", "--force", "--volumes", self.container, check=False)

    def copy(self, path: Path, to: str) -> None:
        """Copy a file, or a directory with everything in it, to the machine; the user owns it."""
        docker("cp", str(path), f"{self.container}:{to}")
        self._enter(("chown", "--recursive", USER, to))

    def run(
        self,
        *command: str,
        directory: str = HOME,
        environment: Mapping[str, str] | None = None,
        input: str | None = None,
    ) -> Done:
        """Run a program as the user, without a terminal, and return its output as text."""
        return self._enter(self._as_user(command, directory, environment or {}), input)

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self.run("cat", path).stdout

    def python(self) -> tuple[int, int]:
        """Return the release of the machine's Python."""
        code = "import json, sys; print(json.dumps(sys.version_info[:2]))"
        major, minor = json.loads(self.run("python3", "-c", code).stdout)
        return major, minor

    def type(
        self, *command: str, directory: str, answers: Sequence[tuple[str, str]]
    ) -> tuple[int, str]:
        """Run a program on a terminal, answer its questions, and return exit status and output.

        Args:
            answers: regular expressions of questions, each with the answer that is typed. The first
                that matches a question counts; a question without an answer gets its default.

        Raises StagingError if it does not end within ten minutes, or repeats a question that got
        its answer.
        """
        words = self._as_user(command, directory, {"TERM": "xterm", "COLUMNS": "160"})
        return answer_questions([*entering.into(self.container), *words], answers)

    def _as_user(
        self, command: Sequence[str], directory: str, environment: Mapping[str, str]
    ) -> tuple[str, ...]:
        variables = {"HOME": HOME, "PATH": _PATH, "LANG": "C.UTF-8", **environment}
        named = (f"{name}={value}" for name, value in variables.items())
        line = f"cd {shlex.quote(directory)} && exec {shlex.join(command)}"
        return ("runuser", "-u", USER, "--", "env", "-i", *named, "sh", "-c", line)

    def _enter(self, command: Sequence[str], input: str | None = None) -> Done:
        return entering.run(self.container, *command, input=input)


def answer_questions(command: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run a program on a terminal as `OperatorMachine.type` does, but on this machine."""
    answered, asked = 0, Counter[str]()
    with run_on_terminal(command, seconds=_SECONDS) as program:
        try:
            while program.read():
                # A question ends without a new line. Its answer is echoed, and is no question.
                question = program.shown[answered:].rpartition("\n")[2]
                if re.search(r"[:?] $", question):
                    asked[question] += 1
                    if asked[question] > _REPEATS:
                        raise StagingError(f"{question!r} is asked again:\n{program.shown}")
                    matching = (text for pattern, text in answers if re.search(pattern, question))
                    program.type(next(matching, ""))
                    answered = len(program.shown)
            return program.wait(), program.shown
        except (TimeoutError, subprocess.TimeoutExpired):
            raise StagingError(f"{shlex.join(command)} did not end on the terminal") from None


def operator_image() -> str:
    """Return the tag of the image of an operator's machine; build it if missing or outdated."""
    tag, recipe = "infisical-iac/operator:trixie", digest(RECIPES / "operator")
    with hold_lock():
        if recipe_of(tag) != recipe:
            plain = base("trixie")
            say("Building the image of an operator's machine (about half a minute)")
            build(tag, RECIPES / "operator", recipe, plain)
    return tag
