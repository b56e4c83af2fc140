"""Test that `snapshot.sh forward` forwards a port of the loopback to an isolated Infisical."""

from pathlib import Path

import pytest

from tests.unit.fake_host import FakeHost, make_host

_FORWARD = ("snapshot", "forward", "/var/lib/infisical-upgrade", "infisical-upgrade")
_DOCKER = '"inspect --format "*IPAddress*) echo 172.19.0.2 ;;'
# Records its calls; ports that begin with {used} are in use.
_SYSTEMD_RUN = """
echo "$*" >>"$HOST/calls"
case "$*" in *127.0.0.1:{used}*) echo "Address already in use" >&2; exit 1 ;; esac
"""


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = make_host(tmp_path)
    made.docker(_DOCKER)
    return made


def test_a_port_in_use_is_skipped(host: FakeHost) -> None:
    host.program("systemd-run", _SYSTEMD_RUN.format(used="2020"))
    assert host.run(*_FORWARD).stdout == "2021\n"
    last = host.calls()[-1].split()
    assert "ListenStream=127.0.0.1:2021" in last
    assert last[-1] == "172.19.0.2:8080"


def test_a_host_without_a_free_port_is_an_error_with_its_reason(host: FakeHost) -> None:
    host.program("systemd-run", _SYSTEMD_RUN.format(used="20"))
    done = host.run(*_FORWARD)
    assert done.returncode == 1
    assert done.stderr.endswith(": Address already in use\n")
    assert sum("ListenStream" in each for each in host.calls()) == 10
