"""Test that packages, units, schedules and the kernel are read as systemd and Debian print them."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from infisical_iac.agent import system
from infisical_iac.agent.runner import Output, Runner
from infisical_iac.agent.system import KernelState
from tests.unit.agent.fake_runner import FakeRunner

# 2026-11-25 10:00:00.5 UTC, when the unit below started.
_STARTED = 1795600800.5


def test_only_packages_that_are_configured_count_as_installed() -> None:
    """dpkg-query fails if it does not know one, and prints the others."""
    listed = Output(1, "ii  curl\nrc  docker.io\niU  containerd\nhi  git\n")
    host = FakeRunner(answers={"dpkg-query --show": listed})
    assert system.packages(host, names=["curl", "docker.io", "none"]) == {"curl", "git"}
    assert host.ran[0][0].endswith(" curl docker.io none")


def test_a_host_without_dpkg_has_no_packages() -> None:
    assert system.packages(FakeRunner(), names=["curl"]) == frozenset()


_SHOWN = """\
Id=docker.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
ConditionResult=yes
ExecMainStartTimestamp=Wed 2026-11-25 10:00:00.500000 UTC
NeedDaemonReload=yes

Id=cron.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
ConditionResult=no
ConditionTimestamp=
ExecMainStartTimestamp=

Id=systemd-timesyncd.service
ActiveState=inactive
ConditionResult=no
ConditionTimestamp=Wed 2026-11-25 10:00:00.000000 UTC
"""


@pytest.mark.parametrize(("after", "stale"), [(0.1, True), (-0.1, False)])
def test_a_unit_that_started_before_its_configuration_was_written_is_stale(
    tmp_path: Path, after: float, stale: bool
) -> None:
    host = FakeRunner(tmp_path, answers={"systemctl show": _SHOWN})
    for path, at in (("/etc/old", 0.0), ("/etc/new", _STARTED + after)):
        os.utime(host.write(path, ""), (at, at))
    names = ["docker.service", "cron.service", "systemd-timesyncd.service"]
    config = {"docker.service": ["/etc/old", "/etc/new", "/etc/none"]}
    units = system.units(host, names=names, config=config)
    assert units["docker.service"].stale is stale
    assert units["docker.service"].enabled
    assert units["docker.service"].outdated
    assert not units["cron.service"].loaded
    assert not units["cron.service"].outdated
    assert not units["cron.service"].stale
    assert units["cron.service"].condition, "systemd has not tried to start the unit"
    assert not units["systemd-timesyncd.service"].condition


def test_a_host_without_systemd_has_no_units() -> None:
    assert system.units(FakeRunner(), names=["docker.service"]) == {}


def test_schedules_that_systemd_does_not_understand_are_named() -> None:
    answers: dict[str, str | Output] = {
        "systemd-analyze calendar -- daily": "Normalized form: *-*-* 00:00:00\n",
        "systemd-analyze calendar -- every now": Output(1),
    }
    host = FakeRunner(answers=answers)
    assert system.refused_schedules(host, schedules=["daily", "every now"]) == {"every now"}
    assert system.refused_schedules(FakeRunner(), schedules=["daily"]) == {"daily"}


def test_parameters_core_limit_and_swap_in_clear_are_read(tmp_path: Path) -> None:
    answers = {
        "systemctl show --property=DefaultLimitCORE": "0\n",
        "lsblk --inverse --noheadings --output TYPE -- /dev/dm-1": "crypt\npart\ndisk\n",
        "lsblk --inverse --noheadings --output TYPE -- /dev/sda2": "part\ndisk\n",
    }
    host = FakeRunner(tmp_path, answers=answers)
    host.write("/proc/sys/fs/suid_dumpable", "0\n")
    host.write("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
    host.write(
        "/proc/swaps",
        "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n"
        "/dev/dm-1 partition 1 0 -2\n/dev/sda2 partition 1 0 -3\n",
    )
    asked = ["fs.suid_dumpable", "net.ipv4.ip_local_port_range", "kernel.none"]
    assert system.kernel(host, parameters=asked) == KernelState(
        {"fs.suid_dumpable": "0", "net.ipv4.ip_local_port_range": "32768\t60999"},
        "0",
        ("/dev/sda2",),
    )


def test_lines_of_a_command_are_read_without_its_text_among_the_arguments() -> None:
    host = FakeRunner(answers={"sh -s": "a\n\nb\n"})
    assert system.lines(host, command="printf 'a\\n\\nb\\n'") == ["a", "", "b"]
    ((words, stdin),) = host.ran
    assert words == "sh -s"
    assert "printf" in stdin


def test_a_command_can_not_read_the_rest_of_its_own_text() -> None:
    assert system.lines(Runner(), command="cat\necho a\n# the end") == ["a"]


def test_a_command_that_fails_is_an_error_with_the_end_of_its_output() -> None:
    with pytest.raises(RuntimeError) as caught:
        system.lines(Runner(), command="echo a; echo obviously-fake >&2; exit 3")
    failure = caught.value.args[0]
    assert failure.code == "command"
    assert "obviously-fake" in failure.message


_KEY_LISTING = """\
tru::1:1795600800:0:3:1:5
pub:-:4096:1:AAAA:1487792064:::-:::escaESCA::::::23::0:
fpr:::::::::OURS:
uid:-::::1487792064::BBBB::Docker::::::::::0:
sub:-:4096:1:CCCC:1487792064::::::s::::::23:
fpr:::::::::SUBKEY:
"""
_SECOND_KEY = "pub:-:4096:1:DDDD:1487792064:::-:::e::::::23::0:\nfpr:::::::::OTHER:\n"


@pytest.mark.parametrize(
    ("listing", "is_added"),
    [
        (_KEY_LISTING, True),
        (_KEY_LISTING.replace("OURS", "X"), False),
        (_KEY_LISTING + _SECOND_KEY, False),
        ("", False),
    ],
)
def test_a_repository_is_added_only_with_its_one_known_key(
    tmp_path: Path, listing: str, is_added: bool
) -> None:
    class Host(FakeRunner):
        def must_run(self, words: Sequence[str], **more: Any) -> str:
            if words[0] == "curl":
                Path(words[words.index("--output") + 1]).write_text("the key")
            return super().must_run(words, **more)

    host = Host(tmp_path, answers={"curl": "", "gpg": listing})
    arguments = {"key_url": "https://example.com/gpg", "fingerprint": "OURS", "line": "deb x"}
    files = {"key_file": "/etc/apt/keyrings/x.asc", "list_file": "/etc/apt/sources.list.d/x.list"}
    if is_added:
        system.add_repository(host, **arguments, **files)
        assert host.text("/etc/apt/sources.list.d/x.list") == "deb x\n"
        assert host.path("/etc/apt/keyrings/x.asc").stat().st_mode & 0o777 == 0o644
        return
    with pytest.raises(RuntimeError) as caught:
        system.add_repository(host, **arguments, **files)
    assert "OURS" in caught.value.args[0].message
    assert not host.path("/etc/apt").exists()


_DONE = Output(0)
_LOCKED = Output(100, "", "E: Could not get lock /var/lib/apt/lists/lock\n")
_MIRROR = Output(100, "", "E: Failed to fetch\nE: Hash Sum mismatch\n")


@dataclass(frozen=True)
class _Apt(FakeRunner):
    """A host whose `apt-get update` has the results `updates`, and succeeds afterwards."""

    updates: list[Output] = field(default_factory=list)
    installed: Output = _DONE

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Output:
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        super().run(words)
        if words[-1] != "update":
            return self.installed
        return self.updates.pop(0) if self.updates else _DONE

    @property
    def calls(self) -> list[str]:
        return ["update" if each.endswith(" update") else "install" for each, _ in self.ran]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the clock pass without waiting, and return the pauses."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    return pauses


def _install(host: _Apt, seconds: int = 600) -> None:
    system.install_packages(host, names=["docker.io", "containerd"], seconds=seconds)


def test_packages_are_installed_with_fresh_lists_and_the_files_of_the_host() -> None:
    host = _Apt()
    _install(host)
    assert host.calls == ["update", "install"]
    command = host.ran[-1][0]
    assert command.endswith(" install docker.io containerd")
    for option in ("DPkg::Lock::Timeout=600", "--no-install-recommends", "--force-confold"):
        assert option in command


def test_a_mirror_that_is_being_updated_is_tried_three_times(slept: list[float]) -> None:
    host = _Apt(updates=[_MIRROR] * 2)
    _install(host)
    assert host.calls == ["update", "update", "update", "install"]
    host = _Apt(updates=[_MIRROR] * 3)
    with pytest.raises(RuntimeError, match="Hash Sum mismatch"):
        _install(host)
    assert host.calls == ["update"] * 3


def test_another_apt_is_waited_for_as_long_as_the_settings_allow(slept: list[float]) -> None:
    host = _Apt(updates=[_LOCKED] * 10)
    _install(host)
    assert (host.calls[-1], sum(slept)) == ("install", 30)
    with pytest.raises(RuntimeError, match="lists/lock"):
        _install(_Apt(updates=[_LOCKED] * 100), seconds=12)


def test_a_package_that_can_not_be_installed_has_its_reason() -> None:
    host = _Apt(installed=Output(100, "", "E: Unable to locate package docker.io\n"))
    with pytest.raises(RuntimeError, match="Unable to locate package"):
        _install(host)
