"""Test failures of the API during `workspace apply`: a run reports them, and the next completes.

It is unknown whether a request without an answer was processed, so both cases are tested.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import httpx
import pytest
import stamina
from click.testing import CliRunner, Result

from infisical_iac.api import client
from infisical_iac.cli.main import main
from infisical_iac.workspace import isolation

from .objects import objects
from .unreliable import Fault, Kind, UnreliableProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .world import World

_WORKSPACE = """
project: {{name: {name}, slug: {name}}}
environments: [{{slug: production, name: Production}}]
shared_folders: [/shared]
services: {{{name}: {{folder: /{name}, imports: [/shared]}}}}
"""
_MODES: dict[str, Fault] = {
    "500": Fault(500, "write"),
    "502 for what was done": Fault(502, "write", processed=True),
    "503": Fault(503, "write"),
    "no answer to what was done": Fault("hang", "write", processed=True),
    "cut": Fault("cut", "write"),
    "cut in the body": Fault("cut short", "write", processed=True),
}
_numbers = count(100)


@dataclass(frozen=True)
class Case:
    """A separate project on the shared stand-in, and the command for it."""

    world: World
    name: str
    file: Path

    def run(self, *arguments: str, url: str = "") -> Result:
        given = ["workspace", *arguments, "--project-file", str(self.file)]
        return CliRunner(env=self.world.variables(url)).invoke(main, given)

    def objects(self) -> list[str]:
        """Return the objects of the project on the server, each as a line without ids."""
        return sorted(each.replace(self.name, "case") for each in objects(self.world, self.name))


@dataclass(frozen=True)
class Clean:
    """The objects that a run without faults makes, and the number of its requests."""

    objects: list[str]
    reads: int
    writes: int


@pytest.fixture(scope="module", autouse=True)
def _without_proof() -> Iterator[None]:
    # The proof before a first project writes too. Its failures are in test_isolation.py.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "prove", lambda client, method: "Proven.")
        yield


@pytest.fixture(scope="module")
def proxy(world: World) -> Iterator[UnreliableProxy]:
    with UnreliableProxy(world.standin.url) as running:
        yield running


@pytest.fixture(scope="module")
def new_case(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Case]:
    def new() -> Case:
        name = f"case-{next(_numbers)}"
        file = tmp_path_factory.mktemp(name) / "workspace.yaml"
        file.write_text(_WORKSPACE.format(name=name), encoding="utf-8")
        return Case(world, name, file)

    return new


@pytest.fixture
def case(new_case: Callable[[], Case]) -> Case:
    return new_case()


@pytest.fixture(scope="module")
def clean(new_case: Callable[[], Case], proxy: UnreliableProxy) -> Clean:
    proxy.expect(None)
    case = new_case()
    assert case.run("apply", "--yes", url=proxy.url).exit_code == 0
    return Clean(case.objects(), proxy.count("read"), proxy.count("write"))


@pytest.fixture(autouse=True)
def _short_timeouts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a hanging request, a short timeout would only end slow ones.
    if "no answer" in request.node.name:
        monkeypatch.setattr(client, "_TIMEOUT", httpx.Timeout(1.5))


@pytest.fixture
def without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


def _assert_one_sentence(result: Result, case: Case) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert "Traceback" not in result.output
    for secret in (case.world.deployer_identity.client_secret, "Bearer", "eyJ"):
        assert secret not in result.output


def _assert_next_run_completes(case: Case, clean: Clean) -> None:
    """Assert that the next run, without faults, leaves the objects of a clean run."""
    again = case.run("apply", "--yes")
    assert again.exit_code == 0, again.output
    settled = case.run("plan")
    assert (settled.exit_code, settled.stdout) == (0, "Nothing to change.\n")
    assert case.objects() == clean.objects


@pytest.mark.parametrize("when", ["first", "middle", "last"])
@pytest.mark.parametrize("mode", _MODES)
def test_a_failed_write_is_reported_sent_once_and_completed_by_the_next_run(
    mode: str, when: str, case: Case, clean: Clean, proxy: UnreliableProxy
) -> None:
    nth = {"first": 1, "middle": clean.writes // 2, "last": clean.writes}[when]
    proxy.expect(replace(_MODES[mode], at=(nth,)))
    failed = case.run("apply", "--yes", url=proxy.url)
    _assert_one_sentence(failed, case)
    assert failed.stderr.startswith("Error: could not make ")
    (struck,) = proxy.struck
    assert (proxy.seen.count(struck), proxy.seen[-1]) == (1, struck)
    _assert_next_run_completes(case, clean)


def test_the_next_run_finds_each_write_whose_answer_was_lost(
    new_case: Callable[[], Case], clean: Clean, proxy: UnreliableProxy
) -> None:
    for nth in range(1, clean.writes + 1):
        case = new_case()
        proxy.expect(Fault("cut", "write", {nth}, processed=True))
        _assert_one_sentence(case.run("apply", "--yes", url=proxy.url), case)
        _assert_next_run_completes(case, clean)


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("mode", _MODES)
def test_failed_reads_are_repeated(
    mode: str, case: Case, clean: Clean, proxy: UnreliableProxy
) -> None:
    at = (1, clean.reads // 2, clean.reads)
    proxy.expect(replace(_MODES[mode], kind="read", at=at))
    applied = case.run("apply", "--yes", url=proxy.url)
    assert applied.exit_code == 0, applied.output
    assert len(proxy.struck) == len(at)
    assert case.objects() == clean.objects


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("mode", ["503", "cut", "no answer to what was done"])
def test_a_failed_login_is_repeated(mode: str, case: Case, proxy: UnreliableProxy) -> None:
    proxy.expect(replace(_MODES[mode], kind="login"))
    assert case.run("plan", url=proxy.url).exit_code == 2
    assert proxy.count("login") == 2


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("when", ["first", "middle", "last"])
@pytest.mark.parametrize("mode", ["502 for what was done", "cut"])
def test_an_unreachable_server_is_reported_and_the_next_run_completes(
    mode: str, when: str, case: Case, clean: Clean, proxy: UnreliableProxy
) -> None:
    nth = {"first": 1, "middle": clean.reads // 2, "last": clean.reads}[when]
    proxy.expect(replace(_MODES[mode], kind="read", at=range(nth, 1000)))
    _assert_one_sentence(case.run("apply", "--yes", url=proxy.url), case)
    _assert_next_run_completes(case, clean)


@pytest.mark.parametrize("kind", ["login", "read", "write"])
def test_too_many_requests_are_waited_out_for_reads_and_writes_alike(
    kind: Kind, case: Case, clean: Clean, proxy: UnreliableProxy
) -> None:
    total = {"login": 1, "read": clean.reads, "write": clean.writes}[kind]
    at = {1, total}
    proxy.expect(Fault(429, kind, at))
    began = time.monotonic()
    applied = case.run("apply", "--yes", url=proxy.url)
    assert applied.exit_code == 0, applied.output
    assert time.monotonic() - began >= len(at)  # Retry-After: 1
    # Parallel reads may find a connection that was closed during the wait, and are repeated.
    most = total + len(at) + (8 if kind == "read" else 0)
    assert total + len(at) <= proxy.count(kind) <= most
    assert case.objects() == clean.objects


@pytest.mark.parametrize("kind", ["login", "read", "write"])
def test_a_401_is_reported_and_never_repeated(
    kind: Kind, case: Case, proxy: UnreliableProxy
) -> None:
    proxy.expect(Fault(401, kind, range(1, 1000)))
    _assert_one_sentence(case.run("apply", "--yes", url=proxy.url), case)
    assert proxy.seen.count(proxy.struck[0]) == 1
