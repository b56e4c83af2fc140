"""Test the search of the access log, in a directory with rotated logs."""

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from infisical_iac.agent import access
from infisical_iac.agent.access import FoundReads, FoundRequest, find_reads, find_requests
from infisical_iac.agent.runner import Runner
from tests.unit.host.lines import AT, claims, line

_READ = "/api/v4/secrets&environment=production&projectId=p1&secretPath=%2Fbackend"
_SERVICE = claims(identityId="id-1", authTokenType="identityAccessToken", iat=1)
_PERSON = claims(userId="id-2", authTokenType="accessToken", mark="~~??")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return a directory with the current log, and logs rotated a day and a week before."""
    _rotate(tmp_path / "access.log-20261119-000000.gz", [line(_READ, at=AT - 7 * 86400)], 7)
    _rotate(
        tmp_path / "access.log-20261125-000000.gz",
        [line(_READ, at=AT - 86400, user=_SERVICE), line("/login", at=AT - 86400)],
        1,
    )
    current = [
        line(_READ, user=_SERVICE, newer=True),
        line(_READ.replace("production", "staging"), user=_PERSON),
        line("/api/v1/auth/universal-auth/login", status=401, method="POST"),
        line("/api/v4/secrets", status=403, user="eyJ_no_claims"),
        line("/x", user=claims(identityId=["id-1"])),
        '{"torn',
        '"no object"',
    ]
    (tmp_path / "access.log").write_text("\n".join(current) + "\n")
    return tmp_path


def _rotate(file: Path, lines: Sequence[str], days: int) -> None:
    file.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    os.utime(file, (AT - (days - 0.5) * 86400,) * 2)


def _query(
    logs: Path,
    *,
    since: float = 0,
    last: int = 100,
    ids: str = "",
    environment: str = "",
    statuses: str = "",
) -> list[FoundRequest]:
    found = find_requests(
        Runner(),
        folder=str(logs),
        since=since,
        last=last,
        ids=[*filter(None, ids.split(","))],
        environment=environment,
        statuses=statuses,
    )
    assert found.is_finished
    return [*found.requests]


def test_all_logs_are_read_in_order_and_incomplete_lines_are_skipped(logs: Path) -> None:
    found = _query(logs)
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert len(found) == 8


def test_a_line_shows_the_identity_and_the_request(logs: Path) -> None:
    assert _query(logs, since=AT - 1)[0] == FoundRequest(
        at=AT,
        who="id-1",
        method="GET",
        uri=_READ,
        query={"environment": "production", "projectId": "p1", "secretPath": "%2Fbackend"},
        status=200,
        address="203.0.113.9",
        seconds=0.0002,
    )


def test_claims_in_url_safe_base64_are_read(logs: Path) -> None:
    assert "-" in _PERSON or "_" in _PERSON
    assert [each.who for each in _query(logs, ids="id-2")] == ["id-2"]


def test_lines_are_chosen_by_time_identity_environment_and_status(logs: Path) -> None:
    assert len(_query(logs, since=AT - 2 * 86400, ids="id-1")) == 2
    assert len(_query(logs, since=AT - 3600, ids="id-1,id-2")) == 2
    assert len(_query(logs, environment="staging")) == 2
    unnamed = ["/api/v4/secrets"]
    assert [each.uri for each in _query(logs, environment="prod")] == unnamed
    assert [each.status for each in _query(logs, statuses="4..|500")] == [401, 403]


def test_a_request_without_an_environment_matches_every_environment(tmp_path: Path) -> None:
    """Requests by the id of a secret or with a service token, and writes, name no environment."""
    read = [
        "/api/v4/secrets/id/edd31936-282c-456a-a512-1a195b5f002d",
        "/api/v3/secrets/raw/id/edd31936-282c-456a-a512-1a195b5f002d",
        "/api/v4/secrets/DATABASE_URL&projectId=p1",
        "/api/v4/secrets&projectId=p1",
        "/api/v1/dashboard/secret-versions/edd31936-282c-456a-a512-1a195b5f002d/value/1",
        "/api/v4/%73ecrets/id/edd31936-282c-456a-a512-1a195b5f002d",
    ]
    other = [
        line("/api/v4/secrets&environment=staging"),
        line("/api/v1/projects/p1"),
        line("/assets/secrets.js"),
    ]
    written = line("/api/v4/secrets/NAME", method="PATCH")
    (tmp_path / "access.log").write_text("\n".join([*map(line, read), *other, written]) + "\n")
    found = _query(tmp_path, environment="production")
    assert [each.uri for each in found] == [*read, "/api/v4/secrets/NAME"]


def test_only_the_latest_requests_are_printed(logs: Path) -> None:
    assert [each.uri for each in _query(logs, last=1)] == ["/x"]


def test_logs_that_ended_before_the_queried_time_are_not_opened(logs: Path) -> None:
    old = logs / "access.log-20261119-000000.gz"
    stat = old.stat()
    old.write_bytes(b"no gzip at all")
    os.utime(old, (stat.st_atime, stat.st_mtime))
    assert len(_query(logs, since=AT - 2 * 86400)) == 7


def test_a_host_without_a_log_prints_no_requests(tmp_path: Path) -> None:
    assert _query(tmp_path / "none") == []


def _reads(logs: Path, since: float = 0) -> FoundReads:
    return find_reads(Runner(), folder=str(logs), since=since)


def test_the_folders_that_were_read_are_printed_once_after_the_beginning_of_the_log(
    logs: Path,
) -> None:
    places = frozenset(("p1", slug, "%2Fbackend") for slug in ("production", "staging"))
    assert _reads(logs) == FoundReads(AT - 7 * 86400, places)
    assert _reads(logs, since=AT - 86400) == FoundReads(AT - 7 * 86400, places)


def test_only_successful_reads_with_a_token_count(tmp_path: Path) -> None:
    lines = [
        line("/login"),
        line(_READ),
        line(_READ, user=_SERVICE, status=403),
        line(_READ, user=_SERVICE, method="POST"),
        line(_READ.replace("secrets", "dashboard"), user=_SERVICE),
        line("/api/v3/secrets/raw&environment=live&workspaceId=p2", user=_SERVICE),
        line("/api/v4/secrets/id/edd31936-282c-456a-a512-1a195b5f002d", user=_SERVICE),
    ]
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n")
    assert _reads(tmp_path) == FoundReads(AT, frozenset({("", "", ""), ("p2", "live", "/")}))
    assert _reads(tmp_path / "none") == FoundReads()
    without = find_reads(Runner(), folder=str(tmp_path), since=0, without=["id-1"])
    assert without == FoundReads(AT)


def test_a_search_that_takes_too_long_ends_unfinished(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_SECONDS", -1)
    assert not find_requests(Runner(), folder=str(logs), since=0, last=9).is_finished
    assert not find_reads(Runner(), folder=str(logs), since=0).is_finished
