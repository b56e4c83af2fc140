"""Test that a port of the loopback is forwarded to an isolated Infisical, and closed again."""

from pathlib import Path

import pytest

from tests.unit.fake_host import FakeHost, make_host

_CLOSED = "systemctl stop {project}-port-*.socket {project}-port-*.service"
# Records its calls; ports that begin with {used} are in use.
_SYSTEMD_RUN = """
echo "systemd-run $*" >>"$HOST/calls"
case "$*" in *127.0.0.1:{used}*) echo "Address already in use" >&2; exit 1 ;; esac
"""
# The port forward of an Infisical that is checked next to the live one.
_PROJECT = "infisical-upgrade"
_FORWARD = ("snapshot", "forward", "/var/lib/infisical-upgrade", _PROJECT)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = make_host(tmp_path)
    made.docker('"inspect --format "*IPAddress*) echo 172.19.0.2 ;;')
    made.note("systemctl")
    return made


def test_a_port_in_use_is_skipped(host: FakeHost) -> None:
    host.program("systemd-run", _SYSTEMD_RUN.format(used="2020"))
    assert host.run(*_FORWARD).stdout == "2021\n"
    last = host.calls()[-1].split()
    assert f"{_PROJECT}-port-2021" in last
    assert "ListenStream=127.0.0.1:2021" in last
    assert last[-1] == "172.19.0.2:8080"


def test_a_host_without_a_free_port_is_an_error_with_its_reason(host: FakeHost) -> None:
    host.program("systemd-run", _SYSTEMD_RUN.format(used="20"))
    done = host.run(*_FORWARD)
    assert done.returncode == 1
    assert done.stderr.endswith(": Address already in use\n")
    assert sum("ListenStream" in each for each in host.calls()) == 10


def test_nothing_of_the_checks_is_kept_even_if_redis_does_not_answer(host: FakeHost) -> None:
    file = "/var/lib/infisical-upgrade/closed.yaml"
    host.write(file, "closed")
    host.ok(("upgrade", "end_closed"))
    stopped, *_, flushed = host.calls()
    assert stopped == _CLOSED.format(project="infisical")
    assert flushed.startswith("docker exec ")
    assert flushed.endswith(" redis-cli -n 1 flushdb")
    assert host.read(file) is None
