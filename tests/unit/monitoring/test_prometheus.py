"""Test what `monitoring/` has for people with a Prometheus: rules, scrape jobs and dashboard.

`scrape/` has one line of each metric. All but Caddy's are of a host with `monitoring_listen`, a
real Infisical 0.165.16 and Debian's exporters. It had no Caddy, so Caddy's are of Debian's own.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.agent import backup, drill
from infisical_iac.agent.alerts import AlertBook, metrics
from infisical_iac.agent.canary import CanaryRun
from tests.unit.agent.watching import CLUSTER, NOW, VITALS, observe
from tests.unit.settings_of import settings_of

_MONITORING = Path("monitoring")
_SCRAPES = Path(__file__).parent / "scrape"
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
# Words of PromQL in the expressions; `up` is Prometheus' own metric.
_WORDS = {
    *("avg", "by", "histogram_quantile", "le", "or", "rate", "sum", "time", "vector", "up"),
    *("code", "mode", "http_status_code", "db_pool_state", "queue_state"),
}


def _served() -> set[str]:
    """Return the names of the metrics in the recorded scrape, and of all that the host writes.

    The recorded host was in no cluster, and had no alert, backup, certificate or client secret that
    ends.
    """
    vitals = replace(VITALS, canary=CanaryRun(NOW, {"login": 0.1}))
    observed = observe(cluster=CLUSTER, vitals=vitals)
    drilled = {"failure": "", "secrets": 1, "success": "2026-11-24T04:30:00Z"}
    text = "".join(metrics(AlertBook(), observed, 0, is_silent=False))
    of_monitor = re.findall(r"# HELP (\S+)", text)
    texts = (each.read_text() for each in sorted(_SCRAPES.glob("*.prom")))
    lines = (line for text in texts for line in text.splitlines() if line[:1] not in ("", "#"))
    of_jobs = {
        *(f"infisical_backup_{each.name}" for each in backup._measure_targets({})),
        *(f"infisical_drill_{each.name}" for each in drill._measure(drilled, 0, 0)),
    }
    return {*of_monitor, *of_jobs, *(re.split(r"[{ ]", line)[0] for line in lines)}


def list_names(expression: str) -> set[str]:
    """Return the names of the metrics in an expression, without labels, ranges and functions."""
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"', " ", expression)
    return {each for each in re.findall(rf"(?<![\w.]){_NAME}", bare) if each not in _WORDS}


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = _dashboard()["panels"]
    return panels


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_MONITORING / "dashboard.json").read_text())
    return found


def list_expressions() -> Iterator[str]:
    """Yield what the panels of the dashboard ask."""
    for panel in _panels():
        yield from (target["expr"] for target in panel.get("targets", ()))


def list_used() -> set[str]:
    """Return the names of the metrics in the dashboard."""
    return {name for each in list_expressions() for name in list_names(each)}


def test_the_rules_are_valid_and_fire_as_their_tests_say() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=_MONITORING, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_test() -> None:
    groups = yaml.safe_load((_MONITORING / "alerts.yaml").read_text())["groups"]
    tests = yaml.safe_load((_MONITORING / "alerts.test.yaml").read_text())["tests"]
    fired = [
        case["alertname"]
        for each in tests
        for case in each["alert_rule_test"]
        if case["exp_alerts"]
    ]
    assert sorted(fired) == sorted(rule["alert"] for group in groups for rule in group["rules"])


def test_the_rules_use_metrics_that_are_served() -> None:
    groups = yaml.safe_load((_MONITORING / "alerts.yaml").read_text())["groups"]
    used = {
        name for group in groups for rule in group["rules"] for name in list_names(rule["expr"])
    }
    assert used - _served() == set()


def test_the_dashboard_uses_metrics_that_are_served() -> None:
    assert list_used() - _served() == set()


def test_the_dashboard_asks_the_data_source_that_is_chosen() -> None:
    variables = {each["name"]: each for each in _dashboard()["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    asked = [each for panel in _panels() if panel["type"] != "row" for each in panel["targets"]]
    assert {each["datasource"]["uid"] for each in asked} == {"${datasource}"}
    assert all('instance="$instance"' in each for each in list_expressions())


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in _panels()
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len({*cells})
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


def test_the_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """Grafana replaces the variables before Prometheus sees them."""
    rules = [
        {"record": f"panel_{number}", "expr": each.replace("$__rate_interval", "5m")}
        for number, each in enumerate(list_expressions())
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_job_scrapes_each_port_of_the_metrics() -> None:
    jobs = yaml.safe_load((_MONITORING / "scrape.yaml").read_text())["scrape_configs"]
    listen = {"address": "10.0.0.2", "networks": ("10.0.0.0/24",)}
    ports = settings_of(monitoring="on", monitoring_listen=listen).metrics_ports
    targets = [each["targets"] for job in jobs for each in job["static_configs"]]
    assert sorted(targets) == sorted([f"10.0.0.2:{port}"] for port in ports.values())
    assert {each["labels"]["instance"] for job in jobs for each in job["static_configs"]} == {
        "secrets.example.com"
    }


@pytest.mark.parametrize("scrape", sorted(_SCRAPES.glob("*.prom")), ids=lambda each: each.stem)
def test_the_recorded_metrics_are_valid_and_name_no_person(scrape: Path) -> None:
    text = scrape.read_text()
    assert re.findall(r'="[^"@ ]+@[^"@ ]+"', text) == []
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    # Status 3 is for advice on names only, which are others'.
    assert done.returncode in (0, 3), done.stderr
