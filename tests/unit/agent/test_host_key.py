"""Test that a server replaces the host key of its first boot, also if it dies meanwhile."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from infisical_iac.agent import host_key
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner

_OURS = "/etc/ssh/ssh_host_ed25519_key"
_MADE = "/etc/ssh/infisical_iac_next_host_key"


class _Server(FakeRunner):
    """A server whose ssh-keygen writes another key at each call."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Output:
        done = super().run(words, stdin=stdin)
        if words[0] == "ssh-keygen":
            number = sum("ssh-keygen" in command for command, _ in self.ran)
            Path(words[-1]).write_text(f"private {number}\n")
            Path(f"{words[-1]}.pub").write_text(f"ssh-ed25519 {number}\n")
        return done

    def keys(self) -> tuple[str | None, str | None]:
        """Return the halves of the key that sshd reads at its start."""
        return self.text(_OURS), self.text(f"{_OURS}.pub")


@pytest.fixture
def server(tmp_path: Path) -> _Server:
    made = _Server(tmp_path, {"ssh-keygen": "", "systemctl try-restart ssh.service": ""})
    made.write(_OURS, "private first\n")
    made.write(f"{_OURS}.pub", "ssh-ed25519 first\n", mode=0o644)
    return made


_NEW = ("private 1\n", "ssh-ed25519 1\n")


def test_a_made_key_is_used_once_it_is_known(server: _Server) -> None:
    assert host_key.make(server) == "ssh-ed25519 1"
    assert server.keys() == ("private first\n", "ssh-ed25519 first\n")
    host_key.use(server)
    assert server.keys() == _NEW
    assert server.path(f"{_OURS}.pub").stat().st_mode & 0o777 == 0o644
    assert server.ran[-1][0] == "systemctl try-restart ssh.service"
    assert server.text(_MADE) is None


def test_each_step_can_be_repeated(server: _Server) -> None:
    for _ in range(2):
        assert host_key.make(server) == "ssh-ed25519 1"
    for _ in range(2):
        host_key.use(server)
        assert server.keys() == _NEW
    assert host_key.make(server) == "ssh-ed25519 1"


def test_a_key_without_its_public_half_is_made_again(server: _Server) -> None:
    server.write(_MADE, "half made")
    assert host_key.make(server) == "ssh-ed25519 1"


def test_a_server_that_died_between_the_halves_completes_the_change(server: _Server) -> None:
    host_key.make(server)
    server.write("/etc/ssh/infisical_iac_host_key", "")
    shutil.move(server.path(_MADE), server.path(_OURS))
    assert host_key.make(server) == "ssh-ed25519 1"
    host_key.use(server)
    assert server.keys() == _NEW


def test_a_server_without_a_made_key_keeps_the_first_one(server: _Server) -> None:
    with pytest.raises(RuntimeError):
        host_key.use(server)
    assert server.keys() == ("private first\n", "ssh-ed25519 first\n")
