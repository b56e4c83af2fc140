"""Test joining and leaving a swarm on a fake host, with no secret among arguments."""

import json
from pathlib import Path

import pytest

from tests.unit.cluster.swarm_host import KEY, TOKEN, join, make_unjoined_host
from tests.unit.fake_host import FakeHost


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return make_unjoined_host(tmp_path)


def test_the_join_token_is_never_an_argument(host: FakeHost) -> None:
    done = join(host)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(host.read("/body") or "") == {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "10.0.0.2",
        "RemoteAddrs": ["10.0.0.1:2377"],
        "JoinToken": TOKEN,
    }
    assert host.calls()
    assert not any(TOKEN in call for call in host.calls())
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"


def test_a_swarm_member_is_marked_and_not_joined_again(host: FakeHost) -> None:
    host.write("/state", "active\n")
    host.write("/etc/infisical/swarm", "new\n")
    assert join(host).returncode == 0
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"
    assert host.read("/body") is None


def test_a_removed_host_joins_again(host: FakeHost) -> None:
    host.write("/state", "active\n")
    assert join(host, "again").returncode == 0
    assert "docker swarm leave --force" in host.calls()
    assert host.read("/body") is not None


def test_a_membership_that_cannot_be_left_is_deleted(
    host: FakeHost,
) -> None:
    host.write("/state", "pending\n")
    host.write("/lost", "")
    host.write("/docker/swarm/docker-state.json", "{}")
    host.write("/docker/volumes/kept", "")
    assert join(host, "again").returncode == 0
    assert host.read("/docker/swarm/docker-state.json") is None
    assert host.read("/docker/volumes/kept") == ""
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"


def test_a_refused_join_is_reported_without_the_token(
    host: FakeHost,
) -> None:
    host.write("/refusal", f'{{"message": "invalid join token {TOKEN}"}}')
    done = join(host)
    assert done.returncode == 1
    assert json.loads(done.stderr)["message"].endswith(" (token)")
    assert TOKEN not in done.stderr
    assert host.read("/etc/infisical/swarm") == "new\n"


def test_the_first_manager_stores_the_key_and_prints_nothing(host: FakeHost) -> None:
    done = host.run("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [begun] = [call for call in host.calls() if "swarm init" in call]
    assert "--advertise-addr 10.0.0.1 --default-addr-pool 10.201.0.0/16" in begun
    assert begun.endswith("--cert-expiry 720h --autolock")
    file = host.directory / "etc/infisical/keys/swarm_unlock_key"
    assert file.read_text() == f"{KEY}\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_swarm_with_a_lost_key_is_re_created(
    host: FakeHost,
) -> None:
    host.write("/state", "locked\n")
    host.write("/etc/infisical/swarm", "new\n")
    host.ok(("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720"))
    done = [call for call in host.calls() if "leave" in call or "init" in call]
    assert [call.split()[2] for call in done] == ["leave", "init"]
    assert host.read("/etc/infisical/keys/swarm_unlock_key") == f"{KEY}\n"


def test_a_swarm_whose_managers_do_not_answer_for_a_moment_is_not_left(host: FakeHost) -> None:
    host.write("/state", "active\n")
    host.write("/etc/infisical/swarm", "swarm-id\n")
    done = host.run("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720")
    assert (done.returncode, host.calls()) == (1, [])
    assert done.stderr.endswith(" run again\n")


def test_the_data_of_postgresql_are_kept_when_the_swarm_is_re_created(host: FakeHost) -> None:
    host.write("/state", "pending\n")
    host.write("/etc/infisical/stack.yaml", "services: {}")
    host.ok(("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720"))
    removed = [call for call in host.calls() if call.split()[1] == "rm" or " rm " in call]
    assert removed == ["docker rm --force ended", "docker volume rm --force infisical_etcd"]
    assert host.read("/etc/infisical/stack.yaml") is None


def test_after_a_rotation_the_new_key_is_kept(host: FakeHost) -> None:
    host.write("/etc/infisical/keys/swarm_unlock_key", "older\n")
    done = host.run("swarm", "rotate")
    assert (done.returncode, done.stdout) == (0, "")
    assert [call for call in host.calls() if "--rotate" in call] == [
        "docker swarm join-token --rotate --quiet worker",
        "docker swarm join-token --rotate --quiet manager",
        "docker swarm unlock-key --rotate --quiet",
    ]
    assert host.read("/etc/infisical/keys/swarm_unlock_key") == f"{KEY}\n"


def test_a_leaving_host_keeps_only_its_other_keys(
    host: FakeHost,
) -> None:
    join(host)
    host.ok(("swarm", "keep"))
    for name in ("serial", "led"):
        host.write(f"/etc/infisical/{name}", "3\n")
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake")
    host.ok(("swarm", "leave"), ("swarm", "leave"))
    assert host.calls().count("docker swarm leave --force") == 1
    left = [str(each.relative_to(host.directory)) for each in host.directory.glob("etc/**/*")]
    assert sorted(left) == [
        "etc/infisical",
        "etc/infisical/keys",
        "etc/infisical/keys/encryption_key",
    ]
