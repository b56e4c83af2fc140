"""Test the repair of a database that a dead leader left closed or with another password."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import database
from infisical_iac.agent.runner import Output
from infisical_iac.cluster import stack
from infisical_iac.core import connection
from infisical_iac.core.agent import Question
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container
from tests.unit.clusters import site

_KEY = "/etc/infisical/keys/postgres_password"
_ROTATION = "/var/lib/infisical-rotation/state"


@dataclass(frozen=True)
class _Node(FakeRunner):
    """A data node; `server` has the `password` that PostgreSQL accepts, and `closed` or not."""

    server: dict[str, str] = field(default_factory=lambda: {"password": "obviously-fake"})

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        done = super().run(words, stdin=stdin)
        if "psql" not in words:
            return done
        given, _, rest = stdin.partition("\n")
        if given != self.server["password"]:
            return Output(2, errors="password authentication failed")
        if words[-1] == r"\password infisical":
            self.server["password"] = rest.splitlines()[0]
        elif "NOT datallowconn" in rest:
            return Output(0, "1\n" if "closed" in self.server else "")
        elif "ALLOW_CONNECTIONS true" in rest:
            del self.server["closed"]
        return Output(0)

    @property
    def keys(self) -> list[str]:
        """The names of the files with passwords."""
        return sorted(each.name for each in self.path("/etc/infisical/keys").iterdir())


def _make_node(tmp_path: Path, *, state: str = "running", **server: str) -> _Node:
    container = docker_container("pgid", swarm="infisical_postgres-1", state=state)
    known = {"password": "obviously-fake", **server}
    made = _Node(tmp_path, answers=docker_answers(container), server=known)
    made.write(_KEY, "next-obviously-fake\n")
    made.write(f"{_KEY}.old", "obviously-fake\n")
    return made


@pytest.fixture
def node(tmp_path: Path) -> _Node:
    """A node with another leader's new password in its keys, and the old one in its database."""
    return _make_node(tmp_path)


def test_a_database_with_the_old_password_gets_the_new_password(node: _Node) -> None:
    assert database.reopen(node)
    assert node.server["password"] == "next-obviously-fake"
    assert node.text(_KEY) == "next-obviously-fake\n"
    assert not any("obviously-fake" in call for call, _ in node.ran)


def test_a_database_with_the_new_password_keeps_that_password(tmp_path: Path) -> None:
    node = _make_node(tmp_path, password="next-obviously-fake")
    assert database.reopen(node)
    assert node.server["password"] == "next-obviously-fake"
    assert not any(r"\password" in call for call, _ in node.ran)


def test_a_database_in_the_middle_of_a_rollback_gets_the_old_password(node: _Node) -> None:
    node.path(f"{_KEY}.old").unlink()
    node.write(_KEY, "before-obviously-fake")
    node.write(f"{_KEY}.next", "obviously-fake")
    assert database.reopen(node)
    assert node.server["password"] == "before-obviously-fake"


def test_the_other_password_is_needed_only_by_a_rotation_of_this_host(node: _Node) -> None:
    assert database.reopen(node)
    node.write(_ROTATION, "postgres_password switched\n")
    assert not database.reopen(node)


@pytest.mark.parametrize(("known", "forgetting"), [(True, ["node-1", "node-3"]), (False, [])])
def test_reachable_data_nodes_forget_the_other_password_once_it_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, known: bool, forgetting: list[str]
) -> None:
    at, forgot = ["node-1"], []

    @contextmanager
    def on(name: str) -> Iterator[None]:
        at.append(name)
        yield
        at.pop()

    def perform(asked: Question[Any], *, doing: str) -> bool:
        (call,) = asked.calls
        if call.name == "database.drop_other_passwords":
            assert call.arguments == '{"hash": "0123"}'
            forgot.append(at[-1])
        return known

    monkeypatch.setattr(stack, "perform", perform)
    monkeypatch.setattr(stack, "ask", lambda _: "0123")
    monkeypatch.setattr(connection, "on", on)
    stack.reopen_database(site(unreachable=(2,)).cluster)
    assert forgot == forgetting


@pytest.mark.parametrize(
    ("content", "rotates", "left"),
    [
        (b"next-obviously-fake\n", False, ["postgres_password"]),
        (b"next-obviously-fake\n", True, ["postgres_password", "postgres_password.old"]),
        (b"somebody-else-s\n", False, ["postgres_password", "postgres_password.old"]),
    ],
)
def test_a_node_forgets_the_other_password_of_the_password_in_use(
    node: _Node, content: bytes, rotates: bool, left: list[str]
) -> None:
    """A node that was killed while it led a rotation needs both to end that."""
    if rotates:
        node.write(_ROTATION, "postgres_password switched\n")
    database.drop_other_passwords(node, hash=sha256(content).hexdigest())
    assert node.keys == left


def test_a_database_that_a_restore_closed_is_opened_again(tmp_path: Path) -> None:
    node = _make_node(tmp_path, closed="yes")
    for _ in range(2):
        assert database.reopen(node)
    assert "closed" not in node.server


@pytest.mark.parametrize(
    ("state", "password"), [("exited", "obviously-fake"), ("running", "somebody-else-s")]
)
def test_a_database_that_does_not_answer_is_left_to_the_roll_out(
    tmp_path: Path, state: str, password: str
) -> None:
    node = _make_node(tmp_path, state=state, password=password)
    assert not database.reopen(node)
    assert node.server["password"] == password
    assert node.text(f"{_KEY}.old") == "obviously-fake\n"
