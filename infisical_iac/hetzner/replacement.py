"""Replace a server by another one with all its data, in stages, with a rollback.

1. Stop the old server, and move its volume, which has all data, to the new one.
2. Deploy to the new server and prove it, at an address of its own.
3. Move the addresses, prove the new server there, and delete the old one.

The next stage is derived from the actual state, so the next run completes a killed one.

A cluster's node is replaced only if the other nodes can do without it; they have its data. Its
addresses stay, its volume is set aside, and `apply` joins the new server to the cluster.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal

from hcloud.servers import BoundServer
from hcloud.volumes import BoundVolume

from infisical_iac.agent.swarm import ClusterReport
from infisical_iac.core.errors import Refused, Unreachable
from infisical_iac.hetzner import api, plan, remote
from infisical_iac.hetzner.edge import LoadBalancer
from infisical_iac.hetzner.parts import CloudVolume, PrimaryIps, server_address
from infisical_iac.hetzner.remote import Login, RemoteExecutor
from infisical_iac.hetzner.resource import Changes, CloudDeployment, CloudNode, change
from infisical_iac.hetzner.server import LEAVING, READY, CloudServer, has_labels

Stage = Literal[
    "make", "ready", "release", "attach", "prove", "unassign", "assign", "start", "retire", "rename"
]
UndoStage = Literal["release", "attach", "assign", "start", "apply"]
Owner = Literal["old", "new", "none"]
Report = Callable[[str], None]

TITLES: dict[Stage, str] = {
    "make": "make the new server, with addresses of its own for now",
    "ready": "wait for the new server, known by its host key",
    "release": "stop Infisical on the old server and detach the volume",
    "attach": "attach the volume to the new server",
    "prove": "deploy to the new server and check that Infisical is healthy there",
    "unassign": "turn the old server off and take its addresses",
    "assign": "give the addresses to the new server, which is off for that",
    "start": "start the new server",
    "retire": "check that Infisical is healthy at its address, and delete the old server",
    "rename": "give the new server the old one's name",
}
# The label of a new server that was proven.
PROVEN = {"infisical-iac-proven": "yes"}
# The name in known_hosts of a server whose address is not known yet.
_PENDING = "next.invalid"
_MOST_STAGES = 40
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class ReplacementState:
    """The owners of volume and addresses, and the progress of the new server.

    It is `ready` after its first boot, and `proven` after a deploy and a check of its health.
    """

    old: bool
    new: bool
    ready: bool
    proven: bool
    volume: Owner
    addresses: tuple[Owner, ...]
    running: bool
    old_running: bool

    def next_stage(self) -> Stage:
        """Return the next stage. Raises UserError if there is nothing to replace."""
        if not self.new:
            if not self.old:
                raise Refused(
                    "there is no server to replace: `infisical-iac server create`",
                    code="refused.no_server",
                )
            return "make"
        if not self.ready:
            return "ready"
        if self.volume != "new":
            return "release" if self.volume == "old" else "attach"
        if not self.proven:
            return "prove"
        if "old" in self.addresses:
            return "unassign"
        if "none" in self.addresses:
            return "assign"
        if not self.running:
            return "start"
        return "retire" if self.old else "rename"

    def next_undo(self) -> UndoStage:
        """Return the next stage of the rollback. Raises UserError if there is none."""
        if not self.old:
            raise Refused(
                "the old server is gone: there is nothing to go back to",
                code="refused.old_server_gone",
            )
        if not self.new:
            raise Refused(
                "no replacement is under way: there is nothing to undo",
                code="refused.nothing_to_undo",
            )
        if "new" in self.addresses:
            raise Refused(
                "the new server has the addresses already: run `infisical-iac server replace`",
                code="refused.addresses_moved",
            )
        if self.volume != "old":
            return "release" if self.volume == "new" else "attach"
        if "none" in self.addresses:
            return "assign"
        return "apply" if self.old_running else "start"


class Replacement:
    """An observed replacement; each stage observes it again.

    Attributes:
        new: the new server.
        temporary: its addresses until it gets the old one's, by `ipv4` and `ipv6`.

    Raises UserError for a server that can't be replaced.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self.node = plan.observe(timeout=timeout).nodes[0]
        self.desired = self.node.desired
        self._client = self.node.deployment.client
        self._server = self.node[CloudServer]
        self._addresses = self.node[PrimaryIps]
        name = self.desired.name
        if self.node[CloudVolume].found is None:
            raise Refused(
                f"{name} has no volume, so there are no data to move: back up, make a new "
                "server with one, and restore there",
                code="refused.no_volume",
            )
        if len(self._addresses.found) < len(self.desired.versions):
            raise Refused(
                f"{name} is not complete: run `infisical-iac server create` first",
                code="refused.incomplete",
            )
        with api.translate_errors("read the new server"):
            self.new = self._find_new()
            addresses = self._client.primary_ips.get_all(label_selector=self._selector)
        self.temporary = {str(each.type): each for each in addresses}

    @property
    def old(self) -> BoundServer | None:
        """The server that is replaced."""
        return self.node.server

    @property
    def volume(self) -> BoundVolume:
        """The volume that moves."""
        volume = self.node[CloudVolume].found
        assert volume is not None
        return volume

    @property
    def _selector(self) -> str:
        return api.selector(self.desired.deployment, **{api.REPLACES: self.desired.name})

    @property
    def _new_name(self) -> str:
        return f"{self.desired.name}-next"

    def _find_new(self) -> BoundServer | None:
        """Return the new server, found by its labels. Raises UserError for a namesake."""
        replaces, name = f"{api.REPLACES}={self.desired.name}", self._new_name
        found = self._client.servers.get_all(label_selector=self._selector)
        if len(found) > 1:
            names = ", ".join(sorted(str(each.name) for each in found))
            raise Refused(
                f"{len(found)} servers carry the label {replaces} ({names}): remove it in the "
                "console from those that are not to replace it",
                code="refused.ambiguous",
            )
        if not found and (other := self._client.servers.get_by_name(name)):
            api.require_own(f"server {name}", other.labels, self.desired.deployment)
            raise Refused(
                f"the server {name} has the name of a replacement, but no label {replaces}, and "
                "stays unchanged: rename it in the console",
                code="refused.unmarked",
            )
        return found[0] if found else None

    @property
    def state(self) -> ReplacementState:
        """The actual state of the replacement, from Hetzner Cloud."""
        old, new, volume = self.old, self.new, self.volume
        return ReplacementState(
            old=old is not None,
            new=new is not None,
            ready=has_labels(new, READY),
            proven=has_labels(new, PROVEN),
            volume=self._owner(volume.server.id if volume.server else None),
            addresses=tuple(
                self._owner(each.assignee_id) for each in self._addresses.found.values()
            ),
            running=bool(new and new.status == "running"),
            old_running=bool(old and old.status == "running"),
        )

    def _owner(self, id: int | None) -> Owner:
        if self.old and id == self.old.id:
            return "old"
        return "new" if self.new and id == self.new.id else "none"

    @property
    def is_complete(self) -> bool:
        """True if the new server has the old one's name, and only its label is left to remove."""
        return self.new is None and has_labels(self.old, PROVEN)

    @property
    def is_pointless(self) -> bool:
        """True if no replacement is under way and none would change anything."""
        is_idle = self.new is None and self.old is not None and not self.is_complete
        return is_idle and self._server.is_as_desired

    @property
    def _temporary_login(self) -> Login:
        """The login to the new server while it has its own temporary address."""
        assert self.new is not None
        return self._server.login_at(server_address(self.new))

    def do(self, stage: Stage, executor: RemoteExecutor) -> None:
        """Run a stage; each can be repeated after a failure."""
        old, new, final = self.old, self.new, self._server.login
        match stage:
            case "make":
                # Otherwise data on the old server's own disk would be deleted with it.
                if old and old.status == "running":
                    executor.check_data(final)
                self._make()
            case "ready":
                self._finish_first_boot()
            case "release":
                if old and old.status == "running":
                    executor.release_volume(final)
                api.wait_for(self.volume.detach())
            case "attach":
                assert new is not None
                api.wait_for(self.volume.attach(new, automount=False))
            case "prove":
                assert new is not None
                login = self._temporary_login
                executor.check_volume(login)
                executor.deploy(login)
                executor.check_health(login)
                new.update(labels={**(new.labels or {}), **PROVEN})
            case "unassign":
                assert old is not None
                turn_off(old)
                for each in self._addresses.found.values():
                    if each.assignee_id == old.id:
                        api.wait_for(each.unassign())
            case "assign":
                assert new is not None
                turn_off(new)
                has_address = new.public_net and (new.public_net.ipv4 or new.public_net.ipv6)
                if has_address and (login := self._temporary_login) != final:
                    login.forget()
                self.delete_temporary()
                self._assign_to(new)
            case "start":
                assert new is not None
                api.wait_for(new.power_on())
            case "retire":
                assert old is not None
                final.remember(executor.wait_for_host_key(final))
                executor.check_health(final)
                api.wait_for(old.delete())
            case "rename":
                assert new is not None
                new.update(name=self.desired.name, labels=_labels_without([api.REPLACES], new))

    def undo(self, stage: UndoStage, executor: RemoteExecutor) -> None:
        """Run a stage of the rollback; each can be repeated after a failure."""
        old, new, final = self.old, self.new, self._server.login
        assert old is not None
        assert new is not None
        match stage:
            case "release":
                if new.status == "running" and has_labels(new, READY):
                    executor.release_volume(self._temporary_login)
                api.wait_for(self.volume.detach())
            case "attach":
                api.wait_for(self.volume.attach(old, automount=False))
            case "assign":
                turn_off(old)
                self._assign_to(old)
            case "start":
                api.wait_for(old.power_on())
            case "apply":
                login = self._temporary_login
                final.remember(executor.wait_for_host_key(final))
                executor.deploy(final)
                executor.check_health(final)
                login.forget()
                api.wait_for(new.delete())

    def _make(self) -> None:
        """Create the new server, with temporary addresses that are deleted with it."""
        # The server's key is chosen before its creation; its address is known only afterwards.
        user_data = self._server.user_data(_PENDING)
        its_labels = {**api.labels(self.desired.deployment), api.REPLACES: self.desired.name}
        for version in self.desired.versions:
            if version not in self.temporary:
                name = f"{self._new_name}-{version}"
                made = self._addresses.create(version, name, its_labels, goes=True)
                self.temporary[version] = made
        self._server.create(self._new_name, user_data, self.temporary, replaces=self.desired.name)

    def _finish_first_boot(self) -> None:
        assert self.new is not None
        login, final = self._temporary_login, self._server.login
        pending = self._server.login_at(_PENDING)
        login.remember(*login.known_keys(), *pending.known_keys())
        remote.finish_first_boot(login, timeout=self._timeout)
        # The old server has the final address until it moves, so both keys are kept.
        final.remember(*final.known_keys(), *login.known_keys())
        self.new.update(labels={**(self.new.labels or {}), **READY})
        pending.forget()

    def _assign_to(self, server: BoundServer) -> None:
        """Assign all free addresses to a server that is off."""
        for each in self._addresses.found.values():
            if each.assignee_id is None:
                api.wait_for(each.assign(int(server.id or 0), "server"))

    def delete_temporary(self) -> None:
        """Delete the temporary addresses of the new server, which is off or does not exist."""
        for each in self.temporary.values():
            if each.assignee_id is not None:
                api.wait_for(each.unassign())
            each.delete()


def _labels_without(names: Collection[str], server: BoundServer) -> dict[str, str]:
    return {name: text for name, text in (server.labels or {}).items() if name not in names}


def turn_off(server: BoundServer, *, polls: int = 1) -> None:
    """Shut a server down, and cut its power if it is not off after this many `polls`."""
    if server.status == "off":
        return
    api.wait_for(server.shutdown())
    for number in range(polls):
        if number:
            time.sleep(_PAUSE_SECONDS)
        server.reload()
        if server.status == "off":
            return
    api.wait_for(server.power_off())


def replace_server(executor: RemoteExecutor, report: Report, *, timeout: float) -> CloudDeployment:
    """Run all remaining stages, and return the deployment afterwards.

    Raises UserError with a remedy.
    """
    for _ in range(_MOST_STAGES):
        now = Replacement(timeout=timeout)
        if now.is_complete:
            break
        stage = now.state.next_stage()
        with api.translate_errors(TITLES[stage]):
            now.do(stage, executor)
        report(TITLES[stage])
    assert now.old is not None
    with api.translate_errors("end the replacement"):
        now.old.update(labels=_labels_without(PROVEN, now.old))
    return plan.observe(timeout=timeout)


def undo_replacement(executor: RemoteExecutor, report: Report, *, timeout: float) -> None:
    """Give volume and addresses back to the old server, and delete the new one."""
    for _ in range(_MOST_STAGES):
        now = Replacement(timeout=timeout)
        if now.new is None and now.temporary:
            with api.translate_errors("go back"):
                now.delete_temporary()
            report("the new server was not made yet, its addresses are deleted")
            return
        stage = now.state.next_undo()
        with api.translate_errors("go back"):
            now.undo(stage, executor)
        if stage == "apply":
            report("the old server serves again, the new one is deleted")
            return
        report(f"undo: {stage}")


# How often a server that shuts down is polled: a minute in all.
_MOST_POLLS = 30
# Patroni's roles for members with every acknowledged write, and its states for healthy members.
_COMPLETE = ("leader", "sync_standby", "quorum_standby")
_HEALTHY = ("running", "streaming")


def find_node(deployment: CloudDeployment, name: str | None) -> CloudNode:
    """Return the node of that name. Raises UserError if there is none."""
    nodes = {node.desired.name: node for node in deployment.nodes}
    if not name:
        raise Refused(
            f"no node is named: name the one to replace, of {', '.join(nodes)}",
            code="refused.no_node",
        )
    if name not in nodes:
        raise Refused(
            f"{name} is not a node of the cluster: name the one to replace, of {', '.join(nodes)}",
            code="refused.no_node",
        )
    return nodes[name]


def is_unfinished(node: CloudNode) -> bool:
    """Return whether the old server is gone and the new one is not complete."""
    server = node[CloudServer]
    return node.server is None or not (server.is_leaving or server.is_ready)


def is_pointless(node: CloudNode) -> bool:
    """Return whether no replacement is under way and none would change anything."""
    server = node[CloudServer]
    return not is_unfinished(node) and not server.is_leaving and server.is_as_desired


def check_others(node: CloudNode, executor: RemoteExecutor) -> None:
    """Raise UserError if the other nodes can't do without a node, or none of them can report.

    Checks nothing once the old server is leaving.
    """
    if node[CloudServer].is_leaving or node.server is None:
        return
    servers = [each[CloudServer] for each in node.deployment.nodes if each is not node]
    alive = [server for server in servers if server.is_alive()]
    name = node.desired.name
    if not alive:
        raise Unreachable(
            "no other node accepts a login, so it is unknown whether the cluster can do without "
            f"{name}: nothing was done",
            code="unreachable.nodes",
        )
    reports = [executor.read_cluster(server.login) for server in alive]
    # Prefer a report that includes the state of the databases.
    report = next((each for each in reports if each.postgres is not None), reports[0])
    if reason := explain_need(report, name):
        raise Refused(
            f"the cluster can't do without {name}: {reason}; nothing was done",
            code="refused.node_needed",
        )


def plan_node_removal(node: CloudNode, executor: RemoteExecutor) -> Changes:
    """Yield the removal of the old server; the other nodes have its data, its volume is kept."""
    server, volume = node.server, node[CloudVolume]
    balancer, name = node.deployment[LoadBalancer], node.desired.name
    what = f"server {name}"
    if server is None:
        return
    if not node[CloudServer].is_leaving:
        mark = partial(node[CloudServer].add_labels, LEAVING)
        yield change("~", what, "marked as leaving", mark)
    for target in (balancer.found.targets or []) if balancer.found else ():
        if target.server and target.server.id == server.id:
            yield balancer.stop_sending(target, name)
    if server.status != "off":
        yield change("~", what, "stopped and turned off", partial(_turn_off, node, executor))
    if volume.found is not None:
        detail = f"set aside as {volume.name_aside}"
        yield change("~", f"volume {volume.found.name}", detail, volume.set_aside)
    yield CloudServer.removal(server)


def _turn_off(node: CloudNode, executor: RemoteExecutor) -> None:
    server = node[CloudServer]
    if server.is_alive():
        # A primary that is stopped hands over in seconds, one that disappears in a minute.
        executor.stop_docker(server.login)
    turn_off(server.found, polls=_MOST_POLLS)


def explain_need(report: ClusterReport, name: str) -> str:
    """Return the reason why the cluster needs the node `name`; empty if it does not.

    `report` is another node's.
    """
    voting = [each for each in report.nodes if each.vote]
    others = [each for each in voting if each.name != name and each.vote == "reachable"]
    if voting and 2 * len(others) <= len(voting):
        return f"{len(others)} of {len(voting)} managers would be left, which is not a majority"
    if not report.databases:
        return ""
    if report.postgres is None:
        return "no other node reports the state of PostgreSQL"
    numbers = {str(each.number) for each in report.nodes if each.name == name}
    left = [each for each in report.postgres if each.name.rpartition("-")[2] not in numbers]
    unhealthy = [each.name for each in left if each.state not in _HEALTHY]
    if unhealthy:
        return f"{', '.join(unhealthy)} would be needed, and is not healthy"
    if not any(each.role in _COMPLETE for each in left):
        return "no other node has all writes that were acknowledged"
    return ""
