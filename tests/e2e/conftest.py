"""One staging host for each worker, all from one first deploy; every test leaves it settled."""

import fcntl
import json
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.running import Run, deploy, planned
from tests.staging import copies, engine, stack
from tests.staging.host import StagingHost
from tests.staging.shell import STATE

_FIRST = StagingHost("e2e-first")


# The modules to begin with: the first deploy goes on meanwhile in one worker, and needs nothing of
# the second; what takes longest comes next, so that no worker is left alone with it at the end.
_BEGIN = (
    *("test_apply_twice", "test_host_suite", "test_upgrade", "test_cluster"),
    *("test_drift", "test_restore", "test_keys_command", "test_drill", "test_bad_input"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these modules into the order in which workers take them, after all other tests."""

    def rank(item: pytest.Item) -> int:
        if item.path.parent != Path(__file__).parent:
            return -1
        return _BEGIN.index(item.path.stem) if item.path.stem in _BEGIN else len(_BEGIN)

    items.sort(key=rank)


@dataclass
class FirstDeploy:
    """Hold what was seen of the first deploy to a bare host; `items` are those planned for it."""

    items: tuple[int, list[str]]
    plan: Run
    run: Run
    processes: set[str] = field(default_factory=set)


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """The engine and the images of the stack."""
    engine.ensure()
    stack.ensure()


@pytest.fixture(autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """This machine's kernel, which all hosts share: a test marked `kernel` changes it alone."""
    is_alone = request.node.get_closest_marker("kernel") is not None
    with (STATE / "kernel.lock").open("w") as lock, (STATE / "kernel.turn").open("w") as turn:
        # Who waits to be alone keeps the turn, or those who share might never let go together.
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield


@pytest.fixture(scope="session")
def first(images: None, testrun_uid: str) -> FirstDeploy:
    """The plan for a bare host and then the first deploy, as loud as pyinfra can be.

    It is made once for all workers, and leaves the host that theirs are copied from.
    """
    record = STATE / _FIRST.name / "deploy.pickle"
    with (STATE / "first.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if record.exists():
            run, known = pickle.loads(record.read_bytes())
            if run == testrun_uid:
                assert isinstance(known, FirstDeploy)
                return known
        made = _make_first()
        copies.freeze(_FIRST)
        record.write_bytes(pickle.dumps((testrun_uid, made)))
        return made


def _make_first() -> FirstDeploy:
    copies.remove(_FIRST)
    _FIRST.up()
    items = planned(_FIRST.name)
    plan = deploy(_FIRST.name, yes=False, program=("-m", "pyinfra"))
    done = threading.Event()
    seen: set[str] = set()
    watcher = threading.Thread(target=_watch_processes, args=(_FIRST, done, seen))
    watcher.start()
    run = deploy(_FIRST.name, "-vvv", "--debug", "--diff", program=("-m", "pyinfra"))
    done.set()
    watcher.join()
    return FirstDeploy(items, plan, run, seen)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the first host once no worker needs it any more."""
    if _FIRST.directory.exists() and not hasattr(session.config, "workerinput"):
        copies.remove(_FIRST)


@pytest.fixture(scope="session")
def deployed(first: FirstDeploy, worker_id: str) -> Iterator[StagingHost]:
    """The worker's host, as the first deploy left one."""
    first.run.ok()
    with copied(f"e2e-{worker_id}") as host:
        settled_after_boot(host)
        yield host


@contextmanager
def copied(name: str) -> Iterator[StagingHost]:
    """A host of this name, as the first deploy left one; for those who asked for `first`."""
    host = StagingHost(name)
    host.down()
    copies.copy(_FIRST, host)
    yield host
    host.down()


def frozen() -> StagingHost:
    """The host that others are copied from, for those who asked for `first`."""
    return _FIRST


def _watch_processes(host: StagingHost, done: threading.Event, seen: set[str]) -> None:
    """Collect the command lines of the host's processes until `done`, five minutes at most."""
    # Which are short-lived, on a machine that is busy: one program reads them all again and again.
    sample = (
        'perl -e \'for (1 .. 20) { for (glob "/proc/[0-9]*/cmdline") { open my $file, $_ or next; '
        'local $/; my $line = <$file>; $line =~ tr/\\0/ /; print "$line " } print "\\n"; '
        "select undef, undef, undef, 0.02 }'"
    )
    end = time.monotonic() + 300
    while not done.is_set() and time.monotonic() < end:
        seen.update(host.run(sample, check=False).stdout.splitlines())


def settled(host: StagingHost) -> None:
    """Assert that a run finds nothing to change."""
    run = deploy(host.name).ok()
    assert run.changed == []
    assert len(run.unchanged) >= 10, json.dumps(run.unchanged)


def settled_after_boot(host: StagingHost) -> None:
    """Wait for the containers, which Docker starts by itself, then expect no change."""
    host.run(
        "for n in $(seq 240); do test $(docker ps --filter health=healthy --quiet | wc -l) = 3 "
        "&& exit 0; sleep 0.5; done; docker ps; exit 1"
    )
    settled(host)
