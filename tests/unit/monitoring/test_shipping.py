"""Test which logs `log_target` ships, to which place, and with which rights."""

import re
from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.monitoring.exporters import log_files
from infisical_iac.monitoring.settings import LogTarget
from tests.unit.settings_of import settings_of

_SERVER = "tls://logs.example.com"


def _files(target: str, **changes: Any) -> dict[str, str]:
    found = log_files(settings_of(log_target=target, **changes))
    return {each.path.rpartition("/")[2]: each.content for each in found}


@pytest.mark.parametrize(
    ("target", "desired"),
    [
        ("", None),
        (_SERVER, LogTarget("logs.example.com", 6514, "")),
        (f"{_SERVER}:1514", LogTarget("logs.example.com", 1514, "")),
        ("/var/log/shipped.log", LogTarget("", 0, "/var/log/shipped.log")),
    ],
)
def test_a_target_is_a_server_or_a_file(target: str, desired: LogTarget | None) -> None:
    assert settings_of(log_target=target).monitoring.shipping == desired


@pytest.mark.parametrize(
    "target",
    [
        "logs.example.com:6514",
        "tcp://logs.example.com",
        "tls://192.0.2.1:6514",
        'tls://logs"example.com',
        "/etc/infisical/keys/x",
        "/var/log/../../etc/passwd",
        "/var/log/infisical-access/live/access.log",
        "/var/log/infisical-iac/audit.jsonl",
    ],
)
def test_another_target_is_refused(target: str) -> None:
    with pytest.raises(SettingsError, match="'log_target'"):
        settings_of(log_target=target)


def test_nothing_is_shipped_by_default() -> None:
    assert _files("") == {}


def test_a_server_gets_the_three_logs_by_tls_only_and_must_prove_its_name() -> None:
    config = _files(_SERVER)["logs.conf"]
    read = re.findall(r'input\(type="imfile" file="([^"]+)"', config)
    assert read == [
        "/var/log/infisical-access/live/access.log",
        "/var/log/infisical-iac/audit.jsonl",
    ]
    assert 'module(load="imjournal"' in config
    action = dict(re.findall(r'(\w[\w.]+)="([^"]*)"', config.partition("action(")[2]))
    assert (action["target"], action["port"]) == ("logs.example.com", "6514")
    assert action["streamDriver"] == "gtls"
    assert (action["streamDriverMode"], action["streamDriverAuthMode"]) == ("1", "x509/name")
    assert action["streamDriverPermittedPeers"] == "logs.example.com"
    assert action["queue.maxDiskSpace"] == "256m"


def test_an_authority_of_the_settings_is_trusted_too() -> None:
    started = re.findall("ExecStartPre=.*", _files(_SERVER, extra_ca="ca.pem")[_UNIT])
    assert len(started) == 1
    for file in ("/etc/ssl/certs/ca-certificates.crt", "/etc/infisical-iac/extra-ca.crt"):
        assert file in started[0]
    assert "extra-ca" not in _files(_SERVER)[_UNIT]


_UNIT = "infisical-logs.service"


def test_only_a_file_needs_the_right_to_write_and_a_rotation() -> None:
    to_file, to_server = _files("/var/log/shipped.log"), _files(_SERVER)
    assert "ReadWritePaths=/var/log\n" in to_file[_UNIT]
    assert "ReadWritePaths" not in to_server[_UNIT]
    assert "CAP_DAC_OVERRIDE" not in to_server[_UNIT]
    # The script that bounds other logs finds the file at the beginning of a line.
    assert "\n/var/log/shipped.log {\n" in to_file["infisical-logs"]
    assert "infisical-logs" not in to_server
    assert "omfwd" not in to_file["logs.conf"]
