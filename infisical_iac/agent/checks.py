"""Find problems in the observed state of a host. Pure; `table.py` has the table of checks.

In a cluster, a lost node takes its parts of etcd and PostgreSQL with it: what it explains is no
further alert.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from infisical_iac.agent.health import BY_ITSELF, parse_moment, parse_progress
from infisical_iac.agent.observed import DAY, HOUR, MINUTE, Observed, Problem
from infisical_iac.agent.swarm import ClusterFacts, ObservedNode
from infisical_iac.agent.upkeep import JAILS, LOGIN_JAILS, find_excess
from infisical_iac.agent.vitals import DriftRecord

_MIB, _GIB = 1024**2, 1024**3
_FLAPPING_SECONDS = 15 * MINUTE
# A starting container gets this long to become healthy.
_STARTING_SECONDS = 5 * MINUTE
# The period over which the growth of a disk is measured, and the shortest one that shows it.
_GROWTH_SECONDS, _LEAST_GROWTH_SECONDS = DAY, 6 * HOUR
# The checks `backup` and `drill` report the failures of these units.
_REPORTED_UNITS = ("infisical-backup.service", "infisical-drill.service")


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def find_docker(seen: Observed, _: float) -> Iterator[Problem]:
    if not seen.facts.engine and seen.expected.services:
        yield Problem("Docker does not answer")


def find_containers(seen: Observed, seconds: float) -> Iterator[Problem]:
    if not seen.facts.engine:
        return
    for service in seen.expected.services:
        there = seen.facts.containers.get(service)
        if there is None:
            yield Problem(f"{service} has no container", service, wait=MINUTE // 2)
        elif there.status != "running":
            ended = parse_moment(there.finished)
            if ended is None or seen.now - ended >= seconds:
                yield Problem(f"{service} is {there.status}", service, ended)
        elif there.health == "unhealthy":
            yield Problem(f"{service} is unhealthy", service)
        elif there.health == "starting":
            # A starting container begins no alert for a while, and ends none.
            yield Problem(f"{service} is starting", service, wait=_STARTING_SECONDS)


def find_flapping(seen: Observed, times: float) -> Iterator[Problem]:
    for service, starts in sorted(seen.history.starts.items()):
        recent = [each for each in starts if seen.now - each <= _FLAPPING_SECONDS]
        if len(recent) >= times:
            text = f"{service} has started {len(recent)} times within 15 minutes"
            yield Problem(text, service, recent[0])


def find_edge(seen: Observed, seconds: float) -> Iterator[Problem]:
    closed = seen.facts.closed
    if closed is not None and seen.now - closed >= seconds:
        yield Problem("the edge answers 503 to everybody", since=closed)


_FIREWALL = {
    "failed": "the firewall's rules can't be loaded, and the previous ones stay",
    "ssh-only": "the firewall's rules can't be loaded, so only SSH is let in",
    "none": "the firewall's rules are not loaded, and nothing is filtered",
}


def find_firewall(seen: Observed, _: float) -> Iterator[Problem]:
    if text := _FIREWALL.get(seen.facts.firewall):
        yield Problem(text)


def find_disk(seen: Observed, gigabytes: float) -> Iterator[Problem]:
    disk = seen.facts.disk
    if disk.size and disk.free < gigabytes * _GIB:
        free, size = disk.free / _GIB, disk.size / _GIB
        yield Problem(f"{free:.1f} of {size:.1f} GB are free at {disk.place}")


def find_disk_growth(seen: Observed, days: float) -> Iterator[Problem]:
    left = seconds_until_full(seen.history.disk, seen.now)
    if left is not None and left < days * DAY:
        place = seen.facts.disk.place
        yield Problem(f"{place} will be full within {left / DAY:.1f} days if it keeps growing")


def seconds_until_full(samples: Sequence[tuple[float, int]], now: float) -> float | None:
    """Return the seconds until a disk is full at its present growth; None if it does not grow.

    One large write, such as a new image, is not growth: the free space must shrink over the whole
    period and over its last third. The slower of these two rates counts.

    Args:
        samples: the free bytes by the time of the observation, oldest first.
    """
    recent = [each for each in samples if now - each[0] <= _GROWTH_SECONDS]
    if not recent or recent[-1][0] - recent[0][0] < _LEAST_GROWTH_SECONDS:
        return None
    (first, free_first), (last, free) = recent[0], recent[-1]
    third = last - (last - first) / 3
    middle, free_middle = next(each for each in recent if each[0] >= third)
    if last == middle:
        return None
    rate = min((free_first - free) / (last - first), (free_middle - free) / (last - middle))
    return free / rate if rate > 0 else None


def find_memory(seen: Observed, percent: float) -> Iterator[Problem]:
    vitals = seen.vitals
    if vitals.memory and vitals.available < vitals.memory * percent / 100:
        share = 100 * vitals.available / vitals.memory
        yield Problem(f"only {share:.0f} % of the memory is available")


def find_swap(seen: Observed, percent: float) -> Iterator[Problem]:
    vitals = seen.vitals
    used = vitals.swap - vitals.free_swap
    if vitals.swap and used > vitals.swap * percent / 100:
        yield Problem(f"{100 * used / vitals.swap:.0f} % of the swap is in use")


def find_load(seen: Observed, times: float) -> Iterator[Problem]:
    vitals = seen.vitals
    if vitals.load > times * vitals.processors:
        yield Problem(f"the load is {vitals.load:.0f} on {vitals.processors} processors")


def find_certificate(seen: Observed, days: float) -> Iterator[Problem]:
    expected, end = seen.expected, seen.facts.certificate_ends
    if not expected.served_name or (end is None and not expected.serves):
        return
    if end is None:
        yield Problem(f"no certificate is served for {expected.served_name}")
    elif end <= seen.now:
        yield Problem(f"the certificate of {expected.served_name} ended on {_day(end)}")
    elif end - seen.now < days * DAY and not expected.is_short_lived:
        left = (end - seen.now) // DAY
        yield Problem(f"the certificate of {expected.served_name} ends in {left:.0f} days")


def find_credentials(seen: Observed, days: float) -> Iterator[Problem]:
    for name, (made, ends) in sorted(seen.facts.credentials.items()):
        begin, end = parse_moment(made), parse_moment(ends)
        if begin is None or end is None:
            continue
        if seen.now >= end - min(days * DAY, (end - begin) / 4):
            verb = "ends" if end > seen.now else "has ended"
            yield Problem(f"the client secret of {name} {verb} on {_day(end)}", name)


def _failure(record: str) -> str:
    """Return the failure in the record of a backup or drill; empty for none."""
    try:
        return str(json.loads(record)["failure"]) if record else ""
    except (ValueError, KeyError, TypeError):
        return "its record can't be read"


def find_backup(seen: Observed, _: float) -> Iterator[Problem]:
    expected = seen.expected
    has_targets = expected.backup_targets or expected.shared_targets
    if has_targets and (why := _failure(seen.facts.backups)):
        yield Problem(f"the last backup failed: {why}")


def find_backup_age(seen: Observed, hours: float) -> Iterator[Problem]:
    since = seen.facts.backups_since
    for target in seen.expected.backup_targets:
        last = seen.facts.saved.get(target, since)
        if last is not None and seen.now - last > hours * HOUR:
            age = (seen.now - last) / HOUR
            yield Problem(f"no backup in {target} for {age:.0f} hours", target, last)
    # Another node may have saved there before this one led the swarm.
    leads_since = seen.history.leads_since
    for target in seen.expected.shared_targets if leads_since is not None else ():
        late = seen.now - max(seen.facts.saved.get(target, 0), leads_since or 0.0)
        if late > hours * HOUR:
            text = f"no backup in {target} for {late / HOUR:.0f} hours"
            yield Problem(text, target, seen.now - late)


def find_drill(seen: Observed, _: float) -> Iterator[Problem]:
    if seen.expected.backup_targets and (why := _failure(seen.facts.drills)):
        yield Problem(f"the last drill failed: {why}")


def find_drill_age(seen: Observed, days: float) -> Iterator[Problem]:
    if not seen.expected.backup_targets:
        return
    try:
        success = str(json.loads(seen.facts.drills)["success"])
    except (ValueError, KeyError, TypeError):
        success = ""
    last = parse_moment(success) or seen.facts.drills_since
    if last is not None and seen.now - last > days * DAY:
        yield Problem(f"no drill has succeeded for {(seen.now - last) / DAY:.0f} days", since=last)


def find_kit(seen: Observed, hours: float) -> Iterator[Problem]:
    since = seen.facts.backups_since
    if seen.vitals.kit and since is not None and seen.now - since > hours * HOUR:
        yield Problem(f"a new recovery kit is due: {seen.vitals.kit}")


def find_units(seen: Observed, _: float) -> Iterator[Problem]:
    for unit in seen.vitals.failed_units:
        if unit not in _REPORTED_UNITS:
            yield Problem(f"{unit} has failed", unit)


def find_timers(seen: Observed, hours: float) -> Iterator[Problem]:
    for timer in seen.vitals.timers:
        began, late = timer.running_since, timer.next_run
        if not timer.is_active:
            yield Problem(f"{timer.name} does not run", timer.name)
        elif began is not None and seen.now - began > hours * HOUR:
            text = (
                f"the job of {timer.name} has not ended for {(seen.now - began) / HOUR:.0f} hours"
            )
            yield Problem(text, timer.name, began)
        elif late is not None and seen.now - late > hours * HOUR:
            text = f"{timer.name} should have run {(seen.now - late) / HOUR:.0f} hours ago"
            yield Problem(text, timer.name, late)


def find_reboot(seen: Observed, days: float) -> Iterator[Problem]:
    due = seen.vitals.reboot_due
    if due is not None and seen.now - due > days * DAY:
        yield Problem(f"a reboot has been due since {_day(due)}, for an update", since=due)


_TRANSACTIONS = {
    "restore": "a restore",
    "upgrade": "a change of version",
    "scale": "a scale-out or scale-in",
    "rotation": "the rotation of a key",
}


def find_transactions(seen: Observed, _: float) -> Iterator[Problem]:
    for name, state in seen.facts.unfinished.items():
        waits, _ = parse_progress(state)
        title = _TRANSACTIONS.get(name, name)
        # A restore waits only for the run that began it.
        if waits and name != "restore":
            yield Problem(f"{title} waits for `infisical-iac attach`", name)
        elif seen.facts.holder != BY_ITSELF:
            ending = ", which `infisical-iac apply` ends" if name == "rotation" else ""
            yield Problem(f"{title} was interrupted{ending}", name)


def find_clock(seen: Observed, _: float) -> Iterator[Problem]:
    if seen.vitals.synchronized is False:
        yield Problem("the clock is not synchronized")


def find_lock(seen: Observed, hours: float) -> Iterator[Problem]:
    taken = seen.vitals.lock_taken
    if seen.facts.holder and taken is not None and seen.now - taken > hours * HOUR:
        age = (seen.now - taken) / HOUR
        yield Problem(f"a run of infisical-iac has not ended for {age:.0f} hours")


def _has_known_outage(seen: Observed) -> bool:
    """Return whether another check reports why nobody reaches Infisical."""
    facts = seen.facts
    found = [facts.containers.get(service) for service in seen.expected.services]
    are_well = all(each and (each.status, each.health) == ("running", "healthy") for each in found)
    return (bool(found) and not (facts.engine and are_well)) or facts.closed is not None


def find_canary(seen: Observed, _: float) -> Iterator[Problem]:
    canary = seen.vitals.canary
    if canary and canary.failure and not _has_known_outage(seen):
        yield Problem(f"the canary fails through the public address: {canary.failure}")


def find_slow_canary(seen: Observed, seconds: float) -> Iterator[Problem]:
    canary = seen.vitals.canary
    if canary and not canary.failure and (taken := sum(canary.seconds.values())) > seconds:
        step = max(canary.seconds, key=lambda each: canary.seconds[each])
        slowest = f"{canary.seconds[step]:.1f} s of it for the {step}"
        yield Problem(f"the canary takes {taken:.1f} s through the public address, {slowest}")


def find_sign_up(seen: Observed, _: float) -> Iterator[Problem]:
    if seen.vitals.is_sign_up_open:
        yield Problem("anybody who reaches Infisical may make an account")


def _current_drift(seen: Observed) -> DriftRecord:
    """Return the last drift check; an empty one if a later run may have repaired what it found."""
    found = seen.vitals.drift
    is_current = found is not None and found.at >= (seen.vitals.lock_taken or 0.0)
    return found if found and is_current else DriftRecord(seen.now)


def find_access(seen: Observed, _: float) -> Iterator[Problem]:
    for line in _current_drift(seen).changes:
        if line.startswith("* "):
            what, colon, why = line.removeprefix("* ").partition(": ")
            yield Problem(f"access that nothing declares: {what}{colon}{why}", what)


def find_drift(seen: Observed, _: float) -> Iterator[Problem]:
    found = [each for each in _current_drift(seen).changes if not each.startswith(("* ", "? "))]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        yield Problem(
            f"host or Infisical differ from what is declared: {'; '.join(found[:3])}{more}"
        )
    elif error := _current_drift(seen).error:
        yield Problem(f"drift can't be checked: {error}")


def find_drift_age(seen: Observed, hours: float) -> Iterator[Problem]:
    last = seen.vitals.drift
    if last and seen.now - last.at > hours * HOUR:
        text = f"drift has not been checked for {(seen.now - last.at) / HOUR:.0f} hours"
        yield Problem(text, since=last.at)


def find_repositories(seen: Observed, _: float) -> Iterator[Problem]:
    directories = {e.target for e in seen.expected.repositories if e.kind == "directory"}
    # The first backup makes the repository.
    quiet = directories - seen.facts.saved.keys()
    if not seen.cluster.reports:
        quiet |= {*seen.expected.shared_targets}
    for target, (_, why) in sorted(seen.upkeep.repositories.items()):
        if why and target not in quiet:
            yield Problem(
                f"the repository of the backup target {target} does not answer: {why}", target
            )


_JAILS = {
    "sshd": "SSH",
    "infisical-login": "Infisical's login",
    "infisical-calls": "Infisical's calls to log in",
}


def find_logins(seen: Observed, times: float) -> Iterator[Problem]:
    for jail, number, usual in _find_excesses(seen, LOGIN_JAILS, 1, least=10, times=times):
        text = f"{number} failed logins at {_JAILS[jail]} in an hour"
        yield Problem(f"{text}, and usually {usual:.0f} or fewer", jail)


def find_bans(seen: Observed, times: float) -> Iterator[Problem]:
    for jail, number, usual in _find_excesses(seen, JAILS, 2, least=3, times=times):
        text = f"{number} addresses were banned for {_JAILS[jail]} in an hour"
        yield Problem(f"{text}, and usually {usual:.0f} or fewer", jail)


def _find_excesses(
    seen: Observed, jails: Iterable[str], column: Literal[1, 2], *, least: int, times: float
) -> Iterator[tuple[str, int, float]]:
    """Yield each jail with its number in the last hour and the usual one, if that is exceeded."""
    for jail in jails:
        hours = seen.upkeep.hours.get(jail, ())
        if found := find_excess(hours, column, seen.now, least=least, times=times):
            yield (jail, *found)


def find_upgrades(seen: Observed, days: float) -> Iterator[Problem]:
    late = sorted(
        name for name, since in seen.upkeep.upgrades.items() if seen.now - since > days * DAY
    )
    if late:
        since = min(seen.upkeep.upgrades[each] for each in late)
        more = f" and {len(late) - 3} more" if len(late) > 3 else ""
        text = f"security upgrades of {', '.join(late[:3])}{more} wait since {_day(since)}"
        yield Problem(text, since=since)
    lists = seen.upkeep.lists_at
    if lists is not None and seen.now - lists > days * DAY:
        text = f"apt has not asked for upgrades since {_day(lists)}"
        yield Problem(text, "lists", since=lists)


def find_releases(seen: Observed, _: float) -> Iterator[Problem]:
    running = {**seen.cluster.images, **{n: e.image for n, e in seen.facts.containers.items()}}
    tags = {image.partition("@")[0].rpartition(":")[2] for image in running.values()}
    for each in seen.upkeep.releases.newer if seen.upkeep.releases else ():
        # An upgrade since then has ended it.
        if each.security and each.pinned in tags:
            text = f"{each.name} {each.newest} has a security note: {each.security}"
            yield Problem(f"{text}; {each.pinned} runs", each.name)


def find_release_age(seen: Observed, days: float) -> Iterator[Problem]:
    last = seen.upkeep.releases
    if last and seen.now - last.at > days * DAY:
        text = f"newer releases have not been asked for since {_day(last.at)}"
        yield Problem(text, since=last.at)


def find_delivery(seen: Observed, minutes: float) -> Iterator[Problem]:
    for target, (since, why) in sorted(seen.vitals.undelivered.items()):
        if seen.now - since >= minutes * MINUTE:
            yield Problem(f"alerts can't be delivered to {target}: {why}", target, since)


_DATA_NODES = 3
_FOLLOWS = ("streaming", "running")


def _describe_node(node: ObservedNode) -> str:
    """Return the problem of a node; empty if there is none."""
    if not node.is_ready:
        return "can't be reached by the others"
    if node.availability != "active":
        return {"drain": "is drained", "pause": "is paused"}.get(node.availability, "takes no work")
    if node.reachability == "unreachable":
        return "can't be reached as a manager"
    return ""


def _lost_nodes(cluster: ClusterFacts) -> list[ObservedNode]:
    return [each for each in cluster.nodes if _describe_node(each)]


def _lost_numbers(cluster: ClusterFacts) -> tuple[str, ...]:
    """Return the ends of the names of services and members on lost nodes, such as `-2`."""
    return tuple(f"-{each.number}" for each in _lost_nodes(cluster) if each.number)


def find_nodes(seen: Observed, _: float) -> Iterator[Problem]:
    for node in _lost_nodes(seen.cluster) if seen.cluster.reports else ():
        # A node without data can't say that its maintenance reboots it.
        wait = MINUTE // 2 if node.number else 5 * MINUTE
        yield Problem(f"the node {node.name} {_describe_node(node)}", node.name, wait=wait)


def find_quorum(seen: Observed, _: float) -> Iterator[Problem]:
    cluster = seen.cluster
    if cluster.is_manager and not cluster.has_quorum:
        yield Problem("the swarm has no leader: most of its managers can't be reached", "swarm")
    if cluster.etcd == {}:
        yield Problem("etcd has no quorum, so PostgreSQL can't have a leader", "etcd")


def find_etcd(seen: Observed, _: float) -> Iterator[Problem]:
    lost = _lost_numbers(seen.cluster)
    for address, why in sorted((seen.cluster.etcd or {}).items()):
        name = address.rpartition("//")[2].partition(":")[0]
        if why and not name.endswith(lost):
            yield Problem(f"the member {name} of etcd is unhealthy: {why}", name)


def find_leader(seen: Observed, _: float) -> Iterator[Problem]:
    members = seen.cluster.postgres
    if members is None or seen.cluster.etcd == {}:
        return
    leaders = [each for each in members if each.role in ("leader", "standby_leader")]
    if not leaders:
        yield Problem("PostgreSQL has no leader, so nothing can be written")
    elif (leader := leaders[0]).state != "running":
        yield Problem(f"the leader of PostgreSQL, {leader.name}, is {leader.state}")


def find_replication(seen: Observed, mebibytes: float) -> Iterator[Problem]:
    cluster = seen.cluster
    if not cluster.postgres or cluster.etcd == {}:
        return
    lost, known = _lost_numbers(cluster), {each.name for each in cluster.postgres}
    for number in range(1, _DATA_NODES + 1):
        name = f"postgres-{number}"
        if name not in known and not name.endswith(lost):
            yield Problem(f"{name} is no member of PostgreSQL's cluster", name)
    for member in cluster.postgres:
        if "leader" in member.role or member.name.endswith(lost):
            continue
        if member.state not in _FOLLOWS:
            text = f"the standby {member.name} does not follow: it is {member.state or 'silent'}"
            yield Problem(text, member.name)
        elif member.lag is None:
            yield Problem(f"nobody knows how far the standby {member.name} is behind", member.name)
        elif member.lag > mebibytes * _MIB:
            text = f"the standby {member.name} is {member.lag / _MIB:.0f} MB behind"
            yield Problem(text, member.name)
    if not any(each.role in ("sync_standby", "quorum_standby") for each in cluster.postgres):
        yield Problem("PostgreSQL has no synchronous standby, so nothing can be written", "sync")


def find_replicas(seen: Observed, _: float) -> Iterator[Problem]:
    cluster = seen.cluster
    lost, away = _lost_numbers(cluster), len(_lost_nodes(cluster))
    for service, (running, desired) in sorted(cluster.services.items()):
        if running >= desired or (lost and service.endswith(lost)):
            continue
        if running and desired - running <= away:
            continue
        text = f"{running} of {desired} replicas of {service} run"
        yield Problem(text, service, wait=0 if not running else MINUTE)


def find_cluster_certificate(seen: Observed, days: float) -> Iterator[Problem]:
    end = seen.cluster.certificate_ends
    if end is not None and end - seen.now < days * DAY:
        left = max(0, (end - seen.now) // DAY)
        yield Problem(f"a certificate within the cluster ends in {left:.0f} days")
