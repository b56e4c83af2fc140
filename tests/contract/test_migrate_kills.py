"""Test an apply with every kind of write, killed after any of its requests."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from infisical_iac.api.client import Client
from infisical_iac.migrate import apply

from .migrating import ENVIRONMENTS, Case, new
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from .world import World

_SERVICES = ("backend", "worker")
_VALUES = {f"FAKE_{number}": f"fake-{number}-" + "x" * 300 for number in range(3)}
_OTHER = {"FAKE_0": "other-fake", "FAKE_2": _VALUES["FAKE_2"]}
_FOLDERS = 3  # to make
_BATCHES = 7  # two for each new folder, and one for the folder with an existing key


class Killed(BaseException):
    """End an apply like a kill: no handler runs."""


def _plan_case(world: World, factory: pytest.TempPathFactory) -> Case:
    """Return a plan for four folders, one existing, with a conflict and an equal value."""
    case = new(world, factory.mktemp("repository"), *_SERVICES, folders_made=False)
    for service in _SERVICES:
        for environment in ENVIRONMENTS:
            lines = "".join(f"{key}={value}\n" for key, value in _VALUES.items())
            case.write(f"{service}/.env.{environment}", lines)
    place = {"projectId": case.place("development", "/")["projectId"], "path": "/"}
    folder = {**place, "environment": "development", "name": "backend"}
    ok(case.world.deployer.post("/api/v2/folders", json=folder))
    case.put("development", "/backend", **_OTHER)
    assert case.run("plan").exit_code == 2
    return case


def _assert_next_run_completes(case: Case) -> None:
    """Assert that the next run completes everything, and writes nothing twice."""
    again = case.run("apply", "--on-conflict", "overwrite")
    assert again.exit_code == 0, again.output
    for environment in ENVIRONMENTS:
        stored = case.read_values(environment)
        overwritten = {"/backend/FAKE_0"} if environment == "development" else set()
        assert {name: each["secretValue"] for name, each in stored.items()} == {
            f"/{service}/{key}": value for service in _SERVICES for key, value in _VALUES.items()
        }
        assert {name for name, each in stored.items() if each["version"] != 1} == overwritten
        assert all(stored[name]["version"] == 2 for name in overwritten)


def test_a_kill_after_any_request_is_repaired_by_the_next_run(
    world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "MOST_BYTES", 2_000)  # two of these values
    send = Client._send
    for nth in range(1, 100):
        case, numbers, methods = _plan_case(world, tmp_path_factory), count(1), list[str]()

        def dying(
            self: Client,
            method: str,
            *args: Any,
            _numbers: Iterator[int] = numbers,
            _last: int = nth,
            _sent: list[str] = methods,
            **options: Any,
        ) -> dict[str, Any]:
            number = next(_numbers)
            if number > _last:
                raise Killed
            answer = send(self, method, *args, **options)
            _sent.append(method)
            if number == _last:
                raise Killed
            return answer

        with monkeypatch.context() as patched:
            patched.setattr(Client, "_send", dying)
            try:
                case.run("apply", "--on-conflict", "overwrite")
            except Killed:
                finished = False
            else:
                finished = True
        _assert_next_run_completes(case)
        if finished:
            break
    assert finished
    writes = [each for each in methods if each != "GET"]
    assert len(writes) == 1 + _FOLDERS + _BATCHES  # with the login
