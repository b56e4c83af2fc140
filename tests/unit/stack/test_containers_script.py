"""Test which container of this host a script takes for a service, under Compose and under a
Swarm.
"""

import os
import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file

_DOCKER = """#!/bin/sh
cat <<'LINES'
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
LINES
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
    head, *rows, end = _DOCKER.splitlines()[1:]
    docker = tmp_path / "docker"
    docker.write_text("\n".join(["#!/bin/sh", head, *rows[lines], end, ""]))
    docker.chmod(0o755)
    functions = script_file("containers")
    ran = subprocess.run(
        ["sh", "-c", f"{functions}\ncontainers {service}; echo; container {service}"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    every, _, first = ran.stdout.partition("\n\n") if ids else ("", "", ran.stdout.strip())
    assert (every.split(), first.split()) == (ids, ids[:1])
