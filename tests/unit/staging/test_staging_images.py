"""Test the choice of images, the conditions for building one again, and for a stale pid file."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.staging import build, shell, stack, summary
from tests.staging.build import digest
from tests.staging.engine import is_stale
from tests.staging.stack import version_of

_OFFICIAL = "infisical/infisical:v0.165.16"


class FakeDocker:
    """Docker's images, as ids and labels by tag, and the names that registries have."""

    def __init__(self) -> None:
        self.registry: set[str] = set()
        self.images = {"infisical-iac/debian:trixie": ("sha256:debian", "")}
        self.commands: list[tuple[str, ...]] = []

    def run(self, *command: str, **_: Any) -> CompletedProcess[str]:
        self.commands.append(command)
        return CompletedProcess(command, *self._answer(*command))

    def _answer(self, *command: str) -> tuple[int, str, str]:
        match command:
            case ("docker", "image", "inspect", "--format", format, tag):
                id, label = self.images.get(tag, ("", ""))
                answer = id if format == "{{.Id}}" else f"={label}"
                return (0, answer, "") if id else (1, "", "no such image")
            case ("docker", "manifest", "inspect", _):
                return (0 if self.registry else 1), "", ""
            case ("docker", "pull", name) if name not in self.registry:
                return 1, "", f"{name} is unknown to the registry"
            case ("docker", "pull", name):
                self.images[name] = (f"sha256:{name}", "")
            case ("docker", "build", "--force-rm", "--tag", tag, *_, label, _):
                self.images[tag] = (f"sha256:built {tag}", label.partition("=")[2])
            case ("docker", "tag", name, tag):
                self.images[tag] = self.images[name]
            case ("docker", "image", "rm", name):
                del self.images[name]
            case ("docker", "save", "--output", file, *tags):
                Path(file).write_text(json.dumps(tags))
            case _:
                raise AssertionError(command)
        return 0, "", ""


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDocker]:
    """A Docker without images but Debian's, whose registry does not answer."""
    fake = FakeDocker()
    for module in (build, shell):
        monkeypatch.setattr(module, "run", fake.run)
    monkeypatch.delenv("STAGING_INFISICAL_IMAGE", raising=False)
    monkeypatch.setattr(stack, "ARCHIVE", tmp_path / "images.tar")
    monkeypatch.setattr(stack, "CHOICE", tmp_path / "images.json")
    build.registry_answers.cache_clear()
    yield fake
    build.registry_answers.cache_clear()


def _choose(*, prefer_official: bool) -> dict[str, Any]:
    stack.ensure(prefer_official=prefer_official)
    choice: dict[str, Any] = json.loads(stack.CHOICE.read_text())
    assert json.loads(stack.ARCHIVE.read_text()) == list(choice["ids"])
    return choice


def test_demo_runs_official_images_where_a_registry_answers(docker: FakeDocker) -> None:
    docker.registry = {_OFFICIAL, "postgres:17.11", "redis:8.2.10", "caddy:2.11.7"}
    choice = _choose(prefer_official=True)
    assert (choice["infisical"], choice["infisical_version"], choice["standin"]) == (
        "staging/infisical-real",
        "v0.165.16",
        False,
    )
    assert choice["ids"]["staging/infisical-real:v0.165.16"] == f"sha256:{_OFFICIAL}"
    assert choice["ids"]["staging/postgres:17"] == "sha256:postgres:17.11"
    assert not any(command[1] == "build" for command in docker.commands)
    assert _OFFICIAL in summary.describe_infisical(choice)


def test_demo_runs_the_stand_in_where_no_registry_answers(docker: FakeDocker) -> None:
    choice = _choose(prefer_official=True)
    assert (choice["infisical"], choice["standin"]) == ("staging/infisical", True)
    assert choice["ids"]["staging/redis:8"] == "sha256:built staging/redis:8"
    assert "stand-in" in summary.describe_infisical(choice)


def test_demo_runs_the_stand_in_if_infisical_alone_cannot_be_pulled(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.registry = {"postgres:17.11"}
    assert _choose(prefer_official=True)["standin"]
    assert f"{_OFFICIAL} is unknown" in capsys.readouterr().err


def test_tests_run_the_stand_in_where_a_registry_answers_too(docker: FakeDocker) -> None:
    docker.registry = {_OFFICIAL}
    assert _choose(prefer_official=False)["standin"]
    assert ("docker", "pull", _OFFICIAL) not in docker.commands


def test_official_image_is_used_again_without_a_registry(docker: FakeDocker) -> None:
    docker.registry = {_OFFICIAL}
    first = _choose(prefer_official=True)
    docker.registry = set()
    build.registry_answers.cache_clear()
    assert _choose(prefer_official=True) == first


@pytest.mark.parametrize(
    ("pid", "name", "stale"),
    [
        ("41\n", "dockerd", False),
        ("41\n", None, True),
        ("41\n", "bash", True),
        ("", None, True),
    ],
)
def test_a_pid_file_is_stale_unless_its_process_is_that_program(
    pid: str, name: str | None, stale: bool
) -> None:
    assert is_stale(pid, name, "dockerd") is stale


def test_a_recipe_changes_with_a_files_content_and_with_its_name(tmp_path: "Path") -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM a")
    first = digest(tmp_path)
    file.write_text("FROM b")
    second = digest(tmp_path)
    file.rename(tmp_path / "Containerfile")
    assert len({first, second, digest(tmp_path), digest(tmp_path, "more")}) == 4


def test_compiled_files_are_not_part_of_a_recipe(tmp_path: "Path") -> None:
    (tmp_path / "main.py").write_text("pass")
    before = digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "main.pyc").write_bytes(b"x")
    assert digest(tmp_path) == before


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("infisical/infisical:v0.166.2", "v0.166.2"),
        ("registry.example:5000/infisical:v1.0.0", "v1.0.0"),
        ("infisical/infisical:latest", "v0.165.16"),
        ("registry.example:5000/infisical", "v0.165.16"),
        ("sha256:0123", "v0.165.16"),
    ],
)
def test_a_version_is_read_from_the_tag_and_from_nothing_else(reference: str, version: str) -> None:
    assert version_of(reference) == version
