"""Test the settings of the monitor, and the configuration that the host gets."""

import json
from datetime import timedelta
from typing import Any

import pytest

from infisical_iac.agent.delivery import MailServer
from infisical_iac.agent.files import PathState
from infisical_iac.agent.monitor import Config, parse_config
from infisical_iac.agent.table import CHECKS
from infisical_iac.backup import record
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import load
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from infisical_iac.instance import given
from infisical_iac.monitoring import deploy, health
from infisical_iac.stack import ingress
from infisical_iac.workspace.credential_file import REPORTED_BEFORE_END
from tests.unit import clusters
from tests.unit.settings_of import defaults, settings_of

_FAKE = "obviously-fake"
_SLACK = {"name": "team", "kind": "slack", "to": f"https://hooks.slack.com/{_FAKE}"}
_MAIL = {"name": "ops", "kind": "email", "to": "ops@example.com"}
_SMTP = {
    "host": "smtp.example.com",
    "user": "infisical",
    "from_address": "infisical@example.com",
}


def _desired(**changes: Any) -> deploy.DesiredMonitor:
    settings = settings_of(**changes)
    return deploy._desired_monitor(Known(settings, MachineState(), Site(settings)))


def _config(**changes: Any) -> Config:
    return parse_config(_desired(monitoring="on", **changes).config)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"monitoring": "off", "alerts": (_SLACK,)}, "'alerts'"),
        ({"monitoring": "off", "heartbeat_url": "https://hc-ping.com/x"}, "'heartbeat_url'"),
        ({"alerts": (_SLACK, _SLACK)}, "2 targets"),
        ({"alerts": ({**_SLACK, "to": "team@example.com"},)}, "'team'"),
        ({"alerts": ({**_MAIL, "to": f"https://{_FAKE}"},)}, "'ops'"),
        ({"alerts": ({**_SLACK, "kind": "command", "to": "page"},)}, "'team'"),
        ({"alerts": ({**_SLACK, "kind": "pager"},)}, "'ntfy'"),
        ({"alerts": ({**_SLACK, "name": "backup-webhook"},)}, "backup_webhook"),
        ({"alerts_ignored": ("Load!",)}, "'Load!'"),
        ({"alert_repeat_hours": 0}, "1 to 720"),
        ({"heartbeat_url": f"hc-ping.com/{_FAKE}"}, "hc-ping.com/…"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, Any], fact: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(defaults(**{"monitoring": "on", **changes}))
    assert fact in str(refused.value)
    assert _FAKE not in str(refused.value)


def test_addresses_are_in_no_representation() -> None:
    settings = settings_of(monitoring="on", alerts=(_SLACK,), heartbeat_url=f"https://x/{_FAKE}")
    assert _FAKE not in repr(settings)
    assert _FAKE not in repr(_desired(monitoring="on", alerts=(_SLACK,)))


def test_a_host_without_the_monitor_has_no_file_of_it() -> None:
    assert _desired() == deploy.DesiredMonitor()


def test_a_monitor_that_is_turned_off_is_removed_with_all_it_kept() -> None:
    off = deploy.DesiredMonitor()
    directory = PathState("directory", "700", "root:root")
    paths = ("/etc/infisical/monitoring.json", "/var/lib/infisical-monitor")
    found = [*deploy.decide(deploy.MonitorState(dict.fromkeys(paths, directory)), off)]
    changes = [(each.kind, each.what) for each in found if isinstance(each, Change)]
    assert changes == [("-", path) for path in paths]
    assert len(found) == len(changes) + 1
    (settled,) = deploy.decide(deploy.MonitorState(), off)
    assert isinstance(settled, UpToDate)


def test_the_agent_reads_the_configuration_that_apply_writes() -> None:
    found = _config(alerts=(_SLACK,), alerts_ignored=("load",), alert_repeat_hours=2)
    assert found.expected.services == ["caddy", "infisical", "postgres", "redis"]
    assert found.expected.backup_targets == ["local"]
    assert "infisical-backup.timer" in found.expected.timers
    assert (found.repeat, found.ignored, found.mail) == (7200, ["load"], None)
    (target,) = found.targets
    assert (target.name, target.kind, target.to) == ("team", "slack", _SLACK["to"])


def test_addresses_that_the_settings_leave_out_are_given_by_the_user() -> None:
    target = {"name": "on-call", "kind": "ntfy"}
    changes = {"monitoring": "on", "alerts": (target, _SLACK), "heartbeat_url": "given"}
    secrets = settings_of(**changes).secrets
    assert [each.variable for each in secrets] == ["ALERT_ON_CALL", "HEARTBEAT_URL"]
    found = _config(alerts=(target, _SLACK), heartbeat_url="given")
    keys = "/etc/infisical/keys"
    files = [(each.to, each.to_file) for each in found.targets]
    assert files == [("", f"{keys}/given_alert_on_call"), (_SLACK["to"], "")]
    assert (found.heartbeat, found.heartbeat_file) == ("", f"{keys}/given_heartbeat_url")


def test_a_given_address_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "_values", {})
    monkeypatch.setenv("HEARTBEAT_URL", f"hc-ping.com/{_FAKE}")
    with pytest.raises(SettingsError) as refused:
        given.ask(settings_of(monitoring="on", heartbeat_url="given").secrets)
    assert refused.value.code == "settings.unfit_secret"
    assert "HEARTBEAT_URL" in str(refused.value)
    assert _FAKE not in str(refused.value)


def test_the_webhook_of_backups_is_a_target_of_the_jobs() -> None:
    url = f"https://hooks.example.com/{_FAKE}"
    (target,) = _config(backup_webhook=url).targets
    assert (target.kind, target.to, target.only_jobs) == ("json", url, True)


def test_mails_go_by_the_mail_server_of_the_settings() -> None:
    found = _config(alerts=(_MAIL,), smtp=_SMTP).mail
    assert found == MailServer(
        *("smtp.example.com", 587, "starttls", "infisical"),
        *("infisical@example.com", "Infisical", "/etc/infisical/keys/given_smtp_password"),
    )
    # The login is not on the host for a target of another kind.
    assert _config(alerts=(_SLACK,), smtp=_SMTP).mail is None


def test_mails_without_a_mail_server_are_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        _config(alerts=(_MAIL,))
    assert refused.value.code == "settings.no_mail_for_alerts"
    assert "'ops'" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "is_short_lived", "serves"),
    [
        ({}, False, True),
        ({"acme_ca": "internal"}, True, True),
        ({"ingress": "none"}, False, False),
    ],
)
def test_the_certificate_is_watched_where_the_host_serves_it(
    changes: dict[str, Any], is_short_lived: bool, serves: bool
) -> None:
    found = _config(site_url="https://secrets.example.com", **changes).expected
    assert (found.served_name, found.port) == ("secrets.example.com", 443)
    assert (found.is_short_lived, found.serves) == (is_short_lived, serves)


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "127.0.0.1"),
        # Its Caddy admits the loopback.
        ({"machine_networks": ("192.0.2.0/24",)}, "127.0.0.1"),
        ({"ingress": "none"}, ""),
        ({"ingress": "traefik"}, ""),
        ({"ingress": "traefik", "machine_networks": ("192.0.2.0/24",)}, None),
    ],
)
def test_the_canary_takes_the_way_that_the_settings_allow(
    changes: dict[str, Any], address: str | None
) -> None:
    found = _config(site_url="https://secrets.example.com", **changes).canary
    assert (found and found.address) == address
    assert found is None or found.url == "https://secrets.example.com"


def test_a_host_of_a_cluster_watches_itself_only() -> None:
    site = clusters.site(monitoring="on")
    text = deploy._desired_monitor(Known(site.settings, MachineState(), site)).config
    found = parse_config(text).expected
    assert (found.services, found.backup_targets) == ([], ["local"])


def test_the_configuration_is_json_that_a_later_run_compares() -> None:
    first, second = (_desired(monitoring="on", alerts=(_SLACK,)).config for _ in range(2))
    assert first == second
    assert json.loads(first)["expected"]["port"] == 443


def test_the_checks_have_the_thresholds_of_status() -> None:
    limits = {each.name: each.threshold for each in CHECKS}
    assert limits["disk"] == health._LEAST_FREE_GB
    assert timedelta(hours=limits["backup_age"]) == record._LONGEST
    assert timedelta(days=limits["drill_age"]) == record._LONGEST_BETWEEN_DRILLS
    assert timedelta(days=limits["credentials"]) == REPORTED_BEFORE_END
    assert limits["certificate"] == ingress._LEAST_DAYS


def test_the_reference_of_checks_names_each_one() -> None:
    with open("docs/reference/alerts.md") as page:
        text = page.read()
    assert [each.name for each in CHECKS if f"`{each.name}`" not in text] == []
