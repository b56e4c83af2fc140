"""Test the outcome of a start for every answer, the number of its requests, and its duration."""

import importlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infisical_config import ConfigError, load
from tests import service
from tests.scripted import CLIENTS, LOGIN, Client, ScriptedServer, complete
from tests.vectors import VECTORS, case_of

_ALL_PAUSES = 1.2 * (0.5 + 1 + 2)
_PAUSES_OF_SDK = 1.2 * (1 + 2 + 4 + 8)
_CUT = {
    "name": "bodies that are cut off",
    "timeout": 20,
    "login": [LOGIN],
    "list": [{"cut": True}],
    "want": {"error": "unreachable"},
    "requests": {"login": 1, "list": 4},
    "sdk": {"requests": {"login": 1, "list": 5}},
}
_CUT_REFUSAL = {
    "name": "a refused login that is cut off is not made again",
    "timeout": 20,
    "login": [{"status": 401, "cut": True}],
    "list": [],
    "want": {"error": "refused"},
    "requests": {"login": 1, "list": 0},
    "sdk": {"want": {"error": "unreachable"}, "requests": {"login": 5, "list": 0}},
}
_STALLED_REFUSAL = {
    **_CUT_REFUSAL,
    "name": "a refused login that stalls is reported as refused",
    "timeout": 1,
    "login": [{"status": 401, "stall": "body"}],
    "sdk": {"want": {"error": "deadline"}},
}
_NESTED = {
    "name": "a list that is nested too deep",
    "timeout": 20,
    "login": [LOGIN],
    "list": [{"status": 200, "text": "[" * 200_000}],
    "want": {"error": "not_infisical"},
    "requests": {"login": 1, "list": 1},
}
CASES = [*VECTORS["answers"], _CUT, _CUT_REFUSAL, _STALLED_REFUSAL, _NESTED]


class Outcome(NamedTuple):
    """The result of a start."""

    address: str
    values: dict[str, str]
    error: ConfigError | None
    seconds: float
    requests: dict[str, int]


def _start(case: dict[str, Any], path: Path, client: Client) -> Outcome:
    lists = list(map(complete, case["list"]))
    with ScriptedServer(login=case["login"], listed=lists, has_v4=client.has_v4) as server:
        home = service.directory(path, server.address)
        values, error = {}, None
        begin = time.monotonic()
        try:
            values = dict(load(directory=home, timeout=case["timeout"], client=client.name))
        except ConfigError as raised:
            error = raised
        seconds = time.monotonic() - begin
        requests = {"login": server.count("login"), "list": server.count("list")}
        return Outcome(server.address, values, error, seconds, requests)


@pytest.fixture(scope="module", params=[*CLIENTS.values()], ids=[*CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def outcomes(
    client: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Run all cases at the same time, as most of them only wait; by each client and API."""
    path = tmp_path_factory.mktemp("answers")
    for each in ("infisical_config.fetching", "infisical_sdk"):
        importlib.import_module(each)  # no deadline can speed that up
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(32) as pool:
        for name, value in service.VARIABLES.items():
            patch.setenv(name, value)
        # A port may come again, and with it the note of a refused credential.
        patch.setenv("TMPDIR", str(path))
        yield {
            case["name"]: pool.submit(_start, case, path / str(number), client)
            for number, case in enumerate(CASES)
        }


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_start_has_the_outcome_of_its_case(
    case: dict[str, Any], client: Client, outcomes: dict[str, Future[Outcome]]
) -> None:
    outcome = outcomes[case["name"]].result()
    case = case_of(case, "answers", client.name)
    assert outcome.requests == case["requests"]
    pauses = _ALL_PAUSES if client.name == "http" else _PAUSES_OF_SDK
    assert outcome.seconds < min(case["timeout"], pauses) + 1
    want = case["want"]
    if "values" in want:
        assert outcome.values == want["values"]
        assert outcome.error is None
        return
    assert outcome.error is not None
    assert outcome.error.code == want["error"]
    message = want.get("message", VECTORS["errors"][want["error"]])
    assert str(outcome.error) == message.format(
        address=outcome.address,
        client_id="id-example",
        environment="production",
        folder="/backend",
        project=service.PROJECT,
        names="A",
        status=502,
        timeout=f"{case['timeout']:g}",
        tunnel=VECTORS["tunnel"],
    )


def test_a_server_that_speaks_no_http_is_asked_once(tmp_path: Path) -> None:
    connections = 0

    def serve(listener: socket.socket) -> None:
        nonlocal connections
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections += 1
                with connection:
                    connection.sendall(b"220 value-example\r\n")
                    connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConfigError) as failure:
            load(directory=service.directory(tmp_path, address))
    assert (failure.value.code, connections) == ("not_infisical", 1)
    assert "value-example" not in repr(failure.value)
