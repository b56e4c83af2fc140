"""Test that the data volume is mounted after a Docker that uses the disk has stopped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent.system import UnitState
from infisical_iac.agent.volume import PLACES, VolumeState
from infisical_iac.core.agent import Question
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.host import deploy
from infisical_iac.host.deploy import DataVolume, volume_question
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from tests.unit.fake_programs import fake_program, run_with
from tests.unit.operations.cases import of
from tests.unit.performed import perform
from tests.unit.settings_of import settings_of

_DEVICE = "/dev/sdb"
_UNIT = "/etc/systemd/system/infisical-data.service"
_DOCKER = "/etc/systemd/system/docker.service.d/infisical-data.conf"
_ON_DISK = ("/var/lib/docker/volumes", "/etc/infisical", "/var/log/infisical-access")
_PLACES = (*_ON_DISK, "/mnt/infisical-data", "/var/lib/infisical-")
_MOUNTED = DataVolume(
    VolumeState(
        present=True, holds="ext4", uuid="u-1", mounted="u-1", bound=frozenset(PLACES.values())
    ),
    {each.path: each.state for each in deploy.volume_files("u-1")},
    {"infisical-data.service": UnitState(loaded=True, active=True, enabled=True)},
)
_STARTED = "~ infisical-data.service: enabled and started"
_MOVED = "~ data volume /dev/sdb: in place of /var/log/infisical-iac"
_STOP_DOCKER = "systemctl stop docker.socket docker.service"
_START_MOUNT = "systemctl start infisical-data.service"
_MOUNT = [
    "systemctl daemon-reload",
    "systemctl enable --quiet infisical-data.service",
    "mount u-1",
    _START_MOUNT,
]
_DOCKER_RUNS = "systemctl --quiet is-active docker.service"


class _Host:
    """A host below a directory, which runs commands; a formatted volume has the UUID u-1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.written: dict[str, str] = {}
        self.asked: list[Question[DataVolume]] = []
        self.found = DataVolume(VolumeState(present=True, holds="ext4", uuid="u-1"))
        self.docker(runs=False)

    def _file(self, path: str) -> Path:
        return self.directory / path.removeprefix("/")

    def make(self, path: str) -> None:
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def docker(self, *containers: str, runs: bool = True) -> None:
        note = 'echo "${0##*/} $*" >>"$HOST/calls"'
        programs = self.directory / "programs"
        fake_program(programs, "docker", f"{note}\nprintf '%s' '{' '.join(containers)}'")
        answer = "" if runs else '\ncase "$*" in *is-active*) exit 3 ;; esac'
        fake_program(programs, "systemctl", f"{note}{answer}")

    def mount(self) -> None:
        """Mount the volume at all its places."""
        for place, name in zip(_ON_DISK, ("volumes", "etc", "access"), strict=True):
            there = self._file(f"/mnt/infisical-data/{name}")
            there.mkdir(parents=True)
            self._file(place).parent.mkdir(parents=True, exist_ok=True)
            self._file(place).symlink_to(there)

    def note(self, call: str) -> None:
        with (self.directory / "calls").open("a") as file:
            file.write(f"{call}\n")

    def calls(self) -> list[str]:
        file = self.directory / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, command: str, *, doing: str) -> str:
        for place in _PLACES:
            command = command.replace(place, f"{self.directory}{place}")
        done = run_with(self.directory / "programs", command, HOST=str(self.directory))
        if done.returncode:
            raise CommandFailed(done.stderr)
        return done.stdout

    def perform(self, asked: Question[None], *, doing: str) -> None:
        (call,) = asked.calls
        words = (call.name.removeprefix("volume."), *json.loads(call.arguments).values())
        self.note(" ".join(words))

    def write(self, path: str, content: str, *, mode: str) -> None:
        self.note(f"write {path} {mode}")
        self.written[path] = content

    def inspect(self, question: Question[DataVolume]) -> DataVolume:
        self.asked.append(question)
        return self.found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host(tmp_path)
    monkeypatch.setattr(deploy, "inspect", made.inspect)
    monkeypatch.setattr(deploy, "ask", made.inspect)
    monkeypatch.setattr(deploy, "run", made.run)
    monkeypatch.setattr(deploy, "perform", made.perform)
    monkeypatch.setattr(deploy, "write", made.write)
    return made


def _decide(there: DataVolume) -> Any:
    return deploy.decide_volume(_DEVICE, there, of_host="", deployed=False)


def _unmount_one_place(**changes: Any) -> DataVolume:
    bound = frozenset(PLACES.values()) - {"/var/log/infisical-iac"}
    return replace(_MOUNTED, volume=replace(_MOUNTED.volume, bound=bound, **changes))


def test_a_blank_device_is_formatted_before_its_file_system_is_named_and_mounted(
    host: _Host,
) -> None:
    perform(_decide(DataVolume(VolumeState(present=True))))
    assert host.calls() == [
        f"format_device {_DEVICE}",
        *(f"write {path} 644" for path in (_UNIT, _DOCKER)),
        _DOCKER_RUNS,
        *_MOUNT,
    ]
    asked = volume_question(device=_DEVICE, paths=[], names=["infisical-data.service"])
    assert host.asked == [asked]
    assert "mount u-1" in host.written[_UNIT]


def test_a_file_system_is_kept_and_only_wrong_files_are_written(host: _Host) -> None:
    there = replace(_unmount_one_place(), files={**_MOUNTED.files, _DOCKER: _MOUNTED.files[_UNIT]})
    perform(_decide(there))
    assert host.calls() == [f"write {_DOCKER} 644", _DOCKER_RUNS, *_MOUNT]


def test_a_docker_without_containers_stops_before_the_volume_is_mounted(host: _Host) -> None:
    host.docker()
    perform(_decide(_unmount_one_place()))
    stop = ["docker ps --quiet", _STOP_DOCKER]
    assert host.calls() == [_DOCKER_RUNS, *stop, *_MOUNT]


def test_the_volume_is_not_mounted_over_the_data_of_running_containers(host: _Host) -> None:
    host.docker("0123")
    with pytest.raises(CommandFailed, match="stop them"):
        perform(_decide(_unmount_one_place()))
    assert host.calls() == [_DOCKER_RUNS, "docker ps --quiet"]


def test_a_docker_that_uses_the_volume_already_is_not_stopped(host: _Host) -> None:
    host.docker("0123")
    host.mount()
    perform(_decide(_unmount_one_place()))
    assert host.calls() == _MOUNT


@pytest.mark.parametrize("place", _ON_DISK)
def test_a_docker_that_uses_one_directory_of_the_disk_stops(host: _Host, place: str) -> None:
    host.docker()
    host.mount()
    (host.directory / place[1:]).unlink()
    perform(_decide(_unmount_one_place()))
    assert _STOP_DOCKER in host.calls()


@pytest.mark.parametrize("change", ["restore", "upgrade", "rotation"])
def test_an_unfinished_change_on_the_volume_ends_the_run(host: _Host, change: str) -> None:
    """A volume of another host may hold an unfinished change, which the next run ends first."""
    host.make(f"/var/lib/infisical-{change}/state")
    with pytest.raises(Refused, match=f"/var/lib/infisical-{change}/state") as refused:
        perform(_decide(_unmount_one_place()))
    assert refused.value.code == "refused.unfinished"
    assert refused.value.ends_run
    assert host.calls()[-1] == _START_MOUNT


@pytest.mark.parametrize(
    "unit",
    [
        None,
        UnitState(loaded=True, active=False, enabled=True),
        UnitState(loaded=True, active=True, enabled=False),
        UnitState(loaded=True, active=True, enabled=True, outdated=True),
    ],
)
def test_a_unit_that_would_not_mount_at_boot_is_enabled_and_started(
    host: _Host, unit: UnitState | None
) -> None:
    units = {"infisical-data.service": unit} if unit else {}
    host.mount()
    changes = perform(_decide(replace(_MOUNTED, units=units)))
    assert changes == [_STARTED]
    assert host.calls() == _MOUNT


def test_a_file_system_grows_after_it_is_mounted(host: _Host) -> None:
    host.mount()
    moved, grown = perform(_decide(_unmount_one_place(larger=(20480, 40960))))
    assert moved == _MOVED
    assert grown.startswith("~ file system on /dev/sdb: 20480 MiB → 40960 MiB")
    assert host.calls() == [*_MOUNT, f"grow {_DEVICE}"]


def test_only_a_device_in_the_settings_is_inspected(host: _Host) -> None:
    given = {"of_host": "", "deployed": True, "spare": ""}
    (decision,) = of(deploy.mount)("", **given)
    assert isinstance(decision, UpToDate)
    assert host.asked == []
    host.found = _MOUNTED
    (decision,) = of(deploy.mount)(_DEVICE, **given)
    assert isinstance(decision, UpToDate)
    (asked,) = host.asked
    paths = [_UNIT, _DOCKER]
    assert asked == volume_question(device=_DEVICE, paths=paths, names=["infisical-data.service"])


def test_volume_files_and_unit_are_read_in_one_query() -> None:
    asked = volume_question(device="/dev/a b", paths=["/c d"], names=["e.service"])
    inspection, files, units = (json.loads(each.arguments) for each in asked.calls)
    assert inspection == {"device": "/dev/a b"}
    assert files["paths"] == ["/c d"]
    assert units["names"] == ["e.service"]
    state = {"kind": "regular file", "mode": "600", "owner": "root:root"}
    unit = {"loaded": True, "active": True, "enabled": False}
    found = asked.read(
        [{"present": True, "holds": "ext4", "uuid": "u-1"}, {"/c d": state}, {"e.service": unit}]
    )
    assert found.volume == VolumeState(True, "ext4", "u-1")
    assert found.files["/c d"].mode == "600"
    assert found.units["e.service"].active


@pytest.mark.parametrize(("machine", "spare"), [({}, "/dev/sdc"), ({"swarm": True}, "")])
def test_a_spare_volume_is_considered_unless_others_manage_docker(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], spare: str
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(deploy, "mount", lambda **arguments: given.append(arguments))
    settings = settings_of(data_volume="/dev/sdb", **({"ingress": "none"} if machine else {}))
    state = MachineState(data_volume="u-1", deployed=True, spare_volume="/dev/sdc", **machine)
    data_volume: Any = deploy.data_volume
    data_volume._inner(Known(settings, state, Site(settings)))
    (mounted,) = given
    assert mounted.pop("name")
    assert mounted == {
        "device": "/dev/sdb",
        "of_host": "u-1",
        "deployed": True,
        "spare": spare,
    }
