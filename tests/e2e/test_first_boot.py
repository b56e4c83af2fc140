"""Test that a deploy waits, up to a timeout, for cloud-init and apt on a new host."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drift import CLOUD_INIT, PACKAGES
from tests.e2e.running import deploy
from tests.staging.host import StagingHost

_CLOUD_INIT = """#!/bin/sh
if test "$2" = --wait; then
    while test -e /run/first-boot; do sleep 0.2; done
    exit 2
fi
test -e /run/first-boot && echo "status: running" || echo "status: done"
"""
# apt's locks are those of fcntl(2), which flock(1) does not take.
_HOLD_LOCKS = """
use Fcntl;
$lock = pack("ssx4qqi", F_WRLCK, 0, 0, 0, 0);
open F, "+>", "/var/lib/dpkg/lock-frontend";
fcntl(F, F_SETLK, $lock) or die;
open G, "+>", "/var/lib/apt/lists/lock";
fcntl(G, F_SETLK, $lock) or die;
sleep 8;
"""


@pytest.fixture
def booting(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with a cloud-init that is running."""
    script = "/usr/local/bin/cloud-init"
    deployed_host.run(
        f"cat > {script} && chmod 755 {script} && touch /run/first-boot", input=_CLOUD_INIT
    )
    yield deployed_host
    deployed_host.run(f"rm -f {script} /run/first-boot")


def test_the_deploy_waits_until_cloud_init_is_done(booting: StagingHost) -> None:
    booting.run("(sleep 5; rm /run/first-boot) >/dev/null 2>&1 &")
    assert deploy(booting.name).ok().changed == [CLOUD_INIT]


def test_a_cloud_init_that_never_ends_fails_the_deploy_after_the_timeout(
    booting: StagingHost,
) -> None:
    run = deploy(booting.name, data={"apt_timeout": "10"})
    assert run.status != 0
    assert "cloud-init" in run.sentence
    assert "within 10 s" in run.sentence
    assert "'apt_timeout'" in run.sentence


def test_the_deploy_waits_for_apts_locks(deployed_host: StagingHost) -> None:
    deployed_host.run("apt-get -qq purge --yes curl")
    deployed_host.run(f"perl -e '{_HOLD_LOCKS}' >/dev/null 2>&1 & sleep 0.5")
    for command in ("update", "install --yes curl"):
        refused = deployed_host.run(f"apt-get {command}", check=False)
        assert refused.returncode != 0
        assert "Could not get lock" in refused.stderr
    assert deploy(deployed_host.name).ok().changed == [PACKAGES]
    assert_converged(deployed_host)
