"""The secret that Caddy recognizes its proxy by: made once, and read by Compose."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.core.rendering import script_file
from infisical_iac.stack.ingress_kinds import EDGE_SECRET, KINDS
from infisical_iac.stack.keys import Keys, KeysState, more_of, refuse
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
    assert more_of(settings_of(ingress="traefik")) == EDGE_SECRET


def test_each_kind_behind_a_proxy_has_it() -> None:
    having = {name for name, kind in KINDS.items() if EDGE_SECRET in kind.more_keys.split()}
    assert having == {name for name, kind in KINDS.items() if kind.behind_proxy}


def test_each_key_of_a_kind_is_made_read_by_compose_and_accepted(host: Host) -> None:
    before = host.env()
    for more in filter(None, (kind.more_keys for kind in KINDS.values())):
        host.keys("make", _EMAIL, more)
        found = host.state(more)
        assert found.missing | found.malformed | found.stale == set()
        assert {*host.env()} - {*before} == {name.upper() for name in more.split()}


def test_a_key_that_was_not_written_whole_is_not_read(host: Host) -> None:
    before = host.env()
    (host.root / "keys" / f"{EDGE_SECRET}.new").write_text("obviously-fake")
    host.keys("make", _EMAIL)
    assert host.env() == before


def test_a_rerun_makes_it_and_compose_reads_it(host: Host) -> None:
    before = host.env()
    assert host.state(EDGE_SECRET).missing == {EDGE_SECRET}
    host.keys("make", _EMAIL, EDGE_SECRET)
    made = (host.root / "keys" / EDGE_SECRET).read_text().strip()
    assert host.env() == {**before, "EDGE_SECRET": made}
    assert (host.root / "keys" / EDGE_SECRET).stat().st_mode & 0o777 == 0o600
    for more in (EDGE_SECRET, ""):
        found = host.state(more)
        assert found.missing | found.malformed | found.stale == set()
    host.keys("make", _EMAIL, EDGE_SECRET)
    assert host.env()["EDGE_SECRET"] == made


def test_a_database_does_not_keep_it_from_being_made() -> None:
    state = KeysState(database=True, admin_email=_EMAIL, missing=frozenset({EDGE_SECRET}))
    refuse(state, admin_email=_EMAIL, password_given=False)


def test_a_malformed_key_is_described_in_words(host: Host) -> None:
    (host.root / "keys" / EDGE_SECRET).write_text("short\n")
    found = host.state(EDGE_SECRET)
    assert found.malformed == {EDGE_SECRET}
    with pytest.raises(Refused, match=r"at least 16 .* letters, digits and \._-"):
        refuse(found, admin_email=_EMAIL, password_given=False)
