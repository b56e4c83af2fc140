"""Scan and plan a service whose package reads several files by mode, for tests."""

from pathlib import Path

from infisical_iac.migrate import planning
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import MigrationPlan
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.trees import WORKSPACE, node, plant

KEY = b"k" * 32
PACKAGES = ("vite", "next", "react-scripts", "dotenv-flow")


def tree(root: Path, package: str, files: dict[str, str]) -> Path:
    """Write a service that depends on a package, with these files, and return the root."""
    plant(root, {"backend/package.json": node(package)})
    return plant(root, {f"backend/{name}": text for name, text in files.items()})


def scan(root: Path, package: str, files: dict[str, str]) -> dict[str, Source]:
    """Write such a service and return the result of a scan, by the files' names."""
    sources = scan_all([tree(root, package, files)], WORKSPACE)
    return {each.path.removeprefix("backend/"): each for each in sources}


def make_plan(sources: dict[str, Source]) -> MigrationPlan:
    """Return the plan for scanned files."""
    return planning.make(sources.values(), project="abcde", root=".", key=KEY)


def list_findings(sources: dict[str, Source], kind: str) -> dict[str, list[FileFinding]]:
    """Return the findings of one kind, by the files' names."""
    of_kind = {
        name: [one for one in each.findings if one.kind == kind] for name, each in sources.items()
    }
    return {name: each for name, each in of_kind.items() if each}
