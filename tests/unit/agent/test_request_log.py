"""Test the search of Infisical's own request log."""

import json
from typing import Any

from infisical_iac.agent.access import FoundRequest, NotedWrite, find_own_requests, noted_writes
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_answers, docker_container

_AT = 1795674408.5
_TOKEN = "eyJhbGciOiJI.eyJpZCI6.c2lnbmF0dXJl"
_INFISICAL = docker_container("abc", project="infisical", service="infisical")
_POSTGRES = docker_container("db", project="infisical", service="postgres")


def _request(number: int, url: str, method: str = "GET", status: int = 200) -> list[str]:
    """Return the two lines that the real server logs for a request."""
    common = {"level": 30, "reqId": f"req-{number}", "severity": "INFO"}
    asked = {"method": method, "url": url, "host": "x:8080", "remoteAddress": "192.0.2.7"}
    begun = {**common, "time": _AT * 1000 - 250, "req": asked, "msg": "incoming request"}
    ended = {"res": {"statusCode": status}, "responseTime": 250.0, "msg": "request completed"}
    return [json.dumps(begun), json.dumps({**common, "time": _AT * 1000, **ended})]


_READ, _WRITE, _LINK, _IN_PATH, _HEALTH, _REFUSED, _HELD = (
    _request(1, "/api/v4/secrets?projectId=p1&environment=production&secretPath=%2Fb&x=fake"),
    _request(2, "/api/v4/secrets/NAME", method="PATCH"),
    _request(3, "/api/v1/secret-sharing/shared/public/obviously-fake"),
    _request(4, f"/api/v1/x/{_TOKEN}"),
    _request(5, "/api/status"),
    _request(6, "/api/v4/secrets?environment=staging", status=403),
    _request(7, "/x"),
)
_LOG = [_WRITE[0], *_READ, "no JSON", '"reqId"', '{"msg": "starts"}', _WRITE[1], _HELD[0]]
_LOG += [*_LINK, *_IN_PATH, *_HEALTH, *_REFUSED]


def _query(last: int = 100, **chosen: Any) -> list[FoundRequest]:
    answers = {**docker_answers(_INFISICAL), f"docker logs --since {int(_AT)} abc": "\n".join(_LOG)}
    return [
        *find_own_requests(FakeRunner(answers=answers), since=_AT, last=last, **chosen).requests
    ]


def test_requests_are_described_as_those_of_the_access_log() -> None:
    found = _query()
    assert found[0] == FoundRequest(
        at=_AT,
        who="",
        method="GET",
        uri="/api/v4/secrets",
        status=200,
        address="192.0.2.7",
        query={"projectId": "p1", "environment": "production", "secretPath": "%2Fb"},
        seconds=0.25,
    )
    assert [each.uri for each in found[1:]] == [
        "/api/v4/secrets/NAME",
        "/api/v1/secret-sharing/",
        "/api/v1/x/",
        "/api/v4/secrets",
    ]


def test_requests_are_selected_by_environment_status_and_number() -> None:
    assert [each.method for each in _query(environment="production")] == ["GET", "PATCH"]
    assert [each.status for each in _query(statuses="4..")] == [403]
    assert [each.status for each in _query(last=1)] == [403]


def test_a_host_without_infisical_has_no_requests() -> None:
    host = FakeRunner(answers=docker_answers(_POSTGRES))
    assert find_own_requests(host, since=0, last=1).requests == ()


def test_noted_writes_are_read_from_the_database() -> None:
    rows = '[1795674408.25, "i1", "p1", "production", "/a"]\n[2, null, "p1", "qa", "/"]\n'
    host = FakeRunner(answers={**docker_answers(_POSTGRES), "docker exec --interactive": rows})
    assert noted_writes(host, since=_AT) == [
        NotedWrite(1795674408.25, "i1", "p1", "production", "/a"),
        NotedWrite(2, "", "p1", "qa", "/"),
    ]
    assert f"to_timestamp({_AT})" in host.ran[-1][1]


def test_a_database_that_does_not_answer_has_noted_nothing() -> None:
    for answer in ({}, {"docker exec --interactive": Output(2, errors="no")}):
        host = FakeRunner(answers={**docker_answers(_POSTGRES if answer else _INFISICAL), **answer})
        assert noted_writes(host, since=0) == []
