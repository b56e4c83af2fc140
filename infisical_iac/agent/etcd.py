"""Manage the members of the cluster's etcd, which knows which PostgreSQL is the primary."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infisical_iac.agent.docker import (
    DockerContainer,
    find_container,
    list_containers,
    remove_own_volumes,
)
from infisical_iac.agent.files import write
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.membership import ETCD_VOLUME
from infisical_iac.agent.runner import Failure, Output, Runner, action, observation
from infisical_iac.agent.tasks import STACK

# Each attempt takes as long as etcdctl waits for an answer.
_ATTEMPTS = 12
_RUNBOOK = "see `infisical-iac docs runbooks`"


@dataclass(frozen=True)
class EtcdMember:
    """A registered member; one that has not started has no name."""

    id: str
    name: str
    peers: tuple[str, ...]

    @property
    def uses_tls(self) -> bool:
        """True if the others reach it by TLS."""
        return any(each.startswith("https://") and each.endswith(":2382") for each in self.peers)

    def is_of(self, number: int) -> bool:
        """Return whether it is the member of a data node."""
        return self.name == f"etcd-{number}" or any(f"//etcd-{number}:" in e for e in self.peers)


@dataclass(frozen=True)
class _Etcd:
    """This node's etcd."""

    runner: Runner
    container: DockerContainer

    def ctl(self, *words: str) -> Output:
        return run_shortly(self.runner, ["docker", "exec", self.container.id, "etcdctl", *words])

    def members(self) -> list[EtcdMember]:
        """Return the registered members; none if etcd does not answer."""
        text = self.ctl("member", "list", "--write-out=json").text
        found = json.loads(text)["members"] if text.startswith("{") else []
        return [
            EtcdMember(f"{each['ID']:x}", each.get("name", ""), tuple(each.get("peerURLs") or ()))
            for each in found
        ]


def _find_etcd(runner: Runner) -> _Etcd | None:
    container = find_container(runner, "etcd", "swarm")
    return _Etcd(runner, container) if container else None


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


@action
def abandon(runner: Runner) -> None:
    """Mark the data of this node's etcd for removal; the mark goes with them.

    It is for the next run, if this one is killed.
    """
    volume = runner.path(ETCD_VOLUME)
    if volume.is_dir():
        write(volume / "abandoned", b"")


@action
def stop(runner: Runner, *, services: Sequence[str]) -> None:
    """Remove services, such as `etcd-1`, until the stack is rolled out; on a manager.

    A service that is scaled to 0 keeps running if its task is just being restarted.
    """
    listed = runner.must_run(["docker", "service", "ls", "--format", "{{json .}}"]).splitlines()
    there = {json.loads(line)["Name"] for line in listed}
    for each in services:
        if f"{STACK}{each}" in there:
            runner.must_run(["docker", "service", "rm", f"{STACK}{each}"])
    # The nodes learn of the removal a moment later.
    time.sleep(3)


@action
def end_postgres(runner: Runner) -> None:
    """Remove this node's PostgreSQL container, whose service was removed.

    A node without managers does not learn of that. Containers of a former single host on this node
    stay. Raises RuntimeError with a Failure.
    """
    for each in _list_postgres(runner):
        runner.run(["docker", "rm", "--force", each.id])
    if _list_postgres(runner):
        raise _refuse("Docker does not end the PostgreSQL of this node")


def _list_postgres(runner: Runner) -> list[DockerContainer]:
    return [each for each in list_containers(runner) if each.belongs_to("postgres", "swarm")]


@action
def forget(runner: Runner) -> None:
    """Remove the data of this node's earlier etcd.

    An etcd that starts with the data of a removed member is refused by the others, and ends.
    """
    remove_own_volumes(runner, "etcd")


@action
def replace_member(runner: Runner, *, number: int) -> None:
    """Replace the registration of a data node's member by a new one; where a healthy etcd runs.

    It comes before the new node gets its number, because a roll-out then starts its etcd: an empty
    etcd in the place of a member that is still registered would break that member's votes. etcd
    removes a member only while the others have a majority. Raises RuntimeError with a Failure.
    """
    etcd = _find_etcd(runner)
    if etcd is None:
        raise _refuse(f"this node runs no etcd that could add etcd-{number}")
    # A member that was just added may not have started yet.
    if not any(etcd.ctl("endpoint", "health").status == 0 for _ in range(_ATTEMPTS)):
        raise _refuse(
            "etcd has lost its quorum, so that no member can be replaced",
            f"{_RUNBOOK}, 'A lost etcd quorum'",
        )
    members = etcd.members()
    # The members have all changed to TLS if one has, unless a run was interrupted in between.
    is_tls = any(each.uses_tls for each in members)
    peer = f"https://etcd-{number}:2382" if is_tls else f"http://etcd-{number}:2380"
    for each in members:
        if each.is_of(number):
            removed = etcd.ctl("member", "remove", each.id)
            if removed.status != 0:
                raise _refuse(f"etcd does not remove etcd-{number}: {_last_line(removed)}")
    added = etcd.ctl("member", "add", f"etcd-{number}", f"--peer-urls={peer}")
    if added.status != 0:
        raise _refuse(f"etcd does not add etcd-{number}: {_last_line(added)}")


def _last_line(done: Output) -> str:
    return f"{done.text}{done.errors}".strip().rpartition("\n")[2]


@action
def secure(runner: Runner) -> None:
    """Change the addresses of all members to TLS, which all of them offer already.

    One member is updated after the other; each update takes a majority. Raises RuntimeError with a
    Failure unless all of them have changed, since the caller turns off plain connections next.
    """
    for _ in range(_ATTEMPTS):
        etcd = _find_etcd(runner)
        members = etcd.members() if etcd else []
        plain = [(each, host) for each in members for host in _plain_hosts(each)]
        if not plain and any(each.uses_tls for each in members):
            return
        for each, host in plain:
            assert etcd
            peer = f"--peer-urls=https://{host}:2382"
            if etcd.ctl("member", "update", each.id, peer).status != 0:
                time.sleep(1)
    raise _refuse(
        "not all members of etcd reach each other by TLS",
        f"{_RUNBOOK}, 'A lost etcd quorum', and run again",
    )


def _plain_hosts(member: EtcdMember) -> list[str]:
    return [
        each.removeprefix("http://").removesuffix(":2380")
        for each in member.peers
        if each.startswith("http://") and each.endswith(":2380")
    ]


@observation
def await_primary(runner: Runner, *, seconds: float) -> None:
    """Wait until PostgreSQL has a primary. Raises RuntimeError with a Failure."""
    end = time.monotonic() + seconds
    while True:
        etcd = _find_etcd(runner)
        leader = ("get", "--print-value-only", "/patroni/infisical/leader")
        if etcd and etcd.ctl(*leader).text.strip():
            return
        if time.monotonic() >= end:
            raise _refuse(
                f"no PostgreSQL has become the primary within {seconds:g} s",
                f"{_RUNBOOK}, 'Nobody becomes primary'",
            )
        time.sleep(1)
