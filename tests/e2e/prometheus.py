"""Run Debian's Prometheus and Alertmanager on a staging host, with the files of `monitoring/`."""

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.webhook import Receiver
from tests.staging.host import StagingHost

INSTANCE = "secrets.example.com"
_MONITORING = Path("monitoring")
_DIRECTORY, _UNITS = "/root/fake-prometheus", "fake-prometheus fake-alertmanager"
_PACKAGES = "prometheus prometheus-alertmanager"
_SERVER, _ALERTMANAGER = "127.0.0.1:9090", "127.0.0.1:9093"
_EVERY = "5s"
# The packages start both with their own configuration.
_INSTALL = (
    "apt-get update --quiet=2; DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes "
    f"--no-install-recommends {_PACKAGES} && systemctl disable --quiet --now {_PACKAGES}"
)
_START = f"""
systemd-run --quiet --unit=fake-alertmanager prometheus-alertmanager \
    --config.file={_DIRECTORY}/alertmanager.yml --storage.path={_DIRECTORY}/alertmanager \
    --web.listen-address={_ALERTMANAGER} --cluster.listen-address=
systemd-run --quiet --unit=fake-prometheus prometheus \
    --config.file={_DIRECTORY}/prometheus.yml --storage.tsdb.path={_DIRECTORY}/prometheus \
    --web.listen-address={_SERVER}
"""
_STOP = (
    f"systemctl stop {_UNITS}; "
    f"DEBIAN_FRONTEND=noninteractive apt-get purge --quiet=2 --yes {_PACKAGES}; "
    f"rm -rf {_DIRECTORY} /var/lib/prometheus/metrics2 /var/lib/prometheus/alertmanager"
)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs on a host, and what its Alertmanager has sent."""

    host: StagingHost
    alerts: Receiver

    def ask(self, path: str, **query: str) -> Any:
        """Return the `data` of an answer of the API."""
        given = shlex.join(
            part for key, text in query.items() for part in ("--data-urlencode", f"{key}={text}")
        )
        url = f"http://{_SERVER}/api/v1/{path}"
        done = self.host.run(f"curl --silent --show-error --get {given} {url}")
        found = json.loads(done.stdout)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series of an expression."""
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def list_targets(self) -> dict[str, str]:
        """Return the health of each job's target."""
        found = self.ask("targets", state="active")["activeTargets"]
        return {each["labels"]["job"]: each["health"] for each in found}

    def wait_for(self, status: str, rule: str, subject: str, seconds: float) -> None:
        """Wait until Alertmanager has sent that an alert is `firing` or `resolved`."""
        deadline = time.monotonic() + seconds
        expected = (status, rule, subject)
        while expected not in self._list_sent():
            assert time.monotonic() < deadline, self._list_sent()
            time.sleep(0.5)

    def _list_sent(self) -> list[tuple[str, str, str]]:
        return [
            (each["status"], each["labels"]["alertname"], each["labels"].get("subject", ""))
            for body in self.alerts.received
            for each in body["alerts"]
        ]


@contextmanager
def prometheus(
    host: StagingHost, address: str, ports: Mapping[str, int], alerts: Receiver
) -> Iterator[Prometheus]:
    """Scrape these ports of an address of the host, and send alerts to a webhook meanwhile."""
    host.run(f"mkdir {_DIRECTORY}")
    rules = (_MONITORING / "alerts.yaml").read_text()
    configurations = {
        "alerts.yaml": rules,
        "prometheus.yml": yaml.safe_dump(_configure(address, ports)),
        "alertmanager.yml": yaml.safe_dump(_route(alerts.url)),
    }
    for name, text in configurations.items():
        host.run(f"cat >{_DIRECTORY}/{name}", input=text)
    try:
        host.run(_INSTALL)
        host.run(_START)
        host.run(
            f"timeout 60 sh -c 'until curl --silent --fail {_SERVER}/-/ready; do sleep 1; done'"
        )
        yield Prometheus(host, alerts)
    finally:
        host.run(_STOP, check=False)


def _configure(address: str, ports: Mapping[str, int]) -> dict[str, Any]:
    """Return a configuration with the jobs of `scrape.yaml` for these ports."""
    jobs = yaml.safe_load((_MONITORING / "scrape.yaml").read_text())["scrape_configs"]
    chosen = []
    for job in jobs:
        (static,) = job["static_configs"]
        (target,) = static["targets"]
        if (port := int(target.rpartition(":")[2])) in ports.values():
            static["targets"] = [f"{address}:{port}"]
            chosen.append({**job, "scrape_interval": _EVERY})
    return {
        "global": {"evaluation_interval": _EVERY},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": chosen,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_ALERTMANAGER]}]}]},
    }


def _route(url: str) -> dict[str, Any]:
    route = {"receiver": "team", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    return {"route": route, "receivers": [{"name": "team", "webhook_configs": [{"url": url}]}]}
