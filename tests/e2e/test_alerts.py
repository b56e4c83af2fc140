"""Test that each problem of a host is reported once within two minutes, and its end once."""

import json
import time
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from typing import Any

import pytest

from infisical_iac.agent.observed import HOUR
from infisical_iac.agent.table import CHECKS
from tests.certificates import OwnAuthority
from tests.e2e import backing
from tests.e2e.alert_causes import (
    ALONE,
    TOGETHER,
    Cause,
    Causing,
    age,
    choose_vitals,
    run_monitor,
)
from tests.e2e.configured import ConfiguredHost
from tests.e2e.conftest import FirstDeploy, copy_first_host
from tests.e2e.inspection import reset_stack, secrets
from tests.e2e.webhook import receiver
from tests.mail_server import MailServer
from tests.serving import serving
from tests.staging import ingress

pytestmark = pytest.mark.long

# A problem that must last for longer is made older.
_SHORT_SECONDS = 30
_WAITS = {each.name: each.wait for each in CHECKS}


# Addresses of targets hold tokens, and the mail server has a password.
_TOKEN, _PASSWORD = "obviously-fake-token", "obviously-fake-mail-password"
_SHOWN = "journalctl --output=cat --unit=infisical-monitor; cat /var/lib/infisical-monitor/*.prom"


@pytest.fixture(scope="module")
def on(
    first: FirstDeploy, mailbox: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Causing]:
    """A host with Caddy and the monitor, whose memory and load the tests choose."""
    first.run.ok()
    with copy_first_host("e2e-alerts") as host:
        reset_stack(host)
        ingress.choose(host, "caddy")
        choose_vitals(host)
        directory, address = tmp_path_factory.mktemp("alerts"), backing.gateway(host)
        authority = OwnAuthority(directory / "authority")
        pair = authority.issue(address)
        mailbox.host, mailbox.certificate, mailbox.key = address, pair.certificate, pair.key
        with receiver(address) as team, receiver(address) as other, serving(mailbox):
            smtp = {"host": address, "port": mailbox.port, "user": mailbox.user}
            settings: dict[str, Any] = {
                "monitoring": "on",
                "alerts": (
                    {"name": "team", "kind": "json"},
                    {"name": "other", "kind": "json"},
                    {"name": "mail", "kind": "email", "to": "ops@example.com"},
                ),
                "smtp": {**smtp, "from_address": "iac@example.com"},
                "extra_ca": str(authority.ca),
            }
            configured = ConfiguredHost(host, directory, settings)
            given = {"ALERT_TEAM": team.url, "ALERT_OTHER": other.url, "SMTP_PASSWORD": _PASSWORD}
            done = configured.apply(given)
            assert done.returncode == 0, done.stdout + done.stderr
            host.run("systemctl reset-failed")
            run_monitor(host)
            yield Causing(configured, team, other)


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> MailServer:
    """A mail server with TLS and a login, which does not listen yet."""
    directory = tmp_path_factory.mktemp("mails")
    return MailServer(directory, tls="starttls", user="mailer", password=_PASSWORD)


def _list_titles(mailbox: MailServer) -> list[str]:
    """Return the subjects of the mails with alerts, in order; those of `apply` are left out."""
    mails = (message_from_bytes(e.read_bytes(), policy=policy.default) for e in mailbox.mails())
    titles = (str(each["Subject"]) for each in mails)
    return [each for each in titles if each.startswith("[Infisical] ")]


def _cause(on: Causing, mailbox: MailServer, causes: Sequence[Cause]) -> None:
    alerts = [alert for cause in causes for alert in cause.alerts]
    lasting = [each for each in alerts if _WAITS[each[0]] > _SHORT_SECONDS]
    on.team.received.clear()
    before = len(_list_titles(mailbox))
    for cause in causes:
        on.act(cause.begin)
    # Only a problem that the monitor knows can be made older.
    run_monitor(on.host)
    on.team.wait_for("begun", {*alerts} - {*lasting})
    if lasting:
        age(on.host, HOUR)
        on.team.wait_for("begun", lasting)
    for cause in reversed(causes):
        on.act(cause.end)
    on.team.wait_for("ended", alerts)
    on.team.assert_reported_once(alerts)
    _assert_mailed(mailbox, before, 2 * len(alerts))
    _assert_no_secret(on, mailbox)


def _assert_mailed(mailbox: MailServer, before: int, number: int) -> None:
    """Assert that as many mails with alerts have arrived as webhooks, which may be sent earlier."""
    deadline = time.monotonic() + 20
    while len(_list_titles(mailbox)) - before < number and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(_list_titles(mailbox)) - before == number


def _assert_no_secret(on: Causing, mailbox: MailServer) -> None:
    mails = (each.read_text() for each in mailbox.mails())
    shown = "".join([json.dumps(on.team.received), on.host.run(_SHOWN).stdout, *mails])
    hidden = {*secrets(on.host).values(), _TOKEN, _PASSWORD}
    assert len(hidden) > 15
    assert [each for each in hidden if len(each) > 7 and each in shown] == []


def test_a_test_alert_reaches_each_target(on: Causing, mailbox: MailServer) -> None:
    on.team.received.clear()
    before = len(_list_titles(mailbox))
    sent = on.configured.run("alerts", "test")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert sent.stdout.splitlines() == [f"{name}: delivered" for name in ("team", "other", "mail")]
    assert [each["check"] for each in on.team.received] == ["test"]
    assert len(_list_titles(mailbox)) == before + 1
    on.other.status = 500
    failed = on.configured.run("alerts", "test")
    on.other.status = 200
    assert failed.returncode == 1
    assert "other: HTTP 500" in failed.stdout
    assert "no test reached other" in failed.stderr
    _assert_no_secret(on, mailbox)


def test_problems_that_come_together_are_each_reported_and_ended_once(
    on: Causing, mailbox: MailServer
) -> None:
    _cause(on, mailbox, [*TOGETHER.values()])


@pytest.mark.parametrize("name", ALONE)
def test_a_problem_is_reported_and_ended_once(on: Causing, mailbox: MailServer, name: str) -> None:
    _cause(on, mailbox, [ALONE[name]])
