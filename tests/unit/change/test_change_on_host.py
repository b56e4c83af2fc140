"""Test the steps of a change of version on a fake host that only records them."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from infisical_iac.backup import snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.change import changeover, upgrade
from infisical_iac.change.changeover import Changeover
from infisical_iac.change.releases import UnfinishedChange
from infisical_iac.change.upgrade import VersionChange, VersionChanges
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.images import Images
from infisical_iac.host.site import Site
from infisical_iac.stack import compose, edge, session
from infisical_iac.workspace import checks
from tests.unit.noting import Noting
from tests.unit.settings_of import settings_of

_OLD, _NEW = "infisical/infisical:v0.165.16", "infisical/infisical:v0.166.0"
_BARE = f"""
services:
  infisical: {{image: "{_NEW}", ports: ["127.0.0.1:8080:8080"]}}
  postgres: {{image: "postgres:17.11"}}
"""
_COMPOSE = f"{_BARE}  caddy: {{network_mode: host}}\n"
_FORWARDED_PORT = 2020
_WAS = Images(_OLD, "postgres:17.11")
_RELEASE = "20261125T101112Z-v0.165.16"
_VOLUME = "infisical_postgres_given_up_20261125T101112Z"
_SINCE = "2026-11-25T10:12:00Z"
_THEN = Manifest("2026-11-25T10:00:00Z", "host", "v0.165.16", "17.6", "key", {"projects": 2})
_CHANGES = VersionChanges(Site(settings_of()))


class _Host(Noting):
    compose = _COMPOSE
    # The variant of compose.yaml by which a version runs while it is checked.
    closed = ""
    checked_port = 0

    def note(self, step: str) -> str:
        if step == "end_closed":
            self.closed = ""
        return super().note(step)

    def write(self, path: str, text: str) -> None:
        if path.endswith("/closed.yaml"):
            self.closed = text

    def run_closed(self, command: str, *, doing: str) -> str:
        return "closed" if self.closed else ""

    def forward(self) -> int:
        self.note("forward")
        return _FORWARDED_PORT

    def up(self, _: int, file: str) -> None:
        self.note("up, closed" if file.endswith("/closed.yaml") else "up")

    def pass_checks(
        self, *_: object, port: int, open_edge: object, other_version: bool, **__: object
    ) -> list[str]:
        assert other_version, "the new version has to prove that it isolates services"
        self.checked_port = port
        self.note("check")
        assert callable(open_edge)
        open_edge()
        self.note("public")
        return ["Read as before: 1 secret."]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host(back=f"given-up {_VOLUME} {_SINCE} 30 {_NEW} postgres:17.11")
    monkeypatch.setattr(changeover, "run", made.run)
    monkeypatch.setattr(changeover, "script", lambda name, *words: words[0] if words else name)
    monkeypatch.setattr(changeover, "logger", made)
    monkeypatch.setattr(changeover, "host", made)
    monkeypatch.setattr(Changeover, "take", lambda self, name: _THEN)
    monkeypatch.setattr(Changeover, "dump", lambda self, pausing: made.note("dump"))
    monkeypatch.setattr(upgrade, "write", made.write)
    monkeypatch.setattr(upgrade, "run", made.run_closed)
    monkeypatch.setattr(edge, "close", lambda _: made.note("close"))
    monkeypatch.setattr(edge, "open_", lambda: made.note("open"))
    monkeypatch.setattr(compose, "up", made.up)
    monkeypatch.setattr(compose, "compose_text", lambda: made.compose)
    monkeypatch.setattr(compose, "forward_port", made.forward)
    monkeypatch.setattr(changeover, "perform", lambda *_, **__: [])
    monkeypatch.setattr(changeover, "discard_releases", lambda *_: None)
    monkeypatch.setattr(snapshot, "clean", lambda *_: None)
    monkeypatch.setattr(snapshot, "load", lambda *_: {"projects": 2})
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(session, "api", lambda _: SimpleNamespace(answers=lambda: True))
    monkeypatch.setattr(checks, "record_before", lambda *_, **__: None)
    monkeypatch.setattr(checks, "check_as_before", made.pass_checks)
    return made


def _upgrade() -> list[str]:
    return upgrade.change_on_host(VersionChange(_WAS, _COMPOSE), settings_of(), "chainalign")


_SWAPPED = ["begin", "close", "dump", "swap"]
_CLOSED = ["up, closed", "forward", "check"]
_OPENED = ["up", "end_closed", "open", "public"]
_BACK = ["close", "back", "up", "end_closed", "open", "end"]


@pytest.mark.parametrize("compose", [_BARE, _COMPOSE], ids=["without Caddy", "with Caddy"])
def test_a_new_version_is_connected_only_after_its_checks(host: _Host, compose: str) -> None:
    host.compose = compose
    assert _upgrade() == ["Read as before: 1 secret."]
    assert host.steps == [*_SWAPPED, *_CLOSED, *_OPENED, "open", "end"]
    assert host.checked_port == _FORWARDED_PORT


@pytest.mark.parametrize(
    ("failing", "steps"),
    [
        ("up, closed", ["up, closed"]),
        ("forward", ["up, closed", "forward"]),
        ("check", _CLOSED),
        ("up", [*_CLOSED, "up"]),
        ("public", [*_CLOSED, *_OPENED]),
    ],
)
def test_writes_that_were_given_up_are_counted_and_the_edge_opens_on_the_old_version(
    host: _Host, failing: str, steps: Iterable[str]
) -> None:
    host.failing = [failing]
    output = (
        r" v0\.165\.16 serves again .*all data "
        rf"of {_SINCE}; 30 writes since {_SINCE} .*Docker volume {_VOLUME} "
    )
    with pytest.raises(RunFailed, match=output) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    assert host.steps == [*_SWAPPED, *steps, *_BACK]


def test_no_writes_are_reported_as_given_up_if_nothing_was_swapped(host: _Host) -> None:
    host.failing, host.said = ["swap"], {}
    with pytest.raises(RunFailed, match="with all data; ") as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    assert "writes" not in str(failed.value)
    assert host.steps == [*_SWAPPED, *_BACK]


def test_a_rollback_continues_if_the_edge_cannot_be_closed(host: _Host) -> None:
    host.failing = ["check", "close"]
    with pytest.raises(RunFailed, match="close fails"):
        _upgrade()
    assert host.steps == ["begin", "close", *_BACK]


def test_an_edge_stays_closed_while_neither_version_serves(host: _Host) -> None:
    host.failing = ["check", "back"]
    with pytest.raises(RunFailed, match="no data were removed"):
        _upgrade()
    assert host.steps == [*_SWAPPED, *_CLOSED, "close", "back"]


@pytest.mark.parametrize(
    ("phase", "steps", "serves", "data"),
    [
        ("begun", _BACK, "v0.165.16 serves again", "as it did"),
        ("backing", _BACK, "v0.165.16 serves again", f"all data of {_SINCE}; 30 writes"),
        (
            "swapped",
            ["close", *_CLOSED, *_OPENED, "open", "end"],
            *("v0.166.0 serves", ""),
        ),
        ("proven", ["open", "end"], "v0.166.0 serves", ""),
    ],
)
def test_an_interrupted_change_is_ended_by_its_phase_and_the_edge_is_open_then(
    host: _Host, phase: str, steps: Iterable[str], serves: str, data: str
) -> None:
    if phase == "begun":
        host.said.clear()
    unfinished = UnfinishedChange(_RELEASE, phase, _NEW)
    output, *rest = _CHANGES.recover(unfinished, "chainalign").removesuffix(".").split(", ", 1)
    assert output == f"Infisical {serves}"
    assert bool(rest) is bool(data)
    assert data in "".join(rest)
    assert host.steps == steps


def test_a_version_that_has_served_for_hours_is_kept_though_the_edge_cannot_be_closed(
    host: _Host,
) -> None:
    host.failing = ["close"]
    unfinished = UnfinishedChange(_RELEASE, "swapped", _NEW)
    output = _CHANGES.recover(unfinished, "chainalign")
    assert output == "Infisical v0.166.0 serves."
    assert host.steps == ["close", *_CLOSED, *_OPENED, "open", "end"]


def test_a_version_that_has_served_for_hours_and_fails_its_checks_is_given_up_by_name(
    host: _Host,
) -> None:
    host.failing = ["check"]
    with pytest.raises(RunFailed, match=f"30 writes .* Docker volume {_VOLUME} ") as failed:
        _CHANGES.recover(UnfinishedChange(_RELEASE, "swapped", _NEW), "chainalign")
    assert failed.value.code == "run.given_up"
    assert host.steps == ["close", *_CLOSED, *_BACK]
