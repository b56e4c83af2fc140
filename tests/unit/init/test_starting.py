"""Test the shipped files of a clone, the search for services, and the check of a host's name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.init import answers as starting
from infisical_iac.init import repository
from infisical_iac.init.answers import Answers
from infisical_iac.init.services import FoundDirectory, FoundService, find_services, name_services
from infisical_iac.workspace.load import load
from tests.unit.migrate.trees import plant

_REPOSITORY = Path(__file__).resolve().parents[3]


def test_init_without_answers_writes_the_shipped_files() -> None:
    for path, text in repository.files(Answers()).items():
        assert (_REPOSITORY / path).read_text() == text, path


def test_the_topmost_directory_with_a_package_is_the_service(tmp_path: Path) -> None:
    paths = (
        "package.json",
        "backend/package.json",
        "backend/jobs/package.json",
        "python-services/pricing/requirements.txt",
        "python-services/scoring/pyproject.toml",
        "python-services/scoring/.env.example",
        "deep/deeper/deepest/package.json",
    )
    plant(tmp_path, dict.fromkeys(paths, ""))
    assert find_services(tmp_path, leave_out=tmp_path / "none") == [
        FoundDirectory("backend", ("package.json",)),
        FoundDirectory("python-services/pricing", ("requirements.txt",)),
        FoundDirectory("python-services/scoring", (".env.example", "pyproject.toml")),
    ]


def test_tool_directories_and_other_repositories_are_not_services(tmp_path: Path) -> None:
    paths = (
        "node_modules/left/package.json",
        ".git/package.json",
        "myenv/pyvenv.cfg",
        "myenv/lib/requirements.txt",
        "service/.env/pyvenv.cfg",
        "clone/infisical_iac/__init__.py",
        "clone/pyproject.toml",
        "other/deploy.py",
        "other/group_data/acme.yaml",
        "other/pyproject.toml",
    )
    plant(tmp_path, dict.fromkeys(paths, ""))
    assert find_services(tmp_path, leave_out=tmp_path / "none") == []


def test_each_service_gets_its_own_name_and_folder() -> None:
    paths = ["a/api", "b/api", "shared", "My Service.v2", "日本"]
    assert name_services(paths) == [
        FoundService("api", "/a/api"),
        FoundService("api-2", "/b/api"),
        FoundService("shared", "/shared-2"),
        FoundService("my-service-v2", "/My-Service-v2"),
        FoundService("service", "/--"),
    ]


@pytest.mark.parametrize(
    "value", ["203.0.113.7", "2001:db8::1", "host", "a-b.example.com", "my_vm"]
)
def test_a_host_is_a_name_or_an_address(value: str) -> None:
    assert starting.check_host(value) == value


_ORGANIZATIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", fullmatch=True).map(str.strip)
_PATHS = st.lists(st.text(min_size=1, max_size=80).filter(lambda text: "/" not in text), max_size=4)


@given(_ORGANIZATIONS, _PATHS)
def test_any_organization_and_directories_make_a_valid_file(
    organization: str, paths: list[str]
) -> None:
    answers = Answers(organization=organization, services=name_services(paths))
    workspace = load(repository.files(answers)[repository.SHIPPED_PROJECT_FILE])
    assert workspace.project.name == organization
    assert len(workspace.services) == len(paths)
