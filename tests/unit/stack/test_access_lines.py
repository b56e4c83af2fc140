"""Test that lines of the access log are parsed, with names for ids."""

from typing import Any

import pytest

from infisical_iac.agent.access import FoundRequest, FoundRequests, NotedWrite
from infisical_iac.stack.access_log import (
    KnownNames,
    LoggedEvent,
    LoggedRequest,
    count_unattributed,
    describe_event,
    describe_requests,
)
from tests.unit.host.lines import AT

_KNOWN = KnownNames(
    {"i1": "backend-production", "i2": "twin", "i3": "twin"}, {"u1": "a@b.c"}, {"p": "x"}
)


def _request(
    uri: str,
    who: str = "i1",
    status: int = 200,
    query: dict[str, str] | None = None,
    method: str = "GET",
) -> LoggedRequest:
    found = FoundRequest(AT, who, method, uri, status, "203.0.113.9", query or {})
    return describe_requests(FoundRequests((found,)), _KNOWN)[0]


def test_a_read_is_described_with_names() -> None:
    query = {"projectId": "p", "environment": "production", "secretPath": "%2Fback%20end"}
    assert _request("/api/v4/secrets&projectId=p", query=query) == LoggedRequest(
        at="2026-11-26T05:46:41Z",
        who="backend-production",
        proven=True,
        method="GET",
        path="/api/v4/secrets",
        project="x",
        environment="production",
        folder="/back end",
        status=200,
        address="203.0.113.9",
    )


@pytest.mark.parametrize(
    ("query", "projects"),
    [
        ({"workspaceId": "p", "projectId": "other"}, "other, x"),
        ({"workspaceSlug": "x", "workspaceId": "p"}, "x"),
    ],
)
def test_all_projects_that_a_request_names_are_shown(query: dict[str, str], projects: str) -> None:
    """Each generation of the API reads one of the parameters, and ignores the others."""
    assert _request("/api/v3/secrets/raw", query=query).project == projects


def test_an_unknown_caller_is_shown_by_id() -> None:
    assert _request("/x", "gone").who == "gone"
    assert _request("/x", "u1").who == "a@b.c"
    assert _request("/x", "").who == ""


@pytest.mark.parametrize(
    ("uri", "who", "status", "proven"),
    [
        ("/api/v4/secrets", "i1", 200, True),
        ("/api/v4/secrets/NAME", "i1", 304, True),
        ("/api/v4/secrets", "", 200, False),
        ("/api/v4/secrets", "i1", 401, False),
        ("/api/v4/secrets", "i1", 404, False),
        ("/api/v1/dashboard/secret-value", "u1", 200, True),
        ("/api/status", "i1", 200, False),
        ("/api/v4/%73ecrets", "i1", 200, True),
        ("/%61pi/v4/secrets%2FNAME", "i1", 200, False),
        ("/api/v4%2Fsecrets", "i1", 200, False),
        ("/api/v4/%2573ecrets", "i1", 200, False),
        ("/api/v1/secrets-of-others", "i1", 200, False),
        ("/login", "i1", 200, False),
    ],
)
def test_a_token_is_proven_if_infisical_checked_it(
    uri: str, who: str, status: int, proven: bool
) -> None:
    assert _request(uri, who, status).proven is proven


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/api/v4/%73ecrets?projectId=p", "/api/v4/secrets"),
        ("/api/v4/secrets/A%2FB%C3%A9", "/api/v4/secrets/A%2FBé"),
        ("/api/v4/%2573ecrets", "/api/v4/%2573ecrets"),
    ],
)
def test_a_path_is_shown_as_the_server_decodes_it(uri: str, path: str) -> None:
    assert _request(uri).path == path


def test_a_preflight_request_of_a_browser_proves_no_token() -> None:
    assert not _request("/api/v4/secrets", status=204, method="OPTIONS").proven


def _write(at: float, who: str = "i1", seconds: float = 1, status: int = 200) -> FoundRequest:
    uri = "/api/v4/secrets/NAME"
    return FoundRequest(at, who, "PATCH", uri, status, "203.0.113.9", {}, seconds)


def _noted(at: float, who: str = "i1", environment: str = "production") -> NotedWrite:
    return NotedWrite(at, who, "p", environment, "/backend")


def _places(requests: list[FoundRequest], noted: list[NotedWrite]) -> list[tuple[str, str]]:
    found = describe_requests(FoundRequests(tuple(requests)), _KNOWN, noted)
    return [(each.who, each.environment) for each in found]


_WHO = "backend-production"


@pytest.mark.parametrize(
    ("requests", "noted", "places"),
    [
        ([_write(AT)], [_noted(AT - 0.5)], [(_WHO, "production")]),
        ([_write(AT, who="")], [_noted(AT - 0.5)], [(_WHO, "production")]),
        # Before it, after it, of somebody else, and of a refused request.
        ([_write(AT)], [_noted(AT - 1.5), _noted(AT + 0.5)], [(_WHO, "")]),
        ([_write(AT)], [_noted(AT - 0.5, who="i2")], [(_WHO, "")]),
        ([_write(AT, status=403)], [_noted(AT - 0.5)], [(_WHO, "")]),
        # One request that moves secrets, and two requests at the same time.
        (
            [_write(AT)],
            [_noted(AT - 0.5), _noted(AT - 0.5, environment="qa")],
            [(_WHO, "production, qa")],
        ),
        ([_write(AT), _write(AT + 0.1)], [_noted(AT - 0.5)], [(_WHO, ""), (_WHO, "")]),
        (
            [_write(AT), _write(AT + 0.1, who="i2")],
            [_noted(AT - 0.5), _noted(AT - 0.4, who="i2", environment="qa")],
            [(_WHO, "production"), ("twin", "qa")],
        ),
    ],
)
def test_a_write_has_the_environment_that_the_server_noted_meanwhile(
    requests: list[FoundRequest], noted: list[NotedWrite], places: list[tuple[str, str]]
) -> None:
    assert _places(requests, noted) == places


def test_what_cannot_be_attributed_is_counted() -> None:
    requests = (_write(AT), _write(AT, who="", status=403), _write(AT + 300, who=""))
    found = FoundRequests(requests)
    assert count_unattributed(describe_requests(found, _KNOWN, [_noted(AT)])) == (2, 1)
    assert count_unattributed(describe_requests(found, _KNOWN)) == (2, 2)


def test_ids_are_found_by_name_or_by_themselves() -> None:
    gone = "00000000-0000-4000-8000-00000000dead"
    assert _KNOWN.ids("twin", None) == ["i2", "i3"]
    assert _KNOWN.ids(None, "a@b.c") == ["u1"]
    assert _KNOWN.ids("a@b.c", None) == []
    assert _KNOWN.ids(gone, None) == _KNOWN.ids(None, gone) == [gone]
    assert _KNOWN.ids("twin", "a@b.c") == ["i2", "i3", "u1"]


def _event(kind: str, metadata: Any, actor: dict[str, Any] | None = None, **other: Any) -> Any:
    # As the real server lists an event.
    by = {"type": "identity", "metadata": {"identityId": "i9", "name": "backend-production"}}
    return {
        "id": "e1",
        "createdAt": "2026-11-26T05:46:41.120Z",
        "ipAddress": "203.0.113.9",
        "projectId": "p",
        "projectName": "Acme",
        "event": {"type": kind, "metadata": metadata},
        "actor": actor or by,
        **other,
    }


def test_an_event_is_described_with_the_names_that_it_had() -> None:
    place = {"environment": "production", "secretPath": "/backend"}
    secrets = [{"secretKey": "A"}, {"secretKey": "B"}]
    event = _event("create-secrets", {**place, "secrets": secrets})
    assert describe_event(event, _KNOWN) == LoggedEvent(
        at="2026-11-26T05:46:41Z",
        who="backend-production",
        event="create-secrets",
        secrets=["A", "B"],
        project="x",
        environment="production",
        folder="/backend",
        address="203.0.113.9",
    )


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        (
            {"type": "user", "metadata": {"userId": "u1", "email": "a@b.c", "username": "a"}},
            "a@b.c",
        ),
        ({"type": "user", "metadata": {"userId": "u1", "username": "a"}}, "a"),
        ({"type": "platform", "metadata": {}}, "platform"),
        ({"type": "unknownUser", "metadata": None}, "unknownUser"),
    ],
)
def test_the_caller_of_an_event_is_named(actor: dict[str, Any], who: str) -> None:
    event = describe_event(_event("login", None, actor, projectId=None, projectName=None), _KNOWN)
    assert (event.who, event.project, event.secrets) == (who, "", [])


def test_an_event_that_moves_secrets_names_both_places() -> None:
    moved = {"sourceEnvironment": "qa", "destinationEnvironment": "production"}
    paths = {"sourceSecretPath": "/a", "destinationSecretPath": "/a"}
    event = describe_event(_event("move-secrets", moved | paths, projectId="gone"), _KNOWN)
    assert (event.environment, event.folder, event.project) == ("qa, production", "/a", "Acme")
