"""Give a staging host further settings of Infisical for a module, and remove them at its end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import backing
from tests.e2e.conftest import assert_converged
from tests.e2e.running import PROGRAM, REPOSITORY, Done, infisical_iac
from tests.staging.host import StagingHost

_KEYS = "/etc/infisical/keys/given_"
WORKSPACE = REPOSITORY / "group_data" / "chainalign.yaml"


@dataclass
class ConfiguredHost:
    """A staging host, and settings that its first deploy did not have.

    Attributes:
        directory: where inventories and project files are written.
        settings: the settings that differ in each run; a run may change some of them.
    """

    host: StagingHost
    directory: Path
    settings: dict[str, Any]

    def run(
        self,
        *arguments: str,
        given: Mapping[str, str] | None = None,
        program: tuple[str, ...] = PROGRAM,
        **settings: Any,
    ) -> Done:
        """Run `infisical-iac <arguments>`.

        Args:
            given: secrets in its environment.
            program: the program to run instead of the command.
        """
        named = ("--inventory", backing.inventory(self.directory, **self.settings | settings))
        return infisical_iac(self.host.name, *arguments, *named, environment=given, program=program)

    def apply(self, given: Mapping[str, str] | None = None, **settings: Any) -> Done:
        return self.run("apply", "--yes", given=given, **settings)

    def assert_unchanged(self, **settings: Any) -> Done:
        """Assert that a second run would change nothing; return its plan."""
        plan = self.run("plan", **settings)
        last = (plan.stdout.splitlines() or [""])[-1]
        assert (plan.returncode, last) == (0, "Nothing to change."), plan.stdout + plan.stderr
        return plan

    def assert_refused(
        self, fact: str, given: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        """Assert that an apply fails with a fact, shows no secret, and changes nothing."""
        before = self._state()
        done = self.apply(given, **settings)
        assert (done.returncode, fact in done.stderr) == (1, True), done.stdout + done.stderr
        for secret in (given or {}).values():
            assert secret not in done.stdout + done.stderr
        assert self._state() == before

    def row(self, name: str, **settings: Any) -> dict[str, Any]:
        """Return a row of `status`."""
        rows = json.loads(self.run("status", "--json", **settings).stdout)
        (found,) = [row for row in rows if row["name"] == name]
        row: dict[str, Any] = found
        return row

    def variable(self, name: str) -> str:
        """Return a variable of Infisical's container; empty if it has none of that name."""
        command = f"docker exec infisical-infisical-1 printenv {name}"
        return self.host.run(command, check=False).stdout.removesuffix("\n")

    def has_secret(self, variable: str) -> bool:
        """Return whether the host keeps a given secret, for root only."""
        command = f"stat --format %a {_KEYS}{variable.lower()}"
        return self.host.run(command, check=False).stdout == "600\n"

    def add_person(self, email: str) -> None:
        """Have a person who may read production in the project file from now on."""
        file = self.directory / "workspace.yaml"
        people = f"\npeople:\n  {email}: {{production: viewer}}\n"
        file.write_text(WORKSPACE.read_text() + people)
        self.settings["workspace_file"] = str(file)

    def _state(self) -> str:
        """Return the containers, and the secrets that the host was given."""
        command = f"docker ps --quiet --no-trunc | sort; cat {_KEYS}* 2>/dev/null || true"
        return self.host.run(command).stdout


@contextmanager
def take_back(configured: ConfiguredHost) -> Iterator[None]:
    """Converge the host to its first deploy in the end; it keeps no person and no secret then."""
    yield
    host = configured.host
    if "workspace_file" in configured.settings:
        done = infisical_iac(host.name, "workspace", "apply", "--prune", "--yes", "--json")
        assert done.returncode == 0, done.stderr
    done = infisical_iac(host.name, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(f"ls {_KEYS}*", check=False).returncode != 0
    assert_converged(host)
