"""Test that the output of host commands becomes the facts of files and of the deployed stack."""

from dataclasses import replace

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.agent.keys import KeysState
from infisical_iac.backup import deploy as backup
from infisical_iac.core.images import Images
from infisical_iac.host.docker import Engine
from infisical_iac.stack import ingress
from infisical_iac.stack.state import Container, Stack, deployment_question

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


_UP_TO_DATE = [
    "hash infisical 111",
    "hash redis 222",
    "container infisical 111 running healthy",
    "container redis 222 running healthy",
    "image redis:8.2.3",
]


def test_a_stack_that_matches_its_file_has_no_differences() -> None:
    stack = Stack().process(_UP_TO_DATE)
    assert stack.differences() == {}
    assert stack.containers["redis"] == (Container("222", "running", "healthy"),)
    assert stack.missing(["redis:8.2.3", "postgres:17.11"]) == ["postgres:17.11"]


@pytest.mark.parametrize(
    ("line", "instead", "service", "fact"),
    [
        (2, "container infisical 999 running healthy", "infisical", "another configuration"),
        (2, "container infisical 111 exited none", "infisical", "is exited, health none"),
        (2, "container infisical 111 running unhealthy", "infisical", "running, health unhealthy"),
        (2, "", "infisical", "has 0 containers"),
        (1, "", "redis", "no longer in compose.yaml"),
    ],
)
def test_each_drift_of_a_container_is_named(
    line: int, instead: str, service: str, fact: str
) -> None:
    output = [*_UP_TO_DATE[:line], instead, *_UP_TO_DATE[line + 1 :]]
    ((found, reason),) = Stack().process(output).differences().items()
    assert found == service
    assert fact in reason


def test_the_deployed_stack_is_read_in_one_query() -> None:
    asked = deployment_question(compose="services: {}", images=["infisical:1", "postgres:17"])
    images = {
        "infisical": ("infisical/infisical:v1.2.3", "sha256:1"),
        "postgres": ("postgres:17.11", "sha256:2"),
    }
    upgrade = {
        "database": True,
        "images": {
            name: {"service": name, "reference": reference, "id": id}
            for name, (reference, id) in images.items()
        },
        "desired": "sha256:1",
    }
    file = "/etc/infisical/compose.yaml"
    state = asked.read([{file: _file("600", _HASH)}, upgrade, _UP_TO_DATE])
    assert state.file == PathState("regular file", "600", "root:root", _HASH)
    assert state.upgrade.was == Images("infisical/infisical:v1.2.3", "postgres:17.11")
    assert state.stack == Stack().process(_UP_TO_DATE)
    assert asked.read([{}, {}, _UP_TO_DATE]).file is None


def test_the_engines_version_and_compose_are_read() -> None:
    assert Engine().process(["28.5.0", "compose"]) == ("28.5.0", True)
    assert Engine().process(["28.5.0"]) == ("28.5.0", False)
    assert Engine().process(["", "compose"]) == ("", True)
    assert Engine().process([]) == ("", False)
