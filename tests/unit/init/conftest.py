"""Share fixtures of the tests of `infisical-iac init`; only tests with `running` reach a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from infisical_iac.core import host_keys
from infisical_iac.core.host_keys import ServerKey, name_in_known_hosts
from tests.unit.init.own import make_repository
from tests.unit.ssh_server import reach_no_server, ssh_server

_READ_KEY = host_keys.read_key


class RunningServer(NamedTuple):
    """An SSH server on loopback: its port, its host key, and the private key that may log in.

    The file `others` has what the server prints about its other containers.
    """

    port: int
    host_key: ServerKey
    user_key: Path
    others: Path

    @property
    def known_hosts(self) -> str:
        """Return the server's line in known_hosts."""
        return f"{self.host_key.name} {self.host_key.type} {self.host_key.base64}\n"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reach_no_server(monkeypatch)
    monkeypatch.setattr(host_keys, "GLOBAL_FILE", tmp_path / "ssh_known_hosts")
    monkeypatch.setenv(host_keys.VARIABLE, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INFISICAL_IAC_INVENTORY", raising=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return an empty directory next to services."""
    return make_repository(tmp_path)


@pytest.fixture
def running(
    _no_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Yield a running SSH server, and let `init` reach servers in this test."""
    monkeypatch.setattr(host_keys, "read_key", _READ_KEY)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    home = tmp_path_factory.mktemp("server")
    others = home / "others"
    others.write_text("{}\n")
    with ssh_server(home, printed=others) as port:
        _, kind, base64 = (home / "known_hosts").read_text().split()
        key = ServerKey(name_in_known_hosts("127.0.0.1", port), kind, base64)
        yield RunningServer(port, key, home / "key", others)
