"""Use the installed tool on an operator's machine, as a person without a clone does.

Only this module depends on the options, questions and files of `infisical-iac init`.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.core.bundle import default_settings
from tests.e2e import registries
from tests.e2e.inspection import reset_stack
from tests.e2e.running import REPOSITORY
from tests.staging import stack, wheels
from tests.staging.host import StagingHost
from tests.staging.operator import HOME, Done, OperatorMachine
from tests.staging.shell import docker

PACKAGE = "infisical-iac"
WHEELS = f"{HOME}/wheels"
# pipx upgrades pip first, to that of Debian.
_PIP_WHEELS = "/usr/share/python-wheels"
SERVICES = f"{HOME}/services"
REPOSITORY_TYPED = f"{HOME}/typed"
REPOSITORY_GIVEN = f"{HOME}/given"
# The file and the template that a later release changes: the change restarts nothing.
CHANGED = "/etc/systemd/system/infisical-drill-failed.service"
_TEMPLATE = "templates/backup/infisical-drill-failed.service.j2"
# Another template that the later release changes, and its file; the user has ejected it.
EJECTED = "host/infisical-maintenance-failed.service"
KEPT = "/etc/systemd/system/infisical-maintenance-failed.service"
LATER_LINE = "# changed by a later release"
LATER = "999.1.0"
_ORGANIZATION, _EMAIL = "Acme", "admin@example.com"
_EXAMPLE = REPOSITORY / "examples" / "chainalign"
# The configuration that makes the wheels the only index of uv, pip and pipx. pip compiles no module
# before it is imported, as uv does.
_INDEXES = {
    "uv/uv.toml": f'offline = true\nno-index = true\nfind-links = ["{WHEELS}"]\n',
    "pip/pip.conf": f"""\
[global]
no-index = true
find-links =
    {WHEELS}
    {_PIP_WHEELS}
[install]
no-compile = true
""",
}
# Files that `init` writes.
WRITTEN = ("deploy.py", "inventory/hetzner.py", "group_data/hetzner.py", "pyproject.toml")
INVENTORY = "inventory/hetzner.py"


@dataclass(frozen=True)
class Server:
    """The server to deploy to: its address on the network of the operator's machine.

    Attributes:
        key: the private key of a user who may log in.
        fingerprint: the fingerprint of its host key, as the host itself shows it.
        digests: of the images that its Docker can pull, by their official names.
    """

    address: str
    user: str
    key: Path
    fingerprint: str
    digests: Mapping[str, str]

    @classmethod
    def of(cls, host: StagingHost, digests: Mapping[str, str], user: str = "root") -> "Server":
        """Return the access to a staging host, whose registry has images with these digests."""
        format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        (address, *_) = docker("inspect", "--format", format, host.container).split()
        shown = host.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
        return cls(address, user, host.directory / "id_ed25519", shown.split()[1], digests)

    def answers(self) -> list[tuple[str, str]]:
        """Return a person's answers to `init` and `apply`, by patterns of the questions."""
        return [
            (r"(?i)e-mail", _EMAIL),
            (r"(?i)\bkey\b|\bsame\b", "y"),
            (r"(?i)\bport\b", "22"),
            (r"(?i)server.* address|address of the server", self.address),
            (r"(?i)log in as", self.user),
            (r"(?i)domain.*right|without a domain", "y"),
            (r"(?i)domain", "none"),
            (r"(?i)with secrets", "all"),
            (r"(?i)directory.* services", SERVICES),
            (r"(?i)organization", _ORGANIZATION),
            (r"(?i)backup", "later"),
            (r"(?i)make these changes", "y"),
        ]

    def options(self) -> list[str]:
        """Return the options of `init` with the same answers."""
        return [
            *("--yes", "--host", self.address, "--ssh-user", self.user, "--domain", ""),
            *("--email", _EMAIL, "--organization", _ORGANIZATION, "--services", SERVICES),
            *("--accept-host-key", self.fingerprint),
        ]


def prepare_server(host: StagingHost) -> Server:
    """Give a host with Docker a mirror of the official images, and remove Infisical's files.

    The mirror has the images of the stack. No other registry answers there.
    """
    settings = default_settings()
    infisical = f"{settings['infisical_image']}:{settings['infisical_version']}"
    images = {
        infisical: f"{stack.INFISICAL}:{stack.version()}",
        settings["postgres_image"]: stack.POSTGRES,
        settings["redis_image"]: stack.REDIS,
    }
    reset_stack(host)
    registries.run_mirror(host)
    digests = registries.fill_mirror(host, stack.ARCHIVE, images)
    # The container shows the swap of the machine that runs it.
    host.run("mount --bind /dev/null /proc/swaps")
    return Server.of(host, digests)


def prepare(machine: OperatorMachine, server: Server) -> None:
    """Give a machine an index, the key of the server, and the services of the example."""
    machine.copy(wheels.wheelhouse(machine.python()), WHEELS)
    for path, text in _INDEXES.items():
        write = f"mkdir -p ~/.config/{Path(path).parent} && cat >~/.config/{path}"
        _require(machine.run("sh", "-c", write, input=text))
    machine.run("mkdir", "-m", "700", ".ssh")
    machine.copy(server.key, f"{HOME}/.ssh/id_ed25519")
    machine.copy(_EXAMPLE / "before", SERVICES)
    machine.copy(_EXAMPLE / "after", f"{HOME}/checked")


def release(machine: OperatorMachine, server: Server, directory: Path, version: str = "") -> None:
    """Put the wheel of this project, or of a later one with changed templates, into the index.

    It is built for the images of the mirror: other bytes can't have the digests that a release
    knows. Nothing else differs.
    """
    known = f"DIGESTS.update({dict(server.digests)!r})"
    changes = {"infisical_iac/stack/settings.py": known}
    if version:
        changes |= {_TEMPLATE: LATER_LINE, f"templates/{EJECTED}.j2": LATER_LINE}
    machine.copy(wheels.build(directory, release=version, changes=changes), f"{WHEELS}/")


def read_first_deploy() -> list[list[str]]:
    """Return the commands of the first deploy in the README."""
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.partition("\n## First deploy\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    .+", section, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def install_with(machine: OperatorMachine, client: str) -> str:
    """Install this release by pip or pipx, and return the path of the program."""
    requirement = f"{PACKAGE}=={wheels.version()}"
    if client == "pipx":
        _require(machine.run("pipx", "install", requirement))
        return f"{HOME}/.local/share/pipx/venvs/{PACKAGE}/bin/{PACKAGE}"
    _require(machine.run("python3", "-m", "venv", f"{HOME}/pip"))
    _require(machine.run(f"{HOME}/pip/bin/pip", "install", "--quiet", requirement))
    return f"{HOME}/pip/bin/{PACKAGE}"


def _require(done: Done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def run_once(machine: OperatorMachine, *arguments: str, directory: str) -> Done:
    """Run the command without an installation, in an environment such as that of a CI job."""
    (wheel,) = machine.run(
        "sh", "-c", f"ls {WHEELS}/infisical_iac-{wheels.version()}-*"
    ).stdout.split()
    command = ("uvx", "--from", wheel, PACKAGE, *arguments)
    return machine.run(*command, directory=directory, environment={"CI": "true"}, input="")


def run_pinned(machine: OperatorMachine, *command: str, directory: str) -> Done:
    """Run a command by `uv run`, with the version that the repository pins."""
    python = ".".join(map(str, machine.python()))
    # uv locks for all systems, but the wheels are only for this one.
    only = f"environments = [\"sys_platform == 'linux' and python_version == '{python}'\"]\n"
    before = machine.read(f"{directory}/pyproject.toml")
    write = ("sh", "-c", "cat >pyproject.toml")
    machine.run(*write, directory=directory, input=before + only)
    done = machine.run("uv", "run", *command, directory=directory)
    machine.run(*write, directory=directory, input=before)
    return done


def find_project_file(machine: OperatorMachine, directory: str) -> str:
    """Return the path of the project file that `init` wrote, in the repository."""
    return machine.run("sh", "-c", "ls group_data/*.yaml", directory=directory).stdout.strip()


def decide_to_skip(machine: OperatorMachine, plan: str) -> None:
    """Decide each open question of a migration's plan by leaving the file as it is."""
    machine.run("sed", "-i", "s/decision: undecided/decision: skip/", plan)


def is_one_sentence(output: str) -> bool:
    """Return whether a command printed a single error, perhaps below its usage."""
    lines = [line for line in output.splitlines() if line.strip()]
    rest = [line for line in lines if not re.match(r"Usage: |Try '", line)]
    return len(rest) == 1 and "Traceback" not in output
