"""Test that folders that nobody has read are found by the access log of a real Caddy."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from infisical_iac.api import contents
from infisical_iac.api.rate_limits import RateLimiter
from infisical_iac.cli.status import survey_values
from infisical_iac.core import agent, archive, connection
from infisical_iac.host import watch
from infisical_iac.workspace import reach
from infisical_iac.workspace.goal import Memory

from .caddies import Caddy
from .migrating import ENVIRONMENTS, Case, new
from .visiting import log_lines
from .world import Identity, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from .world import World

_UNREAD_DAYS = 90
_BOTH = ["development/backend", "production/backend"]


@pytest.fixture
def caddy(world: World, tmp_path: Path) -> Iterator[Caddy]:
    (home := tmp_path / "caddy").mkdir()
    one = Caddy(home, world.standin.port)
    one.write()
    yield one.start()
    one.stop()


@pytest.fixture
def case(world: World, tmp_path: Path, caddy: Caddy, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A service with secrets that are 200 days old, on a host whose log Caddy writes."""
    case = new(world, tmp_path)
    content = json.loads(case.workspace_file.read_text())
    rules = {"hygiene": {"unread_days": _UNREAD_DAYS}}
    case.workspace_file.write_text(json.dumps(content | rules))
    for each in ENVIRONMENTS:
        case.put(each, "/backend", TOKEN="fake-9f2Kq7Lw0Zx")
    several, made = contents.secrets, datetime.now(UTC) - timedelta(days=200)

    def date_back(*given: Any, **options: Any) -> list[dict[str, Any]]:
        return [each | {"createdAt": made.isoformat()} for each in several(*given, **options)]

    monkeypatch.setattr(contents, "secrets", date_back)
    _be_host(case, caddy, monkeypatch)
    return case


def _be_host(case: Case, caddy: Caddy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine the host: it runs the agent, which reads the log of Caddy."""

    def send(command: str, stdin: str) -> str:
        here = command.replace(archive.DIRECTORY, str(case.root / "lib"))
        done = subprocess.run(["sh", "-c", here], input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    @contextmanager
    def on_host(*_: object) -> Iterator[Any]:
        url, file = case.world.standin.url, case.workspace_file
        with reach._at(url, file, "privilege", False, RateLimiter({})) as reached:
            memory = Memory(identities=case.identities())
            reads = partial(reach._read_accesses, reached.desired, memory)
            yield replace(reached, read_accesses=reads)

    monkeypatch.setattr(agent, "_send", send)
    monkeypatch.setattr(watch, "DIRECTORY", str(caddy.home / "log"))
    monkeypatch.setattr(reach, "_on_host", on_host)
    monkeypatch.setattr(connection, "with_others", lambda _: [None])
    monkeypatch.setattr(connection, "each_of", lambda hosts, call: [*map(call, hosts)])


def _read(
    caddy: Caddy, case: Case, environment: str, by: httpx.Client | None = None, **query: str
) -> None:
    """Read through Caddy: by default the service's folder, as its loader does."""
    before = len(log_lines(caddy))
    headers = {"Authorization": (by or case.world.deployer).headers["Authorization"]}
    target = f"/api/v4/secrets?{urlencode(case.place(environment, '/backend') | query)}"
    assert caddy.ask(target, headers=headers).status == 200
    assert len(log_lines(caddy, at_least=before + 1)) == before + 1


def _date_back(caddy: Caddy, days: int) -> None:
    """Make the log as old as this, and rotate it away."""
    log, at = caddy.home / "log" / "access.log", time.time() - days * 86400
    lines = [json.loads(each) | {"ts": at} for each in log_lines(caddy)]
    rotated = log.with_name("access.log-20260101-000000.gz")
    rotated.write_bytes(gzip.compress("".join(f"{json.dumps(each)}\n" for each in lines).encode()))
    os.utime(rotated, (at, at))
    os.truncate(log, 0)


def _check(case: Case) -> tuple[list[str], list[str]]:
    """Return the folders that `check` reports as unread, and its notes on the access log."""
    given = ("check", str(case.root), "--project-file", str(case.workspace_file), "--json")
    ran = case.invoke(*given, INFISICAL_API_URL="")
    assert ran.exit_code in (0, 2), ran.output
    shown = json.loads(ran.stdout)
    unread = [each["place"] for each in shown["findings"] if each["kind"] == "not-read"]
    return unread, [each["message"] for each in shown["notes"] if each["place"] == "hygiene"]


def test_a_folder_is_unread_until_somebody_reads_it_again(case: Case, caddy: Caddy) -> None:
    """One environment was read 100 days ago, and the other one never."""
    _read(caddy, case, "development")
    unread, (note,) = _check(case)
    assert (unread, f"{datetime.now(UTC):%Y-%m-%d}" in note) == ([], True)
    _date_back(caddy, 100)
    assert _check(case) == (_BOTH, [])
    _read(caddy, case, "development")
    assert _check(case) == (_BOTH[1:], [])
    _read(caddy, case, "production")
    assert _check(case) == ([], [])


def test_the_page_of_the_status_lists_an_unread_folder(
    case: Case, caddy: Caddy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _read(caddy, case, "production")
    _date_back(caddy, 100)
    _read(caddy, case, "development")
    for name, value in case.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("INFISICAL_API_URL")
    found = survey_values("inventory/acme.py", datetime.now(UTC))
    unread = [each for each in found.rows if each.kind == "not-read"]
    assert [tuple(each) for each in unread] == [
        ("backend", "production", "not-read", ("/backend",))
    ]
    assert found.notes == []


def test_a_job_that_sees_only_names_does_not_count_as_a_reader(case: Case, caddy: Caddy) -> None:
    """The nightly `check` of a pipeline lists all folders."""
    content = json.loads(case.workspace_file.read_text())
    job = {case.name: {"sees": "names", "auth": "universal"}}
    case.workspace_file.write_text(json.dumps(content | {"ci": job}))
    case.deploy()
    client = _log_in(case, case.identities()[f"ci-{case.name}"])
    _read(caddy, case, "development")
    _date_back(caddy, 100)
    for each in ENVIRONMENTS:
        _read(caddy, case, each, client, secretPath="/", recursive="true", viewSecretValue="false")
    assert _check(case) == (_BOTH, [])
    _read(caddy, case, "production")
    assert _check(case) == (_BOTH[:1], [])


def _log_in(case: Case, id: str) -> httpx.Client:
    """Make a client secret of an identity, and log in with it."""
    world, url = case.world, f"/api/v1/auth/universal-auth/identities/{id}"
    client_id = ok(world.admin.get(url))["identityUniversalAuth"]["clientId"]
    made = ok(world.admin.post(f"{url}/client-secrets", json={}))
    return Identity(id, client_id, made["clientSecret"], "").client(world.standin)
