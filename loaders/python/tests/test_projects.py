"""Test starts of services that have a project of their own, and import folders of others."""

import importlib
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from infisical_config import Cache, ConfigError, load
from tests import projects, service
from tests.projects import OWN, SHARED, Lists, Place
from tests.scripted import (
    CLIENTS,
    DOWN,
    REFUSED,
    Client,
    ScriptedServer,
    complete,
    eventually,
    listing,
    refusal,
)
from tests.vectors import VECTORS, case_of, cases

DENIED = refusal(403, error="ProjectMembershipNotFound")


class Outcome(NamedTuple):
    """The result of a start."""

    address: str
    result: dict[str, str] | ConfigError
    seconds: float
    requests: dict[str, Any]


def _start(case: dict[str, Any], path: Path, client: Client) -> Outcome:
    places = [Place(each["project"], each["folder"]) for each in case["lists"]]
    answers = [list(map(complete, each["answers"])) for each in case["lists"]]
    lists = Lists(dict(zip(places, answers, strict=True)))
    with ScriptedServer(login=case["login"], listed=[lists], has_v4=client.has_v4) as server:
        home = projects.directory(path, server.address, places)
        result: dict[str, str] | ConfigError
        begin = time.monotonic()
        try:
            result = dict(load(directory=home, timeout=case["timeout"], client=client.name))
        except ConfigError as raised:
            result = raised
        seconds = time.monotonic() - begin
        requests = {"login": server.count("login"), "lists": [*lists.counts.values()]}
        return Outcome(server.address, result, seconds, requests)


@pytest.fixture(scope="module", params=[*CLIENTS.values()], ids=[*CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def outcomes(
    client: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Run all cases at the same time, as most of them only wait; by each client and API."""
    path = tmp_path_factory.mktemp("projects")
    for each in ("infisical_config.fetching", "infisical_sdk"):
        importlib.import_module(each)  # no deadline can speed that up
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        for name, value in service.VARIABLES.items():
            patch.setenv(name, value)
        yield {
            case["name"]: pool.submit(_start, case, path / str(number), client)
            for number, case in enumerate(VECTORS["projects"])
        }


@cases("projects")
def test_a_start_has_the_outcome_of_its_case(
    case: dict[str, Any], client: Client, outcomes: dict[str, Future[Outcome]]
) -> None:
    outcome = outcomes[case["name"]].result()
    case = case_of(case, "projects", client.name)
    assert outcome.requests == case["requests"]
    assert outcome.seconds < case["within"]
    want = case["want"]
    if "values" in want:
        assert outcome.result == want["values"]
        return
    assert isinstance(outcome.result, ConfigError)
    assert outcome.result.code == want["error"]
    assert str(outcome.result) == VECTORS["errors"][want["error"]].format(
        address=outcome.address,
        client_id="id-example",
        environment="production",
        timeout=f"{case['timeout']:g}",
        **{key: value for key, value in want.items() if key != "error"},
    )


@pytest.fixture
def lists() -> Lists:
    return Lists({OWN: [listing(A="own")], SHARED: [listing(A="shared", B="shared")]})


@pytest.fixture
def server(lists: Lists) -> Iterator[ScriptedServer]:
    with ScriptedServer(listed=[lists]) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: ScriptedServer) -> Path:
    """The directory of a service with an import."""
    return projects.directory(tmp_path / "service", server.address)


def test_each_list_has_the_token_and_asks_for_raw_values(
    server: ScriptedServer, home: Path
) -> None:
    load(directory=home)
    _, *listed = server.seen
    assert [each.headers["authorization"] for each in listed] == ["Bearer token-example"] * 2
    queries = [parse_qs(urlsplit(each.path).query) for each in listed]
    assert {(each["projectId"][0], each["secretPath"][0]) for each in queries} == {OWN, SHARED}
    for query in queries:
        fixed = ("environment", "expandSecretReferences", "includeImports", "recursive")
        assert [query[key] for key in fixed] == [["production"], ["false"], ["true"], ["false"]]


def test_one_project_is_read_if_the_environment_names_it(
    lists: Lists, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_PROJECT_ID", SHARED.project)
    monkeypatch.setenv("INFISICAL_SECRET_PATH", SHARED.folder)
    assert dict(load(directory=home)) == {"A": "shared", "B": "shared"}
    assert lists.counts == {OWN: 0, SHARED: 1}


def test_the_runner_starts_with_the_secrets_of_all_projects(home: Path) -> None:
    command = ("-m", "infisical_config", "--", "sh", "-c", 'printf %s "$A $B"')
    run = service.run(home, *command)
    assert (run.returncode, run.stdout, run.stderr) == (0, "own shared", "")


def test_a_start_while_one_list_is_down_uses_the_cache(
    lists: Lists, home: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    load(directory=home, cache=cache)
    lists.answers = {OWN: [listing(A="new")], SHARED: [DOWN]}
    warnings: list[str] = []
    config = load(directory=home, cache=cache, warn=warnings.append)
    assert dict(config) == {"A": "own", "B": "shared"}
    (warning,) = warnings
    assert "answers 503" in warning
    assert "CACHE" in warning


def test_no_cache_hides_a_refusal_of_one_list_while_another_is_down(
    lists: Lists, home: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    load(directory=home, cache=cache)
    lists.answers = {OWN: [DOWN], SHARED: [DENIED]}
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache)
    assert failure.value.code == "forbidden"


def test_the_cache_of_another_set_of_projects_is_not_used(
    server: ScriptedServer, home: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    load(directory=home, cache=cache)
    projects.directory(home, server.address, [OWN])
    server.scripts["login"] = [DOWN]
    warnings: list[str] = []
    with pytest.raises(ConfigError) as failure:
        load(directory=home, cache=cache, warn=warnings.append)
    assert failure.value.code == "server"
    (warning,) = warnings
    assert warning.startswith(f"the cache {cache.file} can't be used")


def test_a_refused_credential_is_noted_once_for_all_projects(
    server: ScriptedServer, lists: Lists, home: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    codes = []
    for _ in range(2):
        with pytest.raises(ConfigError) as failure:
            load(directory=home)
        codes.append(failure.value.code)
    assert (codes, server.count("login")) == (["refused", "refused_before"], 1)
    assert lists.counts == {OWN: 0, SHARED: 0}


def test_an_error_of_one_list_shows_no_secret(
    lists: Lists, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("value-example", "token-example", service.CREDENTIAL["INFISICAL_CLIENT_SECRET"])
    bad = refusal(403, secrets, "PermissionDenied")
    lists.answers = {OWN: [listing(A="value-example")], SHARED: [bad]}
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as failure:
        load(directory=home)
    error = failure.value
    said = f"{error!r} {''.join(traceback.format_exception(error))} {caplog.text}"
    assert error.code == "forbidden"
    assert [each for each in secrets if each in said] == []


def test_lists_that_stall_are_not_left_waiting(lists: Lists, home: Path) -> None:
    before = {*threading.enumerate()}  # such as those of the SDK, which does so
    lists.answers = {OWN: [{"stall": "headers"}], SHARED: [{"stall": "body"}]}
    with pytest.raises(ConfigError) as failure:
        load(directory=home, timeout=0.3)
    assert failure.value.code == "deadline"
    assert eventually(
        lambda: all(each.name != "infisical-config" for each in {*threading.enumerate()} - before)
    )


def test_a_list_that_comes_slowly_keeps_no_process_alive(lists: Lists, home: Path) -> None:
    lists.answers[SHARED] = [{"drip": 0.1}]
    code = "from infisical_config import exit_on_error, load\nwith exit_on_error(): load(timeout=1)"
    begin = time.monotonic()
    run = service.run(home, "-c", code)
    assert (run.returncode, run.stderr.count("\n")) == (75, 1)
    assert time.monotonic() - begin < 15
