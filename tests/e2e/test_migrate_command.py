"""Test `infisical-iac migrate` through the inventory, from scan to clean, on the example."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac import dotenv
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import deployer, env_file, place
from tests.e2e.running import REPOSITORY, Done, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_EXAMPLE = REPOSITORY / "examples" / "chainalign" / "before"


@pytest.fixture
def monorepo(tmp_path: Path) -> Path:
    """The example, in a git repository of its own in which its .env files are tracked."""
    root = tmp_path / "chainalign"
    shutil.copytree(_EXAMPLE, root)
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for arguments in (
        ("init", "--quiet"),
        ("add", "--force", "--all"),
        ("commit", "-qm", "before"),
    ):
        subprocess.run(["git", *identity, *arguments], cwd=root, check=True)
    return root


@pytest.fixture
def empty_host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host; the migrated secrets are deleted again."""
    yield deployed_host
    with deployer(deployed_host) as client:
        for environment in ("development", "production"):
            for folder in ("/backend", "/python-services", "/shared"):
                at = place(client, folder, environment)
                for each in client.get("/api/v4/secrets", params=at)["secrets"]:
                    client.delete(f"/api/v4/secrets/{each['secretKey']}", json=at)
    assert_converged(deployed_host)


def test_a_repository_is_migrated_verified_and_cleaned(
    empty_host: StagingHost, monorepo: Path
) -> None:
    plan, said = monorepo / "migration.yaml", []

    def migrate(command: str, *arguments: str) -> Done:
        done = infisical_iac(empty_host.name, "migrate", command, *arguments)
        said.append(done.stdout + done.stderr)
        return done

    assert migrate("scan", str(monorepo)).returncode == 2
    planning = (str(monorepo), "--output", str(plan), "--allow-literal-references")
    assert migrate("plan", *planning).returncode == 2
    refused = migrate("apply", str(plan))
    assert refused.returncode == 1, "the plan has open decisions"
    plan.write_text(plan.read_text().replace("decision: undecided", "decision: skip"))
    applied = migrate("apply", str(plan))
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "byte for byte" in applied.stdout
    verified = migrate("verify", str(plan))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    _assert_the_service_reads_the_file(empty_host, monorepo / "backend" / ".env.production")
    history = migrate("history", str(monorepo), "--env-file", str(monorepo / "backend" / ".env"))
    assert history.returncode == 2
    cleaned = migrate("clean", str(plan), "--no-archive", "--yes")
    assert cleaned.returncode == 2, "files with values left out by a decision are kept"
    assert not (monorepo / "python-services" / ".env").exists()
    assert migrate("verify", str(plan)).returncode == 0
    _assert_holds_no_value("\n".join(said))
    report = json.loads((monorepo / "migration-report.json").read_text())
    _assert_holds_no_value(json.dumps(report) + (monorepo / "migration-report.html").read_text())
    last = json.loads(infisical_iac(empty_host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert last["outcome"] == "done"
    assert any(change.startswith("+ ") for change in last["changes"])


def _assert_the_service_reads_the_file(host: StagingHost, file: Path) -> None:
    found = env_file(host, "/etc/infisical/credentials/backend.production.env")
    values = dotenv.read(file.read_bytes(), "dotenv").values
    with deployer(host) as client:
        login = {
            "clientId": found["INFISICAL_CLIENT_ID"],
            "clientSecret": found["INFISICAL_CLIENT_SECRET"],
        }
        token = client.post("/api/v1/auth/universal-auth/login", json=login)["accessToken"]
        query = {**place(client, "/backend"), "expandSecretReferences": "false"}
        seen = client.with_token(token).get("/api/v4/secrets", params=query)["secrets"]
    there = {each["secretKey"]: each["secretValue"] for each in seen}
    assert len(there) > 8
    assert there == {key: values[key] for key in there}


def _assert_holds_no_value(text: str) -> None:
    lines = set(_lines_of_values())
    assert len(lines) > 20
    assert [each for each in lines if each in text or json.dumps(each)[1:-1] in text] == []


def _lines_of_values() -> Iterator[str]:
    """Yield each distinctive line of the example's values, in every grammar."""
    for file in _EXAMPLE.rglob(".env*"):
        for grammar in dotenv.GRAMMARS:
            for value in dotenv.read(file.read_bytes(), grammar).values.values():
                for line in value.splitlines():
                    if "fake" in line.lower() or len(line) > 16:
                        yield line
