"""Run the real parsers of .env files, with only HOME in their environment.

`make check` installs those of npm, and three releases of Node, from `parsers/package-lock.json`.
"""

import io
import json
import os
import platform
import subprocess
import tempfile
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from dotenv import dotenv_values

ENVIRON = {"HOME": "/home/u"}

_PARSERS = Path(__file__).with_name("parsers")
_CPU = "arm64" if platform.machine() == "aarch64" else "x64"
# What bash has in its environment before it reads a file.
_OF_BASH = {"HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}

Values = dict[str, str] | None
"""The values in the parser's order; None if it refuses the file."""


class RealParser(ABC):
    """A real parser.

    Attributes:
        is_ordered: whether the order of its values is that of `Reading.values`.
        runs_commands: whether it runs what a file contains; give it only files that are safe.
    """

    is_ordered = True
    runs_commands = False

    @abstractmethod
    def read(self, files: Sequence[bytes]) -> list[Values]:
        """Return the values of each file."""


@dataclass(frozen=True)
class JavaScriptParser(RealParser):
    """A parser in JavaScript, by its name in `parsers/parse.cjs`, or that of Node itself."""

    program: str = "node"
    major: int = 22

    def read(self, files: Sequence[bytes]) -> list[Values]:
        node = _PARSERS / "node_modules" / f"node-{self.major}-{_CPU}" / "bin" / "node"
        assert node.exists(), "run `make check` first: it installs the real parsers"
        results = json.loads(
            subprocess.run(
                [node, _PARSERS / "parse.cjs", self.program],
                input=json.dumps([b64encode(each).decode() for each in files]).encode(),
                env=ENVIRON,
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        return [None if isinstance(each, dict) else self._in_environment(each) for each in results]

    def _in_environment(self, pairs: list[list[str]]) -> dict[str, str]:
        # util.parseEnv returns an empty name in Node 22, and `__proto__` in Node 26: neither
        # can be a variable of the process.
        left_out = {"", "__proto__"} if self.program == "node" else set()
        return {key: value for key, value in pairs if key not in left_out}


@dataclass(frozen=True)
class PythonDotenvParser(RealParser):
    """python-dotenv; a name without a value takes its place in the order, but sets nothing."""

    is_ordered = False
    interpolates: bool = True

    def read(self, files: Sequence[bytes]) -> list[Values]:
        with mock.patch.dict(os.environ, ENVIRON, clear=True):
            return [self._read(each) for each in files]

    def _read(self, file: bytes) -> Values:
        try:
            text = io.TextIOWrapper(io.BytesIO(file), encoding="utf-8")
            found = dotenv_values(stream=text, interpolate=self.interpolates)
        except UnicodeDecodeError:
            return None
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class ComposeParser(RealParser):
    """Docker Compose; a file that it refuses costs a run of its own."""

    is_ordered = False

    def read(self, files: Sequence[bytes]) -> list[Values]:
        found = self._read(files)
        if found is not None:
            return found
        if len(files) == 1:
            return [None]
        half = len(files) // 2
        return [*self.read(files[:half]), *self.read(files[half:])]

    def _read(self, files: Sequence[bytes]) -> list[Values] | None:
        with tempfile.TemporaryDirectory() as directory:
            services = {}
            for number, file in enumerate(files):
                Path(directory, f"{number}.env").write_bytes(file)
                services[f"s{number}"] = {"image": "fake", "env_file": f"{number}.env"}
            Path(directory, "compose.yaml").write_text(json.dumps({"services": services}), "utf-8")
            ran = subprocess.run(
                ["docker-compose", "config", "--format", "json"],
                cwd=directory,
                env=ENVIRON | {"PATH": os.environ["PATH"]},
                capture_output=True,
            )
        if ran.returncode:
            return None
        made = json.loads(ran.stdout)["services"]
        environments = [made[name].get("environment") or {} for name in services]
        return [
            {key: value.replace("$$", "$") for key, value in each.items() if value is not None}
            for each in environments
        ]


@dataclass(frozen=True)
class BashParser(RealParser):
    """The `source` of bash. A file that prints an error is refused."""

    is_ordered = False
    runs_commands = True

    def read(self, files: Sequence[bytes]) -> list[Values]:
        with tempfile.TemporaryDirectory() as directory:
            for number, file in enumerate(files):
                Path(directory, f"{number}.env").write_bytes(file)
            loop = "(set -a; . ./$n.env; /usr/bin/env -0 >$n.out) 2>$n.err </dev/null"
            script = f"for ((n = 0; n < {len(files)}; n++)); do {loop}; done"
            subprocess.run(
                ["/bin/bash", "-c", script],
                cwd=directory,
                env=ENVIRON | {"PATH": "/nonexistent"},
                check=True,
            )
            return [self._result(Path(directory), number) for number in range(len(files))]

    def _result(self, directory: Path, number: int) -> Values:
        if (directory / f"{number}.err").read_bytes():
            return None
        printed = (directory / f"{number}.out").read_bytes().decode().split("\0")[:-1]
        pairs = [each.partition("=")[::2] for each in printed]
        return {key: value for key, value in pairs if key not in _OF_BASH}


REAL_PARSERS: dict[str, tuple[RealParser, ...]] = {
    "dotenv": (JavaScriptParser("dotenv"),),
    "dotenv-expand": (JavaScriptParser("dotenv-expand"),),
    "next": (JavaScriptParser("next"),),
    "node-env-file": (JavaScriptParser(major=20),),
    "node-env-file-22": (JavaScriptParser(major=22), JavaScriptParser(major=24)),
    "python-dotenv": (PythonDotenvParser(),),
    "python-dotenv-raw": (PythonDotenvParser(interpolates=False),),
    "compose": (ComposeParser(),),
    "shell": (BashParser(),),
}
"""The real parsers by the grammar that describes them."""
