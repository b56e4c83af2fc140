"""Pages of `status` and `plan` with everything that they can show, for tests."""

from datetime import UTC, datetime, timedelta

from infisical_iac.agent.health import HealthFacts
from infisical_iac.backup.record import size
from infisical_iac.change.outdated import VersionReport
from infisical_iac.core.audit_entries import AuditEntry, Log
from infisical_iac.core.change import Change, Row
from infisical_iac.monitoring.health import HealthState
from infisical_iac.monitoring.report import StatusReport, plan_page
from infisical_iac.workspace.foreign_actual import find_foreign
from infisical_iac.workspace.load import load
from tests.unit.backup.records import backup_record, drill_record
from tests.unit.health_rows import settings
from tests.unit.people_deployment import PEOPLE, PeopleDeployment

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LOGIN = "obviously-fake-password"
HOSTILE = "<script>alert('backend')</script>"
MANY = "".join(f"\n  service-{n}: {{folder: /service-{n}, imports: [/shared]}}" for n in range(18))


def build_report(text: str = PEOPLE) -> StatusReport:
    """Return the facts of a deployment with people, a stranger, and a history of 40 days.

    Args:
        text: the project file.
    """
    deployment = PeopleDeployment()
    deployment.settle(text)
    _add_stranger(deployment)
    reached, actual = deployment.reach(text), deployment.actual(text)
    access, found, _ = find_foreign(
        reached.client,
        reached,
        actual,
        deployment.admin,
        deployer=reached.deployer,
        deployer_secret="",
    )
    facts = HealthFacts(
        engine=True,
        credentials={
            "backend.production": (_date(-80), _date(10)),
            "backend.staging": (_date(-10), _date(80)),
        },
        backups=backup_record(local=1),
        drills=drill_record(),
    )
    backups = [
        f'{{"began": "{_at(days)}", "ended": "{_at(days)}", "bytes": {6_000_000 - days * 50_000}, '
        f'"failure": "{"box: no route to host" if days == 12 else ""}", "targets": []}}'
        for days in range(40, 0, -1)
    ]
    drills = [drill_record(days=days, secrets=20 + days) for days in (38, 8)]
    lines = [f"~ /etc/file-{n}: {HOSTILE}" for n in range(12)]
    entry = AuditEntry(_at(1), "ada@laptop", "apply", "done", "1a2b", "0.2.0", lines)
    failed = AuditEntry(
        _at(0), "ada@laptop", "apply", "failed", "3c4d", "0.2.0", [], "it failed: `run again`"
    )
    return StatusReport(
        name="hetzner",
        at=NOW,
        settings=settings(),
        states={"host": HealthState(facts)},
        running={"infisical": ["infisical/infisical:v0.165.15"]},
        logs={"host": Log([entry, failed])},
        histories={"host": ("\n".join(backups), "\n".join(drills))},
        newest=[VersionReport("postgres", "postgres_image", "postgres:17.11", "17.11", "17.12")],
        desired=load(text),
        access=(reached, actual, access),
        foreign=[each.change for each in found],
    )


def _date(days: int) -> str:
    return (NOW + timedelta(days)).isoformat()


def _add_stranger(deployment: PeopleDeployment) -> None:
    """Make an identity that the file does not name, as a viewer of the project."""
    server = deployment.server
    runner = {"id": "runner", "name": "ci-runner", "role": "no-access", "metadata": []}
    server.identities["runner"] = runner
    server.members["runner"] = [{"role": "viewer", "isTemporary": False}]


def _at(days: int) -> str:
    return (NOW - timedelta(days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def build_rows() -> list[Row]:
    """Return rows of each kind, with hostile names and the login in an address."""
    return [
        Row("infisical", "infisical/infisical:v0.165.15: exited", ok=False),
        Row("Disk", f"66.2 of 252.0 GB free, {size(6_100_000)} of dumps"),
        Row(HOSTILE, f"https://user:{LOGIN}@example.com does not answer", ok=False),
        Row("Last drill", "none yet: `infisical-iac restore --drill` makes one", is_note=True),
    ]


def build_plan_page() -> str:
    """Return the page of a plan that has everything."""
    diff = f"@@ -1 +1 @@\n-proxy https://user:{LOGIN}@proxy\n+{'very-long-word' * 20}"
    return plan_page(
        "hetzner",
        NOW,
        steps=[
            ("Docker | Configure the engine", [Change("~", "/etc/docker/daemon.json", diff=diff)]),
            ("Workspace | Converge", [Change("+", f"identity {HOSTILE}"), Change("-", "import")]),
        ],
        blocked=[Change("!", "Keys", "blocked: a key is gone: `infisical-iac restore`")],
        unknown=["the project can be inspected once it runs"],
        foreign=[
            Change("*", "person ben", "the file no longer names it; id 1"),
            Change("*", "identity ci-runner with role viewer", "the file does not name it; id 2"),
        ],
        restarts=["containers that restart: infisical; nobody can log in for about a minute"],
        notes=["credentials that end: `infisical-iac credentials rotate`"],
    )
