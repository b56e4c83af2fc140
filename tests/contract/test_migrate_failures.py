"""Test killed applies, failing networks, and servers that alter values."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import stamina

from infisical_iac.api.client import Client

from .migrating import ENV_FILE, ENVIRONMENTS, Case, new, refuse
from .services import wait_until
from .unreliable import Fault, UnreliableProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .world import World

_SERVICES = ("backend", "worker")
_VALUES = {f"FAKE_{number}": f"fake-value-{number}" for number in range(3)}
_WRITES = len(_SERVICES) * len(ENVIRONMENTS)
_TOTAL = _WRITES * len(_VALUES)


@pytest.fixture(scope="module")
def proxy(world: World) -> Iterator[UnreliableProxy]:
    with UnreliableProxy(world.standin.url) as running:
        yield running


@pytest.fixture
def new_case(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Case]:
    """Make a case with a plan for four folders."""

    def plan_case() -> Case:
        case = new(world, tmp_path_factory.mktemp("repository"), *_SERVICES)
        for service in _SERVICES:
            for environment in ENVIRONMENTS:
                lines = "".join(f"{key}={value}\n" for key, value in _VALUES.items())
                case.write(f"{service}/.env.{environment}", lines)
        assert case.run("plan").exit_code == 2
        return case

    return plan_case


@pytest.fixture
def case(new_case: Callable[[], Case]) -> Case:
    return new_case()


def _assert_next_run_completes(case: Case) -> None:
    """Assert that the next run completes everything, and writes nothing twice."""
    again = case.run("apply")
    assert again.exit_code == 0, again.output
    stored = [each for stage in ENVIRONMENTS for each in case.read_values(stage).values()]
    assert len(stored) == _TOTAL
    assert {each["version"] for each in stored} == {1}
    assert {each["secretValue"] for each in stored} == set(_VALUES.values())


def test_a_killed_process_is_completed_by_the_next_run(case: Case, proxy: UnreliableProxy) -> None:
    proxy.expect(Fault("hang", "write", {2}, processed=True))
    arguments = ["apply", str(case.plan_file), "--project-file", str(case.workspace_file)]
    program = f"from infisical_iac.cli.main import main; main(['migrate', *{arguments!r}])"
    environment = {**os.environ, **case.environment(proxy.url)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        written = 2 * len(_VALUES)
        wait_until(lambda: len(case.read_values("development")) == written, "nothing was written")
        process.send_signal(signal.SIGKILL)
    _assert_next_run_completes(case)


@pytest.mark.parametrize("processed", [False, True])
def test_a_write_without_an_answer_is_reported_and_completed(
    processed: bool, new_case: Callable[[], Case], proxy: UnreliableProxy
) -> None:
    for nth in range(1, _WRITES + 1):
        case = new_case()
        proxy.expect(Fault("cut", "write", {nth}, processed))
        failed = case.run("apply", url=proxy.url)
        assert failed.exit_code == 1
        assert "/api/v4/secrets/batch" in failed.error
        assert nth <= proxy.count("write") <= _WRITES
        _assert_next_run_completes(case)


def test_occasional_failed_reads_are_repeated(case: Case, proxy: UnreliableProxy) -> None:
    proxy.expect(Fault(503, "read", {1, 3, 5}))
    with stamina.set_testing(True, attempts=4):
        assert case.run("apply", url=proxy.url).exit_code == 0
    assert len(proxy.struck) == 3


def _falsify(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], list[Any]]) -> None:
    """Make a server store other values than the given ones."""
    send = Client._send

    def falsify(self: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        if method != "GET" and path.endswith("/batch"):
            request["json"]["secrets"] = change(request["json"]["secrets"])
        return send(self, method, path, **request)

    monkeypatch.setattr(Client, "_send", falsify)


def _with_values(secrets: list[Any], change: Callable[[str], str]) -> list[Any]:
    return [{**each, "secretValue": change(each["secretValue"])} for each in secrets]


@pytest.mark.parametrize(
    ("change", "key", "read_back", "difference"),
    [
        (
            lambda each: _with_values(each, str.rstrip),
            "NEWLINE",
            "differs",
            "end is missing: 14 bytes instead of 15",
        ),
        (
            lambda each: _with_values(each, lambda value: value.replace("${A}", "")),
            "REF",
            "differs",
            "reference was replaced: 10 bytes instead of 14",
        ),
        (lambda each: each[1:], "NEWLINE", "missing", "not in Infisical"),
        (
            lambda each: _with_values(each, lambda value: value.replace("f", "0")),
            "REF",
            "differs",
            " from character 1 ",
        ),
    ],
    ids=["trims", "expands", "drops", "replaces"],
)
def test_a_server_that_alters_values_is_detected(
    change: Callable[[list[Any]], list[Any]],
    key: str,
    read_back: str,
    difference: str,
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case.write("backend/package.json", '{"dependencies": {"dotenv": "^17.0.0"}}')
    case.write(ENV_FILE, "NEWLINE=\"with-a-newline\n\"\nREF='fake-${A}-fake'\n")
    case.run("plan", "--allow-literal-references")
    _falsify(monkeypatch, change)
    applied = case.run("apply")
    assert applied.exit_code == 2
    report = json.loads((case.root / "migration-report.json").read_text(encoding="utf-8"))
    assert report["outcome"] == "differs"
    (found,) = (each for each in report["differences"] if each["key"] == key)
    assert found["read_back"] == read_back
    assert difference in found["difference"]
    assert f"/{key} ({found['file']}:{found['line']}): {found['difference']}\n" in applied.stdout
    assert found["difference"] in (case.root / "migration-report.html").read_text(encoding="utf-8")
    assert any(not each["verified"] for each in report["sources"])


def test_a_server_that_expands_unexpanded_reads_is_detected(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write("backend/package.json", '{"dependencies": {"dotenv": "^17.0.0"}}')
    case.write(ENV_FILE, "REF='fake-${A}-fake'\nPLAIN=fake\n")
    case.run("plan", "--allow-literal-references")
    send = Client._send

    def expanding(self: Client, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = send(self, method, path, **request)
        if (request.get("params") or {}).get("expandSecretReferences") == "false":
            answer["secrets"] = _with_values(
                answer["secrets"], lambda value: value.replace("${A}", "")
            )
        return answer

    monkeypatch.setattr(Client, "_send", expanding)
    applied = case.run("apply")
    assert applied.exit_code == 2
    (line,) = (each for each in applied.stdout.splitlines() if each.startswith("✗ production"))
    assert line.startswith(f"✗ production/backend/REF ({ENV_FILE}:1): ")
    assert {"10", "14"} <= set(line.split())


def test_values_that_cannot_be_read_expanded_are_noted(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(
        monkeypatch,
        lambda _, request: (request.get("params") or {}).get("expandSecretReferences") == "true",
    )
    applied = case.run("apply")
    assert applied.exit_code == 0
    (note,) = (each for each in applied.stderr.splitlines() if each.startswith("Note: "))
    assert "could not be checked" in note
    assert "403 PermissionDenied" in note
    assert note.removeprefix("Note: ") in (case.root / "migration-report.html").read_text("utf-8")
