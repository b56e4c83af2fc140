"""Test that what only the checks of a change of version need is ended."""

from pathlib import Path

from tests.unit.fake_host import make_host

_CLOSED = "systemctl stop infisical-port-*.socket infisical-port-*.service"


def test_nothing_of_the_checks_is_kept_even_if_redis_does_not_answer(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.note("systemctl")
    host.docker('exec*) echo "docker $*" >>"$HOST/calls"; exit 1 ;;')
    file = "/var/lib/infisical-upgrade/closed.yaml"
    host.write(file, "closed")
    host.ok(("upgrade", "end_closed"))
    stopped, *_, flushed = host.calls()
    assert stopped == _CLOSED
    assert flushed.startswith("docker exec ")
    assert flushed.endswith(" redis-cli -n 1 flushdb")
    assert host.read(file) is None
