"""Test the secret by which Caddy recognizes its proxy: it is made once, and read by Compose."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.stack.ingress_kinds import EDGE_SECRET, KINDS
from infisical_iac.stack.keys import Keys, KeysState, more_of, refuse
from tests.unit.fake_host import FakeHost, make_host
from tests.unit.settings_of import settings_of

_EMAIL = "admin@example.com"
_KEY = f"/etc/infisical/keys/{EDGE_SECRET}"


def _keys(host: FakeHost, *arguments: str) -> list[str]:
    done = host.run("keys", *arguments, stdin="\n")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def _observe(host: FakeHost, more: str) -> KeysState:
    return Keys().process(_keys(host, "check", *filter(None, [more])))


def _env(host: FakeHost) -> dict[str, str]:
    lines = (host.read("/etc/infisical/.env") or "").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """Return a host that was deployed without Traefik, or by an earlier version."""
    made = make_host(tmp_path)
    _keys(made, "make", _EMAIL)
    return made


def test_only_hosts_behind_traefik_have_the_edge_secret(host: FakeHost) -> None:
    assert "EDGE_SECRET" not in _env(host)
    assert [more_of(settings_of(ingress=kind)) for kind in ("caddy", "none")] == ["", ""]
    assert more_of(settings_of(ingress="traefik")) == EDGE_SECRET


def test_each_kind_behind_a_proxy_has_the_edge_secret() -> None:
    having = {name for name, kind in KINDS.items() if EDGE_SECRET in kind.more_keys.split()}
    assert having == {name for name, kind in KINDS.items() if kind.behind_proxy}


def test_each_key_of_a_kind_is_made_read_by_compose_and_accepted(host: FakeHost) -> None:
    before = _env(host)
    for more in filter(None, (kind.more_keys for kind in KINDS.values())):
        _keys(host, "make", _EMAIL, more)
        found = _observe(host, more)
        assert found.missing | found.malformed | found.stale == set()
        assert {*_env(host)} - {*before} == {name.upper() for name in more.split()}


def test_a_partly_written_key_is_not_read(host: FakeHost) -> None:
    before = _env(host)
    host.write(f"{_KEY}.new", "obviously-fake")
    _keys(host, "make", _EMAIL)
    assert _env(host) == before


def test_a_rerun_makes_the_secret_and_compose_reads_it(host: FakeHost) -> None:
    before = _env(host)
    assert _observe(host, EDGE_SECRET).missing == {EDGE_SECRET}
    _keys(host, "make", _EMAIL, EDGE_SECRET)
    made = (host.read(_KEY) or "").strip()
    assert _env(host) == {**before, "EDGE_SECRET": made}
    assert (host.directory / _KEY[1:]).stat().st_mode & 0o777 == 0o600
    for more in (EDGE_SECRET, ""):
        found = _observe(host, more)
        assert found.missing | found.malformed | found.stale == set()
    _keys(host, "make", _EMAIL, EDGE_SECRET)
    assert _env(host)["EDGE_SECRET"] == made


def test_the_secret_is_made_on_a_host_with_a_database_too() -> None:
    state = KeysState(database=True, admin_email=_EMAIL, missing=frozenset({EDGE_SECRET}))
    refuse(state, admin_email=_EMAIL, password_given=False)


def test_a_malformed_key_is_refused_with_the_accepted_form(host: FakeHost) -> None:
    host.write(_KEY, "short\n")
    found = _observe(host, EDGE_SECRET)
    assert found.malformed == {EDGE_SECRET}
    with pytest.raises(Refused, match=r"at least 16 .* letters, digits and \._-"):
        refuse(found, admin_email=_EMAIL, password_given=False)
