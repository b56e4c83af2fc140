"""Test which container of the host a script finds for a service, in Compose and in a Swarm."""

from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, run_with

_CONTAINERS = """\
aa infisical/postgres / Up 2 hours (healthy)
bb infisical-drill/postgres / Up 1 minute
cc infisical/redis / Exited (0) 3 minutes ago
dd / infisical_postgres-2/ Exited (137) 1 minute ago
ee / infisical_postgres-2/ Up 5 seconds (health: starting)
ff / infisical_redis-2/ Up 5 seconds
gg / other_postgres-2/ Up 5 seconds
hh / infisical_postgres-exporter/ Up 5 seconds
ii / infisical_infisical/ Exited (1) 1 minute ago
jj / infisical_infisical/ Exited (1) 2 minutes ago
"""


@pytest.mark.parametrize(
    ("lines", "service", "ids"),
    [
        (slice(0, 3), "postgres", ["aa"]),
        (slice(0, 3), "redis", ["cc"]),
        (slice(0, 3), "caddy", []),
        (slice(3, None), "postgres", ["ee", "dd"]),
        (slice(3, None), "redis", ["ff"]),
        (slice(3, None), "infisical", ["ii", "jj"]),
        (slice(3, None), "sentinel", []),
    ],
)
def test_the_running_container_of_either_engine_comes_first(
    tmp_path: Path, lines: slice, service: str, ids: list[str]
) -> None:
    fake_docker(tmp_path)
    (tmp_path / "docker ps").write_text("".join(_CONTAINERS.splitlines(keepends=True)[lines]))
    functions = script_file("containers")
    command = f"{functions}\ncontainers {service}; echo; container {service}"
    ran = run_with(tmp_path, command, check=True)
    every, _, first = ran.stdout.partition("\n\n") if ids else ("", "", ran.stdout.strip())
    assert (every.split(), first.split()) == (ids, ids[:1])
