"""Test unlocking a manager when Docker starts, on a fake host."""

from pathlib import Path

import pytest

from tests.unit.cluster.swarm_host import KEY, make_unjoined_host
from tests.unit.fake_host import FakeHost


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return make_unjoined_host(tmp_path)


def test_a_locked_manager_is_unlocked_with_the_key_on_standard_input(host: FakeHost) -> None:
    host.ok(("swarm", "keep"))
    host.write("/state", "locked\n")
    host.ok(("swarm", "unlock"), ("swarm", "ready", "3"))
    assert host.read("/opened") == f"{KEY}\n"
    assert not any(KEY in call for call in host.calls())


def test_the_unit_unlocks_the_manager_when_docker_starts(host: FakeHost) -> None:
    host.ok(("swarm", "keep"))
    host.write("/state", "locked\n")
    host.ok(("swarm-unlock",))
    assert host.read("/opened") == f"{KEY}\n"


@pytest.mark.parametrize("step", [("swarm-unlock",), ("swarm", "begin", "10.0.0.1", "pool", "720")])
def test_leftovers_of_a_network_do_not_block_a_new_network(
    host: FakeHost, step: tuple[str, ...]
) -> None:
    host.note("ip")
    for name in ("vx-001002-fu51t", "vx-of-somebody", "eth0"):
        host.write(f"/sys/class/net/{name}/mtu", "1500")
    host.ok(step)
    interfaces = [call for call in host.calls() if call.startswith("ip ")]
    assert interfaces == ["ip link delete vx-001002-fu51t"]


def test_the_unit_fails_if_the_key_is_wrong(host: FakeHost) -> None:
    host.write("/state", "pending\n")
    done = host.run("swarm-unlock")
    assert (done.returncode, done.stderr.count("still locked")) == (1, 1)


def test_a_manager_that_does_not_start_is_reported(host: FakeHost) -> None:
    done = host.run("swarm", "ready", "3")
    assert "inactive after 3 s" in done.stderr
