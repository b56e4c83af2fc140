"""Install Docker and Compose, and configure the engine before its first start.

An engine managed by someone else (`shared.py`) is only validated. Dokploy's engine, for example,
can't be configured as ours. It is in a Swarm, which refuses `live-restore`, the option that keeps
containers running while the engine restarts. It also comes from Docker's own packages, which
Debian's would replace.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyinfra.api.deploy import deploy

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import add_repository
from infisical_iac.core import apt, files, units
from infisical_iac.core.agent import Question, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import Fact
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import DAEMON_FILE as CONFIG
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import not_ours
from infisical_iac.host.site import Known

# Published in Docker's installation manual for Debian and Ubuntu.
FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
_REPOSITORY = "https://download.docker.com/linux"
_KEY = "/etc/apt/keyrings/docker.asc"
_LIST = "/etc/apt/sources.list.d/docker.list"


@planned_operation
def repository(machine: MachineState) -> Commands:
    """Add Docker's repository, after comparing the fingerprint of its key with the known one."""
    there = inspect(question(states, paths=[_KEY, _LIST]))
    yield from decide(machine, there)


def decide(machine: MachineState, there: Mapping[str, PathState]) -> Commands:
    """Decide whether to add Docker's repository, by the actual state `there` of its files."""
    if _KEY in there and File(_LIST, f"{_line(machine)}\n").matches(there.get(_LIST)):
        yield UpToDate("Docker's apt repository is there")
        return
    yield Change("+", "Docker's apt repository", _REPOSITORY)
    yield step(_add, machine)


def _add(machine: MachineState) -> None:
    asked = question(
        add_repository,
        key_url=f"{_REPOSITORY}/{machine.os}/gpg",
        fingerprint=FINGERPRINT,
        key_file=_KEY,
        list_file=_LIST,
        line=_line(machine),
    )
    doing = 'add Docker\'s apt repository (`docker_source = "distro"` does without it)'
    perform(asked, doing=doing)


def _line(machine: MachineState) -> str:
    source = f"{_REPOSITORY}/{machine.os} {machine.codename} stable"
    return f"deb [arch={machine.architecture} signed-by={_KEY}] {source}"


# The configuration of our engine. What can be set for a container is set there.
DAEMON = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "5"},
    "userland-proxy": False,
    "no-new-privileges": True,
    "default-ulimits": {"core": {"Name": "core", "Hard": 0, "Soft": 0}},
}


def daemon(*, in_swarm: bool = False) -> str:
    """Return the text of daemon.json; on a cluster without `live-restore`, which Swarm refuses."""
    return json.dumps({**DAEMON, "live-restore": False} if in_swarm else DAEMON, indent=2) + "\n"


def packages(machine: MachineState, source: str) -> list[str]:
    """Return the names of the engine's and Compose's packages on `machine`, from `source`."""
    if source == "docker-ce":
        return ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
    assert machine.system
    return [*machine.system.docker]


def _config(known: Known) -> File:
    return File(CONFIG, daemon(in_swarm=known.site.in_swarm))


def questions(known: Known) -> Iterator[Question[Any]]:
    """Yield the step's questions to the agent on an up-to-date host."""
    if not_ours(known.settings, known.machine):
        return
    source = known.settings.host.docker_source
    yield files.question_for([_config(known)])
    if source == "docker-ce":
        yield apt.question_for(["gnupg"])
        yield question(states, paths=[_KEY, _LIST])
    yield apt.question_for(packages(known.machine, source))
    yield units.question_for(["docker.service"], {"docker.service": [CONFIG]})


@deploy("Docker")
def docker(known: Known) -> None:
    """Install and configure the engine, unless somebody else manages it."""
    if why := not_ours(known.settings, known.machine):
        foreign_engine(why=why, name="Leave the engine as it is")
        return
    source, timeout = known.settings.host.docker_source, known.settings.host.apt_timeout
    config = _config(known)
    reloads = known.site.reload_engine(config, files.File(CONFIG, daemon()))
    if not reloads:
        files.contents(files=[config], name="Configure the Docker engine")
    if source == "docker-ce":
        apt.packages(names=["gnupg"], name="Install GnuPG for the key's check", timeout=timeout)
        repository(machine=known.machine, name="Add Docker's own apt repository")
    names = packages(known.machine, source)
    apt.packages(names=names, name="Install Docker", timeout=timeout)
    known.site.rejoin_engine()
    units.running(
        units=["docker.service"],
        config={} if reloads else {"docker.service": [CONFIG]},
        packages={"docker.service": names[:1]},
        act=known.site.engine_act,
        name="Keep Docker running",
    )


# The first version with `start_interval` of a health check, which compose.yaml may use.
_OLDEST = 25


def refuse(settings: Settings, machine: MachineState) -> None:
    """Raise Refused if Infisical can't run on an engine that somebody else manages."""
    why, major = not_ours(settings, machine), machine.engine.partition(".")[0]
    if not why:
        return
    if settings.host.data_volume:
        code = "refused.data_volume"
        reason = (
            f"setting 'data_volume': {why}, and its volumes stay where they are: leave the setting "
            "empty, or use a host for Infisical only"
        )
    elif not machine.engine:
        code = "refused.engine_down"
        reason = (
            f"{why}, but it does not answer: see `systemctl status docker` on the host, and start "
            "it there"
        )
    elif major.isdigit() and int(major) < _OLDEST:
        code = "refused.engine_old"
        reason = (
            f"{why}, but it is version {machine.engine}: ask its administrator to "
            f"upgrade it to {_OLDEST} or newer"
        )
    elif not machine.compose:
        code = "refused.no_compose"
        reason = (
            f"{why}, but `docker compose` is missing: install the Compose plugin from the source "
            "of the engine; in Docker's own repository it is docker-compose-plugin"
        )
    else:
        return
    raise Refused(reason, code=code, part="Docker")


class Engine(Fact[tuple[str, bool]]):
    """Read Docker's version, empty without an answer, and whether it has `docker compose`."""

    def command(self) -> str:
        return (
            "echo $(docker version --format '{{ .Server.Version }}' 2>/dev/null); "
            "docker compose version >/dev/null 2>&1 && echo compose; true"
        )

    def process(self, output: list[str]) -> tuple[str, bool]:
        return "".join(output[:1]), "compose" in output[1:]

    @staticmethod
    def default() -> tuple[str, bool]:
        return "", False


@planned_operation
def foreign_engine(why: str) -> Commands:
    """Report why the engine stays unchanged; the preflight has already validated it."""
    yield UpToDate(why)
