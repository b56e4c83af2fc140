"""Test that a login is kept in a real keyring: GNOME's, on a session bus of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from .laptops import ANNA, RUNNERS, Laptop, Office
from .world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BUS = "DBUS_SESSION_BUS_ADDRESS"
# `cat` ends, and the session with it, once its input is closed.
_SESSION = f"""
echo fake-password | gnome-keyring-daemon --unlock --components=secrets >/dev/null
echo "${_BUS}"
exec cat
"""
_TO_CORRECT = 78


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    """The address of a session bus with an unlocked keyring, whose files are in `tmp_path`."""
    with subprocess.Popen(
        ["dbus-run-session", "--", "sh", "-c", _SESSION],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout is not None
        yield session.stdout.readline().strip()


@pytest.fixture(params=RUNNERS)
def laptop(request: pytest.FixtureRequest, tmp_path: Path, office: Office, bus: str) -> Laptop:
    return office.prepare(Laptop(tmp_path, request.param, {_BUS: bus}))


def _secret_tool(laptop: Laptop, *arguments: str) -> str:
    done = subprocess.run(
        ["secret-tool", *arguments],
        env={"PATH": os.environ["PATH"], **laptop.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_login_is_kept_in_the_keyring_and_in_no_file(laptop: Laptop, office: Office) -> None:
    item = ("service", "infisical-config", "address", office.world.standin.url)
    status, shown = laptop.log_in(ANNA, ("Password", PASSWORD))
    assert status == 0, shown
    assert "Secret Service" in shown
    kept = _secret_tool(laptop, "lookup", *item)
    token = json.loads(base64.b64decode(kept))["token"]
    with office.world.standin.client(token) as client:
        assert client.get("/api/v1/user").status_code == 200
    files = [each for each in laptop.home.rglob("*") if each.is_file()]
    assert [each.name for each in files if each.name == "key" or each.suffix == ".login"] == []
    texts = (token, kept, PASSWORD)
    assert [
        each for each in files if any(map(each.read_bytes().count, map(str.encode, texts)))
    ] == []

    for language in RUNNERS:
        done = Laptop(laptop.home, language, laptop.variables).read()
        assert (done.returncode, done.stdout) == (0, "fake-development"), done.stderr
        assert ANNA in done.stderr

    _secret_tool(laptop, "lock", "--collection", "login")
    locked = laptop.read()
    assert (locked.returncode, locked.stdout) == (_TO_CORRECT, "")
    assert "INFISICAL_KEYRING" in locked.stderr


def test_a_logout_deletes_the_login_from_the_keyring(laptop: Laptop, office: Office) -> None:
    item = ("service", "infisical-config", "address", office.world.standin.url)
    laptop.log_in(ANNA, ("Password", PASSWORD))
    assert _secret_tool(laptop, "lookup", *item)
    out = laptop.run("logout")
    assert out.returncode == 0, out.stderr
    assert _secret_tool(laptop, "search", "--all", *item) == ""
    assert laptop.read().returncode == _TO_CORRECT
