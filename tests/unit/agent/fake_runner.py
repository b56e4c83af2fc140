"""A host for the agent's functions: files below a directory, and programs with fixed answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infisical_iac.agent.runner import Output, Runner


@dataclass(frozen=True)
class FakeRunner(Runner):
    """A runner whose programs print what `answers` has for the beginning of their words.

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

    def write(self, path: str, text: str, *, mode: int = 0o600) -> Path:
        """Put a file at an absolute path of the host."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file
