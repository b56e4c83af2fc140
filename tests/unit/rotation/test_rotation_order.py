"""The steps of a rotation, in their order, with a host that only notes them."""

import runpy
from collections.abc import Sequence

import pytest

from infisical_iac.operations import gate, repositories, rotation, session, stack
from infisical_iac.operations.remote import CommandFailed
from infisical_iac.rotation.known import RotationError, named
from infisical_iac.rotation.state import Unfinished
from infisical_iac.settings import Settings, load


class _Host:
    """Notes the steps; those in `failing` fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failing: set[str] = set()

    def script(self, name: str, *arguments: str) -> str:
        return " ".join((name, *arguments))

    def run(self, command: str, *, doing: str) -> str:
        step = command.rpartition("/etc/infisical/keys ")[2] if "flock" in command else command
        self.steps.append(step)
        if step in self.failing:
            raise CommandFailed(f"could not {doing}: {step} does not answer")
        return "target local\ntarget box" if step == "rotation targets" else ""

    def up(self, timeout: int) -> None:
        self.run("up", doing="bring the containers up")

    def passed(self, *_: object, **__: object) -> list[str]:
        self.run("gate", doing="pass the gate")
        return ["Read as before: 1 secret."]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    for module in (rotation, repositories):
        monkeypatch.setattr(module, "run", made.run)
        monkeypatch.setattr(module, "script", made.script)
    monkeypatch.setattr(stack, "up", made.up)
    monkeypatch.setattr(stack, "published_port", lambda: 8080)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(gate, "before", lambda *_: None)
    monkeypatch.setattr(gate, "passed", made.passed)
    return made


def _settings() -> Settings:
    defaults = runpy.run_path("group_data/all.py")
    given = {key: value for key, value in defaults.items() if not key.startswith("__")}
    return load({**given, "admin_email": "admin@example.com"})


def _rotate(key: str) -> list[str]:
    return rotation.made(named(key), _settings(), "chainalign")


def _recover(key: str, phase: str) -> str:
    return rotation.recover(Unfinished(named(key), phase), _settings(), "chainalign")


_USE = ["keys derive", "rotation alter", "up"]
_SWITCH = ["rotation switch", *_USE, "gate"]
_BACK = ["rotation back", *_USE, "rotation end"]


def test_the_next_password_is_kept_before_anything_knows_it(host: _Host) -> None:
    assert _rotate("database") == ["Read as before: 1 secret."]
    assert host.steps == ["rotation prepare postgres_password", *_SWITCH, "rotation end"]


def test_only_postgresql_is_told_its_password(host: _Host) -> None:
    _rotate("redis")
    assert "rotation alter" not in host.steps


@pytest.mark.parametrize("failing", ["rotation alter", "up", "gate"])
def test_a_new_password_that_does_not_work_gives_way_to_the_old_one(
    host: _Host, failing: str
) -> None:
    host.failing = {failing}
    told = "could not be brought back to work" if failing in _USE else "the old one is in use again"
    with pytest.raises(RotationError, match=told):
        _rotate("database")
    at = host.steps.index("rotation back")
    assert host.steps[at:] == (_BACK if failing == "gate" else _BACK[: _BACK.index(failing) + 1])


@pytest.mark.parametrize(
    ("phase", "steps"),
    [
        ("prepared", ["rotation end"]),
        ("switching", [*_SWITCH, "rotation end"]),
        ("switched", [*_SWITCH, "rotation end"]),
        ("backing", _BACK),
        ("back", _BACK),
        ("proven", ["rotation end"]),
    ],
)
def test_an_interrupted_rotation_is_ended_by_its_phase(
    host: _Host, phase: str, steps: Sequence[str]
) -> None:
    _recover("database", phase)
    assert host.steps == steps


def _each(what: str, suffix: str = "") -> list[str]:
    file = f" /etc/infisical/keys/restic_password{suffix}" if suffix else ""
    return [f"backup-target {what} {target}{file}" for target in ("local", "box")]


_TARGETS = ["rotation targets"]
_PREPARED = [*_TARGETS, *_each("reach"), "rotation prepare restic_password"]


def test_every_repository_knows_the_new_password_before_the_host_uses_it(host: _Host) -> None:
    _rotate("restic")
    end = ["rotation switch", *_each("dismiss", ".old"), "rotation end"]
    assert host.steps == [*_PREPARED, *_each("admit", ".next"), *end]


def test_a_repository_that_does_not_answer_is_named_before_anything_is_made(host: _Host) -> None:
    host.failing = {"backup-target reach box"}
    with pytest.raises(
        RotationError, match=r"^box: backup-target reach box does not answer; nothing"
    ):
        _rotate("restic")
    assert host.steps == [*_TARGETS, *_each("reach")]


def test_a_repository_that_lets_nobody_in_keeps_all_at_the_old_password(host: _Host) -> None:
    host.failing = {_each("admit", ".next")[1]}
    with pytest.raises(RotationError, match=r"box: .*; the old one is in use, and the new one"):
        _rotate("restic")
    end = [*_each("dismiss", ".next"), "rotation end"]
    assert host.steps == [*_PREPARED, *_each("admit", ".next"), *end]


def test_an_old_password_that_can_not_be_put_out_is_kept_for_the_next_run(host: _Host) -> None:
    host.failing = {_each("dismiss", ".old")[0]}
    with pytest.raises(
        RotationError, match="opens every repository, but so does the old one still"
    ):
        _rotate("restic")
    assert host.steps[-1] == _each("dismiss", ".old")[1]
    host.failing, host.steps = set(), []
    assert _recover("restic", "switched") == "The new restic key is in use."
    end = ["rotation switch", *_each("dismiss", ".old"), "rotation end"]
    assert host.steps == [*_TARGETS, *end]


def test_a_password_that_nobody_uses_yet_is_put_out_again(host: _Host) -> None:
    assert "the old one is in use" in _recover("restic", "prepared")
    assert host.steps == [*_TARGETS, *_each("dismiss", ".next"), "rotation end"]
