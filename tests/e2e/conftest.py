"""One staging host for each worker, deployed once; every test leaves it settled."""

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.e2e.running import Run, deploy, planned
from tests.staging import engine, stack
from tests.staging.host import StagingHost
from tests.staging.shell import STATE


@dataclass
class FirstDeploy:
    """What was seen of the first deploy to a bare host; `items` are those planned for it."""

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
    with (STATE / "kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session")
def bare(images: None, worker_id: str) -> Iterator[StagingHost]:
    """A host with nothing on it, before `first` deploys to it."""
    host = StagingHost(f"e2e-{worker_id}")
    host.down()
    host.up()
    yield host
    host.down()


@pytest.fixture(scope="session")
def first(bare: StagingHost) -> FirstDeploy:
    """The plan for the bare host and then the first deploy, as loud as pyinfra can be."""
    items = planned(bare.name)
    plan = deploy(bare.name, yes=False)
    done = threading.Event()
    seen: set[str] = set()
    watcher = threading.Thread(target=_watch_processes, args=(bare, done, seen))
    watcher.start()
    run = deploy(bare.name, "-vvv", "--debug", "--diff")
    done.set()
    watcher.join()
    return FirstDeploy(items, plan, run, seen)


@pytest.fixture(scope="session")
def deployed(bare: StagingHost, first: FirstDeploy) -> StagingHost:
    """The host after the first deploy."""
    first.run.ok()
    return bare


def _watch_processes(host: StagingHost, done: threading.Event, seen: set[str]) -> None:
    """Collect the command lines of the host's processes until `done`, five minutes at most."""
    sample = (
        "for n in $(seq 20); do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo; "
        "sleep 0.02; done"
    )
    end = time.monotonic() + 300
    while not done.is_set() and time.monotonic() < end:
        seen.update(host.run(sample, check=False).stdout.splitlines())


def settled(host: StagingHost) -> None:
    """Assert that a run finds nothing to change."""
    run = deploy(host.name).ok()
    assert run.changed == []
    assert len(run.unchanged) >= 10, json.dumps(run.unchanged)
