"""Test the shipped systemd timer: a host checks itself with the unit files unchanged."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.running import REPOSITORY, infisical_iac, metrics, production_settings
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_HOME = "/opt/infisical-iac"
_METRICS = "/var/lib/prometheus/node-exporter/infisical_iac.prom"
_PYTHON = "3.13"
_PROGRAM = f"""#!{_HOME}/.venv/bin/python
from infisical_iac.cli.main import main
main()
"""
_PATHS = ("infisical_iac", "inventory", "group_data", "templates", "examples", "deploy.py")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked packages, for the host's own Python."""
    target = tmp_path_factory.mktemp("packages")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
            *("--python-version", _PYTHON, "--python-platform", "linux", "--target", target),
            *("--requirements", REPOSITORY / "requirements.lock"),
        ],
        check=True,
    )
    return target


@pytest.fixture(scope="module")
def watched_host(deployed_host: StagingHost, packages: Path) -> Iterator[StagingHost]:
    """The host with a clone of this project, installed as examples/drift/README.md says."""
    deployed_host.run(
        "apt-get -qq update && apt-get -qq install --yes --no-install-recommends python3 && "
        f"python3 -m venv --without-pip {_HOME}/.venv && mkdir -p $(dirname {_METRICS})"
    )
    site = f"{_HOME}/.venv/lib/python{_PYTHON}/site-packages"
    _copy(deployed_host, packages, ["."], site)
    _copy(deployed_host, REPOSITORY, _PATHS, _HOME)
    deployed_host.run(f"cat > {_HOME}/group_data/hetzner.py", input=_settings())
    deployed_host.run(f"echo {_HOME} > {site}/clone.pth")
    program = f"{_HOME}/.venv/bin/infisical-iac"
    deployed_host.run(f"cat > {program} && chmod 755 {program}", input=_PROGRAM)
    units = f"{_HOME}/examples/drift/infisical-iac-drift.*"
    deployed_host.run(f"cp {units} /etc/systemd/system/ && systemctl daemon-reload")
    yield deployed_host
    deployed_host.run(
        "systemctl disable --now infisical-iac-drift.timer; "
        f"rm -rf {_HOME} {_METRICS} /etc/systemd/system/infisical-iac-drift.*"
    )


def _settings() -> str:
    values = {"schema_version": 1, **production_settings()}
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def _copy(host: StagingHost, source: Path, paths: tuple[str, ...] | list[str], to: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in paths:
            archive.add(source / path, path)
    command = f"mkdir -p {to} && tar --extract --no-same-owner --directory {to}"
    subprocess.run(
        ["docker", "exec", "-i", host.container, "bash", "-c", command],
        input=packed.getvalue(),
        check=True,
    )


def _check(host: StagingHost) -> tuple[str, dict[str, str]]:
    """Run a check by its unit; return systemd's result and the metrics."""
    host.run("systemctl start infisical-iac-drift.service")
    shown = host.run("systemctl show --property=Result --value infisical-iac-drift.service")
    return shown.stdout.strip(), metrics(host.run(f"cat {_METRICS}").stdout)


def test_the_host_checks_itself_when_the_timer_fires(watched_host: StagingHost) -> None:
    assert_converged(watched_host)
    result, values = _check(watched_host)
    assert result == "success", watched_host.run("journalctl -u infisical-iac-drift").stdout
    assert values['infisical_iac_drift_changes{of="local"}'] == "0"
    watched_host.run(f"rm {UPDATES}")
    result, values = _check(watched_host)
    assert result == "success"
    assert values['infisical_iac_drift_changes{of="local"}'] == "1"
    journal = watched_host.run("journalctl --output=cat -u infisical-iac-drift").stdout
    assert f"local has drifted: + {UPDATES}" in journal
    assert infisical_iac(watched_host.name, "apply", "--yes").returncode == 0


def test_systemd_accepts_and_schedules_the_timer(watched_host: StagingHost) -> None:
    watched_host.run("systemctl enable --now infisical-iac-drift.timer")
    shown = watched_host.run(
        "systemctl show --property=NextElapseUSecMonotonic infisical-iac-drift.timer"
    )
    assert shown.stdout.strip() not in ("NextElapseUSecMonotonic=", "NextElapseUSecMonotonic=0")
    verified = watched_host.run("systemd-analyze verify infisical-iac-drift.timer", check=False)
    assert "infisical-iac-drift" not in verified.stderr
