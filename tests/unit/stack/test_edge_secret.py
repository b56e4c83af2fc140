"""Test the secret by which Caddy recognizes its proxy: it is made once, and read by Compose."""

from pathlib import Path

import pytest

from infisical_iac.agent import keys
from infisical_iac.core.errors import Refused
from infisical_iac.stack.ingress_kinds import EDGE_SECRET, KINDS
from infisical_iac.stack.keys import more_of, refuse
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.settings_of import settings_of

_EMAIL = "admin@example.com"
_KEY = f"/etc/infisical/keys/{EDGE_SECRET}"


def _make(host: FakeRunner, *more: str) -> None:
    keys.make(host, admin_email=_EMAIL, admin_password="", more=more, given={})


def _env(host: FakeRunner) -> dict[str, str]:
    lines = (host.text("/etc/infisical/.env") or "").splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    """Return a host that was deployed without Traefik, or by an earlier version."""
    made = FakeRunner(tmp_path)
    _make(made)
    return made


def test_only_hosts_behind_traefik_have_the_edge_secret(host: FakeRunner) -> None:
    assert "EDGE_SECRET" not in _env(host)
    assert [more_of(settings_of(ingress=kind)) for kind in ("caddy", "none")] == ["", ""]
    assert more_of(settings_of(ingress="traefik")) == EDGE_SECRET


def test_each_kind_behind_a_proxy_has_the_edge_secret() -> None:
    having = {name for name, kind in KINDS.items() if EDGE_SECRET in kind.more_keys.split()}
    assert having == {name for name, kind in KINDS.items() if kind.behind_proxy}


def test_each_key_of_a_kind_is_made_read_by_compose_and_accepted(host: FakeRunner) -> None:
    before = _env(host)
    for more in filter(None, (kind.more_keys for kind in KINDS.values())):
        _make(host, *more.split())
        found = keys.check(host, more=more.split())
        assert found.missing | found.malformed | found.stale == set()
        assert {*_env(host)} - {*before} == {name.upper() for name in more.split()}


def test_a_partly_written_key_is_not_read(host: FakeRunner) -> None:
    before = _env(host)
    host.write(f"{_KEY}.new", "obviously-fake")
    _make(host)
    assert _env(host) == before


def test_a_rerun_makes_the_secret_and_compose_reads_it(host: FakeRunner) -> None:
    before = _env(host)
    assert keys.check(host, more=[EDGE_SECRET]).missing == {EDGE_SECRET}
    _make(host, EDGE_SECRET)
    made = (host.text(_KEY) or "").strip()
    assert _env(host) == {**before, "EDGE_SECRET": made}
    assert host.path(_KEY).stat().st_mode & 0o777 == 0o600
    for more in (EDGE_SECRET, ""):
        found = keys.check(host, more=more.split())
        assert found.missing | found.malformed | found.stale == set()
    _make(host, EDGE_SECRET)
    assert _env(host)["EDGE_SECRET"] == made


def test_the_secret_is_made_on_a_host_with_a_database_too() -> None:
    state = keys.KeysState(database=True, admin_email=_EMAIL, missing=frozenset({EDGE_SECRET}))
    refuse(state, admin_email=_EMAIL, password_given=False)


def test_a_malformed_key_is_refused_with_the_accepted_form(host: FakeRunner) -> None:
    host.write(_KEY, "short\n")
    found = keys.check(host, more=[EDGE_SECRET])
    assert found.malformed == {EDGE_SECRET}
    with pytest.raises(Refused, match=r"at least 16 .* letters, digits and \._-"):
        refuse(found, admin_email=_EMAIL, password_given=False)
