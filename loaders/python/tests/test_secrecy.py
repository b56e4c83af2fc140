"""Test that nothing printed, logged or raised contains a secret's value."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from infisical_config import ConfigError, load
from infisical_config.bootstrap import Bootstrap
from infisical_config.starting import Start
from tests import service
from tests.scripted import LOGIN, ScriptedServer, listing, refusal

VALUE = "value-that-must-not-leak"
SECRETS = (VALUE, service.CREDENTIAL["INFISICAL_CLIENT_SECRET"], "token-example")

# Answers that quote values, which must not be repeated.
BAD: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("refused", [refusal(401, " ".join(SECRETS))], []),
    ("refused", [refusal(422, [{"got": SECRETS}])], []),
    ("unreachable", [{"status": 403, "text": " ".join(SECRETS)}], []),
    ("not_infisical", [{"status": 200, "text": f"<html>{SECRETS}"}], []),
    ("forbidden", [LOGIN], [refusal(403, " ".join(SECRETS))]),
    ("not_infisical", [LOGIN], [{"status": 200, "text": f'{{"secrets": "{VALUE}'}]),
    ("not_infisical", [LOGIN], [{"status": 200, "text": f'{{"secrets": ["{VALUE}"]}}'}]),
    ("not_infisical", [LOGIN], [{"status": 418, "text": VALUE}]),
    ("server", [LOGIN], [{"status": 500, "headers": {"retry-after": "99"}, "text": VALUE}]),
]


def _everything(error: BaseException | None) -> str:
    """Return the messages of an error and its causes."""
    words = []
    while error:
        words += [repr(error), str(error), *traceback.format_exception(error)]
        error = error.__context__
    return "\n".join(words)


@pytest.mark.parametrize(("code", "login", "listed"), BAD)
def test_an_error_does_not_repeat_what_was_sent_or_answered(
    code: str,
    login: list[dict[str, Any]],
    listed: list[dict[str, Any]],
    server: ScriptedServer,
    home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.scripts = {"login": login, "list": listed}
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as failure:
        load(directory=home)
    assert failure.value.code == code
    said = _everything(failure.value) + caplog.text
    assert [secret for secret in SECRETS if secret in said] == []


def test_a_good_start_logs_no_value(
    server: ScriptedServer,
    home: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server.scripts["list"] = [listing(TOKEN=VALUE, PATH=VALUE, NUL=VALUE + "\0")]
    with caplog.at_level(logging.DEBUG):
        config = load(directory=home, into={})
    assert config.TOKEN == VALUE
    said = caplog.text + "".join(capfd.readouterr())
    assert "PATH" in said
    assert [secret for secret in SECRETS if secret in said] == []


def test_a_place_and_a_start_do_not_show_the_client_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Bootstrap("id", VALUE, "production", "https://secrets.example.com", "project", "/")
    monkeypatch.setenv("TOKEN", VALUE)
    assert VALUE not in f"{place!r} {place} {Start()!r}"
