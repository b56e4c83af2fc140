"""Run the action and the component of `examples/check`, and the workflows of `init`, as written.

The tests play the platform: they fill in inputs, sign the token of a job, run its commands, and
read what it reports.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.init import repository
from infisical_iac.init.answers import Answers
from infisical_iac.workspace.load import load
from tests.contract.migrating import ENVIRONMENTS, Case, number
from tests.staging.shell import REPOSITORY
from tests.unit.fake_programs import fake_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.contract.world import World
    from tests.token_issuer import TokenIssuer

_CHECK = REPOSITORY / "examples" / "check"
_MOST_SECONDS = 300
_FOUND, _FAILED = 2, 1
_CODE = """\
import { config } from "infisical-config/config.js";
connect(config.DATABASE_URL, config.SESSION_SECRET);
"""
# Equal in both environments, and weak, which only a comparison of values finds.
_WEAK = "winter24"


@dataclass
class Checked:
    """A services' repository in a copy, its project in Infisical, and a job that may check it."""

    case: Case
    issuer: TokenIssuer
    machine: dict[str, str]

    @property
    def repository(self) -> Path:
        return self.case.root

    def id_of(self, job: str) -> str:
        """Return the id of a job's identity."""
        return self.case.identities()[f"ci-{job}-{self.case.name}"]

    def run(
        self, command: str, temporary: Path, variables: Mapping[str, str], job: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the commands of a step, with the token of a job if it has one."""
        given = dict(variables)
        if job:
            given["INFISICAL_JWT"] = self.issuer.token(sub=f"{job}-{self.case.name}")
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command],
            cwd=self.repository,
            env={
                **os.environ,
                **self.machine,
                "PATH": f"{temporary}:{self.machine['PATH']}",
                "GITHUB_OUTPUT": str(temporary / "output"),
                **given,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MOST_SECONDS,
        )


@pytest.fixture
def checked(world: World, tmp_path: Path, issuer: TokenIssuer, machine: dict[str, str]) -> Checked:
    directory = tmp_path / "services"
    directory.mkdir()
    case = Case(world, f"checked-{number()}", directory, ("backend",))
    auth = {"issuer": issuer.url, "ca_certificate": issuer.authority}
    sights = {"names": "names", "values": {each: ["/backend"] for each in ENVIRONMENTS}}
    content = {
        "project": {"name": case.name, "slug": case.name},
        "environments": [{"slug": each, "name": each.title()} for each in ENVIRONMENTS],
        "services": {"backend": {"folder": "/backend"}},
        "ci": {
            f"{job}-{case.name}": {
                "sees": sees,
                "auth": {"oidc": {**auth, "subject": f"{job}-{case.name}"}},
            }
            for job, sees in sights.items()
        },
    }
    case.workspace_file.write_text(json.dumps(content))
    case.deploy()
    for each in ENVIRONMENTS:
        case.put(each, "/backend", DATABASE_URL=f"fake://{each}", SESSION_SECRET=_WEAK)
    case.write(".gitignore", ".env\n.env.*\n")
    case.write("backend/package.json", '{"dependencies": {"infisical-config": "0.1.0"}}')
    case.write("backend/app.js", _CODE)
    given = ("check", str(case.root), "--project-file", str(case.workspace_file), "--fix")
    assert case.invoke(*given).exit_code == 0
    return Checked(case, issuer, machine)


def _kinds(sarif: Any) -> list[str]:
    assert sarif["version"] == "2.1.0"
    (run,) = sarif["runs"]
    assert run["tool"]["driver"]["name"] == "infisical-iac"
    return sorted(each["ruleId"] for each in run["results"] if each["level"] == "error")


def _run_action(
    checked: Checked, temporary: Path, job: str = "", **inputs: str
) -> tuple[int, str, Any, list[str]]:
    """Run the action as GitHub does; return status, output, uploaded findings and calls of `gh`."""
    action = yaml.safe_load((_CHECK / "github-action" / "action.yaml").read_text())
    temporary.mkdir()
    fake_program(temporary, "gh", 'printf "%s\\n" "$@" >>"$CALLS"\n')
    (temporary / "gh").chmod(0o755)
    known = {name: each.get("default", "") for name, each in action["inputs"].items()}
    required = {name for name, each in action["inputs"].items() if each.get("required")}
    assert required <= inputs.keys() <= known.keys()
    known |= inputs
    outputs: dict[str, str] = {}

    def fill(text: str) -> str:
        values = {f"inputs.{name}": value for name, value in known.items()}
        values |= {f"steps.check.outputs.{name}": value for name, value in outputs.items()}
        values |= {"runner.temp": str(temporary), "github.token": "not-a-real-token"}
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values[found[1]], text)

    check, upload = action["runs"]["steps"]
    given = {name: fill(value) for name, value in check["env"].items()}
    done = checked.run(check["run"], temporary, given, job)
    written = (temporary / "output").read_text().splitlines()
    outputs |= dict(line.split("=", 1) for line in written)
    condition = "always() && inputs.upload == 'true' && steps.check.outputs.report != ''"
    assert upload["if"] == f"${{{{ {condition} }}}}"
    if known["upload"] != "true":
        return done.returncode, done.stdout, None, []
    calls = temporary / "calls"
    given = {name: fill(value) for name, value in upload["env"].items()}
    given |= {"GITHUB_REPOSITORY": "acme/services", "GITHUB_SHA": "0" * 40}
    given |= {"GITHUB_REF": "refs/heads/main", "CALLS": str(calls)}
    sent = checked.run(upload["run"], temporary, given)
    assert sent.returncode == 0, sent.stdout
    if not calls.exists():
        return done.returncode, done.stdout, None, []
    arguments = calls.read_text().splitlines()
    (file,) = (each.partition("@")[2] for each in arguments if each.startswith("sarif=@"))
    with open(file, "rb") as encoded:
        uploaded = json.loads(gzip.decompress(base64.b64decode(encoded.read())))
    return done.returncode, done.stdout, uploaded, arguments


def test_the_action_checks_and_uploads_its_findings(checked: Checked, tmp_path: Path) -> None:
    address = checked.case.world.standin.url
    given = {"project-file": "workspace.json", "version": "0.1.0"}
    names = {**given, "address": address, "identity": checked.id_of("names")}
    status, output, sarif, calls = _run_action(checked, tmp_path / "1", "names", **names)
    assert (status, _kinds(sarif)) == (0, []), output
    assert "repos/acme/services/code-scanning/sarifs" in calls

    values = {**names, "identity": checked.id_of("values"), "values": "true"}
    status, output, sarif, _ = _run_action(checked, tmp_path / "2", "values", **values)
    assert status == _FOUND, output
    assert {"weak-value", "equal-value"} <= {*_kinds(sarif)}
    assert _WEAK not in output + json.dumps(sarif)

    checked.case.write("backend/more.js", "use(process.env.MAIL_KEY);\n")
    checked.case.write("backend/.env", "MAIL_KEY=fake-secret-in-a-file\n")
    status, output, sarif, _ = _run_action(checked, tmp_path / "3", "names", **names)
    assert (status, "missing-key" in _kinds(sarif)) == (_FOUND, True), output
    (place,) = [
        each["locations"][0]["physicalLocation"]
        for each in sarif["runs"][0]["results"]
        if each["ruleId"] == "missing-key"
    ]
    assert place["artifactLocation"]["uri"] == "backend/more.js"
    # Without an address no request is sent, so the job needs neither an identity nor a token.
    status, output, sarif, _ = _run_action(checked, tmp_path / "4", **given)
    assert status == _FOUND, output
    assert "missing-key" not in _kinds(sarif)
    assert "fake-secret-in-a-file" not in output + json.dumps(sarif)
    without = _run_action(checked, tmp_path / "5", upload="false", **given)
    assert (without[0], without[2]) == (_FOUND, None)


def test_an_action_that_cannot_check_fails_and_uploads_nothing(
    checked: Checked, tmp_path: Path
) -> None:
    address = checked.case.world.standin.url
    given = {"project-file": "workspace.json", "version": "0.1.0", "address": address}
    refused = {**given, "identity": checked.id_of("names")}
    for count, inputs in enumerate(({**given, "project-file": "none.yaml"}, refused)):
        # The token is of another job than the identity.
        status, output, _, calls = _run_action(checked, tmp_path / str(count), "values", **inputs)
        assert (status, calls) == (_FAILED, []), output
        assert "Traceback" not in output


def _run_component(
    checked: Checked, temporary: Path, job: str = "", identity: str = "", **inputs: str
) -> tuple[int, str, Any]:
    """Run the component as GitLab does; return status, output and the artifact."""
    text = (_CHECK / "gitlab-component" / "templates" / "check.yml").read_text()
    head, content = yaml.safe_load_all(text)
    known = {name: (each or {}).get("default", "") for name, each in head["spec"]["inputs"].items()}
    assert inputs.keys() <= known.keys()
    known |= inputs
    filled = re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: known[found[1]], text)
    *_, content = yaml.safe_load_all(filled)
    component = content["infisical-check"]
    assert component["id_tokens"] == {"INFISICAL_JWT": {"aud": "infisical"}}
    assert component["artifacts"]["when"] == "always"
    temporary.mkdir()
    # The image's package manager; git is there already.
    fake_program(temporary, "apt-get", "")
    variables = dict(component["variables"])
    if identity:
        variables["INFISICAL_API_URL"] = checked.case.world.standin.url
        variables["INFISICAL_MACHINE_IDENTITY_ID"] = identity
    artifact = checked.repository / component["artifacts"]["paths"][0]
    artifact.unlink(missing_ok=True)
    commands = "\n".join([*component["before_script"], *component["script"]])
    done = checked.run(commands, temporary, variables, job)
    found = json.loads(artifact.read_text()) if artifact.exists() else None
    return done.returncode, done.stdout, found


def test_the_component_checks_and_keeps_its_findings(checked: Checked, tmp_path: Path) -> None:
    given = {"project-file": "workspace.json", "version": "0.1.0"}
    status, output, sarif = _run_component(checked, tmp_path / "1", **given)
    assert (status, _kinds(sarif)) == (0, []), output
    status, output, sarif = _run_component(
        checked, tmp_path / "2", "names", checked.id_of("names"), options="", **given
    )
    assert (status, _kinds(sarif)) == (0, []), output
    status, output, sarif = _run_component(
        checked, tmp_path / "3", "values", checked.id_of("values"), options="--values", **given
    )
    assert status == _FOUND, output
    assert {"weak-value", "equal-value"} <= {*_kinds(sarif)}
    assert _WEAK not in output + json.dumps(sarif)
    status, output, sarif = _run_component(
        checked, tmp_path / "4", "values", checked.id_of("names"), options="", **given
    )
    assert (status, sarif) == (_FAILED, None), output


# Runs the runner, and prints the environment of the commands under it.
_UV = f"""
shift
case "$1" in
with-secrets) shift; exec {sys.executable} -m infisical_config "$@" ;;
esac
echo "$*: $(ssh-add -l)" >>"$CALLS"
env >>"$CALLS.env"
case "$2" in
drift) echo "webhook $INFISICAL_IAC_WEBHOOK" >>"$CALLS" ;;
esac
exit 2
"""


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_workflows_of_init_get_the_key_from_infisical(
    checked: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    case, issuer = checked.case, checked.issuer
    address = case.world.standin.url
    answers = Answers(site_url="https://secrets.example.com")
    pipeline = repository.Pipeline(platform, "acme/infisical")
    project = repository.files(answers, "acme.yaml", pipeline)["acme.yaml"]
    content = json.loads(case.workspace_file.read_text())
    content["shared_folders"] = [repository.OPERATIONS]
    content["ci"] = {}
    for name, job in load(project).ci.items():
        # The issuer of the tests takes the place of the platform's.
        assert job.auth.claims is not None
        own: dict[str, Any] = {"issuer": issuer.url, "ca_certificate": issuer.authority}
        own["claims"] = dict(job.auth.claims.claims)
        sees = job.sees if job.sees == "names" else {k: [*v] for k, v in job.sees.items()}
        content["ci"][f"{name}-{case.name}"] = {"sees": sees, "auth": {"oidc": own}}
    case.workspace_file.write_text(json.dumps(content))
    case.deploy()
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    monkeypatch.chdir(tmp_path)  # for the key of fingerprints
    for name, value in (("SSH_PRIVATE_KEY", key.read_text()), ("DRIFT_WEBHOOK", "https://h.test")):
        secret = f"{repository.OPERATIONS}/{name}"
        file = ("--workspace-file", str(case.workspace_file))
        command = ("secrets", "set", secret, "--env", "production", *file)
        stored = CliRunner(env=case.environment()).invoke(main, command, input=value)
        assert stored.exit_code == 0, stored.output
    listed = case.invoke("credentials", "list", "--json", "--file", str(case.workspace_file))
    logins = {each["identity"]: each for each in json.loads(listed.stdout)["token_logins"]}
    variables = {}
    for name in ("plan", "drift"):
        login = logins[f"ci-{name}-{case.name}"]
        variables[f"INFISICAL_{name.upper()}_IDENTITY"] = login["id"]
        (variables["INFISICAL_PROJECT_ID"],) = login["projects"]
    around = repository.files_around(Answers(site_url=address), "acme.yaml", "", "production")
    text = around[repository.WORKFLOWS[platform]]
    calls = tmp_path / "calls"
    fake_program(tmp_path, "uv", _UV)
    claims_of = {
        "plan": {"repository": "acme/infisical", "environment": "infisical"},
        "drift": {"repository": "acme/infisical", "ref": "refs/heads/main"},
    }
    if platform == "gitlab":
        claims_of = {
            "plan": {"project_path": "acme/infisical", "ref_protected": "true", "ref": "change/a"},
            "drift": {"project_path": "acme/infisical", "ref": "main", "ref_type": "branch"},
        }
    pages = ["plan --html plan.html", "status --html status.html"]
    for name, commands, status in (("plan", pages[:1], 0), ("drift", ["drift", *pages], 2)):
        script, given = _read_job(text, platform, name, variables)
        claims: dict[str, Any] = {"sub": "job", **claims_of[name]}
        given |= {"CALLS": str(calls), "PYTHONPATH": str(REPOSITORY / "loaders" / "python")}
        done = checked.run(script, tmp_path, {**given, "INFISICAL_JWT": issuer.token(**claims)})
        assert done.returncode == status, done.stdout
        shown = calls.read_text()
        assert [line.split(":")[0] for line in shown.splitlines() if "infisical-iac" in line] == [
            f"infisical-iac {each}" for each in commands
        ]
        assert shown.count("(ED25519)") == len(commands)
        assert ("webhook https://h.test" in shown) == (name == "drift")
        assert "PRIVATE KEY" not in done.stdout + (tmp_path / "calls.env").read_text()
        calls.unlink()
        # Of another branch, or a copy of the repository, it gets no key.
        other = {"ref": "evil", "ref_protected": "false", "environment": "x"}
        foreign = issuer.token(**{**claims, **other})
        refused = checked.run(script, tmp_path, {**given, "INFISICAL_JWT": foreign})
        assert (refused.returncode != 0, calls.exists()) == (True, False), refused.stdout
        assert "claim not allowed" in refused.stdout


def _read_job(
    text: str, platform: str, name: str, variables: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return the script of a job and its variables, filled in as the platform does."""
    content = yaml.safe_load(text)
    if platform == "github":
        step = [each for each in content["jobs"][name]["steps"] if "run" in each][-1]
        return step["run"], {
            key: re.sub(r"\$\{\{ vars\.(\w+) \}\}", lambda found: variables[found[1]], value)
            for key, value in step["env"].items()
        }
    job = content[name]
    given = {
        key: re.sub(r"\$(\w+)", lambda found: variables[found[1]], value)
        for key, value in job["variables"].items()
    }
    return "\n".join(job["script"]), {**variables, **given}
