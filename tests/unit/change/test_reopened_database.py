"""Test the repair of a database that a dead leader left closed or with another password."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infisical_iac.cluster import stack
from infisical_iac.core import connection
from tests.unit.clusters import site
from tests.unit.fake_cluster import FakeNode, make_node

_KEY = "/etc/infisical/keys/postgres_password"


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """A node with another leader's new password in its keys, and the old one in its database."""
    made = make_node(tmp_path, postgres="", infisical="data")
    made.write(_KEY, "next-obviously-fake\n")
    made.write(f"{_KEY}.old", "obviously-fake\n")
    return made


def test_a_database_with_the_old_password_gets_the_new_password(node: FakeNode) -> None:
    node.ok(("reopen",))
    assert node.read("/password") == "next-obviously-fake\n"
    assert node.read(_KEY) == "next-obviously-fake\n"


def test_a_database_with_the_new_password_keeps_that_password(node: FakeNode) -> None:
    node.write("/password", "next-obviously-fake")
    node.ok(("reopen",))
    assert node.read("/password") == "next-obviously-fake"


def test_a_database_in_the_middle_of_a_rollback_gets_the_old_password(node: FakeNode) -> None:
    node.remove(f"{_KEY}.old")
    node.write(_KEY, "before-obviously-fake")
    node.write(f"{_KEY}.next", "obviously-fake")
    node.ok(("reopen",))
    assert node.read("/password") == "before-obviously-fake\n"


def test_the_other_password_is_needed_only_by_a_rotation_of_this_host(node: FakeNode) -> None:
    assert node.run("reopen").stdout == "known\n"
    node.write("/var/lib/infisical-rotation/state", "postgres_password switched\n")
    assert node.run("reopen").stdout == ""


@pytest.mark.parametrize(("said", "forgetting"), [("known", ["node-1", "node-3"]), ("", [])])
def test_reachable_data_nodes_forget_the_other_password_once_it_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, said: str, forgetting: list[str]
) -> None:
    at, forgot = ["node-1"], []

    @contextmanager
    def on(name: str) -> Iterator[None]:
        at.append(name)
        yield
        at.pop()

    def run(command: str, *, doing: str) -> str:
        if command.endswith("reopen"):
            return said
        if command.startswith("sha256sum"):
            return "0123  -"
        assert "rm -f" in command
        assert "!= '0123  -'" in command
        forgot.append(at[-1])
        return ""

    monkeypatch.setattr(stack, "run", run)
    monkeypatch.setattr(stack, "script", lambda name: name)
    monkeypatch.setattr(connection, "on", on)
    stack.reopen_database(site(unreachable=(2,)).cluster)
    assert forgot == forgetting


def test_a_database_that_a_restore_closed_is_opened_again(node: FakeNode) -> None:
    node.write("/closed/infisical", "")
    node.ok(("reopen",), ("reopen",))
    assert node.list_closed() == ""
    assert node.databases()["infisical"] == "data"


@pytest.mark.parametrize("state", ["/stopped", "/etc/infisical/keys/none"])
def test_a_database_that_does_not_answer_is_left_to_the_roll_out(
    node: FakeNode, state: str
) -> None:
    node.write(state, "")
    node.write("/password", "somebody-else-s")
    done = node.run("reopen")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert node.read("/password") == "somebody-else-s"
    assert node.read(f"{_KEY}.old") == "obviously-fake\n"
