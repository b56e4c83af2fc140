"""Read the host's system, privileges and deployments."""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import yaml
from pyinfra.context import host

from infisical_iac.agent.files import PathState, states, texts
from infisical_iac.agent.ingress import WebPorts, web_ports
from infisical_iac.agent.others import OtherContainers, other_containers
from infisical_iac.agent.runner import explain
from infisical_iac.agent.transaction import describe_state
from infisical_iac.core.agent import (
    Question,
    ask,
    ask_if_there,
    command_question,
    question,
    together,
)
from infisical_iac.core.remote import Fact
from infisical_iac.host.model import DeployedInfisical, MachineState

DAEMON_FILE = "/etc/docker/daemon.json"
_STACK_FILE, _COMPOSE_FILE = "/etc/infisical/stack.yaml", "/etc/infisical/compose.yaml"


# On a host that never logged in to an instance, a deploy would create a new one.
UNDONE = """\
undone=/var/lib/infisical-restore/undone
test -e /etc/infisical/deployer.env || test -e /etc/infisical/workspace.json || test ! -e $undone ||
    echo "undone $(cat $undone)"
"""
# A running container counts too: its file may be replaced already, or be on another host. An
# interrupted change of version may end with the file of its release.
CALLS_PRIVATE = """\
called=/etc/infisical/stack.yaml
test -e $called || called=/etc/infisical/compose.yaml
for release in $(grep -oEs '[0-9]{8}T[0-9]{6}Z-[^" ]+' /var/lib/infisical-upgrade/state); do
    called="$called /var/backups/infisical-iac/upgrades/$release/compose.yaml"
done
if grep -Eqs '^ *ALLOW_INTERNAL_IP_CONNECTIONS: "?true' $called ||
    for label in compose.project stack.namespace; do
        docker ps --quiet --filter label=com.docker.$label=infisical
    done 2>/dev/null |
        xargs -r docker inspect --format '{{ range .Config.Env }}{{ println . }}{{ end }}' |
        grep -Fqx ALLOW_INTERNAL_IP_CONNECTIONS=true
then echo calls-private; fi
"""
# The unit of an earlier version has no quote at the end.
DATA_VOLUME = r"""
unit=/etc/systemd/system/infisical-data.service
sed -n "s/^ExecStart=.* mount \([^']*\)'*\$/data-volume \1/p" $unit 2>/dev/null
"""
_PROBE = """\
. /etc/os-release; echo "os $ID $VERSION_ID $VERSION_CODENAME"
echo "uid $(id -u)"
test ! -d /run/systemd/system || echo systemd
for file in compose.yaml stack.yaml swarm; do
    test ! -e /etc/infisical/$file || echo deployed
done
"""
_COMMAND = r"""
echo "arch $(dpkg --print-architecture 2>/dev/null)"
where=/var/lib; test ! -d /var/lib/docker || where=/var/lib/docker
echo "disk $(df -Pk $where | awk 'NR == 2 { print $4 }')"
for each in restore:restoring upgrade:upgrading scale:scaling rotation:rotating; do
    state=/var/lib/infisical-${each%:*}/state
    # Not echo, which would interpret the escapes in JSON.
    test ! -e $state || printf '%s %s\n' "${each#*:}" "$(cat $state)"
done
! systemctl is-active --quiet 'infisical-transaction-*' 2>/dev/null || echo changing
test ! -e /etc/infisical/ingress/closed || echo closed
for volume in /dev/disk/by-id/scsi-0HC_Volume_*; do
    test ! -b $volume || blkid -p $volume >/dev/null 2>&1 || echo "spare-volume $volume"
done
grep -qs Y /sys/module/apparmor/parameters/enabled && echo apparmor
if command -v cloud-init >/dev/null && cloud-init status 2>/dev/null | grep -q running
then echo cloud-init; fi
for clock in chrony ntpsec openntpd; do
    test ! -e /lib/systemd/system/$clock.service || echo "clock $clock.service"
done
# sudo takes the variable away, but not from the processes above it.
process=$$ ssh=${SSH_CONNECTION:-}
while [ -z "$ssh" ] && [ "${process:-1}" -gt 1 ]; do
    ssh=$(tr '\0' '\n' 2>/dev/null </proc/$process/environ | sed -n 's/^SSH_CONNECTION=//p')
    process=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$process/status)
done
echo "ssh $ssh"
echo "sshd" $(sshd -T 2>/dev/null | sed -n 's/^listenaddress //p')
echo "uplinks" $({ ip route show default; ip -6 route show default; } 2>/dev/null |
    sed -n 's/.* dev \([^ ]*\).*/\1/p')
test ! -s /etc/infisical/swarm || echo clustered
true
"""


class HostAddresses(Fact[dict[str, list[str]]]):
    """Read the addresses to which the host resolves names; none for an unknown name."""

    def command(self, names: list[str]) -> str:
        # The second column has one line a kind of socket.
        listed = " ".join(map(shlex.quote, names))
        asked = 'timeout 10 getent ahosts "$name" | awk -v name="$name" \'{ print name, $1 }\''
        return f"for name in {listed}; do {asked}; done | sort -u"

    def process(self, output: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, address in map(str.split, output):
            found.setdefault(name, []).append(address)
        return found


class Probe(Fact[MachineState]):
    """Read system and privileges of a host that lacks the agent, as far as the agent needs them."""

    def command(self) -> str:
        return _PROBE

    def process(self, output: list[str]) -> MachineState:
        return parse_machine(output)


def read_machine() -> MachineState:
    """Return the state of the current host's machine. Raises a UserError.

    A host that can't be used does not get the agent: of its state, only what refuses it is known.
    """
    found = ask_if_there(machine_question())
    if found is None:
        probed: MachineState = host.get_fact(Probe)
        is_fit = probed.system is not None or probed.deployed
        if not (is_fit and probed.root and probed.systemd):
            return probed
        found = ask(machine_question())
    return found


def machine_question() -> Question[MachineState]:
    """Return the question for the MachineState."""

    def make_state(machine: MachineState, others: OtherContainers, web: WebPorts) -> MachineState:
        return replace(
            machine,
            swarm=others.in_swarm,
            own_engine=others.is_own,
            others=others.names,
            web=dict(web.holders),
            networks=web.networks,
        )

    return together(
        make_state,
        command_question(f"{UNDONE}{CALLS_PRIVATE}{DATA_VOLUME}{_PROBE}{_COMMAND}", parse_machine),
        question(other_containers),
        question(web_ports),
    )


def parse_machine(output: list[str]) -> MachineState:
    """Return the part of the state that the shell prints."""
    found = {key: rest.split() for key, _, rest in (line.partition(" ") for line in output)}
    ssh = found.get("ssh", [])
    names = (*found.get("os", ()), "", "", "")
    upgrading, of_newer = _read_change("upgrade", found.get("upgrading", ()))
    rotating, also_of_newer = _read_change("rotation", found.get("rotating", ()))
    restoring, restored_by_newer = _read_change("restore", found.get("restoring", ()))
    return MachineState(
        os=names[0],
        release=names[1],
        codename=names[2],
        architecture=" ".join(found.get("arch", ())),
        root=found.get("uid") == ["0"],
        systemd="systemd" in found,
        free_disk_gb=int((*found.get("disk", ()), "0")[0]) / 1024**2,
        deployed="deployed" in found,
        cloud_init="cloud-init" in found,
        clock=" ".join(found.get("clock", ())),
        apparmor="apparmor" in found,
        restoring=restoring,
        undone=" ".join(found.get("undone", ())),
        upgrading=upgrading,
        rotating=rotating,
        unknown=of_newer or also_of_newer or restored_by_newer,
        changing="changing" in found,
        scaling=" ".join(found.get("scaling", ())),
        closed="closed" in found,
        calls_private="calls-private" in found,
        ssh_client=" ".join(ssh[:1]),
        ssh_ports=_ports([*found.get("sshd", ()), *(f":{port}" for port in ssh[3:])]),
        uplinks=tuple(sorted(set(found.get("uplinks", ())))),
        clustered="clustered" in found,
        data_volume=" ".join(found.get("data-volume", ())),
        spare_volume=" ".join(found.get("spare-volume", ())),
    )


def _read_change(name: str, words: Iterable[str]) -> tuple[str, str]:
    """Return the state of a transaction, or the sentence on one of a newer version."""
    try:
        return describe_state(name, " ".join(words)), ""
    except RuntimeError as error:
        return "", explain(error)


def _ports(listening: list[str]) -> tuple[int, ...]:
    """Return the ports of `address:port` texts, without those on the loopback.

    IPv6 addresses are in brackets.
    """
    pairs = (each.rpartition(":") for each in listening)
    own = ("127.", "[::1]")
    return tuple(sorted({int(port) for address, _, port in pairs if not address.startswith(own)}))


def _find_mapping(found: Any, *path: str) -> Mapping[str, Any]:
    """Return the mapping at a path of keys; empty without one: the run replaces a broken file."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def deployed_question() -> Question[DeployedInfisical]:
    """Return the question for the Infisical of the Compose file, of a single host or a cluster."""

    def make_state(found: Mapping[str, str], keys: Mapping[str, PathState]) -> DeployedInfisical:
        # A single host's file stays behind when the host becomes the leader of a cluster.
        text = found.get(_STACK_FILE, found.get(_COMPOSE_FILE, ""))
        given = (PurePath(path).name for path, key in keys.items() if key.kind == "regular file")
        return parse_deployed(text, frozenset(given))

    return together(
        make_state,
        question(texts, paths=[_STACK_FILE, _COMPOSE_FILE]),
        question(states, paths=[], patterns=["/etc/infisical/keys/given_*"]),
    )


def parse_deployed(text: str, given: frozenset[str]) -> DeployedInfisical:
    """Return the Infisical of a Compose file; `given` are the keys that the user gave."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        document = None
    infisical = _find_mapping(document, "services", "infisical")
    environment = _find_mapping(infisical, "environment")
    variables = {name: str(each) for name, each in environment.items()}
    # A cluster's container gets an address with a login from its entrypoint.
    for line in "\n".join(map(str, infisical.get("entrypoint", ()))).splitlines():
        name, _, value = line.strip().partition("=")
        if name == "HTTP_PROXY":
            variables["HTTPS_PROXY"] = value
    if "HTTPS_PROXY" in variables:
        variables["HTTPS_PROXY"] = re.sub(r":\$[^@]*@", ":@", variables["HTTPS_PROXY"])
    # A container of a single host has it in the file's name, a cluster in that of the config.
    inside = variables.get("NODE_EXTRA_CA_CERTS", "")
    config = _find_mapping(document, "configs", "extra_ca").get("name", "")
    match = re.search(r"extra[-_]ca[-_]([0-9a-f]+)", f"{inside} {config}")
    return DeployedInfisical(
        {name: each.replace("$$", "$") for name, each in variables.items()},
        match[1] if match else "",
        given,
    )


def absence(
    machines: Mapping[str, MachineState], *, topology: str, has_unreachable: bool = False
) -> str:
    """Return the reason if the inventory's deployment does not exist; empty if it does.

    During a migration between a single host and a cluster, the inventories of both count.

    Args:
        machines: the reachable hosts, by their names in the inventory; at least one.
        topology: the topology of the settings, `single` or `swarm`.
        has_unreachable: whether other hosts of the inventory were unreachable; they may have the
            deployment.
    """
    if has_unreachable:
        return ""
    deployed = [name for name, each in machines.items() if each.deployed]
    if not deployed:
        return f"nothing is deployed on {', '.join(machines)}: `infisical-iac apply` does it"
    if any(each.scaling for each in machines.values()):
        return ""
    clustered = any(each.clustered for each in machines.values())
    if topology == "single" and clustered:
        return f"{deployed[0]} is one host of a cluster: name the inventory of the whole cluster"
    if topology == "swarm" and not clustered:
        return (
            f"{deployed[0]} runs Infisical on its own, and there is no cluster: name an inventory "
            "with only that host, or make a cluster of it by `infisical-iac scale-out`"
        )
    return ""
