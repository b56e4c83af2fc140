"""Test which changes the access log and fail2ban need, and that other jails are kept."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from infisical_iac.agent.access import FoundRequests
from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import UnitState
from infisical_iac.core import units
from infisical_iac.core.change import UpToDate
from infisical_iac.core.files import File
from infisical_iac.host import watch
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from infisical_iac.host.watch import WatchState
from tests.unit.operations.cases import of
from tests.unit.performed import perform
from tests.unit.settings_of import settings_of

_REMOUNT = "systemctl restart infisical-access-disk.service"
_RESTART = "systemctl restart fail2ban.service"
_EARLIER = ("/etc/infisical-access-log.conf", "/usr/local/lib/infisical-iac/access-log.sh")
_MOUNT = "systemctl start infisical-access-disk.service"
_RELOAD = "systemctl try-restart fail2ban.service"
_ENABLE = "systemctl enable fail2ban.service"
_RUNS = UnitState(loaded=True, active=True, enabled=True)
_THERE = PathState("regular file", "644", "root:root", "0" * 64)
_LOG = "/var/log/infisical-access/live/access.log"
_FILTER = "/etc/fail2ban/filter.d/infisical-login.conf"
# A program of earlier versions.
_HAS_LOGGED_IN = "/usr/local/lib/infisical-iac/has-logged-in.sh"
_ROTATION = [
    File("/etc/systemd/system/infisical-access-log.service", "service\n"),
    File("/etc/systemd/system/infisical-access-log.timer", "timer\n"),
]
_BANS = [File("/etc/fail2ban/jail.d/infisical-iac.conf", "jails\n")]
_UP = WatchState(
    files={**{each.path: each.state for each in (*_ROTATION, *_BANS)}, _LOG: _THERE},
    units=dict.fromkeys(
        (
            "infisical-access-log.service",
            "infisical-access-log.timer",
            "infisical-access-disk.service",
            "fail2ban.service",
        ),
        _RUNS,
    ),
    jails=frozenset({"sshd", "infisical-login"}),
    live=True,
)
_JAILS = ("sshd", "infisical-login")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the host ran."""
    made: list[str] = []

    def run(command: str, *, doing: str) -> None:
        made.append(command)

    for module in (watch, units):
        monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(
        "infisical_iac.core.files.write", lambda path, *_, **__: made.append(f"write {path}")
    )
    return made


def _decide(
    there: WatchState,
    bans: Sequence[File] = _BANS,
    jails: Sequence[str] = _JAILS,
    *,
    has_log: bool = True,
) -> Any:
    return watch.decide(_ROTATION, bans, jails, there, has_log=has_log)


def _without(*paths: str) -> WatchState:
    return replace(_UP, files={path: each for path, each in _UP.files.items() if path not in paths})


def _with(*paths: str) -> WatchState:
    return replace(_UP, files={**_UP.files, **dict.fromkeys(paths, _THERE)})


def _unit(name: str, **changes: Any) -> WatchState:
    return replace(_UP, units={**_UP.units, name: replace(_RUNS, **changes)})


def test_the_file_system_of_the_log_is_mounted_again(calls: list[str]) -> None:
    changes = perform(_decide(replace(_UP, live=False)))
    assert changes == ["~ /var/log/infisical-access/live: mounted again"]
    assert calls == [_REMOUNT]


def test_a_file_system_that_was_never_mounted_is_mounted_once(calls: list[str]) -> None:
    perform(_decide(replace(_unit("infisical-access-disk.service", active=False), live=False)))
    assert calls == [_MOUNT]


def test_a_missing_log_is_made_private_on_its_file_system_only(calls: list[str]) -> None:
    """fail2ban needs the log to start; on the host's own disk, the log would have no limit."""
    assert perform(_decide(_without(_LOG))) == [f"+ {_LOG}"]
    assert calls == [f"(umask 077; touch {_LOG})"]
    calls.clear()
    perform(_decide(replace(_without(_LOG), live=False)))
    assert calls == [_REMOUNT]


def test_without_caddy_no_log_is_made(calls: list[str]) -> None:
    (decision,) = _decide(replace(_without(_LOG), live=False), has_log=False)
    assert isinstance(decision, UpToDate)


@pytest.mark.parametrize("path", _EARLIER)
def test_files_of_earlier_versions_are_removed(calls: list[str], path: str) -> None:
    (change,) = perform(_decide(_with(path)))
    assert change.startswith(f"- {path}")
    assert calls == [f"rm -f {path}"]


def test_systemd_reads_changed_units_of_the_rotation(calls: list[str]) -> None:
    perform(_decide(_unit("infisical-access-log.timer", outdated=True)))
    assert calls == ["systemctl daemon-reload"]
    calls.clear()
    perform(_decide(_unit("fail2ban.service", outdated=True)))
    assert calls == []


def test_a_wrong_file_of_fail2ban_is_written_before_fail2ban_restarts(calls: list[str]) -> None:
    written, restarted = perform(_decide(_without(_BANS[0].path)))
    assert written == f"+ {_BANS[0].path}"
    assert restarted.endswith("its configuration has changed")
    assert calls == [f"write {_BANS[0].path}", _RESTART]


@pytest.mark.parametrize("path", [_FILTER, _HAS_LOGGED_IN])
def test_a_file_that_the_settings_do_not_need_is_removed_and_others_are_kept(
    calls: list[str], path: str
) -> None:
    changes = perform(_decide(_with(path, "/etc/fail2ban/filter.d/own.conf")))
    assert [each.partition(":")[0] for each in changes] == [f"- {path}", "~ fail2ban.service"]
    assert calls == [f"rm -f {path}", _RESTART]


def test_fail2ban_asks_the_agent_before_a_ban() -> None:
    jail, *_ = (each.content for each in watch.bans(settings_of()))
    asked = [line for line in jail.splitlines() if line.startswith("ignorecommand = ")]
    command = 'set -- /usr/local/lib/infisical-iac/agent-*.pyz; exec python3 -IS "$1"'
    assert asked == [f"ignorecommand = /bin/sh -c '{command} --has-logged-in <ip>'"] * len(asked)
    assert len(asked) == 3


def test_a_disabled_fail2ban_loses_only_the_files_of_this_project(calls: list[str]) -> None:
    """Jails of the operator stay active in the host's fail2ban."""
    bare = replace(_unit("fail2ban.service", active=False, enabled=False), jails=frozenset())
    (decision,) = _decide(replace(bare, files=_without(_BANS[0].path).files), [], [])
    assert isinstance(decision, UpToDate)
    changes = perform(_decide(bare, [], []))
    assert [each.partition(":")[0] for each in changes] == [f"- {_BANS[0].path}"]
    assert calls == [f"rm -f {_BANS[0].path}", _RELOAD]


def test_a_fail2ban_that_would_not_start_at_boot_is_enabled(calls: list[str]) -> None:
    assert perform(_decide(_unit("fail2ban.service", enabled=False))) == [
        "~ fail2ban.service: enabled"
    ]
    assert calls == [_ENABLE]


@pytest.mark.parametrize(
    ("there", "reasons"),
    [
        (_unit("fail2ban.service", active=False), ["it does not run"]),
        (_unit("fail2ban.service", started=1.0, configured=2.0), ["its configuration has changed"]),
        (replace(_UP, jails=frozenset({"sshd", "own"})), ["infisical-login does not run"]),
        (replace(_UP, jails=frozenset()), ["infisical-login, sshd do not run"]),
        (
            replace(_UP, jails=frozenset({"sshd"}), unenforced=frozenset({"192.0.2.1"})),
            ["infisical-login does not run", "nftables does not block 1 of the banned addresses"],
        ),
    ],
)
def test_fail2ban_restarts_for_each_reason(
    calls: list[str], there: WatchState, reasons: list[str]
) -> None:
    (change,) = perform(_decide(there))
    what, _, found = change.partition(", because ")
    assert what == "~ fail2ban.service: restarted"
    assert found.split("; ") == reasons
    assert calls == [_RESTART]


def test_files_of_all_settings_are_read_with_the_units_and_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def inspect(question: Any) -> WatchState:
        asked.append(question)
        return _UP

    monkeypatch.setattr(watch, "inspect", inspect)
    (decision,) = of(watch.log_and_bans)(_ROTATION, _BANS, _JAILS, has_log=True)
    assert isinstance(decision, UpToDate)
    (question,) = asked
    arguments = {each.name: json.loads(each.arguments) for each in question.calls}
    assert arguments.pop("system.bans") == {}
    assert arguments == {
        "files.states": {
            "paths": [
                *(each.path for each in (*_ROTATION, *_BANS)),
                "/etc/fail2ban/action.d/infisical-nftables.conf",
                "/etc/fail2ban/action.d/infisical_networks.py",
                _FILTER,
                "/etc/fail2ban/filter.d/infisical-calls.conf",
                _HAS_LOGGED_IN,
                _LOG,
                *_EARLIER,
            ]
        },
        "system.is_mounted": {"place": "/var/log/infisical-access/live"},
        "system.units": {
            "names": [
                "infisical-access-log.service",
                "infisical-access-log.timer",
                "fail2ban.service",
            ],
            "config": {"fail2ban.service": [_BANS[0].path]},
        },
    }


@pytest.mark.parametrize(
    ("most", "arguments"), [(50, "12 30 50"), (1024, "256 30 1024"), (4096, "256 30 4096")]
)
def test_the_current_log_gets_a_quarter_of_the_space_and_no_more_than_256_mb(
    most: int, arguments: str
) -> None:
    found = [*watch.rotation(settings_of(access_log_max_mb=most, access_log_keep_days=30))]
    assert [each.path.rpartition("/")[2] for each in found] == [
        "infisical-access-log.service",
        "infisical-access-log.timer",
        "infisical-access-disk.service",
    ]
    commands = [
        line.partition(" --access-log ")[2].rstrip("'")
        for each in found
        for line in each.content.splitlines()
        if line.startswith("ExecStart=")
    ]
    assert commands == [f"rotate {arguments}", f"mount {arguments}"]


def test_fail2ban_gets_its_files() -> None:
    found = [each.path for each in watch.bans(settings_of())]
    assert found == [
        "/etc/fail2ban/jail.d/infisical-iac.conf",
        "/etc/fail2ban/action.d/infisical-nftables.conf",
        "/etc/fail2ban/action.d/infisical_networks.py",
        "/etc/fail2ban/filter.d/infisical-login.conf",
        "/etc/fail2ban/filter.d/infisical-calls.conf",
    ]


@pytest.mark.parametrize(
    ("ingress", "jails", "has_log"),
    [("caddy", ("sshd", "infisical-login", "infisical-calls"), True), ("none", ("sshd",), False)],
)
def test_only_a_host_with_caddy_has_a_log_and_jails_for_infisical(
    monkeypatch: pytest.MonkeyPatch, ingress: str, jails: tuple[str, ...], has_log: bool
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(watch, "log_and_bans", lambda **arguments: given.append(arguments))
    settings = settings_of(ingress=ingress)
    deploy: Any = watch.watch
    deploy._inner(Known(settings, MachineState(), Site(settings)))
    (made,) = given
    assert (made["jails"], made["has_log"]) == (jails, has_log)
    assert made["rotation"] == [*watch.rotation(settings)]
    assert made["bans"] == [*watch.bans(settings)]


def test_the_log_is_searched_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ask(each: object) -> FoundRequests:
        asked.append(each)
        return FoundRequests()

    monkeypatch.setattr(watch, "ask", ask)
    since = datetime(2026, 11, 26, tzinfo=UTC)
    assert watch.read_requests(since, 50, ["i1"], "production", "401") == FoundRequests()
    (call,) = asked[0].calls
    assert call.name == "access.find_requests"
    assert json.loads(call.arguments) == {
        "folder": "/var/log/infisical-access",
        "since": 1795651200,
        "last": 50,
        "ids": ["i1"],
        "environment": "production",
        "statuses": "401",
    }
