"""Generate the page on the checks of the monitor, and the alert rules for Prometheus."""

from pathlib import Path
from typing import Any

import yaml

from infisical_iac.agent.observed import Check
from infisical_iac.agent.table import CHECKS

PATH = Path("docs/reference/alerts.md")
RULES = Path("monitoring/alerts.yaml")
RULE_TESTS = Path("monitoring/alerts.test.yaml")

_INTRODUCTION = """\
# Checks of the monitor

The host evaluates these every minute with [`monitoring = "on"`](settings.md#monitoring).
[Alerts](../operate/alerts.md) says how they are sent. `make docs` generates this page and
[monitoring/alerts.yaml](../../monitoring/alerts.yaml) from the same table.

A check in *italics* waits while a run of infisical-iac is at work on the host, and three minutes
after a boot.

| check | severity | problem | threshold | what to do |
|---|---|---|---|---|
"""
# A monitor that does not run writes no metrics, so only Prometheus notices it.
_SILENT_SECONDS = 300
# The jobs of monitoring/scrape.yaml.
_JOBS = "infisical|infisical-.*"
_UNREACHABLE_MINUTES = 5


def write() -> str:
    """Return the text of the page."""
    return _INTRODUCTION + "".join(map(_row, CHECKS))


def _row(check: Check) -> str:
    name = f"*`{check.name}`*" if check.waits_for_runs else f"`{check.name}`"
    minutes = f"for {check.wait // 60} min" if check.wait >= 60 else ""
    limit = f"{check.threshold:g} {check.unit}" if check.threshold else ""
    threshold = ", ".join(filter(None, (limit, minutes))) or "–"
    return f"| {name} | {check.severity} | {check.title} | {threshold} | {check.remedy} |\n"


def write_rules() -> str:
    """Return the rules for Prometheus.

    There is one for each check, one for a monitor that is silent, and one for a host that is off.
    """
    return _text({"groups": [{"name": "infisical", "rules": _rules()}]})


def _rules() -> list[dict[str, object]]:
    return [
        *(
            _rule(
                _camel(each.name),
                f'infisical_monitor_alert{{check="{each.name}"}} == 1',
                each.severity,
                f"{each.title}: {{{{ $labels.subject }}}} on {{{{ $labels.instance }}}}",
                each.remedy,
            )
            for each in CHECKS
        ),
        _rule(
            "MonitorSilent",
            f"time() - infisical_monitor_run_timestamp_seconds > {_SILENT_SECONDS}",
            "critical",
            "the monitor does not run on {{ $labels.instance }}",
            "run `systemctl status infisical-monitor.timer infisical-monitor.service` on the host",
        ),
        _rule(
            "Unreachable",
            f'up{{job=~"{_JOBS}"}} == 0',
            "critical",
            "Prometheus can't reach {{ $labels.job }} on {{ $labels.instance }}",
            "see that the host and its network are up, then run `infisical-iac apply`",
        )
        | {"for": f"{_UNREACHABLE_MINUTES}m"},
    ]


def write_rule_tests() -> str:
    """Return the tests of the rules, for `promtool test rules`."""
    return _text(
        {
            "rule_files": [RULES.name],
            "evaluation_interval": "1m",
            "tests": [*map(_test_of_check, CHECKS), _test_of_monitor(), _test_of_target()],
        }
    )


_ON = {"instance": "web-1"}


def _test_of_check(check: Check) -> dict[str, object]:
    """Return the test of a rule that fires while the monitor reports the alert of its check."""
    labels = {"check": check.name, "severity": check.severity, "subject": "it", **_ON}
    rule = next(each for each in _rules() if each["alert"] == f"Infisical{_camel(check.name)}")
    return _test(
        f"infisical_monitor_alert{_braces(labels)}", "_x1 1x2 _x9", rule, labels, (0, 2, 9)
    )


def _test_of_monitor() -> dict[str, object]:
    """Return the test of a monitor that runs for two minutes only."""
    rule = next(each for each in _rules() if each["alert"] == "InfisicalMonitorSilent")
    name = "infisical_monitor_run_timestamp_seconds"
    return _test(f"{name}{_braces(_ON)}", "0 60 120x20", rule, _ON, (7, 8, 0))


def _test_of_target() -> dict[str, object]:
    """Return the test of a target that can't be reached from the second minute on."""
    rule = next(each for each in _rules() if each["alert"] == "InfisicalUnreachable")
    labels = {"job": "infisical-node", **_ON}
    return _test(f"up{_braces(labels)}", "1 0x9 1x9", rule, labels, (5, 6, 12))


def _test(
    series: str,
    values: str,
    rule: dict[str, Any],
    labels: dict[str, str],
    minutes: tuple[int, int, int],
) -> dict[str, object]:
    """Return a test: the alert is absent at first, then fires, and is absent at the end.

    Args:
        minutes: when it is absent, fires, and is absent again; the last is 0 if it stays.
    """
    before, while_, after = minutes
    texts = {
        name: text.replace("{{ $labels.subject }}", labels.get("subject", ""))
        .replace("{{ $labels.instance }}", labels["instance"])
        .replace("{{ $labels.job }}", labels.get("job", ""))
        for name, text in rule["annotations"].items()
    }
    fires = {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": texts}
    expected: list[tuple[int, list[object]]] = [(before, []), (while_, [fires])]
    expected += [(after, [])] if after else []
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": rule["alert"], "exp_alerts": alerts}
            for minute, alerts in expected
        ],
    }


def _braces(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _text(content: dict[str, object]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, width=1000)
    return f"# Generated by `make docs` from infisical_iac/agent/table.py.\n{text}"


def _rule(
    name: str, expression: str, severity: str, summary: str, remedy: str
) -> dict[str, object]:
    return {
        "alert": f"Infisical{name}",
        "expr": expression,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "remedy": remedy},
    }


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
