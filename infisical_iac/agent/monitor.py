"""Watch the host: evaluate the checks, write metrics, send alerts and the heartbeat.

infisical-monitor.service runs it every minute, as the agent with `--monitor`. One file holds its
state, with the notifications that could not be delivered yet. If the disk is full, the file goes
to /run, so that no alert is sent twice.
"""

import json
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby
from typing import Any, TypeVar

from infisical_iac.agent import health, swarm, upkeep, vitals
from infisical_iac.agent.alerts import Alert, AlertBook, AlertNotice, advance, metrics, remember
from infisical_iac.agent.canary import CanaryRun, CanaryTarget, run_canary
from infisical_iac.agent.delivery import (
    RECEIVERS,
    MailServer,
    Means,
    Notification,
    Receiver,
    beat,
    notification,
)
from infisical_iac.agent.files import write
from infisical_iac.agent.health import (
    COLLECTED,
    CONFIG,
    DIRECTORY,
    MEMORIES,
    Silence,
    read_silence,
)
from infisical_iac.agent.observed import Expectations, History, Observed
from infisical_iac.agent.runner import Runner, action
from infisical_iac.agent.swarm import ClusterFacts
from infisical_iac.agent.table import DELIVERY, OF_HEARTBEAT, OF_JOBS
from infisical_iac.agent.upkeep import Upkeep, WatchedRepository, parse_upkeep

T = TypeVar("T")

# A run begins no further request to a target after this time.
_TARGET_SECONDS = 20
# Older notifications, and those beyond this number to a target, are dropped.
_KEPT_SECONDS, _KEPT_NUMBER = 7 * 86400, 200
# After this time, a new problem is evaluated again.
_AGAIN_SECONDS = 45
# The canary runs every five minutes, and every minute after a failure.
_CANARY_SECONDS = 290


@dataclass(frozen=True)
class Destination:
    """A target of alerts, as the settings name it.

    Attributes:
        to_file: the file that has `to`; empty if the configuration has it.
        only_jobs: whether it gets only the failures of the host's own jobs.
    """

    name: str
    kind: str
    to: str = field(default="", repr=False)
    to_file: str = ""
    only_jobs: bool = False

    def takes(self, notice: AlertNotice) -> bool:
        """Return whether an alert goes to this target."""
        if notice.alert.check == DELIVERY and notice.alert.subject == self.name:
            return False
        return not self.only_jobs or notice.alert.check in OF_JOBS


@dataclass(frozen=True)
class Config:
    """The file that `apply` writes. Keys that a newer version knows are ignored.

    Attributes:
        of: the name of the host in messages; empty for its own host name.
        repeat: the seconds after which an alert is sent again.
        ignored: the names of checks, or keys of alerts, that are left out.
        heartbeat: the address that is called after each run; empty for none.
        heartbeat_file: the file that has this address; empty if the configuration has it.
        authorities: the file of further authorities, in PEM.
        lock: the file of the host's lock.
        has_exporters: whether exporters have to find the containers.
        canary: the address for the canary; None for no canary.
        api: the address of Infisical on the loopback; empty to ask nothing there.
    """

    expected: Expectations = field(default_factory=Expectations)
    of: str = ""
    repeat: float = 86400
    ignored: Sequence[str] = ()
    targets: Sequence[Destination] = ()
    heartbeat: str = field(default="", repr=False)
    heartbeat_file: str = ""
    authorities: str = ""
    mail: MailServer | None = None
    lock: str = "/run/infisical-iac.lock"
    has_exporters: bool = False
    canary: CanaryTarget | None = None
    api: str = ""


@dataclass(frozen=True)
class Undelivered:
    """A notification that a target has not received yet."""

    target: str
    made: float
    notification: Notification


@dataclass(frozen=True)
class MonitorMemory:
    """The state that a run saves for the next one.

    Attributes:
        at: when it was written.
        undelivered: in the order in which they are to be sent.
        failing: since when nothing can be delivered to a target, and why, by its name.
        canary: its last run; None if there was none.
    """

    at: float = 0.0
    book: AlertBook = field(default_factory=AlertBook)
    history: History = field(default_factory=History)
    undelivered: Sequence[Undelivered] = ()
    failing: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    canary: CanaryRun | None = None


def _make(kind: type[T], found: Mapping[str, Any]) -> T:
    """Return a dataclass from a JSON object; keys that it does not have are ignored."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if name in known})


def parse_config(text: str) -> Config:
    """Return the configuration in the text of its file. Raises ValueError for another text."""
    found = json.loads(text)
    config = _make(Config, found)
    return replace(
        config,
        expected=_make_expectations(found.get("expected", {})),
        targets=[_make(Destination, each) for each in found.get("targets", ())],
        mail=_make(MailServer, found["mail"]) if found.get("mail") else None,
        canary=_make(CanaryTarget, found["canary"]) if found.get("canary") else None,
    )


def _make_expectations(found: Mapping[str, Any]) -> Expectations:
    repositories = [_make(WatchedRepository, each) for each in found.get("repositories", ())]
    return replace(_make(Expectations, found), repositories=repositories)


def load_config(runner: Runner) -> Config:
    """Return the configuration of this host, with the addresses that have files of their own."""
    config = parse_config(runner.text(CONFIG) or "{}")

    def read(path: str, otherwise: str) -> str:
        return (runner.text(path) or "").strip() if path else otherwise

    return replace(
        config,
        heartbeat=read(config.heartbeat_file, config.heartbeat),
        targets=[replace(each, to=read(each.to_file, each.to)) for each in config.targets],
    )


def parse_memory(text: str) -> MonitorMemory:
    """Return the state that a run has saved; an empty one if the text can't be read."""
    try:
        found = json.loads(text)
        book = AlertBook(
            {key: _make(Alert, each) for key, each in found["book"]["alerts"].items()},
            found["book"]["seen"],
        )
        remembered = found["history"]
        history = History(
            remembered["starts"],
            [(at, free) for at, free in remembered["disk"]],
            # An older version has saved neither.
            parse_upkeep(remembered["upkeep"]) if "upkeep" in remembered else Upkeep(),
            remembered.get("leads_since"),
            remembered.get("changed_at", 0.0),
            remembered.get("is_changing", False),
        )
        undelivered = [
            Undelivered(each["target"], each["made"], _make(Notification, each["notification"]))
            for each in found["undelivered"]
        ]
        failing = {name: (since, why) for name, (since, why) in found["failing"].items()}
        # An older version has saved none.
        canary = _make(CanaryRun, found["canary"]) if found.get("canary") else None
        return MonitorMemory(found["at"], book, history, undelivered, failing, canary)
    except (ValueError, KeyError, TypeError, AttributeError):
        return MonitorMemory()


def load_memory(runner: Runner) -> MonitorMemory:
    """Return the state that the last run saved, which is in /run if the disk was full."""
    found = [parse_memory(runner.text(path) or "") for path in MEMORIES]
    return max(found, key=lambda each: each.at)


def _save(runner: Runner, memory: MonitorMemory) -> None:
    text = json.dumps(asdict(memory)).encode()
    state, fallback = map(runner.path, MEMORIES)
    try:
        write(state, text)
        fallback.unlink(missing_ok=True)
    except OSError:
        # Without the state, the next run repeats alerts, which is better than sending none.
        with suppress(OSError):
            write(fallback, text)


def evaluate(
    memory: MonitorMemory, observed: Observed, config: Config, of: str, silence: Silence | None
) -> MonitorMemory:
    """Return the state after an evaluation, with the notifications to send. Pure."""
    history = remember(memory.history, observed)
    names = {each.name for each in config.targets}
    failing = {name: each for name, each in memory.failing.items() if name in names}
    seen = replace(observed, history=history, vitals=replace(observed.vitals, undelivered=failing))
    book, notices = advance(
        memory.book,
        seen,
        repeat=config.repeat,
        is_silent=silence is not None,
        ignored=config.ignored,
    )
    new = [
        Undelivered(target.name, observed.now, notification(notice, of))
        for notice in notices
        for target in config.targets
        if target.takes(notice)
    ]
    return MonitorMemory(
        observed.now,
        book,
        history,
        _limit([*memory.undelivered, *new], config, observed.now),
        failing,
        observed.vitals.canary,
    )


def _limit(waiting: Iterable[Undelivered], config: Config, now: float) -> list[Undelivered]:
    """Drop notifications that are too old, too many, or for targets that the settings lack."""
    kept: list[Undelivered] = []
    for target in config.targets:
        own = [
            each
            for each in waiting
            if each.target == target.name and now - each.made < _KEPT_SECONDS
        ]
        kept += own[-_KEPT_NUMBER:]
    return kept


def deliver(memory: MonitorMemory, config: Config, now: float) -> MonitorMemory:
    """Send the waiting notifications to all targets in parallel, and return the new state.

    The first failure of a target ends this run's attempts to reach it, which keeps the order.
    """
    receivers = {each.name: RECEIVERS[each.kind](each.name, each.to) for each in config.targets}
    means = Means(config.authorities, config.mail)
    grouped = [
        (receivers[name], [*waiting])
        for name, waiting in groupby(memory.undelivered, lambda each: each.target)
    ]
    if not grouped:
        return memory
    with ThreadPoolExecutor(len(grouped)) as pool:
        sent = [*pool.map(lambda each: _send_all(each[0], each[1], means), grouped)]
    failing = {**memory.failing}
    left: list[Undelivered] = []
    for (receiver, _), (rest, why) in zip(grouped, sent, strict=True):
        left += rest
        if why:
            since = failing.get(receiver.name, (now, ""))[0]
            failing[receiver.name] = (since, why)
        else:
            failing.pop(receiver.name, None)
    return replace(memory, undelivered=left, failing=failing)


def _send_all(
    receiver: Receiver, waiting: Sequence[Undelivered], means: Means
) -> tuple[list[Undelivered], str]:
    """Send notifications in order; return the unsent ones, and why the last attempt failed."""
    begin = time.monotonic()
    for number, each in enumerate(waiting):
        if time.monotonic() - begin > _TARGET_SECONDS:
            return [*waiting[number:]], ""
        if why := receiver.send(each.notification, means):
            return [*waiting[number:]], why
    return [], ""


@action
def send_test(runner: Runner, *, by: str) -> dict[str, str]:
    """Send a test alert to each target, and call the heartbeat as the next run would.

    Args:
        by: who asked for it.

    Returns:
        Why that failed, by the target's name or `heartbeat`; empty for a success.
    """
    config, memory, now = load_config(runner), load_memory(runner), time.time()
    alert = Alert("test", "", "warning", f"{by} tests the alerts", "nothing", now)
    notice = notification(AlertNotice("begun", alert, now), config.of or socket.gethostname())
    waiting = [Undelivered(each.name, now, notice) for each in config.targets]
    failing = deliver(MonitorMemory(undelivered=waiting), config, now).failing
    found = {each.name: failing.get(each.name, (now, ""))[1] for each in config.targets}
    if config.heartbeat or config.heartbeat_file:
        means = Means(config.authorities)
        found["heartbeat"] = beat(config.heartbeat, means, summarize(memory.book))
    return found


def main(_: Sequence[str]) -> int:
    """Run the monitor on this host, and print its lines for the journal; return 0.

    A new problem is evaluated again before the next minute, so that one that must last for half a
    minute is reported within two.
    """
    runner, now = Runner(), time.time()
    lines = run(runner, now)
    if now in load_memory(runner).book.seen.values():
        time.sleep(_AGAIN_SECONDS)
        lines += run(runner, time.time())
    for line in lines:
        print(line, file=sys.stderr)
    return 0


def run(runner: Runner, now: float) -> list[str]:
    """Evaluate the checks, and send alerts and the heartbeat. Return lines for the journal."""
    config = load_config(runner)
    expected, of = config.expected, config.of or socket.gethostname()
    before = load_memory(runner)
    found = vitals.observe(runner, timers=expected.timers, lock=config.lock, api=config.api)
    observed = Observed(
        now,
        health.facts(
            runner, served_name=expected.served_name, port=expected.port, lock=config.lock
        ),
        replace(found, canary=_last_canary(runner, config, before.canary, now)),
        expected,
        cluster=swarm.observe(runner) if expected.in_cluster else ClusterFacts(),
        upkeep=upkeep.observe(
            runner,
            before.history.upkeep,
            now,
            repositories=expected.repositories,
            authorities=[config.authorities],
        ),
    )
    if config.has_exporters:
        vitals.write_hosts(runner, observed.facts.containers)
    silence = read_silence(runner, now)
    memory = evaluate(before, observed, config, of, silence)
    waiting = len(memory.undelivered)
    text = "".join(metrics(memory.book, observed, waiting, is_silent=silence is not None))
    _publish(runner, text)
    # Saved before anything is sent: after a killed run, the next one may repeat alerts, but loses
    # none.
    _save(runner, memory)
    sent = deliver(memory, config, now)
    if sent != memory:
        _save(runner, sent)
    lines = [*_lines(before, memory, sent)]
    if config.heartbeat or config.heartbeat_file:
        problem = summarize(memory.book)
        if why := beat(config.heartbeat, Means(config.authorities), problem):
            lines.append(f"<4>the heartbeat could not be sent: {why}")
    return lines


def _last_canary(
    runner: Runner, config: Config, last: CanaryRun | None, now: float
) -> CanaryRun | None:
    """Return a new run of the canary if one is due, else the last one; None without a canary."""
    if config.canary is None:
        return None
    if last and not last.failure and 0 <= now - last.at < _CANARY_SECONDS:
        return last
    return run_canary(runner, config.canary, now)


def summarize(book: AlertBook) -> str:
    """Return what a heartbeat reports: the lasting alerts that are critical or on its checks."""
    lasting = book.alerts.values()
    return "; ".join(
        each.text for each in lasting if each.severity == "critical" or each.check in OF_HEARTBEAT
    )


def _lines(before: MonitorMemory, memory: MonitorMemory, sent: MonitorMemory) -> Iterator[str]:
    """Yield the lines of the journal on alerts that begin and end, and on failed deliveries."""
    known, now = before.book.alerts, memory.book.alerts
    for key in sorted(now.keys() - known.keys()):
        level = 3 if now[key].severity == "critical" else 4
        yield f"<{level}>{now[key].severity}: {now[key].text}. To do: {now[key].remedy}"
    for key in sorted(known.keys() - now.keys()):
        yield f"<5>over: {known[key].text}"
    for name, (_, why) in sorted(sent.failing.items()):
        yield f"<4>alerts can't be delivered to {name}: {why}"


def _publish(runner: Runner, text: str) -> None:
    """Write the metrics for Prometheus. A failure is only reported, so that alerts are sent."""
    try:
        write(runner.path(f"{DIRECTORY}/metrics.prom"), text.encode())
        if (collected := runner.path(COLLECTED)).parent.is_dir():
            write(collected, text.encode(), mode=0o644)
    except OSError as error:
        print(f"<4>the metrics can't be written: {error.strerror}", file=sys.stderr)
