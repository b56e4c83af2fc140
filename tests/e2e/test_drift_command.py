"""Test `infisical-iac drift`: exit status, webhook and metrics, and the shipped CI job."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.running import REPOSITORY, command_environment, infisical_iac, metrics
from tests.e2e.webhook import Receiver, receiver
from tests.staging.host import StagingHost

_SENTENCE = f"staging has drifted: + {UPDATES}"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def _posting(hook: Receiver) -> dict[str, str]:
    return {"INFISICAL_IAC_WEBHOOK": hook.url}


def _apply(host: StagingHost) -> None:
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0


@pytest.fixture
def drifted_host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with one declared file missing."""
    assert_converged(deployed_host)
    deployed_host.run(f"rm {UPDATES}")
    yield deployed_host
    _apply(deployed_host)


def test_a_converged_host_is_reported_to_prometheus_only(
    deployed_host: StagingHost, hook: Receiver, tmp_path: Path
) -> None:
    assert_converged(deployed_host)
    file = tmp_path / "infisical_iac.prom"
    done = infisical_iac(
        *(deployed_host.name, "drift", "--textfile", str(file)), environment=_posting(hook)
    )
    assert (done.returncode, done.stdout) == (0, "staging is as declared\n")
    assert metrics(file.read_text())['infisical_iac_drift_changes{of="staging"}'] == "0"
    assert hook.received == []


def test_drift_is_reported_to_webhook_and_prometheus_and_nothing_is_changed(
    drifted_host: StagingHost, hook: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "infisical_iac.prom"
    done = infisical_iac(
        *(drifted_host.name, "drift", "--textfile", str(file)), environment=_posting(hook)
    )
    assert (done.returncode, done.stdout) == (2, f"{_SENTENCE}\n")
    assert metrics(file.read_text())['infisical_iac_drift_changes{of="staging"}'] == "1"
    (body,) = hook.received
    assert body["text"] == _SENTENCE
    assert body["changes"] == [f"+ {UPDATES}"]
    assert drifted_host.run(f"test -e {UPDATES}", check=False).returncode == 1


def test_a_host_that_cannot_be_checked_is_reported_too(hook: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "infisical_iac.prom"
    done = infisical_iac("nowhere", "drift", "--textfile", str(file), environment=_posting(hook))
    assert done.returncode == 1
    assert metrics(file.read_text())['infisical_iac_drift_check_success{of="staging"}'] == "0"
    assert hook.received[0]["text"].startswith("staging could not be ")
    assert "'nowhere'" in hook.received[0]["text"]


def test_a_failing_webhook_is_an_error_that_does_not_print_its_address(
    drifted_host: StagingHost, hook: Receiver
) -> None:
    hook.status = 500
    done = infisical_iac(drifted_host.name, "drift", environment=_posting(hook))
    assert done.returncode == 1
    assert "webhook" in done.stderr
    assert "HTTP 500" in done.stderr
    assert "obviously-fake-token" not in done.stdout + done.stderr
    assert len(hook.received) == 3


def test_watch_repeats_the_check_until_it_is_interrupted(
    drifted_host: StagingHost, hook: Receiver
) -> None:
    program = Path(sys.executable).with_name("infisical-iac")
    watching = subprocess.Popen(
        [program, "drift", "--watch", "--every", "1"],
        cwd=REPOSITORY,
        env={**command_environment(drifted_host.name), **_posting(hook)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Background processes of a script ignore SIGINT, and so do their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + 60
    while len(hook.received) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    os.killpg(watching.pid, signal.SIGINT)
    stdout, stderr = watching.communicate(timeout=30)
    assert [each["text"] for each in hook.received[:2]] == [_SENTENCE, _SENTENCE]
    assert _SENTENCE in stdout
    assert "Traceback" not in stderr


@pytest.mark.long
def test_the_ci_job_fails_only_for_drift(
    drifted_host: StagingHost, hook: Receiver, tmp_path: Path
) -> None:
    job = yaml.safe_load((REPOSITORY / "examples/drift/github-actions.yaml").read_text())
    (check,) = (each for each in job["jobs"]["drift"]["steps"] if each.get("name") == "Check")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    # The runner itself is tested in tests/recipes.
    secrets = {"SSH_PRIVATE_KEY": key.read_text(), "DRIFT_WEBHOOK": hook.url}
    environment = command_environment(drifted_host.name) | secrets
    runner = "PYTHONPATH=loaders/python .venv/bin/python -m infisical_config -- "
    assert runner in check["run"]
    program = check["run"].replace(runner, "")
    program = program.replace(".venv/bin", str(Path(sys.executable).parent))

    def run() -> tuple[int, str]:
        command = ["bash", "-e", "-c", program]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout

    status, output = run()
    assert status == 2
    assert output.splitlines()[-1] == _SENTENCE
    assert len(hook.received) == 1
    _apply(drifted_host)
    status, output = run()
    assert status == 0
    assert output.splitlines() == ["Nothing to change.", "staging is as declared"]
