"""Test the choice of images, when an image is built again, and which pid files are stale."""

import json
import os
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.settings import load
from infisical_iac.stack.settings import with_digest
from tests.staging import build, stack, summary
from tests.staging.build import digest
from tests.staging.engine import is_stale
from tests.staging.stack import version_of
from tests.unit.fake_programs import fake_docker
from tests.unit.settings_of import defaults

_OFFICIAL = "infisical/infisical:v0.165.16"


# Images are lines "tag id label" of $HOST/images, and a registry has the names in $HOST/registry.
_FUNCTIONS = """
image() { grep "^$1 " "$HOST/images" || { echo "no such image" >&2; exit 1; }; }
add() { sed -i "\\|^$1 |d" "$HOST/images"; echo "$1 $2 $3" >>"$HOST/images"; }
"""
_ANSWERS = """
"image inspect --format {{.Id}} "*) found=$(image "$5") || exit; echo "$found" | cut -d ' ' -f 2 ;;
"image inspect "*) found=$(image "$5") || exit; echo "=$(echo "$found" | cut -d ' ' -f 3)" ;;
"manifest inspect "*) test -s "$HOST/registry" ;;
"pull "*)
    grep -qx "$2" "$HOST/registry" || { echo "$2 is unknown to the registry" >&2; exit 1; }
    add "$2" "sha256:$2" ;;
"build --force-rm --tag "*)
    tag=$4
    for each; do case $each in *.recipe=*) label=${each#*=} ;; esac; done
    add "$tag" "sha256:built-$tag" "$label" ;;
"tag "*) found=$(image "$2") || exit; set -- "$3" $found; add "$1" "$3" "${4-}" ;;
"image rm "*) sed -i "\\|^$3 |d" "$HOST/images" ;;
"save --output "*) file=$3; shift 3; printf '%s\\n' "$@" >"$file" ;;
*) echo "an unknown call: $*" >&2; exit 9 ;;
"""


class FakeDocker:
    """The files of a fake Docker, whose registry does not answer as long as it has no images."""

    def __init__(self, home: Path) -> None:
        self._home = home
        fake_docker(home, _ANSWERS, functions=_FUNCTIONS)
        (home / "images").write_text("infisical-iac/debian:trixie sha256:debian \n")
        (home / "calls").touch()
        self.fill_registry()

    def fill_registry(self, *names: str) -> None:
        """Give the registry exactly these images, by their known digests."""
        (self._home / "registry").write_text("".join(f"{with_digest(name)}\n" for name in names))
        build.registry_answers.cache_clear()

    @property
    def calls(self) -> list[str]:
        return (self._home / "calls").read_text().splitlines()


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDocker]:
    """A Docker without images but Debian's, whose registry does not answer."""
    monkeypatch.setenv("HOST", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("STAGING_INFISICAL_IMAGE", raising=False)
    monkeypatch.setattr(stack, "ARCHIVE", tmp_path / "images.tar")
    monkeypatch.setattr(stack, "CHOICE", tmp_path / "images.json")
    yield FakeDocker(tmp_path)
    build.registry_answers.cache_clear()


def _choose(*, prefer_official: bool) -> dict[str, Any]:
    stack.ensure(prefer_official=prefer_official)
    choice: dict[str, Any] = json.loads(stack.CHOICE.read_text())
    assert stack.ARCHIVE.read_text().splitlines() == list(choice["ids"])
    return choice


def test_demo_runs_official_images_if_a_registry_answers(docker: FakeDocker) -> None:
    docker.fill_registry(_OFFICIAL, "postgres:17.11", "redis:8.2.10", "caddy:2.11.7")
    choice = _choose(prefer_official=True)
    assert (choice["infisical"], choice["infisical_version"], choice["standin"]) == (
        "staging/infisical-real",
        "v0.165.16",
        False,
    )
    pulled = [call.removeprefix("docker pull ") for call in docker.calls if " pull " in call]
    assert len(pulled) == 4
    assert all("@sha256:" in each for each in pulled)
    assert choice["ids"]["staging/infisical-real:v0.165.16"] == f"sha256:{with_digest(_OFFICIAL)}"
    assert choice["ids"]["staging/postgres:17"] == f"sha256:{with_digest('postgres:17.11')}"
    assert not any(call.startswith("docker build") for call in docker.calls)
    assert _OFFICIAL in summary.describe_infisical(choice)


def test_demo_runs_the_stand_in_if_no_registry_answers(docker: FakeDocker) -> None:
    choice = _choose(prefer_official=True)
    assert (choice["infisical"], choice["standin"]) == ("staging/infisical", True)
    assert choice["ids"]["staging/redis:8"] == "sha256:built-staging/redis:8"
    assert "stand-in" in summary.describe_infisical(choice)


def test_each_image_is_reported_once_it_is_built_and_not_again(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    _choose(prefer_official=True)
    built = [line for line in capsys.readouterr().err.splitlines() if "Built " in line]
    assert len(built) == 4
    assert any("staging/redis:8" in line for line in built)
    _choose(prefer_official=True)
    assert capsys.readouterr().err == ""


def test_demo_runs_the_stand_in_if_only_infisical_cannot_be_pulled(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.fill_registry("postgres:17.11")
    assert _choose(prefer_official=True)["standin"]
    assert f"{with_digest(_OFFICIAL)} is unknown" in capsys.readouterr().err


def test_tests_run_the_stand_in_even_if_a_registry_answers(docker: FakeDocker) -> None:
    docker.fill_registry(_OFFICIAL)
    assert _choose(prefer_official=False)["standin"]
    assert not any(call.startswith(f"docker pull {_OFFICIAL}") for call in docker.calls)


def test_the_official_image_is_reused_without_a_registry(docker: FakeDocker) -> None:
    docker.fill_registry(_OFFICIAL)
    first = _choose(prefer_official=True)
    docker.fill_registry()
    assert _choose(prefer_official=True) == first


@pytest.mark.parametrize(("standin", "needed"), [(True, "64m"), (False, "768m")])
def test_an_official_image_gets_the_memory_and_the_time_of_a_release(
    tmp_path: Path, standin: bool, needed: str
) -> None:
    """A release takes up to 40 seconds to start; the stand-in needs less memory and time."""
    for folder in ("group_data", ".staging"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".staging" / "images.json").write_text(json.dumps({"standin": standin}))
    staging = shutil.copy("group_data/staging.py", tmp_path / "group_data")
    values = runpy.run_path(str(staging))
    settings = load(defaults(**{name: values[name] for name in values["__all__"]}))
    assert settings.stack.infisical_memory_needed == needed
    assert settings.stack.start_timeout >= 300


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


def test_a_recipe_changes_with_the_content_and_the_name_of_a_file(tmp_path: "Path") -> None:
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
def test_a_version_is_read_only_from_the_tag(reference: str, version: str) -> None:
    assert version_of(reference) == version


@pytest.mark.parametrize("left", ["", "infisical-iac-server-other-redis"])
def test_images_stay_while_a_container_of_another_clone_is_left(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    ran: list[str] = []
    answers = {"ps": left, "images": "staging/redis:8"}

    def docker(command: str, *_: str) -> str:
        ran.append(command)
        return answers.get(command, "")

    monkeypatch.setattr(build, "docker", docker)
    assert build.remove_images() is not bool(left)
    assert ("rmi" in ran) is not bool(left)
