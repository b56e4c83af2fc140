"""Test that the output of host commands becomes the facts of files and of the deployed stack."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.agent.keys import KeysState
from infisical_iac.agent.serving import encode
from infisical_iac.agent.stack import Container, ObservedStack
from infisical_iac.backup import deploy as backup
from infisical_iac.core.images import Images
from infisical_iac.host.docker import Engine
from infisical_iac.stack import ingress
from infisical_iac.stack.state import StackState, deployment_question, stack_question

_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _file(mode: str, sha256: str | None = None) -> dict[str, str | None]:
    """Return a file of root as the agent answers it."""
    return {"kind": "regular file", "mode": mode, "owner": "root:root", "sha256": sha256}


def test_the_ingress_is_read_with_the_served_certificate() -> None:
    path = "/etc/infisical/ingress/Caddyfile"
    asked = ingress.ingress_question(paths=[path], site="infisical.example.com", port=443)
    served = {"revision": "abc", "certificate": "a certificate"}
    found = asked.read([{path: _file("644", "a" * 64)}, served])
    assert found.files == {path: PathState("regular file", "644", "root:root", "a" * 64)}
    assert (found.revision, found.certificate) == ("abc", "a certificate")


def test_keys_with_a_finding_are_not_complete() -> None:
    assert KeysState(database=True).is_complete
    for name in ("missing", "sample", "malformed", "open", "stale"):
        assert not KeysState(**{name: frozenset({"a"})}).is_complete  # type: ignore[arg-type]


def test_the_state_of_backups_is_read_in_one_query() -> None:
    folder = "/etc/infisical/backup"
    asked = backup.backup_question(
        schedules=["daily", "every now"],
        paths=[f"{folder}/backup.conf"],
        names=["infisical-backup.timer"],
    )
    files = {
        f"{folder}/bucket.env": _file("600", _HASH),
        f"{folder}/webhook": _file("644"),
        f"{folder}/backup.conf": _file("600"),
    }
    timer = {"loaded": True, "active": True, "enabled": True}
    state = asked.read([files, {"infisical-backup.timer": timer}, []])
    assert state.private == {
        f"{folder}/bucket.env": PathState("regular file", "600", "root:root", _HASH),
        f"{folder}/webhook": PathState("regular file", "644", "root:root"),
    }
    assert state.files.keys() == {f"{folder}/backup.conf"}
    assert state.units["infisical-backup.timer"].active
    assert state.no_schedules == ()
    refused = asked.read([files, {"infisical-backup.timer": timer}, ["every now"]])
    assert refused == replace(state, no_schedules=("every now",))


_RUNNING = Container("111", "running", "healthy")
_REDIS = Container("222", "running", "healthy")
_UP_TO_DATE = ObservedStack(
    True,
    {"infisical": "111", "redis": "222"},
    {"infisical": (_RUNNING,), "redis": (_REDIS,)},
    images=frozenset({"redis:8.2.3"}),
)


def _answer(found: object) -> Any:
    """Return what the agent answers as the operator's side gets it."""
    return json.loads(json.dumps(found, default=encode))


def _read(found: ObservedStack) -> StackState:
    return stack_question(compose="services: {}", images=[]).read([_answer(found)])


def test_a_stack_that_matches_its_file_has_no_differences() -> None:
    stack = _read(_UP_TO_DATE)
    assert stack.differences() == {}
    assert stack.containers["redis"] == (_REDIS,)
    assert stack.missing(["redis:8.2.3", "postgres:17.11"]) == ["postgres:17.11"]


@pytest.mark.parametrize(
    ("container", "fact"),
    [
        (Container("999", "running", "healthy"), "another configuration"),
        (Container("111", "exited", "none"), "is exited, health none"),
        (Container("111", "running", "unhealthy"), "running, health unhealthy"),
        (None, "has 0 containers"),
    ],
)
def test_each_drift_of_a_container_is_named(container: Container | None, fact: str) -> None:
    containers = {**_UP_TO_DATE.containers, "infisical": (container,) if container else ()}
    found = _read(replace(_UP_TO_DATE, containers=containers))
    ((service, reason),) = found.differences().items()
    assert service == "infisical"
    assert fact in reason


def test_a_container_without_a_service_is_named() -> None:
    found = _read(replace(_UP_TO_DATE, hashes={"infisical": "111"}))
    ((service, reason),) = found.differences().items()
    assert service == "redis"
    assert "no longer in compose.yaml" in reason


def test_the_deployed_stack_is_read_in_one_query() -> None:
    asked = deployment_question(compose="services: {}", images=["infisical:1", "postgres:17"])
    upgrade = [
        "database",
        "image infisical infisical/infisical:v1.2.3 sha256:1",
        "image postgres postgres:17.11 sha256:2",
        "desired sha256:1",
    ]
    file, found = "/etc/infisical/compose.yaml", _answer(_UP_TO_DATE)
    state = asked.read([{file: _file("600", _HASH)}, upgrade, found])
    assert state.file == PathState("regular file", "600", "root:root", _HASH)
    assert state.upgrade.was == Images("infisical/infisical:v1.2.3", "postgres:17.11")
    assert state.stack == _read(_UP_TO_DATE)
    assert asked.read([{}, [], found]).file is None


def test_the_engines_version_and_compose_are_read() -> None:
    assert Engine().process(["28.5.0", "compose"]) == ("28.5.0", True)
    assert Engine().process(["28.5.0"]) == ("28.5.0", False)
    assert Engine().process(["", "compose"]) == ("", True)
    assert Engine().process([]) == ("", False)
