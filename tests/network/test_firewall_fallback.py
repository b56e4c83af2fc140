"""Test the fallback at boot if the rules can't be loaded, in a real kernel."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.agent import reporting
from infisical_iac.host.firewall import EMPTY, TABLE, fallback, ruleset
from infisical_iac.host.openings import openings
from tests.network.world import (
    CONTAINER4,
    CONTAINER6,
    HOST4,
    HOST6,
    NEIGHBOUR4,
    NEIGHBOUR6,
    OUTSIDE4,
    PUBLISHED,
    SERVED_BY_CONTAINER,
    SERVED_BY_HOST,
    World,
    built,
)
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.settings_of import settings_of

_ALL = [
    *(f"{at}:{port}" for at in (HOST4, HOST6) for port in {*SERVED_BY_HOST, *PUBLISHED}),
    *(f"{at}:{port}" for at in (CONTAINER4, CONTAINER6) for port in SERVED_BY_CONTAINER),
]
_SSH = {f"{HOST4}:22", f"{HOST6}:22"}
_BROKEN = "table inet infisical { chain input { no rule at all } }"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with built() as world:
        yield world


@pytest.mark.parametrize("rules", ["rules", "fallback"])
def test_rules_load_without_etc_protocols_and_etc_services(tmp_path: Path, rules: str) -> None:
    """Debian's minimal images lack netbase, which has both files."""
    opened = openings(settings_of(), 22)
    text = ruleset(opened) if rules == "rules" else fallback(opened)
    (tmp_path / "rules.nft").write_text(text)
    without = " && ".join(
        f"{{ test ! -e {each} || mount --bind /dev/null {each}; }}"
        for each in ("/etc/protocols", "/etc/services")
    )
    checked = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", f"{without} && nft -c -f {tmp_path}/rules.nft"],
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


_FALLBACK = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from infisical_iac.agent import maintenance, runner
sys.exit(maintenance.load_fallback(runner.Runner(Path(sys.argv[1])), sys.argv[2]))
"""


class Boot:
    """The host's fallback, with its files in a directory of this machine."""

    def __init__(self, world: World, home: Path) -> None:
        self._world, self._home, self.file = world, home, home / "fallback.nft"
        self.file.write_text(fallback(openings(settings_of(), 22)))

    def run(self, path: str = os.environ["PATH"]) -> tuple[int, str]:
        """Run the fallback; return its exit status and the failure that it recorded."""
        done = subprocess.run(
            [
                *("ip", "netns", "exec", f"{self._world.prefix}-host", "env", f"PATH={path}"),
                *(sys.executable, "-c", _FALLBACK, str(self._home), str(self.file)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        last = self._home / "run/infisical-firewall/last.json"
        failure = json.loads(last.read_text())["failure"]
        assert failure in done.stderr
        return done.returncode, failure


@pytest.fixture
def boot(world: World, tmp_path: Path) -> Boot:
    """A host that has just booted: nothing is loaded."""
    world.load(EMPTY)
    return Boot(world, tmp_path)


def test_without_rules_the_fallback_lets_in_only_ssh(world: World, boot: Boot) -> None:
    # Otherwise the ports that are closed below might never have been open.
    assert world.find_reachable(_ALL) > _SSH
    status, failure = boot.run()
    assert status == 0
    assert "SSH" in failure
    assert "Docker is not started" in failure
    assert "`infisical-iac apply`" in failure
    assert world.find_reachable(_ALL) == _SSH
    assert world.probe("outside", "ping", HOST4) == ["answered"]
    for place, interface in (("host", "eth0"), ("outside", "wan")):
        world.within(place, "ip", "neighbour", "flush", "dev", interface)
    assert world.probe("outside", "ping", HOST6) == ["answered"]
    assert "chain ssh_only" in world.within("host", "nft", "list", "table", *TABLE.split())


def test_the_fallback_lets_in_ssh_only_from_its_networks(world: World, boot: Boot) -> None:
    settings = settings_of(ssh_networks=(f"{OUTSIDE4}/32", "2001:db8:1::/64"))
    boot.file.write_text(fallback(openings(settings, 22, 2222, peers=("192.0.2.9",))))
    assert boot.run()[0] == 0
    assert world.find_reachable(_ALL) == _SSH
    assert world.find_reachable(_ALL, source4=NEIGHBOUR4, source6=NEIGHBOUR6) == set()


def test_the_fallback_keeps_rules_that_are_loaded(world: World, boot: Boot) -> None:
    world.load(ruleset(openings(settings_of(), 22)))
    before = world.within("host", "nft", "list", "table", *TABLE.split())
    status, failure = boot.run()
    assert (status, "SSH" in failure) == (0, False)
    assert "loaded before stay" in failure
    assert world.within("host", "nft", "list", "table", *TABLE.split()) == before


def test_loading_the_rules_replaces_the_fallback(world: World, boot: Boot) -> None:
    assert boot.run()[0] == 0
    world.load(ruleset(openings(settings_of(), 22)))
    rules = world.within("host", "nft", "list", "table", *TABLE.split())
    assert "ssh_only" not in rules
    assert world.find_reachable([f"{HOST4}:80"]) == {f"{HOST4}:80"}


def test_a_host_that_cannot_load_the_fallback_is_reported_as_unfiltered(boot: Boot) -> None:
    boot.file.write_text(_BROKEN)
    status, failure = boot.run()
    assert status == 1
    assert "nothing is filtered" in failure
    assert "no program nft" not in failure


def test_a_host_without_nft_is_reported_as_unfiltered(boot: Boot, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    status, failure = boot.run(str(programs))
    assert status == 1
    assert "no program nft" in failure
    assert "nothing is filtered" in failure


def test_the_fallback_is_reported_to_the_webhook_once_the_network_is_up(
    boot: Boot, tmp_path: Path
) -> None:
    _, failure = boot.run()
    host = FakeRunner(tmp_path, answers={"curl": ""})
    host.write("/etc/infisical/backup/webhook", "obviously fake\n")
    state = "/run/infisical-firewall"
    status = reporting.report_failure(host, "The firewall", state)
    assert status == 0
    ((_, posted),) = host.ran
    assert json.loads(posted)["error"] == failure
