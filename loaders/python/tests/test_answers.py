"""What a start makes of every answer, how often it asks, and how long it takes."""

import importlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infisical_config import ConfigError, load
from tests import service
from tests.scripted import LOGIN, ScriptedServer
from tests.vectors import VECTORS

_ALL_PAUSES = 1.2 * (0.5 + 1 + 2)
_CUT = {
    "name": "bodies that are cut off",
    "timeout": 20,
    "login": [LOGIN],
    "list": [{"cut": True}],
    "want": {"error": "unreachable"},
    "requests": {"login": 1, "list": 4},
}
CASES = [*VECTORS["answers"], _CUT]


class Outcome(NamedTuple):
    """How a start ended."""

    address: str
    values: dict[str, str]
    error: ConfigError | None
    seconds: float
    requests: dict[str, int]


def _started(case: dict[str, Any], path: Path) -> Outcome:
    with ScriptedServer(login=case["login"], listed=case["list"]) as server:
        home = service.directory(path, server.address)
        values, error = {}, None
        begin = time.monotonic()
        try:
            values = dict(load(directory=home, timeout=case["timeout"]))
        except ConfigError as raised:
            error = raised
        seconds = time.monotonic() - begin
        requests = {"login": server.count("login"), "list": server.count("list")}
        return Outcome(server.address, values, error, seconds, requests)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """All cases at the same time, as most of them only wait."""
    path = tmp_path_factory.mktemp("answers")
    importlib.import_module("infisical_config.fetching")  # the SDK, which no deadline can hurry
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(32) as pool:
        for name, value in service.VARIABLES.items():
            patch.setenv(name, value)
        yield {
            case["name"]: pool.submit(_started, case, path / str(number))
            for number, case in enumerate(CASES)
        }


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_start(case: dict[str, Any], outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[case["name"]].result()
    assert outcome.requests == case["requests"]
    assert outcome.seconds < min(case["timeout"], _ALL_PAUSES) + 1
    want = case["want"]
    if "values" in want:
        assert outcome.values == want["values"]
        assert outcome.error is None
        return
    assert outcome.error is not None
    assert outcome.error.code == want["error"]
    assert str(outcome.error) == VECTORS["errors"][want["error"]].format(
        address=outcome.address,
        client_id="id-example",
        environment="production",
        folder="/backend",
        project=service.PROJECT,
        names="A",
        status=502,
        timeout=f"{case['timeout']:g}",
    )
