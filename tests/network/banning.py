"""Run this machine's fail2ban with the rendered files, in a network namespace."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.agent import system
from infisical_iac.agent.runner import Output, Runner
from infisical_iac.agent.system import Bans
from infisical_iac.core import archive
from infisical_iac.host.watch import FAIL2BAN_DIRECTORY, LOG, bans
from tests.unit.fake_programs import JOURNALCTL, fake_program
from tests.unit.settings_of import settings_of

# Addresses reserved for documentation; the host has the first of each range.
HOST, ATTACKER, NEIGHBOUR, FRIEND = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
HOST6, ATTACKER6, NEIGHBOUR6 = ("2001:db8::1", "2001:db8:0:a::2", "2001:db8:0:b::3")
# Other addresses in the attacker's network, and in the neighbour's.
ROTATED6 = tuple(f"2001:db8:0:a::1:{each:x}" for each in range(1, 5))
BESIDE6 = "2001:db8:0:b::4"
_PORT = 443
_SERVE = (
    "import socket, threading\n"
    f"server = socket.create_server(('::', {_PORT}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
    "print('serving', flush=True)\n"
    "while True: server.accept()[0].close()\n"
)
_REACH = (
    "import socket, sys\n"
    "try: socket.create_connection((sys.argv[2], int(sys.argv[3])), 2, (sys.argv[1], 0)).close()\n"
    "except OSError: sys.exit(1)\n"
)


@dataclass(frozen=True, kw_only=True)
class _Inside(Runner):
    """The agent's runner on a host, whose fail2ban has its configuration in a folder of its own."""

    host: str
    config: Path

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 60,
        environment: Mapping[str, str] = {},
    ) -> Output:
        own = {"fail2ban-client": ("fail2ban-client", "-c", str(self.config))}
        command = [part for each in words for part in own.get(each, (each,))]
        inside = ("ip", "netns", "exec", self.host, *command)
        return super().run(inside, stdin=stdin, seconds=seconds, environment=environment)


class BanningHost:
    """A host with a server and fail2ban, and an outside that connects to it."""

    def __init__(self, home: Path) -> None:
        self._names = (f"iacban{os.getpid()}-host", f"iacban{os.getpid()}-outside")
        self._home, self.log, self.journal = home, home / "access.log", home / "journal"
        self._server: subprocess.Popen[str] | None = None

    def up(self) -> None:
        host, outside = self._names
        for name in self._names:
            _run("ip", "netns", "add", name)
        _run(*f"ip link add eth0 netns {host} type veth peer name eth0 netns {outside}".split())
        for name, addresses in (
            (host, (HOST, HOST6)),
            (outside, (ATTACKER, NEIGHBOUR, FRIEND, ATTACKER6, NEIGHBOUR6, BESIDE6, *ROTATED6)),
        ):
            for interface in ("lo", "eth0"):
                _run("ip", "-n", name, "link", "set", interface, "up")
            for each in addresses:
                length = "48" if ":" in each else "24"
                command = ("address", "add", f"{each}/{length}", "dev", "eth0", "nodad")
                _run("ip", "-n", name, *(command if ":" in each else command[:-1]))
        self._server = subprocess.Popen(
            self._within(host, "python3", "-c", _SERVE), stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "serving\n"

    def down(self) -> None:
        self.client("stop")
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def configure(self, **changes: object) -> None:
        """Write fail2ban's files as a deploy with these settings does, and start it."""
        there = self._home / "fail2ban"
        shutil.copytree(FAIL2BAN_DIRECTORY, there)
        shutil.rmtree(there / "jail.d")
        programs = self._home / "lib"
        programs.mkdir(exist_ok=True)
        (programs / Path(archive.path()).name).write_bytes(archive.build())
        places = {LOG: str(self.log), archive.DIRECTORY: str(programs)}
        for each in bans(settings_of(**changes)):
            text = each.content
            for old, new in places.items():
                text = text.replace(old, new)
            file = Path(each.path.replace(FAIL2BAN_DIRECTORY, str(there)))
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        names = {"socket": "sock", "pidfile": "pid", "dbfile": "db", "logtarget": "said"}
        lines = [f"{key} = {self._home / name}" for key, name in names.items()]
        (there / "fail2ban.local").write_text("\n".join(["[Definition]", *lines, ""]))
        body = f"JOURNAL={self.journal}\n{JOURNALCTL}"
        fake_program(self._home / "programs", "journalctl", body)
        self.journal.touch()
        self.log.touch()
        self.start()

    def start(self) -> None:
        done = self._client("-b", "start")
        assert done.returncode == 0, done.stderr + self.read_log()

    def client(self, *words: str) -> str:
        """Return the answer of fail2ban to a command."""
        return self._client(*words).stdout

    def _client(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ("fail2ban-client", "-c", str(self._home / "fail2ban"), *words)
        path = f"{self._home / 'programs'}:{os.environ['PATH']}"
        return subprocess.run(
            self._within(self._names[0], *command),
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def read_log(self) -> str:
        said = self._home / "said"
        return said.read_text() if said.exists() else ""

    def nft(self, *words: str) -> str:
        """Run nft on the host."""
        return _run(*self._within(self._names[0], "nft", *words))

    def write_log(self, *lines: str) -> None:
        """Append lines to Caddy's access log."""
        with self.log.open("a") as log:
            log.writelines(f"{each}\n" for each in lines)

    def reaches(self, source: str) -> bool:
        """Return whether an address of the outside can connect to the host."""
        command = ("python3", "-c", _REACH, source, HOST6 if ":" in source else HOST, str(_PORT))
        return subprocess.run(self._within(self._names[1], *command), timeout=60).returncode == 0

    def bans(self, *sources: str) -> bool:
        """Return whether all of these addresses are banned within a time limit."""
        # fail2ban asks the agent about each address, which takes a second on a busy machine.
        return within(60, lambda: not any(self.reaches(each) for each in sources))

    def observe(self) -> Bans:
        """Return the observed state, as the deploy reads it."""
        return system.bans(_Inside(host=self._names[0], config=self._home / "fail2ban"))

    def _within(self, name: str, *command: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", name, *command)


@contextmanager
def banning(home: Path, **changes: object) -> Iterator[BanningHost]:
    """Yield a running host with these settings."""
    host = BanningHost(home)
    try:
        host.up()
        host.configure(**changes)
        yield host
    finally:
        host.down()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true in time."""
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return met


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
