"""A fake host with a fake Docker, whose volumes are folders, and a fake PostgreSQL."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_iac.agent.data import MAIN, NEXT_TRANSACTION
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_container

_VOLUMES = "/var/lib/docker/volumes"
STARTED = "2026-11-25T10:00:00Z"


@dataclass(frozen=True)
class FakeEngine(FakeRunner):
    """A host with the containers of a Compose project, and its volumes.

    Attributes:
        services: the services that have a container.
        failing: the beginnings of calls that fail.
        started: when the containers were started.
        writes: what the database answers to the count of writes; None if it does not answer.
    """

    services: Sequence[str] = ("infisical", "postgres", "redis")
    failing: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=lambda: [STARTED])
    writes: list[str | None] = field(default_factory=lambda: ["42|0\n"])

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        command = " ".join(words)
        if any(command.startswith(each) for each in self.failing):
            self.ran.append((command, stdin))
            return Output(1, "", "it fails\n")
        match [*words]:
            case ["docker", "volume", verb, *rest]:
                self.ran.append((command, stdin))
                return self._volume(verb, rest)
            case ["docker", "ps", *_]:
                self.ran.append((command, stdin))
                services = [each for each in self.services if f"service={each}" in command]
                named = services or ([] if ".service=" in command else self.services)
                return Output(0, "".join(f"{each}\n" for each in named))
            case ["docker", "inspect", *rest]:
                self.ran.append((command, stdin))
                lines = [json.dumps(self._container(each)) for each in rest[2:]]
                return Output(0, "".join(f"{line}\n" for line in lines))
            case ["docker", "exec", *_] if "psql" in words:
                self.ran.append((command, stdin))
                answer = "770\n" if stdin == NEXT_TRANSACTION else self.writes[0]
                return Output(1) if answer is None else Output(0, answer)
            case ["docker", "logs", *_]:
                self.ran.append((command, stdin))
                return Output(0, "a logged line\n")
            case ["docker", ("stop" | "exec" | "rm"), *_] | ["systemctl" | "systemd-run", *_]:
                self.ran.append((command, stdin))
                return Output(0)
        return super().run(words, stdin=stdin, seconds=seconds, environment=environment)

    def _container(self, service: str) -> dict[str, Any]:
        state = {"Status": "running", "Pid": 7, "StartedAt": self.started[0]}
        return docker_container(service, project="infisical", service=service, State=state)

    def _volume(self, verb: str, rest: Sequence[str]) -> Output:
        folder = self.path(_VOLUMES)
        name = rest[-1]
        match verb:
            case "ls":
                prefix = name.removeprefix("name=^").replace("\\", "")
                found = sorted(each.name for each in folder.glob("*"))
                return Output(0, "".join(f"{each}\n" for each in found if each.startswith(prefix)))
            case "inspect":
                lines = [json.dumps(self._inspected(each)) for each in rest[2:]]
                return Output(0, "".join(f"{line}\n" for line in lines))
            case "create":
                (folder / name / "_data").mkdir(parents=True, exist_ok=True)
                labels = dict(each.split("=", 1) for each in rest if "=" in each)
                (folder / name / "labels").write_text(json.dumps(labels))
            case "rm":
                shutil.rmtree(folder / name)
        return Output(0)

    def _inspected(self, name: str) -> dict[str, Any]:
        labels = self.text(f"{_VOLUMES}/{name}/labels")
        return {
            "Name": name,
            "Mountpoint": f"{_VOLUMES}/{name}/_data",
            "Labels": json.loads(labels) if labels else None,
        }

    def volume(self, name: str, labels: Mapping[str, str] = {}, **files: str) -> None:
        """Make a volume that holds files."""
        for file, text in files.items():
            self.write(f"{_VOLUMES}/{name}/_data/{file}", text)
        if labels:
            self.write(f"{_VOLUMES}/{name}/labels", json.dumps(labels))

    def volumes(self) -> dict[str, dict[str, str]]:
        """Return the files of each volume, by the volume's name."""
        return {
            each.name: {file.name: file.read_text() for file in _files(each / "_data")}
            for each in self.path(_VOLUMES).glob("*")
        }

    def given_up(self) -> dict[str, dict[str, str]]:
        """Return the files of each volume that was given up, by the volume's name."""
        prefix = f"{MAIN}_given_up_"
        return {name: each for name, each in self.volumes().items() if name.startswith(prefix)}


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("*")
