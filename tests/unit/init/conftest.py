"""What the tests of `infisical-iac init` share: no server is reached unless a test says so."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import Unreachable
from infisical_iac.init import server
from infisical_iac.init.server import HostKey, Server


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(named: Server) -> HostKey:
        raise Unreachable(f"{named.address} can't be reached: it is a test")

    monkeypatch.setattr(server, "check_server", refuse)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INFISICAL_IAC_INVENTORY", raising=False)
