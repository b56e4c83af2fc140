"""Deploy a cluster's stack and its certificates: the steps of the leader and of other nodes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pyinfra.context import host

from infisical_iac.change.deploy import StackSteps, end_interrupted
from infisical_iac.cluster import shared_state, stack, upgrade
from infisical_iac.cluster.site import cluster_site_of
from infisical_iac.core import journal
from infisical_iac.core.agent import Question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import Fact, removal, run
from infisical_iac.core.rendering import script
from infisical_iac.host.model import MachineState
from infisical_iac.stack import keys
from infisical_iac.stack.deploy import configure_containers, make_keys
from infisical_iac.stack.deploy import questions as stack_questions
from infisical_iac.workspace.preflight import Preflight

Reason = Literal["missing", "stale", "ends"]


@dataclass(frozen=True)
class DueFile:
    """A file in /etc/infisical that is to be made or renewed.

    Attributes:
        file: its path below /etc/infisical.
        why: `missing`; `stale` if it does not fit its key, its authority or its names; `ends` if
            its certificate ends soon.
        ends: when the certificate ends, in seconds since the epoch; 0 if there is none.
    """

    file: str
    why: Reason
    ends: int


class Certificates(Fact[list[DueFile]]):
    """Read which certificates certificates.sh would make."""

    def command(self) -> str:
        return script("certificates", "check")

    def process(self, output: list[str]) -> list[DueFile]:
        rows = [line.split() for line in output]
        return [DueFile(file, why, int(ends)) for why, file, ends in rows]  # type: ignore[arg-type]


_ROOT = "/etc/infisical"


@planned_operation
def certificates() -> Commands:
    """Make the deployment's certificate authority and a certificate for each service.

    It runs on the leader. A certificate that ends within 60 days is renewed. The roll-out of the
    stack brings it to the services, as its Docker secret then has another name. Raises
    CommandFailed if the authority's key is missing.
    """
    due = host.get_fact(Certificates)
    yield from decide_certificates(due)


def decide_certificates(due: Sequence[DueFile]) -> Commands:
    """Plan to make the files in `due`."""
    if not due:
        yield UpToDate("all certificates exist, and none ends soon")
        return
    for each in due:
        yield Change("+" if each.why == "missing" else "~", f"{_ROOT}/{each.file}", _detail(each))
    yield step(run, script("certificates", "make"), doing="make the certificates in /etc/infisical")


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
        f"{host} left the {what} {which} unfinished when it was the leader: the data replaced by "
        f"then are in the cluster's database {database}, until you remove it."
    ]


def _related_paths(what: str) -> str:
    """Return the paths to remove with a state file: spare passwords, or fetched data."""
    if what == "rotation":
        return "/etc/infisical/keys/*.next /etc/infisical/keys/*.old"
    return f"/var/lib/infisical-{what}/fetched"


@dataclass(frozen=True)
class ClusterStackSteps(StackSteps):
    """The steps that deploy the stack on each node of a cluster."""

    def questions(self, known: Preflight) -> Iterator[Question[Any]]:
        yield from stack_questions(known)

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
    if known.leads:
        project = known.workspace.project.slug
        end_interrupted(known)
        stack.networks(site=site, name="Re-create networks that differ")
        upgrade.version_change(site=site, project=project, name="Change the version")
        stack.services(site=site, name="Roll out Infisical, PostgreSQL and Redis")
    else:
        unfinished_changes(
            machine=known.machine, name="Discard unfinished changes of a former leader"
        )
