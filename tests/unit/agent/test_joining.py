"""Test joining and leaving a swarm on a fake host, with no secret among arguments."""

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import joining
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner

TOKEN, KEY = "SWMTKN-1-obviously-fake", "SWMKEY-1-obviously-fake"


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host with an engine; `engine` has its `state` in a swarm, and the key that `opened` it.

    Attributes:
        posts: the requests to Docker's API.
        refusal: the reason why the API refuses them.
        can_leave: whether the engine can leave its swarm.
    """

    engine: dict[str, str] = field(default_factory=lambda: {"state": "inactive"})
    posts: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    can_leave: bool = True

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        done = super().run(words, stdin=stdin)
        match [*words]:
            case ["docker", "info", "--format", "{{json .Swarm}}"]:
                found = {"LocalNodeState": self.engine["state"], "NodeID": "node-id"}
                return Output(0, json.dumps({**found, "Cluster": {"ID": "swarm-id"}}))
            case ["docker", "info", "--format", "{{.DockerRootDir}}"]:
                return Output(0, "/docker\n")
            case ["docker", "swarm", "leave", "--force"]:
                if not self.can_leave:
                    return Output(1)
                self.engine["state"] = "inactive"
            case ["docker", "swarm", "init", *_]:
                self.engine["state"] = "active"
            case ["docker", "swarm", "unlock"]:
                self.engine.update(opened=stdin, state="active")
            case ["docker", "swarm", "unlock-key", *_]:
                return Output(0, f"{KEY}\n")
            case ["docker", "swarm", "join-token", *_]:
                return Output(0, f"{TOKEN}\n")
            case ["docker", "volume", "ls", *_, "name=^infisical_etcd$"]:
                return Output(0, "infisical_etcd\n")
            case ["docker", "ps", "--all", *_, chosen] if chosen.startswith("label="):
                return Output(0, "ended\n")
            case ["docker", "inspect", *_, "ended"]:
                return Output(0, '{"Id": "ended"}\n')
            case ["docker" | "ip" | "systemctl", *_]:
                pass
            case _:
                return done
        return Output(0)

    @property
    def calls(self) -> list[str]:
        return [call for call, _ in self.ran]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Host:
    """A host with a running engine outside any swarm."""

    def post(host: _Host, path: str, body: dict[str, Any]) -> str:
        assert path == "/swarm/join"
        host.posts.append(body)
        if not host.refusal:
            host.engine["state"] = "active"
        return host.refusal

    monkeypatch.setattr(joining, "_post", post)
    return _Host(tmp_path)


def _join(host: _Host, *, again: bool = False) -> None:
    joining.join(
        host,
        address="10.0.0.2",
        remote="10.0.0.1:2377",
        swarm="swarm-id",
        token=TOKEN,
        again=again,
    )


def _begin(host: _Host) -> None:
    joining.begin(host, address="10.0.0.1", pool="10.201.0.0/16", hours=720)


def test_the_join_token_is_never_an_argument(host: _Host) -> None:
    _join(host)
    assert host.posts == [
        {
            "ListenAddr": "0.0.0.0:2377",
            "AdvertiseAddr": "10.0.0.2",
            "RemoteAddrs": ["10.0.0.1:2377"],
            "JoinToken": TOKEN,
        }
    ]
    assert not any(TOKEN in call for call in host.calls)
    assert host.text("/etc/infisical/swarm") == "swarm-id\n"


def test_a_swarm_member_is_marked_and_not_joined_again(host: _Host) -> None:
    host.engine["state"] = "active"
    host.write("/etc/infisical/swarm", "new\n")
    _join(host)
    assert host.text("/etc/infisical/swarm") == "swarm-id\n"
    assert host.posts == []


def test_a_removed_host_joins_again(host: _Host) -> None:
    host.engine["state"] = "active"
    _join(host, again=True)
    assert "docker swarm leave --force" in host.calls
    assert len(host.posts) == 1


def test_a_membership_that_cannot_be_left_is_deleted(tmp_path: Path, host: _Host) -> None:
    lost = _Host(tmp_path, engine={"state": "pending"}, can_leave=False)
    lost.write("/docker/swarm/docker-state.json", "{}")
    lost.write("/docker/volumes/kept", "")
    _join(lost, again=True)
    assert lost.text("/docker/swarm/docker-state.json") is None
    assert lost.text("/docker/volumes/kept") == ""
    assert lost.text("/etc/infisical/swarm") == "swarm-id\n"


def test_a_refused_join_is_reported_without_the_token(tmp_path: Path, host: _Host) -> None:
    refusing = _Host(tmp_path, refusal=f"invalid join token {TOKEN}")
    with pytest.raises(RuntimeError) as refused:
        _join(refusing)
    assert refused.value.args[0].message == "invalid join token (token)"
    assert refusing.text("/etc/infisical/swarm") == "new\n"


def test_a_node_that_does_not_become_active_is_reported(host: _Host) -> None:
    with pytest.raises(RuntimeError) as late:
        joining.await_active(host, seconds=3)
    assert "inactive after 3 s" in late.value.args[0].message


def test_the_first_manager_stores_the_key(host: _Host) -> None:
    _begin(host)
    [begun] = [call for call in host.calls if "swarm init" in call]
    assert "--advertise-addr 10.0.0.1 --default-addr-pool 10.201.0.0/16" in begun
    assert begun.endswith("--cert-expiry 720h --autolock")
    file = host.path("/etc/infisical/keys/swarm_unlock_key")
    assert file.read_text() == f"{KEY}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert host.text("/etc/infisical/swarm") == "swarm-id\n"


def test_an_empty_swarm_with_a_lost_key_is_re_created(host: _Host) -> None:
    host.engine["state"] = "locked"
    host.write("/etc/infisical/swarm", "new\n")
    _begin(host)
    done = [call.split()[2] for call in host.calls if "leave" in call or "init" in call]
    assert done == ["leave", "init"]
    assert host.text("/etc/infisical/keys/swarm_unlock_key") == f"{KEY}\n"


def test_a_swarm_whose_managers_do_not_answer_for_a_moment_is_not_left(host: _Host) -> None:
    host.engine["state"] = "active"
    host.write("/etc/infisical/swarm", "swarm-id\n")
    with pytest.raises(RuntimeError) as refused:
        _begin(host)
    assert refused.value.args[0].remedy == "run again"
    assert host.calls == []


def test_the_data_of_postgresql_are_kept_when_the_swarm_is_re_created(host: _Host) -> None:
    host.engine["state"] = "pending"
    host.write("/etc/infisical/stack.yaml", "services: {}")
    _begin(host)
    removed = [call for call in host.calls if " rm " in call]
    assert removed == [
        "docker rm --force ended",
        "docker volume rm --force infisical_etcd",
    ]
    assert host.text("/etc/infisical/stack.yaml") is None


def test_settings_of_the_swarm_keep_its_key(host: _Host) -> None:
    joining.configure(host, hours=720)
    assert "docker swarm update --autolock=true --cert-expiry 720h" in host.calls
    assert host.text("/etc/infisical/keys/swarm_unlock_key") == f"{KEY}\n"
    assert host.text("/etc/infisical/swarm") == "swarm-id\n"


def test_after_a_rotation_the_new_key_is_kept(host: _Host) -> None:
    host.write("/etc/infisical/keys/swarm_unlock_key", "older\n")
    joining.rotate(host)
    assert [call for call in host.calls if "--rotate" in call] == [
        "docker swarm join-token --rotate --quiet worker",
        "docker swarm join-token --rotate --quiet manager",
        "docker swarm unlock-key --rotate --quiet",
    ]
    assert host.text("/etc/infisical/keys/swarm_unlock_key") == f"{KEY}\n"


def test_a_leaving_host_keeps_only_its_other_keys(host: _Host) -> None:
    _join(host)
    joining.keep(host, secret=KEY)
    for name in ("serial", "led"):
        host.write(f"/etc/infisical/{name}", "3\n")
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake")
    for _ in range(2):
        joining.leave(host)
    assert host.calls.count("docker swarm leave --force") == 1
    left = [str(each.relative_to(host.root)) for each in host.root.glob("etc/**/*")]
    assert sorted(left) == [
        "etc/infisical",
        "etc/infisical/keys",
        "etc/infisical/keys/encryption_key",
    ]


def test_a_locked_manager_is_unlocked_with_the_key_on_standard_input(host: _Host) -> None:
    joining.keep(host, secret=KEY)
    host.engine["state"] = "locked"
    joining.unlock(host)
    joining.await_active(host, seconds=3)
    assert host.engine["opened"] == f"{KEY}\n"
    assert not any(KEY in call for call in host.calls)


def test_the_unit_unlocks_the_manager_when_docker_starts(host: _Host) -> None:
    joining.keep(host, secret=KEY)
    host.engine["state"] = "locked"
    assert joining.unlock_at_start(host) == 0
    assert host.engine["opened"] == f"{KEY}\n"


@pytest.mark.parametrize("step", [joining.unlock_at_start, _begin])
def test_leftovers_of_a_network_do_not_block_a_new_network(host: _Host, step: Any) -> None:
    for name in ("vx-001002-fu51t", "vx-of-somebody", "eth0"):
        host.write(f"/sys/class/net/{name}/mtu", "1500")
    step(host)
    interfaces = [call for call in host.calls if call.startswith("ip ")]
    assert interfaces == ["ip link delete vx-001002-fu51t"]


def test_the_unit_fails_if_the_node_stays_locked(
    host: _Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.engine["state"] = "pending"
    assert joining.unlock_at_start(host) == 1
    assert capsys.readouterr().err.startswith("<3>")


def test_the_key_and_the_ids_are_read_from_docker(host: _Host) -> None:
    assert (joining.key(host), joining.token(host, role="worker")) == (KEY, TOKEN)
    assert joining.ids(host) == ("swarm-id", "node-id")


@contextmanager
def _docker(answer: bytes) -> Iterator[tuple[FakeRunner, list[str]]]:
    """A host with Docker's socket; yields what the socket was sent."""
    sent: list[str] = []
    # The path of a socket has at most 108 bytes.
    with tempfile.TemporaryDirectory() as root, socket.socket(socket.AF_UNIX) as listener:
        host = FakeRunner(Path(root))
        host.write("/var/run/pid", "")
        listener.bind(str(host.path("/var/run/docker.sock")))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                text = ""
                while TOKEN not in text:
                    text += connection.recv(65536).decode()
                sent.append(text)
                connection.sendall(answer)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield host, sent
        server.join(10)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("200 OK", "", ""),
        ("503 Service Unavailable", '{"message":"already part"}', "already part"),
        ("500 Internal Server Error", "<html>", "<html>"),
    ],
)
def test_a_request_to_docker_has_its_answer(status: str, body: str, said: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with _docker(answer.encode()) as (host, sent):
        assert joining._post(host, "/swarm/join", {"JoinToken": TOKEN}) == said
    assert sent[0].startswith("POST /swarm/join HTTP/1.1\r\n")


def test_an_engine_that_does_not_answer_refuses_a_request(tmp_path: Path) -> None:
    assert joining._post(FakeRunner(tmp_path), "/swarm/join", {}) != ""
