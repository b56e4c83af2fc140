"""The secret by which Caddy knows Traefik: made once on hosts that have it, and read by Compose."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.core.rendering import script_file
from infisical_iac.stack.keys import OF_TRAEFIK, Keys, KeysState, more_of, refuse
from tests.unit.settings_of import settings_of

_EMAIL = "admin@example.com"


class Host:
    """A directory in the place of /etc/infisical, on which keys.sh works."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._text = script_file("keys").replace("root=/etc/infisical", f"root='{root}'")

    def keys(self, *arguments: str) -> list[str]:
        command = ["sh", "-c", self._text, "keys.sh", *arguments]
        done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def state(self, more: str) -> KeysState:
        return Keys().process(self.keys("check", *([more] if more else [])))

    def env(self) -> dict[str, str]:
        lines = (self.root / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One that was deployed without Traefik, or by an earlier version."""
    one = Host(tmp_path / "etc")
    one.keys("make", _EMAIL)
    return one


def test_only_hosts_behind_traefik_have_it(host: Host) -> None:
    assert "EDGE_SECRET" not in host.env()
    assert [more_of(settings_of(ingress=kind)) for kind in ("caddy", "none")] == ["", ""]
    assert more_of(settings_of(ingress="traefik")) == OF_TRAEFIK


def test_a_rerun_makes_it_and_compose_reads_it(host: Host) -> None:
    before = host.env()
    assert host.state(OF_TRAEFIK).missing == {OF_TRAEFIK}
    host.keys("make", _EMAIL, OF_TRAEFIK)
    made = (host.root / "keys" / OF_TRAEFIK).read_text().strip()
    assert host.env() == {**before, "EDGE_SECRET": made}
    assert (host.root / "keys" / OF_TRAEFIK).stat().st_mode & 0o777 == 0o600
    for more in (OF_TRAEFIK, ""):
        found = host.state(more)
        assert found.missing | found.malformed | found.stale == set()
    host.keys("make", _EMAIL, OF_TRAEFIK)
    assert host.env()["EDGE_SECRET"] == made


def test_a_database_does_not_keep_it_from_being_made() -> None:
    state = KeysState(database=True, admin_email=_EMAIL, missing=frozenset({OF_TRAEFIK}))
    refuse(state, admin_email=_EMAIL, password_given=False)


def test_a_form_that_is_wrong_is_told_in_words(host: Host) -> None:
    (host.root / "keys" / OF_TRAEFIK).write_text("short\n")
    found = host.state(OF_TRAEFIK)
    assert found.malformed == {OF_TRAEFIK}
    with pytest.raises(Refused, match=r"at least 16 .* letters, digits and \._-"):
        refuse(found, admin_email=_EMAIL, password_given=False)
