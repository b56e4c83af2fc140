"""The roll-out of a cluster's stack by its lead, part by part, and back where one fails."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from infisical_iac.cluster import etcd, patroni, rollout, staged, transport
from infisical_iac.cluster.rollout import Wanted
from infisical_iac.cluster.site import Site, fresh, wanted
from infisical_iac.cluster.stack_file import SECRETS
from infisical_iac.cluster.stack_state import (
    RECORD,
    STACK_FILE,
    ClusterStackState,
    hashes,
    keys_of,
    record_text,
)
from infisical_iac.cluster.transport import Level
from infisical_iac.core.errors import UserError
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.operations.reopening import reopened

CONFIGS = "/etc/infisical/stack"
# Seconds that twelve checks which are answered by nobody take, and Swarm to act on it.
_TOLERATED = 360
# Seconds for which a data node that was restarted may be away from the others.
_AGAIN_SECONDS = "180"
# Of three members of etcd and as many of PostgreSQL: without them nothing is decided or written.
_MOST = ("2", "2")


class RolloutError(UserError):
    """The stack does not come to run as stack.yaml says."""


def roll_out(site: Site) -> None:
    """Bring the whole stack to what `site` says. Raises RolloutError.

    A cluster without TLS comes to it in several roll-outs, each of which is a whole one.
    """
    reopened(site.cluster)
    found = fresh(site)
    comes_to_tls = transport.reached(found) < Level.REQUIRED
    for level in transport.ahead(found):
        # An etcd that begins anew does so by the addresses of the level.
        if comes_to_tls and level > Level.OFFERED and not site.cluster.anew:
            run(script("etcd", "secure"), doing="have etcd's members reach each other by TLS")
        _roll_out(replace(site, tls=level))
        site = replace(site, cluster=replace(site.cluster, anew=False))


def _roll_out(site: Site) -> None:
    before, to_be = _prepared(site)
    old = run(f"cat {STACK_FILE} 2>/dev/null || true", doing=f"read {STACK_FILE}")
    check = script("cluster-stack", "check", "{}").replace("'{}'", "{}")
    write(STACK_FILE, to_be.text, mode="600", check=check)
    _try_again(before)
    timeout = _timeout(site.settings, first=not before.services)
    first = staged.leading(before, to_be, site.cluster)
    if site.cluster.anew:
        etcd.end_lost(site.cluster)
    if first:
        part(staged.part(to_be.text, first, before.nodes), first, timeout)
        run(script("etcd", "led", _AGAIN_SECONDS), doing="see who is the primary")
    stages = staged.stages(before, to_be, first | transport.at_once(before, site.tls))
    well = run(script("cluster-stack", "data"), doing="see who keeps data")
    again = ("again", _AGAIN_SECONDS, *well.split())
    # First, for it decides whether what is acknowledged meanwhile is kept.
    seconds = patroni.merged(before.patroni, to_be.patroni())
    if together := transport.at_once(before, site.tls) - first:
        part(staged.part(to_be.text, together, before.nodes), together, timeout)
    for names in stages:
        asked = part(staged.part(to_be.text, names, before.nodes), names, timeout)
        _refuse_rollback(site, asked, old)
        # As many as before, for what is rolled out may be what mends the others.
        back = script("cluster-stack", *again)
        run(back, doing="see the data node back before the next one changes")
    asked = hashes(run(script("cluster-stack", "up"), doing="roll the services out"))
    _await(timeout)
    most_well()
    after = _refuse_rollback(site, asked, old)
    # Where it could not be seen before.
    seconds = max(seconds, patroni.merged(after.patroni, to_be.patroni()))
    if seconds or after.patroni.waiting:
        patroni.restarted(seconds, again)
    write(RECORD, record_text(rollout.recorded(after, to_be, asked)))
    _try_again(after)
    kept = [*to_be.secrets, *to_be.configs]
    run(script("cluster-stack", "clean", *kept), doing="remove what the roll-out replaced")


def databases(site: Site) -> None:
    """Roll out the databases alone. Raises RolloutError."""
    _, to_be = _prepared(site)
    names = staged.databases(to_be.text)
    part(staged.part(to_be.text, names), names, site.settings.start_timeout)


def asking(site: Site) -> str:
    """Return what stack.yaml says of the services that ask the databases.

    The lead has what they start with then. Raises RolloutError.
    """
    _, to_be = _prepared(site)
    return staged.part(to_be.text, to_be.rendered().keys() - staged.databases(to_be.text))


def _prepared(site: Site) -> tuple[ClusterStackState, Wanted]:
    """Have secrets and configurations on the host; what is there, and what is to be."""
    run(script("cluster-stack", "secrets", keys_of(SECRETS)), doing="make the stack's secrets")
    # Earlier steps brought images, keys and nodes.
    before = fresh(site)
    if not before.manager:
        raise RolloutError("the Swarm does not answer: most of its managers have to be up")
    to_be = wanted(site, before)
    for name, text in to_be.configs.items():
        write(f"{CONFIGS}/{name}", text)
    return before, to_be


def part(text: str, names: Iterable[str], timeout: int) -> dict[str, str]:
    """Roll out the services `names`, which make up stack.yaml with `text`, and await them.

    Returns the hash of each service as it was asked for. Raises RolloutError.
    """
    deploy = script("cluster-stack", "part")
    asked = hashes(run(deploy, doing="roll a part of the services out", stdin=text))
    _await(timeout, names)
    return asked


def most_well() -> None:
    """Wait until most of those who keep data are well. Raises CommandFailed."""
    run(script("cluster-stack", "again", _AGAIN_SECONDS, *_MOST), doing="see most of the data well")


def _timeout(settings: Settings, *, first: bool) -> int:
    """The seconds that a roll-out may take: replicas start one by one, and one that is not
    healthy is let go on for a while before Swarm gives it up and goes back."""
    return (settings.start_timeout + _TOLERATED) * (1 if first else 1 + settings.infisical_replicas)


def _await(timeout: int, names: Iterable[str] = ()) -> None:
    named = [f"infisical_{name}" for name in sorted(names)]
    unwell = run(script("cluster-stack", "wait", str(timeout), *named), doing="wait for the stack")
    if unwell:
        hint = ""
        if "Read-only file system" in unwell:
            hint = "; this image writes to its root: set infisical_read_only = False"
        raise RolloutError(f"the stack does not become healthy{hint}:\n{unwell}")


def _try_again(found: ClusterStackState) -> None:
    if any(service.waiting for service in found.services.values()):
        run(script("cluster-stack", "anew"), doing="have Swarm try again what waits for a node")


def _refuse_rollback(site: Site, asked: Mapping[str, str], old: str) -> ClusterStackState:
    """Return what is there now, if nothing of it is what Swarm went back to; RolloutError
    otherwise.
    """
    found = fresh(site)
    if back := rollout.rolled_back(found, asked):
        _went_back(back, old)
    return found


def _went_back(names: Sequence[str], old: str) -> None:
    """Let stack.yaml say again what runs, and tell why."""
    if old:
        write(STACK_FILE, f"{old}\n", mode="600")
    why = "".join(
        run(script("cluster-stack", "why", f"infisical_{name}"), doing="see why") for name in names
    )
    raise RolloutError(
        f"{' and '.join(names)} did not become healthy, so Swarm went back to what ran before, "
        f"which serves:\n{why}"
    )
