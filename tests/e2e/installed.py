"""Use the installed tool on an operator's machine, as a person without a clone does.

Only this module depends on the options, questions and files of `infisical-iac init`.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import REPOSITORY, production_settings
from tests.staging import stack, wheels
from tests.staging.host import StagingHost
from tests.staging.operator import HOME, Done, OperatorMachine
from tests.staging.shell import docker

PACKAGE = "infisical-iac"
WHEELS = f"{HOME}/wheels"
_PIP_WHEELS = "/usr/share/python-wheels"
SERVICES = f"{HOME}/services"
REPOSITORY_TYPED = f"{HOME}/typed"
REPOSITORY_GIVEN = f"{HOME}/given"
# The file and the template that a later release changes: the change restarts nothing.
CHANGED = "/etc/systemd/system/infisical-drill-failed.service"
_TEMPLATE = "templates/backup/infisical-drill-failed.service.j2"
# Another template that the later release changes; the user has ejected it.
EJECTED = "host/infisical-maintenance-failed.service"
LATER_LINE = "# changed by a later release"
LATER = "999.1.0"
_ORGANIZATION, _EMAIL = "Acme", "admin@example.com"
_EXAMPLE = REPOSITORY / "examples" / "chainalign"
_OFFLINE = ("--offline", "--no-index", "--find-links", WHEELS)
# The variables that make the wheels the only index of each package client.
INDEXES = {
    "UV_OFFLINE": "1",
    "UV_NO_INDEX": "1",
    "UV_FIND_LINKS": WHEELS,
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": WHEELS,
}
# Files that `init` writes, and a group of settings that differ from the defaults.
WRITTEN = ("deploy.py", "inventory/hetzner.py", "group_data/hetzner.py", "pyproject.toml")
_SETTINGS = "group_data/hetzner.py"
INVENTORY = "inventory/hetzner.py"


@dataclass(frozen=True)
class Server:
    """The server to deploy to: its address on the network of the operator's machine.

    Attributes:
        key: the private key of a user who may log in.
        fingerprint: the fingerprint of its host key, as the host itself shows it.
    """

    address: str
    user: str
    key: Path
    fingerprint: str

    @classmethod
    def of(cls, host: StagingHost, user: str = "root") -> "Server":
        """Return the access to a staging host."""
        format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        (address, *_) = docker("inspect", "--format", format, host.container).split()
        shown = host.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
        return cls(address, user, host.directory / "id_ed25519", shown.split()[1])

    def answers(self) -> list[tuple[str, str]]:
        """Return what a person answers to the questions of `init`, by patterns of the questions."""
        return [
            (r"(?i)e-mail", _EMAIL),
            (r"(?i)\bkey\b|\bsame\b", "y"),
            (r"(?i)port", "22"),
            (r"(?i)server.* address|address of the server", self.address),
            (r"(?i)log in as", self.user),
            (r"(?i)domain.*right|without a domain", "y"),
            (r"(?i)domain", "none"),
            (r"(?i)with secrets", "all"),
            (r"(?i)directory.* services", SERVICES),
            (r"(?i)organization", _ORGANIZATION),
            (r"(?i)backup", "later"),
        ]

    def options(self) -> list[str]:
        """Return the options of `init` with the same answers."""
        return [
            *("--yes", "--host", self.address, "--ssh-user", self.user, "--domain", ""),
            *("--email", _EMAIL, "--organization", _ORGANIZATION, "--services", SERVICES),
            *("--accept-host-key", self.fingerprint),
        ]


def prepare(machine: OperatorMachine, server: Server, releases: Path) -> None:
    """Give a machine the wheels, the key of the server, and the services of the example."""
    house = wheels.wheelhouse(machine.python())
    machine.copy(house, WHEELS)
    later = {_TEMPLATE: LATER_LINE, f"templates/{EJECTED}.j2": LATER_LINE}
    for release, changes in (("", {}), (LATER, later)):
        made = releases / (release or "this")
        made.mkdir()
        machine.copy(wheels.build(made, release=release, changes=changes), f"{WHEELS}/")
    machine.run("mkdir", "-m", "700", ".ssh")
    machine.copy(server.key, f"{HOME}/.ssh/id_ed25519")
    machine.copy(_EXAMPLE / "before", SERVICES)
    machine.copy(_EXAMPLE / "after", f"{HOME}/checked")


def install(machine: OperatorMachine, release: str) -> Done:
    """Install a release of the tool, as `uv tool install` does from the wheels."""
    return machine.run("uv", "tool", "install", *_OFFLINE, f"{PACKAGE}=={release}")


def install_with(machine: OperatorMachine, client: str) -> str:
    """Install this release by pip or pipx from the wheels, and return the path of the program."""
    requirement = f"{PACKAGE}=={wheels.version()}"
    if client == "pipx":
        # pipx upgrades pip first, so _PIP_WHEELS offers it Debian's pip.
        arguments = f"--no-index --find-links={WHEELS} --find-links={_PIP_WHEELS}"
        _require(machine.run("pipx", "install", "--pip-args", arguments, requirement))
        return f"{HOME}/.local/share/pipx/venvs/{PACKAGE}/bin/{PACKAGE}"
    _require(machine.run("python3", "-m", "venv", f"{HOME}/pip"))
    install = ("install", "--quiet", "--no-index", "--find-links", WHEELS, requirement)
    _require(machine.run(f"{HOME}/pip/bin/pip", *install))
    return f"{HOME}/pip/bin/{PACKAGE}"


def _require(done: Done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def run_once(machine: OperatorMachine, *arguments: str, directory: str) -> Done:
    """Run the command without an installation, in an environment such as that of a CI job."""
    (wheel,) = machine.run(
        "sh", "-c", f"ls {WHEELS}/infisical_iac-{wheels.version()}-*"
    ).stdout.split()
    command = ("uvx", *_OFFLINE, "--from", wheel, PACKAGE, *arguments)
    return machine.run(*command, directory=directory, environment={"CI": "true"}, input="")


def run_pinned(machine: OperatorMachine, *command: str, directory: str) -> Done:
    """Run a command by `uv run`, with the version that the repository pins."""
    python = ".".join(map(str, machine.python()))
    # uv locks for all systems, but the wheels are only for this one.
    only = f"environments = [\"sys_platform == 'linux' and python_version == '{python}'\"]\n"
    before = machine.read(f"{directory}/pyproject.toml")
    write = ("sh", "-c", "cat >pyproject.toml")
    machine.run(*write, directory=directory, input=before + only)
    done = machine.run("uv", "run", *_OFFLINE, *command, directory=directory)
    machine.run(*write, directory=directory, input=before)
    return done


def find_project_file(machine: OperatorMachine, directory: str) -> str:
    """Return the path of the project file that `init` wrote, in the repository."""
    return machine.run("sh", "-c", "ls group_data/*.yaml", directory=directory).stdout.strip()


def write_settings(machine: OperatorMachine, directory: str) -> None:
    """Add what a staging host needs to the settings: its images, and limits of the machine."""
    settings: dict[str, object] = {**production_settings(), "minimum_free_disk_gb": 3.0}
    if stack.find_archive() is None:
        settings["infisical_memory_needed"] = "64m"
    given = {"admin_email", "ingress"}  # `init` has written these
    lines = [f"{name} = {value!r}" for name, value in settings.items() if name not in given]
    text = machine.read(f"{directory}/{_SETTINGS}") + "\n".join(["", *lines, ""])
    machine.run("sh", "-c", f"cat > {shlex.quote(_SETTINGS)}", directory=directory, input=text)


def decide_to_skip(machine: OperatorMachine, plan: str) -> None:
    """Decide each open question of a migration's plan by leaving the file as it is."""
    machine.run("sed", "-i", "s/decision: undecided/decision: skip/", plan)


def is_one_sentence(output: str) -> bool:
    """Return whether a command printed a single error, perhaps below its usage."""
    lines = [line for line in output.splitlines() if line.strip()]
    rest = [line for line in lines if not re.match(r"Usage: |Try '", line)]
    return len(rest) == 1 and "Traceback" not in output
