"""Test that a person without a required second factor loses access, and gets it back with one."""

import base64
import hmac
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import ISOLATION, api, deployer, place
from tests.e2e.running import REPOSITORY, Run, deploy, infisical_iac
from tests.staging.host import StagingHost

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.skipif(ISOLATION == "viewer", reason="with isolation = viewer people are refused"),
]

_WORKSPACE = (REPOSITORY / "group_data" / "chainalign.yaml").read_text()
_DEE = "dee@example.com"
_PASSWORD = "fake-Password-1234"
_PEOPLE = f"\npeople:\n  {_DEE}: {{production: viewer}}\n"
_WARN = f"{_PEOPLE}require_second_factor: warn\n"
_RULE = f"{_PEOPLE}require_second_factor: {{from: 2026-01-01, grace_days: 0}}\n"
_SUSPENDED = {
    "privilege": f"~ person {_DEE}: permissions",
    "projects": f"~ person {_DEE} of project chainalign-backend-production: ",
}.get(ISOLATION, "")
# The server caches permissions for ten seconds, for less than twice this time.
_MOST_SECONDS = 30


@pytest.fixture
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    yield deployed_host
    pruned = infisical_iac(deployed_host.name, "workspace", "apply", "--prune", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    assert_converged(deployed_host)


def test_access_ends_without_a_second_factor_and_comes_back_with_one(
    host: StagingHost, tmp_path: Path
) -> None:
    file = tmp_path / "workspace.yaml"
    joined = _deploy(host, file, _WARN)
    (link,) = [line for line in joined.stderr.splitlines() if "invitation link for" in line]
    with api(host) as client, deployer(host) as by_machine:
        organization = _accept(client, link)
        at = place(by_machine, "/backend")
        person = login.password(client, _DEE, _PASSWORD, organization)
        _wait_for_access(person, at, has_access=True)
        assert _DEE in _read_converged_notes(host, file)
        row = _row(host)
        assert (row["ok"], _DEE in row["text"]) == (True, True)  # The host's file requires none.

        _deploy(host, file, _RULE)
        assert _DEE in _read_converged_notes(host, file)
        _wait_for_access(person, at, has_access=False)
        log = host.run("cat /var/log/infisical-iac/audit.jsonl").stdout
        assert _SUSPENDED in log

        app = login.register_app(client, _DEE, _PASSWORD)
        app.turn_on(_code(app.key))
        with pytest.raises(UserError, match=_DEE):
            login.password(client, _DEE, _PASSWORD, organization)
        assert _DEE not in _row(host)["text"]
        _deploy(host, file, _RULE)
        assert _DEE not in _read_converged_notes(host, file)
        _wait_for_access(person, at, has_access=True)


def _deploy(host: StagingHost, file: Path, people: str) -> Run:
    """Run a deploy that has one change."""
    file.write_text(_WORKSPACE + people)
    run = deploy(host.name, data={"workspace_file": str(file)}).ok()
    assert len(run.changed) == 1, run.changed
    return run


def _accept(client: Client, line: str) -> str:
    """Accept an invitation, as its page does, and return the id of the organization."""
    (url,) = [word for word in line.split() if word.startswith("http")]
    query = parse_qs(urlsplit(url).query)
    organization, code = query["organization_id"][0], query["token"][0]
    body = {"email": _DEE, "organizationId": organization, "code": code}
    token = client.post("/api/v1/invite-org/verify", json=body)["token"]
    name = {"firstName": "Dee", "lastName": "Fake"}
    account = {"type": "email", "email": _DEE, "password": _PASSWORD, **name}
    client.with_token(token).post("/api/v3/signup/complete-account", json=account)
    return organization


def _wait_for_access(person: Client, place: dict[str, str], *, has_access: bool) -> None:
    until = time.monotonic() + _MOST_SECONDS
    while _can_read(person, place) != has_access:
        assert time.monotonic() < until, "the server did not apply the change in time"
        time.sleep(0.5)


def _can_read(person: Client, place: dict[str, str]) -> bool:
    try:
        person.get("/api/v4/secrets", params=place)
    except UserError:
        return False
    return True


def _read_converged_notes(host: StagingHost, file: Path) -> str:
    """Return the notes on second factors of a plan without changes."""
    output = infisical_iac(host.name, "workspace", "plan", "--project-file", str(file), "--json")
    plan = json.loads(output.stdout)
    assert (output.returncode, plan["changes"]) == (0, []), output.stderr
    return "\n".join(each for each in plan["notes"] if each.startswith("second factor"))


def _row(host: StagingHost) -> dict[str, Any]:
    rows = json.loads(infisical_iac(host.name, "status", "--json").stdout)
    (row,) = [each for each in rows if each["name"] == "2nd factor"]
    return dict(row)


def _code(key: str) -> str:
    """Return the code that an authenticator app shows now (RFC 6238)."""
    secret = base64.b32decode(key + "=" * (-len(key) % 8))
    digest = hmac.digest(secret, struct.pack(">Q", int(time.time()) // 30), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"
