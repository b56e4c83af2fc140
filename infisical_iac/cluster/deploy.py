"""Deploy a cluster's stack and its certificates on the leader and other nodes, and remove them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pyinfra.api.host import Host
from pyinfra.context import host

from infisical_iac.agent import authority, ending, tasks
from infisical_iac.agent import removal as agent_removal
from infisical_iac.agent.authority import DueFile
from infisical_iac.change.deploy import (
    StackSteps,
    end_interrupted,
    follow_transactions,
    transaction_questions,
)
from infisical_iac.cluster import change, shared_state, stack, swarm
from infisical_iac.cluster.site import cluster_site_of
from infisical_iac.cluster.stack_file import secrets_of
from infisical_iac.cluster.stack_state import stack_question
from infisical_iac.core import journal
from infisical_iac.core.agent import Question, ask, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.connection import HOST_DEPLOYMENT, current, each_of, with_others
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import removal, run
from infisical_iac.host.model import MachineState
from infisical_iac.stack import keys
from infisical_iac.stack.deploy import HostRemoval, configure_containers, make_keys
from infisical_iac.stack.deploy import questions as stack_questions
from infisical_iac.workspace.preflight import Preflight

_ROOT = "/etc/infisical"


@planned_operation
def certificates() -> Commands:
    """Make the deployment's certificate authority and a certificate for each service.

    It runs on the leader. A certificate that ends within 60 days is renewed. The roll-out of the
    stack brings it to the services, as its Docker secret then has another name. Raises
    CommandFailed if the authority's key is missing.
    """
    yield from decide_certificates(inspect(question(authority.check)))


def decide_certificates(due: Sequence[DueFile]) -> Commands:
    """Plan to make the files in `due`."""
    if not due:
        yield UpToDate("all certificates exist, and none ends soon")
        return
    for each in due:
        yield Change("+" if each.why == "missing" else "~", f"{_ROOT}/{each.file}", _detail(each))
    making = question(authority.make)
    yield step(perform, making, doing="make the certificates in /etc/infisical")


def _detail(due: DueFile) -> str:
    if due.why == "ends":
        return f"ends {datetime.fromtimestamp(due.ends, UTC):%Y-%m-%d} → renewed"
    return "does not match its key, its authority or its names" if due.why == "stale" else ""


# The phases in which the new data may have replaced the old ones.
_EXCHANGED = ("data", "swapping", "swapped", "backing")


@planned_operation
def unfinished_changes(machine: MachineState) -> Commands:
    """Discard unfinished changes of a former leader: restore, upgrade, rotation, migration.

    Another host has led the cluster since, so undoing them now would discard later writes. Until
    they are discarded, backups and drills of the host wait for them.
    """
    unfinished = _list_unfinished(machine)
    for what, (which, *how) in unfinished.items():
        journal.current().operator_notes.extend(_describe_kept_data(what, which, how, host.name))
    yield from decide_unfinished_changes(unfinished)


def _list_unfinished(machine: MachineState) -> dict[str, list[str]]:
    unfinished = {
        "restore": machine.restoring,
        "upgrade": machine.upgrading,
        "rotation": machine.rotating,
        "scale": machine.scaling,
    }
    return {what: state.split() for what, state in unfinished.items() if state}


def decide_unfinished_changes(unfinished: Mapping[str, Sequence[str]]) -> Commands:
    """Plan to discard the changes in `unfinished`: per kind, the words of its state file."""
    if not unfinished:
        yield UpToDate("the host has no unfinished change")
    for what, (which, *_) in unfinished.items():
        yield Change("-", f"unfinished {what}", f"{which}, from when this host was the leader")
        path = f"/var/lib/infisical-{what}/state"
        gone = f"rm -rf {_related_paths(what)} && {removal(path)}"
        yield step(run, gone, doing=f"remove {path}")


def _describe_kept_data(what: str, which: str, how: Sequence[str], host: str) -> list[str]:
    """Return a sentence on the data that the change had set aside, which nothing removes."""
    if what not in ("restore", "upgrade") or not how or how[0] not in _EXCHANGED:
        return []
    database = f"infisical_before_{which.partition('-')[0].lower()}"
    return [
        f"{host} left the {what} {which} unfinished when it was the leader: the data that it had "
        f"replaced are in the cluster's database {database}, until you remove it."
    ]


def _related_paths(what: str) -> str:
    """Return the paths to remove with a state file: spare passwords, or fetched data."""
    if what == "rotation":
        return "/etc/infisical/keys/*.next /etc/infisical/keys/*.old"
    # A unit would take a plan up after a boot.
    names = ("fetched", "plan.json", "asked-back", "spare")
    return " ".join(f"/var/lib/infisical-{what}/{name}" for name in names)


@dataclass(frozen=True)
class ClusterStackSteps(StackSteps):
    """The steps that deploy the stack on each node of a cluster."""

    def questions(self, known: Preflight) -> Iterator[Question[Any]]:
        yield from stack_questions(known)
        yield from transaction_questions()
        yield question(tasks.inspect)
        if known.leads:
            settings = cluster_site_of(known).settings
            yield question(authority.check)
            yield stack_question(images=settings.images, secrets=secrets_of(settings))

    def bring_up(self, known: Preflight) -> None:
        prepare(known)
        roll_out(known)
        remove_unused_secrets(known)


def prepare(known: Preflight) -> None:
    """Make the keys on the leader and share them; bring images and ingress to all nodes.

    The keys are on all nodes before a database is created with them, so that no lost node has the
    only copy of a key.
    """
    settings = known.settings
    if known.leads:
        make_keys(known, known.admin_password)
        certificates(name="Make the certificates of the cluster's services")
    shared_state.state_copies(
        cluster=cluster_site_of(known).cluster, name="Copy the keys to all nodes"
    )
    stack.node_images(settings=settings, name="Fetch the images")
    configure_containers(settings)


def remove_unused_secrets(known: Preflight) -> None:
    """Remove the secrets that the user gave and that no setting uses, after `roll_out`."""
    if known.leads:
        keys.unused_secrets(
            more=keys.more_of(known.settings), name="Remove secrets that nothing uses"
        )


def roll_out(known: Preflight) -> None:
    """Roll out the services that the settings describe, after `prepare`."""
    site = cluster_site_of(known)
    stack.node_tasks(site=site, name="Free stuck tasks on the nodes")
    # Any node may lead when its host restarts.
    follow_transactions()
    if known.leads:
        project = known.workspace.project.slug
        end_interrupted(known)
        stack.networks(site=site, name="Re-create networks that differ")
        change.version_change(site=site, project=project, name="Change the version")
        stack.services(site=site, name="Roll out Infisical, PostgreSQL and Redis")
    else:
        unfinished_changes(
            machine=known.machine, name="Discard unfinished changes of a former leader"
        )


@dataclass(frozen=True)
class ClusterRemoval(HostRemoval):
    """Remove Infisical from all nodes of a cluster; `leader` is a working manager."""

    called: str = "the inventory's"
    kept: str = "Data and keys are kept. So is the Swarm, which knows the data of each node."
    leader: Host = field(kw_only=True)

    @classmethod
    def of(cls, host: Host, inventory: str) -> Self:
        if deployment := host.data.get(HOST_DEPLOYMENT):
            return cls(str(deployment), called="the cluster's", leader=host)
        return cls(Path(inventory).stem, leader=host)

    @property
    def _hosts(self) -> list[Host]:
        return with_others(self.leader)

    def list_deployed(self) -> str:
        """Return the parts of the stack that are present on the nodes, a line each."""
        found = each_of(self._hosts, lambda _: ask(question(ending.deployed)))
        return "\n".join(line for lines in found for line in lines)

    def back_up(self, directory: str) -> str:
        """Dump the database into a directory on the node with the primary.

        Raises Refused, or CommandFailed.
        """
        answers = each_of(self._hosts, lambda _: ask(question(ending.is_primary)))
        primaries = [each for each, leads in zip(self._hosts, answers, strict=True) if leads]
        if len(primaries) != 1:
            raise Refused(
                f"the cluster has {len(primaries)} primaries, and a dump needs exactly one: see "
                "`infisical-iac status`, and run again once one PostgreSQL is the primary"
            )
        saving = question(ending.back_up, directory=directory)
        each_of(primaries, lambda _: perform(saving, doing="back up first"))
        return primaries[0].name

    def remove(self, *, volumes: bool) -> None:
        """Remove the stack; with `volumes`, remove the data and the Swarm too.

        Without `volumes` the Swarm stays: it records which node has which part of the data, so that
        the next deploy finds them. Raises CommandFailed.
        """
        asked = question(agent_removal.remove_stack)
        _on_each(self._hosts, lambda: perform(asked, doing="stop the timers"))
        # If an earlier run was killed while hosts left the swarm, no manager is left to stop them.
        if perform(question(ending.remove_services), doing="remove the services"):
            self._wait_for_containers_to_end()
        if volumes:
            self._leave()
            self._wait_for_containers_to_end()
            volumes_removal = question(ending.remove_volumes)
            _on_each(self._hosts, lambda: perform(volumes_removal, doing="remove the volumes"))
            asked = question(agent_removal.remove_everything)
            _on_each(self._hosts, lambda: perform(asked, doing="remove Infisical"))

    def _wait_for_containers_to_end(self) -> None:
        asked = question(ending.end_stack)
        doing = "wait until the containers have stopped"
        _on_each(self._hosts, lambda: perform(asked, doing=doing))

    def _leave(self) -> None:
        # One by one: all at once, most hosts would wait for a majority that is leaving too.
        for each in sorted(self._hosts, key=lambda host: host.name == self.leader.name):
            with current(each), _name_host_in_errors(each):
                swarm.leave()


def _on_each(hosts: Sequence[Host], call: Callable[[], object]) -> None:
    def call_on(host: Host) -> None:
        with _name_host_in_errors(host):
            call()

    each_of(hosts, call_on)


@contextmanager
def _name_host_in_errors(host: Host) -> Iterator[None]:
    try:
        yield
    except CommandFailed as error:
        raise CommandFailed(f"{host.name}: {error}") from None
