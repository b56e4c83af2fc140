"""Test the script that searches Infisical's own request log."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.rendering import script

_AT = 1795674408.5
_TOKEN = "eyJhbGciOiJI.eyJpZCI6.c2lnbmF0dXJl"


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


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a `docker` whose container has logged the requests, mixed with others."""
    lines = [_WRITE[0], *_READ, "no JSON", '"text"', '{"msg": "starts"}', _WRITE[1], _HELD[0]]
    lines += [*_LINK, *_IN_PATH, *_HEALTH, *_REFUSED]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\nset -e\ncase $1 in\nps) echo 'abc infisical/infisical / Up' ;;\n"
        f'logs) echo "$@" >{tmp_path}/asked; cat {tmp_path}/log ;;\nesac\n'
    )
    docker.chmod(0o755)
    return tmp_path


def _query(programs: Path, *arguments: str) -> list[dict[str, Any]]:
    command = script("requests", str(int(_AT)), *(arguments or ("100", "", "")))
    path = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, env=path)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(each) for each in done.stdout.splitlines()]


def test_requests_are_printed_as_those_of_the_access_log(programs: Path) -> None:
    found = _query(programs)
    assert found[0] == {
        "at": _AT,
        "seconds": 0.25,
        "who": "",
        "method": "GET",
        "uri": "/api/v4/secrets",
        "query": {"projectId": "p1", "environment": "production", "secretPath": "%2Fb"},
        "status": 200,
        "address": "192.0.2.7",
    }
    assert [each["uri"] for each in found[1:]] == [
        "/api/v4/secrets/NAME",
        "/api/v1/secret-sharing/",
        "/api/v1/x/",
        "/api/v4/secrets",
    ]
    assert (programs / "asked").read_text() == f"logs --since {int(_AT)} abc\n"


def test_requests_are_selected_by_environment_status_and_number(programs: Path) -> None:
    production = _query(programs, "100", "production", "")
    assert [each["method"] for each in production] == ["GET", "PATCH"]
    assert [each["status"] for each in _query(programs, "100", "", "4..")] == [403]
    assert [each["status"] for each in _query(programs, "1", "", "")] == [403]


def test_a_host_without_infisical_prints_no_requests(programs: Path) -> None:
    (programs / "docker").write_text("#!/bin/sh\n")
    assert _query(programs) == []
