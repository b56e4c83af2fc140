"""A project whose file loses services and environments, and the command that prunes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from infisical_iac.cli.main import main

from .items import parse_all
from .world import PASSWORD, World, ok

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_iac.core.change import Change
    from infisical_iac.workspace.goal import Memory

_STAGES = ("production", "qa")


@dataclass
class Case:
    """A separate project on the shared server, and the command for it."""

    world: World
    name: str
    file: Path
    memory: Memory | None = None

    def write(self, *folders: str, environments: tuple[str, ...] = _STAGES) -> None:
        """Write a project file with a service for each folder, which imports `/shared`."""
        stages = [{"slug": each, "name": each.title()} for each in environments]
        content = {
            "project": {"name": self.name, "slug": self.name},
            "environments": stages,
            "shared_folders": ["/shared"],
            "services": {
                f"{self.name}-{each.split('/')[0]}": {"folder": f"/{each}", "imports": ["/shared"]}
                for each in folders
            },
        }
        self.file.write_text(json.dumps(content), encoding="utf-8")

    def run(self, *arguments: str, answer: str = "") -> Result:
        given = ["workspace", *arguments, "--project-file", str(self.file)]
        variables = {**self.world.variables(), "INFISICAL_ADMIN_PASSWORD": PASSWORD}
        return CliRunner(env=variables).invoke(main, given, input=answer)

    def run_and_list_changes(self, *arguments: str) -> list[Change]:
        """Return the changes of a run that must succeed."""
        ran = self.run(*arguments, "--yes")
        assert ran.exit_code == 0, ran.output
        return parse_all(ran.stdout)

    def project(self) -> dict[str, Any]:
        return ok(self.world.deployer.get(f"/api/v1/projects/slug/{self.name}"))

    def environments(self) -> list[str]:
        return [each["slug"] for each in self.project()["environments"]]

    def folders(self, environment: str = "qa") -> list[str]:
        at = {"projectId": self.project()["id"], "environment": environment, "path": "/"}
        listed = ok(self.world.deployer.get("/api/v2/folders", params={**at, "recursive": "true"}))
        return sorted(each["relativePath"] for each in listed["folders"])

    def write_secrets(self, path: str, *names: str, environment: str = "qa") -> None:
        secrets = [{"secretKey": each, "secretValue": "fake"} for each in names]
        at = {"projectId": self.project()["id"], "environment": environment, "secretPath": path}
        body = {**at, "mode": "upsert", "secrets": secrets}
        ok(self.world.deployer.patch("/api/v4/secrets/batch", json=body))

    def identities(self) -> list[str]:
        at: dict[str, str | int] = {"orgId": self.world.org_id, "limit": 1000}
        listed = ok(self.world.deployer.get("/api/v1/identities", params=at))["identities"]
        prefix, names = f"{self.name}-", [each["identity"]["name"] for each in listed]
        return sorted(each.removeprefix(prefix) for each in names if each.startswith(prefix))
