"""Test the findings that need a comparison of several files."""

from pathlib import Path

import pytest

from infisical_iac.migrate.model import FileFinding
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.trees import WORKSPACE, node, plant

SECRET = "obviously-fake-secret"
_SMTP = "SMTP_HOST=mail.example.com\nSMTP_USER=app\n"


def list_findings(root: Path, files: dict[str, str], kind: str) -> list[FileFinding]:
    """Return the findings of one kind in a tree of these files."""
    sources = scan_all([plant(root, files)], WORKSPACE)
    return [one for each in sources for one in each.findings if one.kind == kind]


def places(findings: list[FileFinding]) -> list[tuple[str, int, str]]:
    return [(each.file, each.line, each.key) for each in findings]


def test_two_files_for_the_same_place_that_differ_block(tmp_path: Path) -> None:
    files = {
        "backend/.env": "A=fake-one\nB=fake-same\n",
        "backend/.env.local": "B=fake-same\nA=fake-two\n",
        "backend/.env.production": "A=fake-three\n",
    }
    findings = list_findings(tmp_path, files, "personal-conflict")
    assert places(findings) == [("backend/.env", 1, "A"), ("backend/.env.local", 2, "A")]
    assert all(each.blocking for each in findings)
    assert "backend/.env.local:2" in findings[0].message


def test_files_without_a_place_in_infisical_do_not_conflict(tmp_path: Path) -> None:
    files = {"x/.env": "A=fake-one\n", "y/.env": "A=fake-two\n"}
    assert list_findings(tmp_path, files, "same-target") == []


def test_the_same_value_in_two_services_may_be_shared(tmp_path: Path) -> None:
    files = {
        "backend/.env": f"JWT={SECRET}\nPORT=80\n",
        "python-services/.env": f"PORT=80\nJWT={SECRET}\n",
        "python-services/.env.production": f"JWT={SECRET}\n",
    }
    findings = list_findings(tmp_path, files, "shared-candidate")
    assert places(findings) == [("backend/.env", 1, "JWT"), ("python-services/.env", 2, "JWT")]
    # A plan has one folder for each file, so no edit of the plan moves one key to another folder.
    for edit in (
        "`shared_folders`",
        "`imports`",
        "`decision: skip` on the key",
        "`infisical-iac secrets set`",
    ):
        assert edit in findings[0].remedy


def test_a_personal_file_hides_no_value_that_may_be_shared(tmp_path: Path) -> None:
    files = {
        "backend/.env": f"JWT={SECRET}\n",
        "backend/.env.local": "JWT=obviously-fake-mine\n",
        "python-services/.env": f"JWT={SECRET}\n",
    }
    findings = list_findings(tmp_path, files, "shared-candidate")
    assert places(findings) == [("backend/.env", 1, "JWT"), ("python-services/.env", 1, "JWT")]


def test_a_key_with_another_value_in_another_service_is_reported(tmp_path: Path) -> None:
    files = {
        "backend/.env": "DB=fake-one\nPORT=80\nNODE_ENV=a-fake-one\n",
        "python-services/.env": "DB=fake-two\nPORT=81\nNODE_ENV=a-fake-two\n",
    }
    findings = list_findings(tmp_path, files, "differs-across-services")
    assert places(findings) == [("backend/.env", 1, "DB"), ("python-services/.env", 1, "DB")]
    assert not any(each.blocking for each in findings)


@pytest.mark.parametrize(
    ("one", "other", "is_reported"),
    [
        ("DB=postgres://app:fake-one@db:5432/a", "DB=postgres://app:fake-two@db:5432/b", True),
        ("DB=postgres://app:fake-one@db/a", "URL=postgresql+asyncpg://app:fake-two@DB/b", True),
        (f"{_SMTP}SMTP_PASS=fake-one", f"{_SMTP}SMTP_PASS=fake-two", True),
        ("PGHOST=db\nPGPASSWORD=fake-one", "PGHOST=db\nPGPASSWORD=fake-two", True),
        ("DB=redis://:fake-one@redis:6379/0", "DB=redis://:fake-two@redis:6379/1", True),
        # Each service has its own: user, server or database.
        ("DB=postgres://a:fake-one@db/a", "DB=postgres://b:fake-two@db/b", False),
        ("DB=postgres://app:fake-one@a.example/x", "DB=postgres://app:fake-two@b.example/x", False),
        ("DB=postgres://app:fake-one@db:5432/x", "DB=postgres://app:fake-two@db:5433/x", False),
        ("DB=postgres://app:fake%23@db/a", "DB=postgres://app:fake#@db/b", False),
        ("SMTP_HOST=a\nSMTP_PASS=fake-1", "SMTP_HOST=b\nSMTP_PASS=fake-2", False),
        ("DB_PASSWORD=fake-one", "DB_PASSWORD=fake-two", False),
        ("DB_NAME=one", "DB_NAME=two", False),
        ("JWT_SECRET=fake-one", "JWT_SECRET=fake-two", False),
    ],
)
def test_another_password_for_the_same_user_and_host_is_reported(
    tmp_path: Path, one: str, other: str, is_reported: bool
) -> None:
    files = {
        "backend/package.json": node("dotenv"),
        "backend/.env": one,
        "python-services/requirements.txt": "python-dotenv",
        "python-services/.env": other,
    }
    last = one.count("\n") + 1
    findings = list_findings(tmp_path, files, "other-password")
    assert [(each.file, each.line) for each in findings] == (
        [("backend/.env", last), ("python-services/.env", last)] if is_reported else []
    )
    assert "fake" not in repr(findings)
    for each in list_findings(tmp_path, files, "differs-across-services"):
        assert (each.file, each.line) not in [(one.file, one.line) for one in findings]


def test_a_key_that_differs_only_in_a_personal_file_is_not_reported(tmp_path: Path) -> None:
    files = {
        "backend/package.json": node("next"),
        "backend/.env": "DB=fake-same\n",
        "backend/.env.local": "DB=fake-mine\n",
        "python-services/.env": "DB=fake-same\n",
    }
    assert list_findings(tmp_path, files, "differs-across-services") == []


def test_only_the_places_with_another_value_are_named(tmp_path: Path) -> None:
    files = {
        "backend/.env": "DB=fake-same\n",
        "backend/.env.production": "DB=fake-three\n",
        "python-services/.env": "DB=fake-two\n",
        "python-services/.env.production": "DB=fake-three\n",
    }
    findings = list_findings(tmp_path, files, "differs-across-services")
    assert places(findings) == [("backend/.env", 1, "DB"), ("python-services/.env", 1, "DB")]
    assert "python-services/.env:1" in findings[0].message


def test_the_same_value_under_two_keys_is_reported_for_both(tmp_path: Path) -> None:
    files = {
        "backend/.env": f"A={SECRET}\nSHORT=fake\nON=production\n",
        "backend/.env.local": f"B={SECRET}\nOTHER=fake\nOFF=production\n",
        "backend/.env.production": f"C={SECRET}\n",
    }
    findings = list_findings(tmp_path, files, "same-value")
    assert places(findings) == [("backend/.env", 1, "A"), ("backend/.env.local", 1, "B")]
    assert {"B", "backend/.env.local:1."} <= {*findings[0].message.split()}


def test_at_most_three_other_places_are_named(tmp_path: Path) -> None:
    files = {"backend/.env": "".join(f"K{n}={SECRET}\n" for n in range(6))}
    findings = list_findings(tmp_path, files, "same-value")
    assert len(findings) == 6
    assert "K3" in findings[0].message
    assert "K4" not in findings[0].message
    assert "2 more" in findings[0].message


def test_keys_that_only_the_sample_or_only_the_files_have_are_reported(tmp_path: Path) -> None:
    files = {
        "backend/.env.example": "A=\nB=\nC=\n",
        "backend/.env": "A=fake\nD=fake\n",
        "backend/.env.local": "B=fake\n",
        "python-services/.env": "E=fake\n",
    }
    missing = list_findings(tmp_path, files, "missing")
    assert places(missing) == [("backend/.env", 0, "C")]
    assert "backend/.env.example:3" in missing[0].message
    assert places(list_findings(tmp_path, files, "not-in-sample")) == [("backend/.env", 2, "D")]


def test_a_sample_of_an_environment_is_compared_with_files_of_that_environment(
    tmp_path: Path,
) -> None:
    files = {
        "backend/.env.production.example": "A=\n",
        "backend/.env": "B=fake\n",
        "backend/.env.production": "C=fake\n",
    }
    assert places(list_findings(tmp_path, files, "missing")) == [
        ("backend/.env.production", 0, "A")
    ]
    assert places(list_findings(tmp_path, files, "not-in-sample")) == [
        ("backend/.env.production", 1, "C")
    ]


def test_a_file_with_a_login_only_is_not_compared_with_a_sample(tmp_path: Path) -> None:
    login = "INFISICAL_CLIENT_ID=fake\nINFISICAL_CLIENT_SECRET=fake\nNODE_ENV=development\n"
    files = {"backend/.env.example": "A=\n", "backend/.env.local": login}
    for kind in ("missing", "not-in-sample"):
        assert list_findings(tmp_path, files, kind) == []
