"""Boot a disposable host: a container that runs systemd and sshd.

Everything that is made for a host has a label with its name, so that `down` finds all of it.
"""

import os
import subprocess
import time
from typing import Literal

from tests.ports import free_port
from tests.staging import access, disk, engine, entering
from tests.staging.build import RECIPES, base, build, digest, recipe_of
from tests.staging.shell import (
    STATE,
    StagingError,
    docker,
    hold_lock,
    report_duration,
    require_success,
    say,
)

# Distinguishes the hosts of a second clone on the same machine.
CLONE = os.environ.get("STAGING_CLONE", "")
LABEL = f"infisical-iac.staging{CLONE}"
Release = Literal["trixie", "bookworm"]
User = Literal["root", "deploy"]
_BOOT_SECONDS = 60
_EXEC_ATTEMPTS = 4


class StagingHost:
    """A staging host with a given name, whether it exists or not.

    `release` is Debian's; `user` is the login: root, or `deploy`, which has sudo without a
    password while root may not log in. `place` is the host's Docker network and its address
    there. `disk_gb` is the size of the disk for its Docker; 0 for no limit.
    """

    def __init__(
        self,
        name: str = "demo",
        release: Release = "trixie",
        user: User = "root",
        place: tuple[str, str] | None = None,
        disk_gb: int = 0,
    ):
        self.name = name
        self.release = release
        self.user = user
        self.place = place
        self.disk_gb = disk_gb
        self.container = f"infisical-iac-staging{CLONE}-{name}"
        self.volume = f"{self.container}-docker"
        self.directory = STATE / name

    @property
    def ssh_port(self) -> int:
        """The port of sshd on this machine's loopback address, which never changes for a host."""
        return access.read(self.directory).port

    def up(self) -> None:
        """Boot the host, make it if it is missing, and wait until its user can log in.

        Raises StagingError if it doesn't boot, or exists with another release or user.
        """
        engine.ensure()
        self.directory.mkdir(parents=True, exist_ok=True)
        image = host_image(self.release)
        state = docker("inspect", "--format", "{{.State.Status}}", self.container, check=False)
        if not state or not access.exists(self.directory):
            with report_duration(f"Booted {self.name!r}, which accepts logins by SSH,"):
                self._make(image)
            return
        known = access.read(self.directory)
        if (known.release, known.user) != (self.release, self.user):
            raise StagingError(
                f"staging host {self.name!r} is {known.release} with user {known.user!r} already; "
                f"take it down first: python -m tests.staging down --name {self.name}"
            )
        if state != "running":
            say(f"Booting the staging host {self.name!r} again")
            docker("start", self.container)
        self.wait()

    def down(self) -> None:
        """Remove the host with its disk and its files in `.staging/`."""
        remove(self.name)
        disk.forget(self.directory)
        access.forget(self.directory)

    def reboot(self) -> None:
        """Shut the host down cleanly, boot it again and wait for sshd."""
        docker("restart", "-t", "60", self.container)
        self.wait()

    def run(
        self, command: str, *, check: bool = True, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a bash command as root, without sshd. Raises StagingError if it fails."""
        command_line = ("bash", "-c", command)
        done = entering.run(self.container, *command_line, input=input)
        for _ in range(_EXEC_ATTEMPTS):
            # On a busy machine the engine sometimes fails to start the process.
            if "OCI runtime exec failed" not in done.stderr + done.stdout:
                break
            time.sleep(0.5)
            done = entering.run(self.container, *command_line, input=input)
        return require_success(done, command_line) if check else done

    def send(self, command: str, stdin: str) -> str:
        """Run a command as root and return its output, for `ask` and `perform` of core/agent.py."""
        return self.run(command, input=stdin).stdout

    def _make(self, image: str) -> None:
        say(f"Booting the staging host {self.name!r} (Debian {self.release}, user {self.user})")
        remove(self.name)
        port = free_port()
        self.boot(image, port)
        self._wait_for_systemd()
        script = (RECIPES / "host" / "provision").read_text()
        key = access.client_key(self.directory)
        host_keys = self.run(f"set -- {self.user} '{key}'\n{script}").stdout
        address = self.place[1] if self.place else ""
        access.write(
            access.Access(self.name, port, self.user, self.release, address),
            self.directory,
            host_keys,
        )
        self.wait()

    def boot(self, image: str, port: int) -> None:
        """Start the container with `volume` for its Docker; the volume is made if it is missing."""
        network, address = self.place or ("bridge", "")
        docker(
            *("run", "--detach", "--name", self.container, "--hostname", f"staging-{self.name}"),
            *("--label", f"{LABEL}={self.name}", "--privileged", "--cgroupns", "private"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--stop-signal", "SIGRTMIN+3"),
            # The inner Docker can't mount overlays on the outer one's overlays.
            *("--volume", f"{self.have_volume()}:/var/lib/docker"),
            *("--network", network, *(("--ip", address) if address else ())),
            *("--publish", f"127.0.0.1:{port}:22", image, "/sbin/init"),
        )

    def wait(self) -> None:
        """Wait until the host has booted and its user can log in."""
        self._wait_for_systemd()
        deadline = time.monotonic() + _BOOT_SECONDS
        while not access.answers(self.directory, self.name):
            if time.monotonic() > deadline:
                raise StagingError(
                    f"sshd of staging host {self.name!r} accepts no login; "
                    f"see `docker exec {self.container} journalctl -u ssh`"
                )
            time.sleep(0.2)

    def _wait_for_systemd(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while self.run("systemctl is-system-running", check=False).stdout.strip() not in (
            "running",
            "degraded",
        ):
            if time.monotonic() > deadline:
                raise StagingError(
                    f"staging host {self.name!r} does not boot; see `docker logs {self.container}`"
                )
            time.sleep(0.2)

    def have_volume(self) -> str:
        """Return the name of the volume for the host's Docker; make it if it is missing."""
        options: tuple[str, ...] = ()
        if self.disk_gb:
            device = disk.have(self.directory, self.disk_gb)
            options = ("--opt", "type=ext4", "--opt", f"device={device}")
        label = f"{LABEL}={self.name}"
        return docker("volume", "create", "--label", label, *options, self.volume)


def host_image(release: Release) -> str:
    """Return the tag of the image that hosts of a release boot; build it if missing or outdated."""
    tag = f"infisical-iac/staging-host:{release}"
    recipe = digest(RECIPES / "host")
    with hold_lock():
        if recipe_of(tag) != recipe:
            plain = base(release)
            say(f"Building the image of the staging host, Debian {release} (about a minute)")
            build(tag, RECIPES / "host", recipe, plain)
    return tag


def list_labelled() -> set[str]:
    """Return the names of all hosts with a Docker volume."""
    shown = f'{{{{.Label "{LABEL}"}}}}'
    return set(docker("volume", "ls", "--filter", f"label={LABEL}", "--format", shown).splitlines())


def remove(name: str | None = None) -> None:
    """Remove container and volume of one host, or of all hosts with the clusters' networks."""
    chosen = f"label={LABEL}={name}" if name else f"label={LABEL}"
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
        (("network", "ls", "--quiet"), ("network", "rm")),
    ):
        if found := docker(*listing, "--filter", chosen).split():
            docker(*removal, *dict.fromkeys(found), check=False)
        # A busy Docker gives up after some seconds on a container that has not ended yet.
        if left := docker(*listing, "--filter", chosen).split():
            docker(*removal, *dict.fromkeys(left))
