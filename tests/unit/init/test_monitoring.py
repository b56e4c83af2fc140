"""Test the questions of `infisical-iac init` on monitoring: no secret address is written."""

from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.bundle import default_settings
from infisical_iac.core.settings import Settings, load
from infisical_iac.init.repository import read_settings
from tests.unit.init.own import NEEDED, check, read_all, run_init

_MAIL = ("--smtp-host", "smtp.example.com", "--smtp-user", "infisical")
_URL = "https://hooks.example.com/obviously-fake"
# The entry of the menu that corrects an answer, and the one that ends it.
_CORRECT, _END = "4", "6"


def _values(own: Path) -> dict[str, Any]:
    found = read_settings((own / "group_data" / "hetzner.py").read_text())
    names = ("monitoring", "alerts", "heartbeat_url")
    return {name: found[name] for name in names if name in found}


def _settings(own: Path) -> Settings:
    written = read_settings((own / "group_data" / "hetzner.py").read_text())
    return load(default_settings() | written)


def _edit(own: Path) -> None:
    file = own / "group_data" / "hetzner.py"
    file.write_text(f"{file.read_text()}start_timeout = 600  # by hand\n")


def test_yes_leaves_monitoring_off(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    assert _values(own) == {}


def test_a_webhook_and_a_heartbeat_are_written_without_their_addresses(own: Path) -> None:
    ran = check(run_init(own, *NEEDED, "--alert", "slack", "--heartbeat", "yes", "--yes"))
    assert _values(own) == {
        "monitoring": "on",
        "alerts": ({"name": "team", "kind": "slack"},),
        "heartbeat_url": "given",
    }
    variables = [each.variable for each in _settings(own).secrets]
    assert variables == ["ALERT_TEAM", "HEARTBEAT_URL"]
    for variable in variables:
        assert variable in ran.output
        assert variable in read_all(own)["group_data/hetzner.py"]


def test_alerts_by_mail_go_to_the_administrator_by_default(own: Path) -> None:
    check(run_init(own, *NEEDED, *_MAIL, "--alert", "email", "--yes"))
    assert _values(own)["alerts"] == ({"name": "team", "kind": "email", "to": "ada@example.com"},)
    assert [each.variable for each in _settings(own).secrets] == ["SMTP_PASSWORD"]


def test_monitoring_alone_has_metrics_and_no_target(own: Path) -> None:
    check(run_init(own, *NEEDED, "--monitoring", "yes", "--yes"))
    assert _values(own) == {"monitoring": "on"}
    assert _settings(own).monitoring.monitoring == "on"


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (("--monitoring", "maybe"), "--monitoring: "),
        (("--alert", "pager"), "--alert: "),
        (("--alert", "email"), "--alert: "),
        (("--alert", "command"), "--alert-to is missing"),
        (("--alert", "command", "--alert-to", "page"), "--alert-to: "),
        (("--alert", "slack", "--alert-to", _URL), "--alert-to: "),
        (("--monitoring", "no", "--alert", "slack"), "--alert is given"),
        (("--heartbeat", "https://hc-ping.com/x"), "--heartbeat: "),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    own: Path, options: tuple[str, ...], option: str
) -> None:
    ran = run_init(own, *NEEDED, *options, "--yes")
    assert ran.exit_code == 1
    assert f"Error: {option}" in ran.output
    assert "obviously-fake" not in ran.output
    assert list(own.iterdir()) == []


def test_monitoring_is_turned_on_corrected_and_off_again(own: Path) -> None:
    check(run_init(own, *NEEDED, "--yes"))
    _edit(own)
    asked = ("monitoring", "yes", "ntfy", "yes")
    check(run_init(own, typed=(_CORRECT, *asked, "y", _END)))
    alerts = ({"name": "team", "kind": "ntfy"},)
    assert _values(own) == {"monitoring": "on", "alerts": alerts, "heartbeat_url": "given"}
    check(run_init(own, "--alert", "discord", typed=("y",)))
    changed = ({"name": "team", "kind": "discord"},)
    assert _values(own) == {"monitoring": "on", "alerts": changed, "heartbeat_url": "given"}
    check(run_init(own, "--monitoring", "no", typed=("y",)))
    assert _values(own) == {"monitoring": "off"}
    assert _settings(own).secrets == ()


def test_targets_that_a_person_added_are_kept(own: Path) -> None:
    check(run_init(own, *NEEDED, "--alert", "slack", "--yes"))
    file = own / "group_data" / "hetzner.py"
    other = {"name": "ops", "kind": "command", "to": "/usr/local/bin/page"}
    file.write_text(
        file.read_text().replace('"kind": "slack"},\n', f'"kind": "slack"}},\n    {other!r},\n')
    )
    check(run_init(own, "--alert", "teams", typed=("y",)))
    assert _values(own)["alerts"] == (other, {"name": "team", "kind": "teams"})
