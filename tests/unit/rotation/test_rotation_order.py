"""The steps of a rotation, in their order, with a host that only notes them."""

import runpy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from infisical_iac.operations import (
    cluster_stack,
    gate,
    nodes,
    redis_passwords,
    repositories,
    rotation,
    session,
    share,
    stack,
)
from infisical_iac.operations.remote import CommandFailed
from infisical_iac.rotation.known import RotationError, named
from infisical_iac.rotation.state import Unfinished
from infisical_iac.settings import Settings, load
from tests.unit.clusters import settings, site

# What the steps print.
_SAID = {
    "rotation targets": "target local\ntarget box",
    "redis-passwords hashes": "in-place\nbeside",
}


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
        return _SAID.get(step, "")

    def up(self, timeout: int) -> None:
        self.run("up", doing="bring the containers up")

    def passed(self, *_: object, **__: object) -> list[str]:
        self.run("gate", doing="pass the gate")
        return ["Read as before: 1 secret."]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    for module in (rotation, repositories, redis_passwords):
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


def test_a_cluster_is_rolled_out_in_the_place_of_starting_containers(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_stack, "roll_out", lambda _: host.run("roll out", doing="roll out"))
    rotation.made(named("auth-secret"), settings(), "chainalign", site())
    switch = ["rotation switch", "keys derive", "roll out", "gate"]
    assert host.steps == ["rotation prepare auth_secret", *switch, "rotation end"]


@pytest.fixture
def nodes_of(host: _Host, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """By node, the steps on it; the lead's are with the host's."""
    seen: dict[str, list[str]] = {}

    @contextmanager
    def on(node: str) -> Iterator[None]:
        before, host.steps = host.steps, seen.setdefault(node, [])
        yield
        host.steps = before

    monkeypatch.setattr(nodes, "on", on)
    monkeypatch.setattr(nodes, "known", lambda: site().cluster)
    monkeypatch.setattr(share, "spread", lambda _: host.run("spread", doing="share"))
    monkeypatch.setattr(repositories, "write", lambda path, _: host.steps.append(f"write {path}"))
    said = host.run
    monkeypatch.setattr(
        repositories,
        "run",
        lambda command, doing: "text" if command.startswith("cat ") else said(command, doing=doing),
    )
    return seen


def test_each_node_s_own_repository_follows_the_lead(
    host: _Host, nodes_of: dict[str, list[str]]
) -> None:
    (told,) = rotation.made(named("restic"), settings(), "chainalign", site())
    assert told.endswith("with all their snapshots, on 3 nodes.")
    key = "/etc/infisical/keys/restic_password"
    expected = [
        "backup-target reach local",
        f"write {key}.next",
        f"backup-target admit local {key}.next",
        f"write {key}.old",
        f"backup-target dismiss local {key}.old",
        f"rm -f {key}.next {key}.old",
    ]
    assert nodes_of == {"node-2": expected, "node-3": expected}
    assert host.steps.index("spread") == host.steps.index("rotation switch") + 1


def test_a_node_that_is_away_keeps_the_password_of_its_repository(host: _Host) -> None:
    with pytest.raises(RotationError, match=r"^node-3 can't be reached"):
        rotation.made(named("restic"), settings(), "chainalign", site(away=(3,)))
    assert host.steps == []


def test_where_all_save_in_one_repository_each_node_has_its_password_before_the_old_one_ends(
    host: _Host, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[list[str]] = []
    said = vars(repositories)["run"]

    def run(command: str, *, doing: str) -> str:
        if "dismiss" in command:
            ended.append([*nodes_of["node-2"], *host.steps[-2:]])
        return str(said(command, doing=doing))

    monkeypatch.setattr(repositories, "run", run)
    shared = {"name": "box", "repository": "s3:https://s3.example.com/box"}
    of = site(away=(3,), backup_targets=(shared,))
    (told,) = rotation.made(named("restic"), of.settings, "chainalign", of)
    assert told.endswith("with all their snapshots.")
    key = "/etc/infisical/keys/restic_password"
    assert ended
    handed = [f"write {key}.next", f"write {key}.old"]
    assert ended[0] == [*handed, "rotation switch", "spread"]
    assert "node-3" not in nodes_of


@pytest.mark.parametrize("failing", ["", "gate"])
def test_whichever_node_leads_next_has_both_passwords_before_postgresql_takes_one(
    host: _Host, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(cluster_stack, "roll_out", lambda _: host.run("roll out", doing="roll out"))
    if failing:
        host.failing = {failing}
        with pytest.raises(RotationError, match="the old one is in use again"):
            rotation.made(named("database"), settings(), "chainalign", site(away=(3,)))
    else:
        rotation.made(named("database"), settings(), "chainalign", site(away=(3,)))
    use = ["keys derive", "spread", "rotation alter", "roll out"]
    back = ["rotation back", *use] if failing else []
    switch = ["rotation switch", *use, "gate"]
    assert host.steps == ["rotation prepare postgres_password", *switch, *back, "rotation end"]
    key = "/etc/infisical/keys/postgres_password"
    handed = [f"write {key}.old", f"write {key}.next"]
    times = 2 if failing else 1
    assert nodes_of == {"node-2": [*handed * times, f"rm -f {key}.next {key}.old"]}


_ADMIT, _ALONE = "redis-passwords admit in-place beside", "redis-passwords alone in-place"


@pytest.mark.parametrize("failing", ["", "gate"])
def test_each_redis_takes_both_passwords_until_all_have_the_one_that_stays(
    host: _Host, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(cluster_stack, "roll_out", lambda _: host.run("roll out", doing="roll out"))
    if failing:
        host.failing = {failing}
        with pytest.raises(RotationError, match="the old one is in use again"):
            rotation.made(named("redis"), settings(), "chainalign", site())
    else:
        rotation.made(named("redis"), settings(), "chainalign", site())
    use = ["keys derive", "roll out"]
    hashes = "redis-passwords hashes"
    back = [hashes, "rotation back", *use] if failing else []
    prepare = ["rotation prepare redis_password", hashes]
    assert host.steps == [*prepare, "rotation switch", *use, "gate", *back, hashes, "rotation end"]
    admitted = [_ADMIT] * (2 if failing else 1)
    assert nodes_of == {node: [*admitted, _ALONE] for node in ("node-1", "node-2", "node-3")}


def test_the_key_of_redis_waits_for_a_data_node_that_is_away(host: _Host) -> None:
    with pytest.raises(RotationError, match=r"^node-3 can't be reached, .* nothing was changed$"):
        rotation.made(named("redis"), settings(), "chainalign", site(away=(3,)))
    assert host.steps == []


def test_a_redis_that_does_not_answer_keeps_no_rotation_from_its_end(
    host: _Host, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_stack, "roll_out", lambda _: None)
    host.failing = {_ALONE, _ADMIT}
    rotation.recover(Unfinished(named("redis"), "prepared"), settings(), "chainalign", site())
    assert host.steps[-1] == "rotation end"


@pytest.mark.parametrize("phase", ["prepared", "back", "proven"])
def test_what_an_interrupted_rotation_let_in_is_put_out(
    host: _Host, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(cluster_stack, "roll_out", lambda _: None)
    rotation.recover(Unfinished(named("redis"), phase), settings(), "chainalign", site())
    assert {steps[-1] for steps in nodes_of.values()} == {_ALONE}
    assert len(nodes_of) == 3
