"""Give each worker a copy of one deployed host; every test leaves its host converged."""

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

from tests.e2e.running import Run, deploy, plan_changes
from tests.staging import copies, engine, stack
from tests.staging.host import StagingHost
from tests.staging.shell import STATE

_FIRST = StagingHost("e2e-first")


# The modules to begin with. The second needs no first deploy, which another worker makes meanwhile.
# The longest ones come next, so that no worker still runs one when the others have ended.
_BEGIN = (
    *("test_apply_twice", "test_host_suite", "test_upgrade", "test_cluster", "test_installed"),
    *("test_drift", "test_restore", "test_keys_command", "test_drill", "test_bad_input"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules of this package, after all other tests."""

    def rank(item: pytest.Item) -> int:
        if item.path.parent != Path(__file__).parent:
            return -1
        return _BEGIN.index(item.path.stem) if item.path.stem in _BEGIN else len(_BEGIN)

    items.sort(key=rank)


@dataclass
class FirstDeploy:
    """The first deploy to a bare host; `items` are the exit status and lines of its plan."""

    items: tuple[int, list[str]]
    plan: Run
    run: Run
    processes: set[str] = field(default_factory=set)


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """The Docker engine and the images of the stack."""
    engine.ensure()
    stack.ensure()


@pytest.fixture(scope="session")
def first(images: None, testrun_uid: str) -> FirstDeploy:
    """Plan and make the first deploy to a bare host, with all of pyinfra's debug output.

    The deploy is made once for all workers, whose hosts are copies of this host.
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
    items = plan_changes(_FIRST.name)
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
    """Remove the first host after the last worker has ended."""
    if _FIRST.directory.exists() and not hasattr(session.config, "workerinput"):
        copies.remove(_FIRST)


@pytest.fixture(scope="session")
def deployed_host(first: FirstDeploy, worker_id: str) -> Iterator[StagingHost]:
    """The worker's host, a copy of the host after its first deploy."""
    first.run.ok()
    with copy_first_host(f"e2e-{worker_id}") as host:
        assert_converged_after_boot(host)
        yield host


@contextmanager
def copy_first_host(name: str, *, with_images: bool = True) -> Iterator[StagingHost]:
    """Yield a copy of the first host under this name. The caller needs the fixture `first`.

    Args:
        with_images: whether its Docker has the images, containers and volumes of the first host.
    """
    host = StagingHost(name)
    host.down()
    copies.copy(_FIRST, host, with_images=with_images)
    yield host
    host.down()


def get_first_host() -> StagingHost:
    """Return the host that others are copied from. The caller needs the fixture `first`."""
    return _FIRST


def _watch_processes(host: StagingHost, done: threading.Event, seen: set[str]) -> None:
    """Collect the command lines of the host's processes until `done`, five minutes at most."""
    # The processes are short-lived: one program on the host reads all of them in a loop.
    sample = (
        'perl -e \'for (1 .. 20) { for (glob "/proc/[0-9]*/cmdline") { open my $file, $_ or next; '
        'local $/; my $line = <$file>; $line =~ tr/\\0/ /; print "$line " } print "\\n"; '
        "select undef, undef, undef, 0.02 }'"
    )
    end = time.monotonic() + 300
    while not done.is_set() and time.monotonic() < end:
        seen.update(host.run(sample, check=False).stdout.splitlines())


def assert_converged(host: StagingHost) -> None:
    """Assert that a run finds nothing to change."""
    run = deploy(host.name).ok()
    assert run.changed == []
    assert len(run.unchanged) >= 10, json.dumps(run.unchanged)


def assert_converged_after_boot(host: StagingHost) -> None:
    """Wait for the containers, which Docker starts by itself, then expect no change."""
    host.run(
        "for n in $(seq 240); do test $(docker ps --filter health=healthy --quiet | wc -l) = 3 "
        "&& exit 0; sleep 0.5; done; docker ps; exit 1"
    )
    assert_converged(host)
