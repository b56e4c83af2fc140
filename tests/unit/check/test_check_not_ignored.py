"""Test `not-ignored`, one finding for each repository with the names that git would add."""

from pathlib import Path

import pytest

from infisical_iac.check.model import CheckFinding
from tests.unit.check.checked import GOOD, IGNORE, list_findings, plant

_EXACT = ".env\n.env.local\n.env.production\n"


def _rules(findings: list[CheckFinding]) -> list[CheckFinding]:
    return [each for each in findings if each.kind == "not-ignored"]


def _list_named(text: str) -> list[str]:
    words = (word.rstrip(",.") for word in text.partition(" Add ")[0].split())
    return [word for word in words if ".env" in word]


def test_a_file_that_git_would_add_is_named_with_any_suffix(tmp_path: Path) -> None:
    plant(tmp_path, GOOD | {".gitignore": _EXACT})
    (tmp_path / "backend/.env.staging").write_text("PORT=3000\n")
    (finding,) = _rules(list_findings(plant(tmp_path, {}, git=False)))
    assert finding.place == ".gitignore"
    assert _list_named(finding.message) == ["backend/.env.staging"]


def test_existing_files_are_named_before_names_of_new_files(tmp_path: Path) -> None:
    plant(tmp_path, GOOD | {".gitignore": ".env.local\n"})
    for name in ("backend/.env.staging", "infra/.env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("PORT=3000\n")
    (finding,) = _rules(list_findings(plant(tmp_path, {}, git=False)))
    files, new = finding.message.split(" new files ")
    assert _list_named(files) == ["backend/.env.staging", "infra/.env"]
    assert _list_named(new) == [
        ".env",
        ".env.production",
        "backend/.env",
        "backend/.env.production",
    ]


def test_of_many_names_of_new_files_ten_are_listed(tmp_path: Path) -> None:
    services = {f"s{n}/.infisical.json": GOOD["backend/.infisical.json"] for n in range(4)}
    (finding,) = _rules(list_findings(plant(tmp_path, services | {".gitignore": ""})))
    assert len(_list_named(finding.message)) == 10
    assert " and 5 more." in finding.message


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (IGNORE, ".env.staging"),
        (_EXACT, ".env.staging.example"),
        (_EXACT, ".envrc"),
        (_EXACT, "production.env"),
    ],
)
def test_ignored_files_samples_and_names_of_other_rules_are_not_reported(
    tmp_path: Path, rules: str, name: str
) -> None:
    plant(tmp_path, GOOD | {".gitignore": rules})
    (tmp_path / "backend" / name).write_text("PORT=3000\n")
    assert _rules(list_findings(plant(tmp_path, {}, git=False))) == []


def test_a_file_that_git_tracks_already_is_one_finding(tmp_path: Path) -> None:
    files = GOOD | {".gitignore": _EXACT, "backend/.env.staging": "PORT=3000\n"}
    assert [(each.kind, each.place) for each in list_findings(plant(tmp_path, files))] == [
        ("tracked", "backend/.env.staging")
    ]
