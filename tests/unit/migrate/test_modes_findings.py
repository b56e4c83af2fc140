"""Test the findings on files that a package reads in every mode, in some modes or in none."""

from pathlib import Path

import pytest

from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.modes import PACKAGES, list_findings, scan
from tests.unit.migrate.trees import WORKSPACE, plant


@pytest.mark.parametrize("package", PACKAGES)
def test_a_shared_file_that_every_mode_reads_is_reported(package: str, tmp_path: Path) -> None:
    sources = scan(tmp_path, package, {".env": "A=fake\n", ".env.local": "A=fake\n"})
    assert list(list_findings(sources, "every-mode")) == [".env"]


@pytest.mark.parametrize("package", PACKAGES)
def test_keys_that_production_takes_from_the_file_of_every_mode_block(
    package: str, tmp_path: Path
) -> None:
    files = {".env": "A=fake\nB=fake\nNODE_ENV=production\n", ".env.production": "B=fake\n"}
    sources = scan(tmp_path, package, files)
    (finding,) = list_findings(sources, "lacking")[".env"]
    assert finding.blocking
    assert {"production", "A."} <= {*finding.message.split()}
    assert not {"B", "B.", "NODE_ENV"} & {*finding.message.split()}
    assert {"production", ".env.production"} <= {*finding.remedy.split()}
    plant(tmp_path, {"backend/.env.production": "A=fake\nB=fake\n"})
    after = scan_all([tmp_path], WORKSPACE)
    assert not [one for each in after for one in each.findings if one.kind == "lacking"]


def test_a_file_of_defaults_is_a_sample_except_for_dotenv_flow(tmp_path: Path) -> None:
    files = {".env.defaults": "A=fake-default\nB=fake\n", ".env": "A=fake\n"}
    by_flow = scan(tmp_path / "flow", "dotenv-flow", files)
    assert by_flow[".env.defaults"].environment == "development"
    assert by_flow[".env.defaults"].overridden == {"A"}
    assert list(scan(tmp_path / "other", "dotenv", files)) == [".env"]


@pytest.mark.parametrize(
    ("package", "name", "is_read"),
    [
        ("next", ".env.staging", False),
        ("react-scripts", ".env.staging", False),
        ("vite", ".env.staging", True),
        ("vite", ".env.pre-production.local", True),
        ("next", ".env.production.bak", False),
        ("vite", "production.env", False),
        ("next", ".env.production", True),
    ],
)
def test_a_file_that_no_mode_reads_is_reported(
    package: str, name: str, is_read: bool, tmp_path: Path
) -> None:
    assert (list_findings(scan(tmp_path, package, {name: ""}), "unread") == {}) is is_read


def test_an_undefined_reference_is_reported_at_its_line(tmp_path: Path) -> None:
    files = {".env": "A=$LATER\nB=$NOWHERE\nLATER=fake\n", ".env.local": "C=$NOWHERE\n"}
    sources = scan(tmp_path, "vite", files)
    output = list_findings(sources, "undefined-reference")
    assert {name: [(one.line, one.key) for one in each] for name, each in output.items()} == {
        ".env": [(2, "B")],
        ".env.local": [(1, "C")],
    }
