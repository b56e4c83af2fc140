"""Test that the access log of a real Caddy has all requests and no secret."""

from __future__ import annotations

import json
import subprocess
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from infisical_iac.host.watch import filter_path, render_bans
from infisical_iac.stack import paths
from infisical_iac.stack.access_log import KnownNames
from tests.ports import free_port
from tests.unit.host.rotating import AccessLog

from .caddies import NAME, Caddy, ask
from .laptops import ANNA
from .proxies import send
from .visiting import (
    LONG,
    MARK,
    SERVICE_TOKEN,
    Visitor,
    log_lines,
    logged_requests,
    send_all_kinds,
)
from .world import EMAIL, World, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .laptops import Office


@pytest.fixture(scope="module")
def caddy(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    one = Caddy(tmp_path_factory.mktemp("caddy"), world.standin.port)
    one.write()
    yield one.start()
    one.stop()


@pytest.fixture(scope="module")
def visitor(caddy: Caddy, world: World) -> Visitor:
    return Visitor(caddy, world)


@pytest.fixture(scope="module")
def access_log_lines(visitor: Visitor) -> list[str]:
    """Return the lines of the log after all kinds of requests, good and bad."""
    send_all_kinds(visitor)
    return log_lines(visitor.caddy, at_least=visitor.asked)


def test_every_request_makes_a_line_and_none_holds_a_secret(
    visitor: Visitor, access_log_lines: list[str]
) -> None:
    assert len(access_log_lines) == visitor.asked
    text = "\n".join([*access_log_lines, visitor.caddy.log()])
    assert [each for each in visitor.secrets if each in text] == []


def test_a_line_has_only_the_documented_fields(access_log_lines: list[str]) -> None:
    lines = [json.loads(each) for each in access_log_lines]
    fields = {"level", "ts", "logger", "msg", "request", "bytes_read", "user_id", "duration"}
    assert {each for line in lines for each in line} <= fields | {"size", "status"}
    of_requests = {each for line in lines for each in line["request"]}
    assert of_requests - {"client_ip"} == {"remote_ip", "proto", "method", "uri"}


def test_logged_claims_name_callers_only_by_ids(access_log_lines: list[str]) -> None:
    logged = {line["user_id"] for line in map(json.loads, access_log_lines)} - {"", SERVICE_TOKEN}
    (cut,) = (each for each in logged if len(each) == 1000)
    found = [
        json.loads(urlsafe_b64decode(each + "=" * (-len(each) % 4))) for each in logged - {cut}
    ]
    assert found
    assert EMAIL not in json.dumps(found)
    ids = {"identityId", "identityAccessTokenId", "userId", "organizationId", "tokenVersionId"}
    kinds = {"authTokenType", "authMethod", "accessVersion", "sessionAccessVersion", "iat", "exp"}
    assert {name for each in found for name in each} <= ids | kinds


def test_a_read_is_listed_with_caller_environment_and_time(
    visitor: Visitor, access_log_lines: list[str]
) -> None:
    service, project = visitor.service.id, visitor.world.project_id
    known = KnownNames({service: "a-service"}, {}, {project: "a-project"})
    found = [
        each for each in logged_requests(visitor.caddy, ids=service, known=known) if each.proven
    ]
    assert [each.who for each in found] == ["a-service"] * 2
    assert {(each.project, each.environment, each.folder) for each in found} == {
        ("a-project", "production", "/")
    }
    assert {each.address for each in found} == {"127.0.0.1"}
    assert logged_requests(visitor.caddy, ids=service, environment="staging", known=known) == []


def test_long_tokens_and_service_tokens_are_listed_with_their_ids(
    visitor: Visitor, access_log_lines: list[str]
) -> None:
    found = logged_requests(visitor.caddy, known=KnownNames())
    assert len([each for each in found if each.who == LONG]) == 1
    assert len([each for each in found if each.who == SERVICE_TOKEN]) == 1
    assert len(logged_requests(visitor.caddy, ids=LONG, known=KnownNames())) == 1


def test_a_token_in_a_form_that_the_log_does_not_name_is_refused(
    visitor: Visitor, caddy: Caddy
) -> None:
    token = visitor.token(visitor.service)
    place = f"projectId={visitor.world.project_id}&environment=production&secretPath=%2F"
    shown = (
        (f"Authorization: Xearer {token}",),
        (f"Authorization: Bearer  {token}",),
        (f"Authorization: Bearer {token}", "Authorization: Bearer x"),
        (f"Authorization: Bearer {token}  ",),
    )
    before = log_lines(caddy, at_least=visitor.asked)
    target, name = f"/api/v4/secrets?{place}", f"{NAME}:{caddy.port}"
    statuses = [send(caddy.tls, [target], *each, host=name) for each in shown]
    visitor.asked += len(shown)
    assert statuses == [[401], [401], [401], [200]]
    lines = log_lines(caddy, at_least=len(before) + len(shown))[len(before) :]
    users = {line["status"]: line["user_id"] for line in map(json.loads, lines)}
    assert users[200] == token.split(".")[1]


def test_other_spellings_of_the_host_name_are_refused(visitor: Visitor, caddy: Caddy) -> None:
    bearer = f"Authorization: Bearer {visitor.token(visitor.service)}"
    before, port = log_lines(caddy, at_least=visitor.asked), caddy.port
    # Caddy serves a name in any case, and chooses the log by its spelling.
    place = f"projectId={visitor.world.project_id}&environment=production&secretPath=%2F"
    for name in (NAME.upper(), f"{NAME.title()}:{port}", f"{NAME[:-1]}M:{port}"):
        assert send(caddy.tls, [f"/api/v4/secrets?{place}"], bearer, host=name) == [421]
    assert log_lines(caddy) == before


def test_a_persons_request_is_listed_with_the_person(
    visitor: Visitor, access_log_lines: list[str]
) -> None:
    users = visitor.world.deployer.get(
        f"/api/v2/organizations/{visitor.world.org_id}/memberships"
    ).json()["users"]
    known = KnownNames({}, {each["user"]["id"]: each["user"]["username"] for each in users}, {})
    [id] = known.ids(None, EMAIL)
    found = logged_requests(visitor.caddy, ids=id, known=known)
    [proven] = [each for each in found if each.proven]
    assert (proven.who, proven.method, proven.path) == (EMAIL, "GET", "/api/v1/identities")


def test_a_persons_read_of_secrets_is_listed_with_the_person_environment_and_folder(
    visitor: Visitor, access_log_lines: list[str], office: Office
) -> None:
    world = visitor.world
    headers = {"Authorization": office.anna.headers["Authorization"]}
    before = len(log_lines(visitor.caddy, at_least=visitor.asked))
    place = urlencode(world.place("development", "/backend"))
    assert b"fake-development" in visitor.ask(f"/api/v4/secrets?{place}", headers).body
    log_lines(visitor.caddy, at_least=before + 1)
    anna = ok(office.anna.get("/api/v1/user"))["user"]["id"]
    known = KnownNames({}, {anna: ANNA}, {world.project_id: "example"})
    (read,) = logged_requests(visitor.caddy, ids=anna, known=known)
    assert (read.who, read.proven, read.status) == (ANNA, True, 200)
    assert (read.project, read.environment, read.folder) == ("example", "development", "/backend")
    there = logged_requests(visitor.caddy, ids=anna, environment="production", known=known)
    assert there == []


def test_fail2ban_counts_the_failed_logins_of_the_log(
    visitor: Visitor, access_log_lines: list[str], tmp_path: Path
) -> None:
    filter = tmp_path / "filter.conf"
    filter.write_text(dict(render_bans(visitor.caddy.settings))[filter_path("infisical-login")])
    log = tmp_path / "log"
    log.write_text("".join(f"{each}\n" for each in access_log_lines))
    done = subprocess.run(
        ["fail2ban-regex", log, filter], capture_output=True, text=True, timeout=60
    )
    # Two wrong logins, and one request of a closed path.
    assert f"Lines: {len(access_log_lines)} lines, 0 ignored, 3 matched" in done.stdout, done.stdout


def test_an_unreachable_infisical_leaves_no_token_in_caddys_own_log(tmp_path: Path) -> None:
    caddy = Caddy(tmp_path, free_port())
    caddy.write()
    caddy.start()
    try:
        answer = caddy.ask(f"/?token={MARK}", headers={"Authorization": f"Bearer {MARK}"})
        assert answer.status == 502
        assert "502" in log_lines(caddy, at_least=1)[0]
        assert MARK not in caddy.log()
    finally:
        caddy.stop()


_LONGEST = 4096
_NOTHING = "/api/v4/secrets"


def test_no_request_makes_a_long_line(tmp_path: Path, world: World) -> None:
    caddy = Caddy(tmp_path, world.standin.port)
    caddy.write()
    caddy.start()
    places = "&".join(f"{name}={'v' * 300}" for name in paths.PLACES)
    again = "&".join("environment=production" for _ in range(600))
    claims = {"Authorization": f"Bearer eyJx.eyJ{'c' * 12_000}.x"}
    try:
        for target, headers, method in (
            ("/" + "a" * 15_000, {}, "GET"),
            ("/" + "a/" * 7_500, {}, "GET"),
            (f"/api/v4/secrets/{'NAME/' * 3_000}", {}, "GET"),
            ("/" + '\\"' * 250, {}, "GET"),
            (f"{_NOTHING}?{places}", claims, "GET"),
            (f"{_NOTHING}?{again}", {}, "GET"),
            (f"{_NOTHING}&{again}", {}, "GET"),
            (f"{_NOTHING}?" + "?environment=x" * 1_000, {}, "GET"),
            (f"{_NOTHING}?{'x=1&' * 3_000}", {}, "GET"),
            # Caddy answers longer ones with 405, and logs none.
            ("/api/status", {}, "M" * 32),
        ):
            before = len(log_lines(caddy))
            status = caddy.ask(target, method, headers=headers).status
            assert len(log_lines(caddy, at_least=before + 1)) == before + 1, (status, target[:40])
            line = log_lines(caddy)[-1]
            assert len(line.encode()) < _LONGEST, line[:200]
            if target.startswith(_NOTHING):
                assert json.loads(line)["request"]["uri"].startswith(_NOTHING)
    finally:
        caddy.stop()


@pytest.mark.parametrize(
    "query",
    [
        "environment=production&environment=staging",
        "workspaceSlug=a&environment=production&workspaceSlug=b",
        "environment=staging?environment=production",
        "%65nvironment=production",
        "environmen%74=production",
        "x=1&secret%50ath=/",
        "environment=+production",
        "secretPath=%20+%2Fa",
        "environment=%70roduction",
        "environment=pro%5Fduction",
        "environment=%20production",
        "environment=production%09&x=1",
        "secretPath=%2F%61",
        f"secretPath={'/' * 600}a",
        f"environment={'%20' * 67}production",
        "x?secretPath=%2Fharmless",
        "{&%65nvironment=production&}",
        "environment=staging&{&environment=production&}",
    ],
)
def test_a_query_that_hides_the_place_of_a_read_from_the_log_is_refused(
    visitor: Visitor, query: str
) -> None:
    assert visitor.caddy.ask(f"{_NOTHING}?{query}").status == 400
    folder = "%2Ffolder" * 66
    harmless = f"environment=my%20own&secretPath={folder}&metadata%5B0%5D=1&x=1&x=2&y=+{{z}}"
    assert visitor.caddy.ask(f"{_NOTHING}?{harmless}").status == 401


def test_caddy_writes_to_the_new_file_after_a_rotation(tmp_path: Path, world: World) -> None:
    caddy = Caddy(tmp_path, world.standin.port)
    caddy.write()
    caddy.start()
    log = AccessLog(tmp_path)
    try:
        caddy.ask("/api/status?before")
        log_lines(caddy, at_least=1)
        log.rotate_next_day()
        assert log.log.read_text() == ""
        caddy.ask("/api/status")
        assert [json.loads(each)["status"] for each in log_lines(caddy, at_least=1)] == [200]
        assert len(logged_requests(caddy, known=KnownNames(), directory=log.directory)) == 2
    finally:
        caddy.stop()


def test_caddy_serves_while_its_log_is_full_and_logs_again_after_a_rotation(
    tmp_path: Path, world: World
) -> None:
    caddy = Caddy(tmp_path, world.standin.port)
    log = AccessLog(tmp_path, access_log_max_mb=50)
    log.mount()
    try:
        caddy.write()
        caddy.start()
        (log.live / "ballast").write_bytes(b"")
        subprocess.run(["dd", "if=/dev/zero", f"of={log.live}/ballast"], capture_output=True)
        target = f"/api/status?{'&'.join(f'{each}={200 * chr(118)}' for each in paths.PLACES)}"
        connection = caddy.connection()
        for _ in range(50):
            assert ask(connection, target).status == 200
        full = log.log.stat().st_size
        assert ask(connection, target).status == 200
        connection.close()
        assert log.log.stat().st_size == full
        (log.live / "ballast").unlink()
        log.rotate_next_day()
        assert caddy.ask("/api/status").status == 200
        assert log_lines(caddy, at_least=1)[-1].startswith("{")
    finally:
        caddy.stop()
        log.unmount()
